from __future__ import annotations

import os
from pathlib import Path

import pytest

from decklog.store import checksums
from decklog.store.checksums import Group, crc32, sums_of
from decklog.store.open_segment import OpenSegment
from store.crash_disk import LaxDisk

LINES = [b"a" * 10, b"b" * 20]
KEYS = b"0123456789abcdef" * 2


class NoSums(LaxDisk):
    """No byte of a checksum file can be written while it is `full`; half of the first write can."""

    def __init__(self) -> None:
        super().__init__()
        self.full = True
        self.append = self._append  # type: ignore[assignment]  # because: the real one is no method

    def _append(self, fd: int, data: bytes) -> int:
        if not self.full or Path(f"/proc/self/fd/{fd}").readlink().suffix != ".sums":
            return os.write(fd, data)
        if os.fstat(fd).st_size:
            raise OSError(28, os.strerror(28))
        return os.write(fd, data[: len(data) // 2])


def stored(segment: OpenSegment) -> None:
    """Store the two lines once more."""
    ((length, crc),) = segment.write([LINES])
    segment.sync()
    segment.keep([Group(segment.size, length, 2, crc, KEYS)])


def test_a_group_is_written_and_noted(tmp_path: Path) -> None:
    """Lines in one file, its CRC and identities in the other, an end in the last line."""
    segment = OpenSegment(LaxDisk(), tmp_path / "0000000001.ndjson", 0.0)
    stored(segment)
    stored(segment)
    assert segment.finish()
    data = b"".join(line + b"\n" for line in LINES)
    assert segment.path.read_bytes() == data * 2
    assert checksums.groups_of(LaxDisk(), segment.path) == [
        Group(0, len(data), 2, crc32(data), KEYS),
        Group(len(data), len(data), 2, crc32(data), KEYS),
    ]
    assert checksums.check(LaxDisk(), segment.path) == (4, [])


def test_a_name_is_taken_once(tmp_path: Path) -> None:
    """Nobody's file is written over."""
    (tmp_path / "0000000001.ndjson").touch()
    with pytest.raises(FileExistsError):
        OpenSegment(LaxDisk(), tmp_path / "0000000001.ndjson", 0.0)


@pytest.mark.parametrize("freed", [True, False])
def test_a_full_disk_costs_checksums_at_most(freed: bool, tmp_path: Path) -> None:
    """Lines are stored all the same; checksums follow when there is room, else the segment is to be repaired."""
    disk = NoSums()
    segment = OpenSegment(disk, tmp_path / "0000000001.ndjson", 0.0)
    stored(segment)
    assert sums_of(segment.path).read_bytes() == b""
    stored(segment)
    disk.full = not freed
    assert segment.finish() is freed
    assert checksums.check(LaxDisk(), segment.path) == (4 if freed else 0, [])
