"""The log is removed, renamed, replaced or cut while it is being written."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from backends.faulty_disk import FaultyDisk
from backends.log_family import Clock, Reports, all_numbers, line, numbers
from decklog.backends.rotate import RECENT_BYTES, RotatingFile
from decklog.disk import Disk

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Log:
    """A log under way, with what it reported."""

    def __init__(self, directory: Path, *, max_bytes: int = 0, disk: Disk | None = None) -> None:
        self.path = directory / "audit.log"
        self.reports = Reports()
        self.file = RotatingFile(disk or Disk(), self.path, max_bytes=max_bytes, report=self.reports, clock_ns=Clock())
        self.file.open()
        self.next = 0

    def write(self, count: int = 1, length: int = 100) -> None:
        for _ in range(count):
            self.file.write(line(self.next, length))
            self.next += 1


@pytest.fixture
def log(tmp_path: Path) -> Log:
    made = Log(tmp_path)
    made.write(3)
    made.file.check()
    return made


def test_what_is_written_after_a_removal_is_written_again(log: Log) -> None:
    """Lines that went into a removed file stand in the new one once the next look finds out."""
    log.path.unlink()
    log.write(5)
    assert not log.path.exists()
    log.file.check()
    log.write(2)
    log.file.close()
    assert all_numbers(log.path) == [3, 4, 5, 6, 7, 8, 9]
    assert "replaced" in log.reports.kinds


def test_a_removal_is_found_out_at_the_latest_at_the_end(log: Log) -> None:
    """Closing looks once more."""
    log.path.unlink()
    log.write(5)
    assert log.file.close() == 0
    assert all_numbers(log.path) == [3, 4, 5, 6, 7]


def test_a_busy_writer_finds_out_by_itself(log: Log) -> None:
    """Without anybody looking, no more than `RECENT_BYTES` go into a removed file, and they are not lost."""
    log.path.unlink()
    log.write(RECENT_BYTES // 1000 + 2, 1000)
    assert log.path.exists()
    log.file.close()
    assert all_numbers(log.path) == list(range(3, log.next))


def test_a_removed_log_is_followed_through_rotations(tmp_path: Path) -> None:
    """Lines written again rotate like any others."""
    log = Log(tmp_path, max_bytes=300)
    log.write(2)
    log.path.unlink()
    log.file.check()
    for _ in range(4):
        log.write()
        log.path.unlink(missing_ok=True)
    log.write(7)
    log.file.close()
    assert all_numbers(log.path)[-7:] == list(range(log.next - 7, log.next))


def test_a_renamed_log_keeps_its_lines_and_nothing_is_doubled(log: Log) -> None:
    """After a rename (logrotate) the lines up to the look stay in the renamed file, later ones go to the path."""
    moved = log.path.with_name("audit.log.1")
    log.path.rename(moved)
    log.write(2)
    log.file.reopen()
    log.write(2)
    log.file.close()
    assert numbers(moved.read_bytes()) == [0, 1, 2, 3, 4]
    assert numbers(log.path.read_bytes()) == [5, 6]


def test_logrotate_with_create_is_followed(log: Log) -> None:
    """If somebody made a new file at the path, it is used as it is, with its mode."""
    moved = log.path.with_name("audit.log.1")
    log.path.rename(moved)
    log.path.touch(mode=0o640)
    log.write()
    log.file.reopen()
    log.write()
    log.file.close()
    assert numbers(moved.read_bytes()) == [0, 1, 2, 3]
    assert numbers(log.path.read_bytes()) == [4]
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o640


def test_reopening_an_unmoved_log_changes_nothing(log: Log) -> None:
    """SIGHUP without a rename loses and doubles nothing."""
    for _ in range(5):
        log.write()
        log.file.reopen()
    log.file.close()
    assert all_numbers(log.path) == list(range(8))
    assert log.reports.kinds == []


def test_a_log_that_was_renamed_over_is_rescued(log: Log) -> None:
    """Another file moved onto the path ends ours: its last lines go to the other, after what stands there."""
    other = log.path.with_name("other")
    other.write_bytes(line(1000))
    log.write()
    log.file.check()
    other.rename(log.path)
    log.write(2)
    log.file.check()
    log.file.close()
    assert numbers(log.path.read_bytes()) == [1000, 4, 5]


def test_a_cut_log_goes_on(log: Log) -> None:
    """After ``: > audit.log`` lines stand whole from its start on, and the cut is reported."""
    os.truncate(log.path, 0)
    log.write(2)
    log.file.check()
    log.write(1)
    log.file.close()
    assert all_numbers(log.path) == [3, 4, 5]
    assert "truncated" in log.reports.kinds


def test_a_log_cut_in_the_middle_of_a_line_goes_on_with_a_new_one(log: Log) -> None:
    """The rest of a cut line is closed before the next event."""
    os.truncate(log.path, 250)
    log.file.check()
    log.write(2)
    log.file.close()
    assert all_numbers(log.path) == [0, 1, -1, 3, 4]


def test_a_removed_directory_is_made_again(tmp_path: Path) -> None:
    """If the whole directory goes, it comes back, private."""
    log = Log(tmp_path / "a" / "b")
    log.write(2)
    log.path.unlink()
    log.path.parent.rmdir()
    log.path.parent.parent.rmdir()
    log.file.check()
    log.write()
    log.file.close()
    assert all_numbers(log.path) == [0, 1, 2]
    assert stat.S_IMODE(log.path.parent.stat().st_mode) == 0o700


def _link(path: Path) -> None:
    path.symlink_to(path.with_name("target"))


def _hard_link(path: Path) -> None:
    path.with_name("target").write_bytes(b"")
    path.hardlink_to(path.with_name("target"))


@pytest.mark.parametrize("removed", [True, False], ids=["removed", "renamed"])
@pytest.mark.parametrize(
    ("kind", "put"),
    [
        ("symbolic link", _link),
        ("FIFO", os.mkfifo),
        ("directory", lambda path: path.mkdir()),
        ("hard link", _hard_link),
    ],
)
def test_what_is_put_in_the_logs_place_is_not_followed(
    kind: str, put: Callable[[Path], None], removed: bool, log: Log
) -> None:
    """Lines go to a backup's name while something else stands at the path, and back once it is gone."""
    moved = log.path.with_name("moved")
    log.path.unlink() if removed else log.path.rename(moved)
    put(log.path)
    log.write(2)
    log.file.check()
    log.write(2)
    log.file.check()
    log.file.check()
    target = log.path.with_name("target")
    assert not target.exists() or not target.read_bytes(), kind
    detour = log.path.with_name("audit-2026-01-01T12-00-00.000.log")
    assert numbers(detour.read_bytes()) == ([3, 4, 5, 6] if removed else [5, 6])
    if log.path.is_dir():
        log.path.rmdir()
    else:
        log.path.unlink()
    log.file.check()
    log.write()
    log.file.close()
    assert all_numbers(log.path) == ([3, 4, 5, 6, 7] if removed else [5, 6, 7])
    assert removed or numbers(moved.read_bytes()) == [0, 1, 2, 3, 4]
    assert log.reports.kinds.count("detour") == 1


