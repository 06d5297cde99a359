from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.faulty_disk import DISK_FULL, FaultyDisk
from decklog.backends.spool_files import SpoolFiles
from decklog.disk import Disk
from decklog.errors import DecklogError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SEGMENT = "000000000001.ndjson"


def spool(directory: Path, disk: Disk | None = None, segment_bytes: int = 64) -> SpoolFiles:
    return SpoolFiles(directory, disk or Disk(), max_bytes=1000, segment_bytes=segment_bytes)


def rest(files: SpoolFiles, count: int = 2) -> Iterator[bytes]:
    """Take everything, bite by bite."""
    while taken := files.take(count, 1 << 20):
        files.delivered(taken)
        yield from taken.items


def items(*numbers: int) -> list[bytes]:
    return [b'{"n":%d}' % number for number in numbers]


def test_items_come_out_as_they_went_in(tmp_path: Path) -> None:
    """In order, over segments, also when taking and putting alternate; in the end only bookkeeping is left."""
    files = spool(tmp_path)
    assert files.open() == 0
    for number in range(30):
        files.append(items(number))
    taken = files.take(5, 1000)
    assert taken is not None
    assert taken.items == items(*range(5))[: len(taken.items)], "what is taken but not delivered stays"
    files.append(items(30))
    assert list(rest(files)) == items(*range(31))
    assert (files.items, files.bytes, files.take(1, 1)) == (0, 0, None)
    files.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lock", "position.json"]


