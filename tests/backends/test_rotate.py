from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.faulty_disk import DISK_FULL, FaultyDisk
from backends.log_family import NOON_NS, Clock, Reports, all_numbers, content, family, line, numbers
from decklog.backends.rotate import RotatingFile
from decklog.disk import Disk
from decklog.errors import DecklogError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from _pytest.tmpdir import TempPathFactory


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.log"


def opened(path: Path, max_bytes: int = 1000, **options: Any) -> RotatingFile:
    """A log that is open, with a clock that stands still."""
    options = {"disk": Disk(), "report": Reports(), "clock_ns": Clock(), **options}
    file = RotatingFile(path=path, max_bytes=max_bytes, **options)
    file.open()
    return file


def sizes(path: Path) -> dict[str, int]:
    return {part.name: part.stat().st_size for part in family(path)}


def test_a_file_may_be_exactly_full(path: Path) -> None:
    """Ten lines of 100 bytes fill a file of 1000; the eleventh goes to the next."""
    file = opened(path)
    for number in range(11):
        file.write(line(number))
    file.close()
    assert sizes(path) == {"audit-2026-01-01T12-00-00.000.log": 1000, "audit.log": 100}
    assert all_numbers(path) == list(range(11))


@pytest.mark.parametrize(
    ("name", "existing", "length", "rotated"),
    [
        ("exactly full at opening rotates", 900, 100, True),
        ("one byte less does not", 899, 100, False),
        ("over the limit rotates", 5000, 100, True),
        ("an empty file never rotates", 0, 1000, False),
        ("not even for a line that is too long", 0, 1500, False),
    ],
)
def test_an_existing_log_is_rotated_if_the_first_line_would_fill_it(
    name: str, existing: int, length: int, rotated: bool, path: Path
) -> None:
    """At opening the size limit counts from exactly full on, as lumberjack counts it."""
    path.write_bytes(b"o" * (existing - 1) + b"\n" if existing else b"")
    file = opened(path)
    assert not file.rotations, "opening alone rotates nothing"
    file.write(line(1, length))
    file.close()
    assert bool(file.rotations) == rotated, name
    assert numbers(path.read_bytes())[-1] == 1


def test_size_zero_never_rotates(path: Path) -> None:
    """maxsize 0: one file for ever."""
    file = opened(path, max_bytes=0)
    for number in range(300):
        file.write(line(number, 5000))
    file.close()
    assert [part.name for part in family(path)] == ["audit.log"]
    assert all_numbers(path) == list(range(300))


def test_rotations_in_one_millisecond_take_the_next_free_one(path: Path) -> None:
    """With a clock that stands still, every rotation gets a name of its own and overwrites nothing."""
    foreign = path.with_name("audit-2026-01-01T12-00-00.002.log")
    file = opened(path, max_bytes=100)
    foreign.write_text("somebody else's\n")
    packed = path.with_name("audit-2026-01-01T12-00-00.004.log.gz")
    packed.write_bytes(b"")
    for number in range(6):
        file.write(line(number))
    file.close()
    assert foreign.read_text() == "somebody else's\n"
    names = [f"audit-2026-01-01T12-00-00.00{ms}.log" for ms in (0, 1, 2, 3, 5, 6)]
    packed.unlink()
    assert [part.name for part in family(path)] == [*names, "audit.log"]
    foreign.unlink()
    assert all_numbers(path) == list(range(6))


def test_a_line_longer_than_the_limit_has_a_file_of_its_own(path: Path) -> None:
    """An event is never refused for its length, never split, and shares its file with no other."""
    file = opened(path)
    lengths = [100, 1801, 100, 5_000_000, 100]
    for number, length in enumerate(lengths):
        file.write(line(number, length))
    file.close()
    assert [part.stat().st_size for part in family(path)] == lengths
    assert all_numbers(path) == list(range(5))


def test_names_go_on_in_order_when_the_clock_is_set_back(path: Path) -> None:
    """A backup made after the clock was set back still sorts as the newest, also after a restart."""
    clock = Clock()
    file = opened(path, max_bytes=100, clock_ns=clock)
    file.write(line(0))
    file.write(line(1))
    clock.turn(-3600)
    file.write(line(2))
    file.close()
    clock.turn(-86400 * 400)
    file = opened(path, max_bytes=100, clock_ns=clock)
    file.write(line(3))
    file.close()
    assert all_numbers(path) == [0, 1, 2, 3]


@pytest.mark.parametrize("now_ns", [-1, 10**30])
def test_a_clock_gone_mad_stops_rotation_not_events(now_ns: int, path: Path) -> None:
    """With a clock that no name can spell the file grows past its size, and says so."""
    reports = Reports()
    file = opened(path, max_bytes=100, clock_ns=Clock(now_ns), report=reports)
    for number in range(3):
        file.write(line(number))
    file.close()
    assert all_numbers(path) == [0, 1, 2]
    assert bool(set(reports.kinds)) == (now_ns > 0)


def test_mode_is_kept_across_rotations(path: Path) -> None:
    """The new file has the mode that the old one was given."""
    path.write_text("")
    path.chmod(0o640)
    file = opened(path, max_bytes=100)
    file.write(line(0))
    file.write(line(1))
    file.close()
    assert [stat.S_IMODE(part.stat().st_mode) for part in family(path)] == [0o640, 0o640]


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give files away")
def test_owner_is_kept_across_rotations(path: Path) -> None:
    """The new file belongs to whom the old one belonged."""
    path.write_text("")
    os.chown(path, 12, 34)
    file = opened(path, max_bytes=100)
    file.write(line(0))
    file.write(line(1))
    file.close()
    assert [(part.stat().st_uid, part.stat().st_gid) for part in family(path)] == [(12, 34)] * 2