def test_a_detour_rotates_too(tmp_path: Path) -> None:
    """A link at the path stops neither events nor the size limit, and is never written through."""
    log = Log(tmp_path, max_bytes=300)
    log.write()
    log.path.unlink()
    log.path.symlink_to(tmp_path / "target")
    log.write(9)
    log.path.unlink()
    log.file.check()
    log.write(10)
    log.file.close()
    assert all_numbers(log.path) == list(range(20))
    assert max(part.stat().st_size for part in tmp_path.iterdir()) == 300
    assert not (tmp_path / "target").exists()


def test_an_attacker_with_links_gains_nothing(tmp_path: Path) -> None:
    """While somebody puts a link at the path before every line, no line is lost and the target stays empty."""
    log = Log(tmp_path, max_bytes=250)
    for _ in range(50):
        log.write()
        if log.path.exists():
            log.path.rename(tmp_path / f"stolen-{log.next}")
        log.path.unlink(missing_ok=True)
        log.path.symlink_to(tmp_path / "target")
        log.file.check()
        log.write()
    log.file.close()
    log.path.unlink()
    stolen = [number for part in tmp_path.glob("stolen-*") for number in numbers(part.read_bytes())]
    assert sorted(all_numbers(log.path) + stolen) == list(range(100))
    assert not (tmp_path / "target").exists()


def test_lines_are_owed_until_there_is_a_place_again(tmp_path: Path) -> None:
    """If a removed log cannot be made anew, new events are refused, and those taken before are written later."""
    log = Log(tmp_path / "d")
    log.write(2)
    log.path.unlink()
    log.path.parent.rmdir()
    log.path.parent.write_text("in the way")
    log.write(1)  # nobody has looked yet
    log.file.check()
    with pytest.raises(OSError, match="Not a directory"):
        log.write()
    log.path.parent.unlink()
    log.write(1)
    log.file.close()
    assert all_numbers(log.path) == [0, 1, 2, 3]


def test_lines_that_are_owed_at_the_end_are_told(tmp_path: Path) -> None:
    """Closing without a place to write says how many lines are lost."""
    log = Log(tmp_path / "d")
    log.write(2)
    log.path.unlink()
    log.path.parent.rmdir()
    log.path.parent.write_text("in the way")
    assert log.file.close() == 2


def test_a_renamed_log_is_written_on_while_the_path_cannot_be_opened(tmp_path: Path) -> None:
    """Too many open files, say: the lines stay in the renamed file, and the path is tried again."""
    disk = FaultyDisk()
    log = Log(tmp_path, disk=disk)
    log.write(2)
    log.path.rename(tmp_path / "moved")
    failing = FaultyDisk("fail", 1, only="open")
    log.file._disk = failing
    log.file.check()
    assert not log.path.exists() or numbers(log.path.read_bytes()) == []
    log.write(2)
    log.file._disk = disk
    log.file.check()
    log.write(1)
    log.file.close()
    stray = [number for part in tmp_path.iterdir() for number in numbers(part.read_bytes())]
    assert sorted(stray) == list(range(5))


def test_a_stale_handle_counts_as_removed(tmp_path: Path) -> None:
    """A network file system says ESTALE for a removed file: the lines are written again."""
    log = Log(tmp_path)
    log.write(2)
    log.path.unlink()
    log.file._disk = FaultyDisk("fail", 1, only="fstat", code=116)
    log.file.check()
    log.file.close()
    assert all_numbers(log.path) == [0, 1]