@pytest.mark.parametrize(
    ("content", "left"),
    [
        (b'{"n":1}\n{"n":2}\n', items(1, 2)),
        (b'{"n":1}\n{"n":2}', items(1)),
        (b'{"n":1}\n{"n":', items(1)),
        (b'{"n":1}\n' + b"x" * 600_000, items(1)),
        (b"x" * 600_000, []),
        (b"", []),
    ],
    ids=["whole", "no newline", "torn", "long torn", "only torn", "empty"],
)
def test_a_torn_end_is_cut_off_and_told(
    content: bytes, left: list[bytes], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A last line without its newline was never taken: it goes, with a line in the log, and the rest is whole."""
    (tmp_path / SEGMENT).write_bytes(content)
    files = spool(tmp_path)
    assert files.open() == len(left)
    files.append(items(9))
    assert list(rest(files)) == [*left, *items(9)]
    assert ("was never taken" in caplog.text) == (not content.endswith(b"\n") and content != b"")


def test_a_torn_end_amid_the_segments_is_cut_off_too(tmp_path: Path) -> None:
    """A segment that was given up after a failed write may be torn although it is not the last."""
    (tmp_path / SEGMENT).write_bytes(b'{"n":1}\n{"n":2')
    (tmp_path / "000000000002.ndjson").write_bytes(b'{"n":3}\n')
    files = spool(tmp_path)
    assert files.open() == 2
    assert files.bytes == 16
    assert list(rest(files)) == items(1, 3)


def test_torn_parked_events_are_mended(tmp_path: Path) -> None:
    """A kill amid parking leaves half a line: it is cut off, since its event still waits."""
    (tmp_path / "parked.ndjson").write_bytes(b'{"n":1}\n{"n":')
    files = spool(tmp_path)
    files.open()
    files.park(items(2))
    assert (tmp_path / "parked.ndjson").read_bytes() == b'{"n":1}\n{"n":2}\n'


@pytest.mark.parametrize(
    ("position", "left"),
    [
        ('{"segment":1,"offset":8}', items(2, 3, 4)),
        ('{"segment":1,"offset":16}', items(3, 4)),
        ('{"segment":2,"offset":0}', items(3, 4)),
        ('{"segment":2,"offset":8}', items(4)),
        ('{"segment":3,"offset":0}', []),
        ('{"segment":1,"offset":5}', items(1, 2, 3, 4)),
        ('{"segment":1,"offset":99}', items(1, 2, 3, 4)),
        ('{"segment":1,"offset":-8}', items(1, 2, 3, 4)),
        ("", items(1, 2, 3, 4)),
        ("[]", items(1, 2, 3, 4)),
        ('{"segment":', items(1, 2, 3, 4)),
        ("[" * 5000, items(1, 2, 3, 4)),
        ('{"segment":1e999,"offset":0}', items(1, 2, 3, 4)),
    ],
)
def test_the_position_tells_where_to_begin(position: str, left: list[bytes], tmp_path: Path) -> None:
    """What is before the position was delivered; a position that makes no sense means: send all of it again."""
    (tmp_path / SEGMENT).write_bytes(b'{"n":1}\n{"n":2}\n')
    (tmp_path / "000000000002.ndjson").write_bytes(b'{"n":3}\n{"n":4}\n')
    (tmp_path / "position.json").write_text(position)
    files = spool(tmp_path)
    assert files.open() == len(left)
    assert list(rest(files)) == left


def test_an_old_position_never_points_into_new_events(tmp_path: Path) -> None:
    """When a kill comes after the segments went but before the position moved, later events are not skipped."""
    (tmp_path / "position.json").write_text('{"segment":7,"offset":16}')
    first = spool(tmp_path)
    first.open()
    first.append(items(1, 2, 3))
    first.close()
    second = spool(tmp_path)
    assert second.open() == 3
    assert list(rest(second)) == items(1, 2, 3)


def test_what_was_delivered_is_removed_at_the_next_start(tmp_path: Path) -> None:
    """Segments behind the position go."""
    (tmp_path / SEGMENT).write_bytes(b'{"n":1}\n')
    (tmp_path / "position.json").write_text('{"segment":2,"offset":0}')
    spool(tmp_path).open()
    assert not (tmp_path / SEGMENT).exists()


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    """What is no segment is neither read nor removed."""
    names = [
        "1.ndjson",
        "00000000000x.ndjson",
        "000000000001.ndjson.bak",
        "\N{ARABIC-INDIC DIGIT ONE}" * 12 + ".ndjson",
    ]
    for name in names:
        (tmp_path / name).write_text('{"n":1}\n')
    assert spool(tmp_path).open() == 0
    assert all((tmp_path / name).exists() for name in names)


def test_a_link_in_a_segments_place_is_not_followed(tmp_path: Path) -> None:
    """Whoever may create names in the directory cannot turn our writing elsewhere."""
    (tmp_path / SEGMENT).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DecklogError, match="symbolic links"):
        spool(tmp_path).open()


def test_files_are_private(tmp_path: Path) -> None:
    """Directories are made 0700, files 0600."""
    files = spool(tmp_path / "a" / "b")
    files.open()
    files.append(items(1))
    files.park(items(2))
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert modes == {"a": 0o700, "b": 0o700, "lock": 0o600, SEGMENT: 0o600, "parked.ndjson": 0o600}


@pytest.mark.parametrize("operation", ["append", "datasync"])
def test_a_write_that_cannot_be_taken_back_is_not_in_the_spool(operation: str, tmp_path: Path) -> None:
    """When even cutting back fails a new segment is begun, and nothing of the failed write is read in this run."""
    disk = FaultyDisk()
    files = spool(tmp_path, disk, segment_bytes=1000)
    files.open()
    files.append(items(1))
    setattr(disk, "truncate", _fails)  # noqa: B010  # because: this disk refuses it every time
    disk.arm("full" if operation == "append" else "fail", 1, only=operation, code=DISK_FULL)
    with pytest.raises(OSError, match="No space left"):
        files.append(items(2, 3, 4))
    disk.freed()
    files.append(items(5))
    assert (files.items, files.bytes) == (2, 16)
    assert list(rest(files)) == items(1, 5)


def _fails(*_: object) -> None:
    raise OSError(DISK_FULL, "No space left on device")


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.lists(st.binary(max_size=90).filter(lambda b: b"\n" not in b), max_size=5)),
        st.tuples(st.just("take"), st.integers(1, 6)),
        st.tuples(st.just("reopen"), st.none()),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_it_is_a_queue(
    steps: list[tuple[str, list[bytes] | int | None]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever is put in, taken in part and reopened: the spool gives what a queue in memory gives, and counts."""
    files = SpoolFiles(tmp_path_factory.mktemp("spool"), Disk(), max_bytes=1 << 20, segment_bytes=100)
    files.open()
    queue: list[bytes] = []
    for step, argument in steps:
        if isinstance(argument, list):
            files.append(argument)
            queue += argument
        elif isinstance(argument, int):
            taken = files.take(argument, 1 << 20)
            assert (taken is None) == (not queue)
            if taken is not None:
                assert taken.items == queue[: len(taken.items)]
                head, _ = taken.split((argument + 1) // 2)
                files.delivered(head)
                queue = queue[len(head.items) :]
        elif step == "reopen":
            files.close()
            files.open()
        assert (files.items, files.bytes) == (len(queue), sum(map(len, queue)) + len(queue))
    files.close()


def test_the_position_is_plain_json(tmp_path: Path) -> None:
    """Who looks by hand can read it."""
    files = spool(tmp_path)
    files.open()
    files.append(items(1, 2))
    taken = files.take(1, 100)
    assert taken is not None
    files.delivered(taken)
    assert json.loads((tmp_path / "position.json").read_text()) == {"segment": 1, "offset": 8}