def test_several_lines_are_written_in_order(path: Path) -> None:
    """Lines of one call keep their order, within a file and over a rotation."""
    file = opened(path)
    assert file.write_lines([line(number) for number in range(4)]) == []
    assert file.write_lines([line(number) for number in range(4, 25)]) == []
    file.close()
    assert all_numbers(path) == list(range(25))
    assert [part.stat().st_size for part in family(path)] == [1000, 1000, 500]


@pytest.mark.parametrize("operation", ["rename_noreplace", "open", "fstat", "close", "stat"])
@pytest.mark.parametrize("at", range(1, 6))
def test_a_rotation_that_fails_costs_no_event(operation: str, at: int, path: Path) -> None:
    """Whatever call of a rotation fails, all lines are there once and in order, and the rotation is made up for."""
    disk = FaultyDisk()
    file = opened(path, max_bytes=300, disk=disk)
    disk.arm("fail", at, only=operation)
    for number in range(12):
        file.write(line(number))
        file.check()
    file.close()
    assert sorted(all_numbers(path)) == list(range(12))
    assert file.rotations >= 2


def test_a_log_that_is_not_open_takes_nothing(path: Path) -> None:
    """Before opening and after closing a line is refused, not swallowed."""
    file = opened(path)
    file.close()
    file.check()
    with pytest.raises(OSError, match="not open"):
        file.write(line(0))
    assert len(file.write_lines([line(0), line(1)])) == 2


@pytest.mark.parametrize(
    ("place", "reason"),
    [("file/audit.log", "Not a directory"), ("dir", "directory"), ("x" * 300, "too long"), ("a\0b", "null")],
)
def test_a_log_that_cannot_be_written_is_the_users_error(place: str, reason: str, tmp_path: Path) -> None:
    """An unwritable path is a DecklogError that says what to do, before anything is served."""
    (tmp_path / "file").write_text("")
    (tmp_path / "dir").mkdir()
    with pytest.raises(DecklogError, match=reason) as caught:
        opened(tmp_path / place)
    assert caught.value.exit_code == 2
    assert "--audit-log-path" in str(caught.value)


def test_two_processes_may_share_a_log(path: Path) -> None:
    """Lines of several processes are whole, none is lost and none doubled, while both rotate.

    Whoever opens the file while the other is in the middle of a write may see it without its last newline, and closes
    it with one: an empty line, which every reader passes over.
    """
    script = (
        "import sys; from pathlib import Path; from backends.log_family import Reports, line;"
        "from decklog.backends.rotate import RotatingFile; from decklog.disk import Disk;"
        "file = RotatingFile(Disk(), Path(sys.argv[1]), max_bytes=20_000, report=Reports()); file.open();"
        "first = int(sys.argv[2]); [file.write(line(number)) for number in range(first, first + 3000)]; file.close()"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    writers = [
        subprocess.Popen([sys.executable, "-c", script, str(path), str(first)], env=environment) for first in (0, 3000)
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    lines = [text for part in family(path) for text in content(part).split(b"\n") if text]
    found = numbers(b"".join(text + b"\n" for text in lines))
    assert sorted(found) == list(range(6000))
    for first in (0, 3000):
        own = [number for number in found if first <= number < first + 3000]
        assert set(own) == set(range(first, first + 3000))


def test_threads_may_share_a_file(path: Path) -> None:
    """Threads that write and look at the same time lose and tear nothing."""
    file = opened(path, max_bytes=10_000)

    def write(first: int) -> None:
        for number in range(first, first + 500):
            file.write(line(number))

    writers = [threading.Thread(target=write, args=(first,)) for first in (0, 500, 1000)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        file.check()
    file.close()
    assert sorted(all_numbers(path)) == list(range(1500))


@pytest.fixture(scope="module")
def directories(tmp_path_factory: TempPathFactory) -> Iterator[Path]:
    return (tmp_path_factory.mktemp("lengths") for _ in iter(int, 1))


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(30, 700), max_size=40),
    max_bytes=st.integers(0, 1000),
    existing=st.integers(0, 1200),
    chunks=st.integers(1, 7),
)
def test_any_lines_come_out_as_they_went_in(
    directories: Iterator[Path], lengths: list[int], max_bytes: int, existing: int, chunks: int
) -> None:
    """Whatever the lengths: no line is lost, doubled, split or out of order, and no file with two lines is too big."""
    path = next(directories) / "audit.log"
    path.write_bytes(line(10_000, existing) if existing > 30 else b"")
    file = opened(path, max_bytes=max_bytes, clock_ns=Clock(NOON_NS))
    lines = [line(number, length) for number, length in enumerate(lengths)]
    for start in range(0, len(lines), chunks):
        assert file.write_lines(lines[start : start + chunks]) == []
    file.close()
    assert [number for number in all_numbers(path) if number != 10_000] == list(range(len(lengths)))
    if max_bytes:
        assert all(part.stat().st_size <= max_bytes or len(numbers(part.read_bytes())) == 1 for part in family(path))


def test_a_full_disk_is_an_error_and_then_it_is_over(path: Path) -> None:
    """ENOSPC refuses the line; when there is room again the next one is written."""
    disk = FaultyDisk("full", 2, only="append")
    file = opened(path, disk=disk)
    file.write(line(0))
    with pytest.raises(OSError, match="No space left") as caught:
        file.write(line(1))
    assert caught.value.errno == DISK_FULL
    disk.freed()
    file.write(line(2))
    file.close()
    assert all_numbers(path) == [0, -1, 2]
