"""The file beside a segment, ``NNNNNNNNNN.sums``: what a journal knows of its lines and need not sync.

A line for each group, the events that came as one batch, and one at the end of a finished segment::

    OFFSET LENGTH COUNT CRC KEYS          where it stands, how many events, its CRC-32, their identities (base64)
    end SIZE COUNT                        the whole segment

The identities are SHA-256, line by line; the CRC tells in a moment whether they need to be looked at.

Nothing here is needed for an acknowledgement: what is missing after a crash is computed again from the segment. A group
is written down only once its lines are synced, so that a group which does not fit its lines means damage.
"""

from __future__ import annotations

import binascii
import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from decklog.store.items import identity_of
from decklog.store.recent import KEY_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from decklog.disk import Disk

try:
    from isal.isal_zlib import crc32 as _crc32  # 55 GB/s
except ImportError:
    from zlib import crc32 as _crc32  # 4 GB/s; the same sum

crc32: Final = _crc32
SUFFIX: Final = ".sums"
_KEY: Final = struct.Struct(f"{KEY_BYTES}s")
_READ_BYTES: Final = 1 << 20
_GROUP_BYTES: Final = 1 << 20
"""About how much goes into a group that is computed again."""
_TAIL_BYTES: Final = 64
"""Longer than the line of an end."""


@dataclass(frozen=True, slots=True)
class Group:
    """Lines that came as one batch, or were found together after a crash."""

    offset: int
    length: int
    count: int
    crc: int
    keys: bytes
    """The first KEY_BYTES of each line's identity, one after another."""

    @property
    def end(self) -> int:
        """Where the next group begins."""
        return self.offset + self.length

    def each_key(self) -> Iterator[bytes]:
        """Give the keys one by one."""
        return (key for (key,) in _KEY.iter_unpack(self.keys))


@dataclass(frozen=True, slots=True)
class End:
    """A finished segment, whole."""

    size: int
    count: int


@dataclass(frozen=True, slots=True)
class Damage:
    """Where a segment is not what it was."""

    offset: int
    length: int
    why: str


def sums_of(segment: Path) -> Path:
    """Give the path of a segment's checksums."""
    return segment.with_suffix(SUFFIX)


def group_line(group: Group) -> bytes:
    """Write a group down."""
    keys = binascii.b2a_base64(group.keys, newline=False)
    return b"%d %d %d %08x %b\n" % (group.offset, group.length, group.count, group.crc, keys)


def end_line(end: End) -> bytes:
    """Write an end down."""
    return b"end %d %d\n" % (end.size, end.count)


def parse(line: bytes) -> Group | End | None:
    """Read a line without its newline; None: it is none, or torn."""
    words = line.split(b" ")
    try:
        if words[0] == b"end" and len(words) == 3:
            return End(int(words[1]), int(words[2]))
        if len(words) != 5:
            return None
        offset, length, count = map(int, words[:3])
        crc, keys = int(words[3], 16), binascii.a2b_base64(words[4], strict_mode=True)
    except ValueError:
        return None
    fits = offset >= 0 and length > 0 and len(keys) == count * KEY_BYTES
    return Group(offset, length, count, crc, keys) if fits else None


def read_lines(disk: Disk, path: Path, offset: int = 0) -> Iterator[bytes]:
    """Give the whole lines of a file, without newlines. Nothing, if there is no file."""
    try:
        fd = disk.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        rest = b""
        while chunk := disk.read_at(fd, _READ_BYTES, offset):
            offset += len(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines
    finally:
        disk.close(fd)


def groups_of(disk: Disk, segment: Path) -> list[Group]:
    """Read the groups from the first on, as far as they follow each other. Raises OSError."""
    groups: list[Group] = []
    at = 0
    for line in read_lines(disk, sums_of(segment)):
        group = parse(line)
        if not isinstance(group, Group) or group.offset != at:
            break
        groups.append(group)
        at = group.end
    return groups


def end_of(disk: Disk, segment: Path) -> End | None:
    """Read the last line alone; None: the segment was not finished. Raises OSError."""
    try:
        fd = disk.open(sums_of(segment), os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        size = disk.fstat(fd).st_size
        tail = disk.read_at(fd, _TAIL_BYTES, max(0, size - _TAIL_BYTES))
    finally:
        disk.close(fd)
    before, newline, after = tail.rpartition(b"\n")
    found = parse(before.rpartition(b"\n")[2]) if newline and not after else None
    return found if isinstance(found, End) else None


def compute(disk: Disk, fd: int, start: int, end: int, cluster: str) -> Iterator[Group]:
    """Compute the groups of whole lines between two offsets. Raises OSError."""
    rest = bytearray()
    while start + len(rest) < end:
        chunk = disk.read_at(fd, min(_GROUP_BYTES, end - start - len(rest)), start + len(rest))
        newline = chunk.rfind(b"\n")
        if newline >= 0:
            data = bytes(rest) + chunk[: newline + 1]
            yield _computed(start, data, cluster)
            start += len(data)
            rest = bytearray(chunk[newline + 1 :])
        elif chunk:
            rest += chunk
        else:
            return


def _computed(offset: int, data: bytes, cluster: str) -> Group:
    lines = data[:-1].split(b"\n")
    keys = b"".join([identity_of(cluster, line)[:KEY_BYTES] for line in lines])
    return Group(offset, len(data), len(lines), crc32(data), keys)


def check(disk: Disk, segment: Path) -> tuple[int, Sequence[Damage]]:
    """Hold a segment against its checksums; gives the events that are as they were, and where there is damage.

    Lines behind the last checksum are no damage: the segment is still written to, or waits for its journal to open.
    Raises OSError.
    """
    groups, end = groups_of(disk, segment), end_of(disk, segment)
    fd = disk.open(segment, os.O_RDONLY)
    try:
        size = disk.fstat(fd).st_size
        return compare(groups, end, size, lambda group: disk.read_at(fd, group.length, group.offset))
    finally:
        disk.close(fd)


def pieces(
    disk: Disk, segment: Path, groups: Sequence[Group], end: End | None
) -> Iterator[tuple[bytes, Sequence[Damage]]]:
    """Give a segment's lines, about a megabyte of whole groups at a time, with what is damaged of them.

    The last piece is empty, and has what is damaged of the end. Raises OSError.
    """
    fd = disk.open(segment, os.O_RDONLY)
    try:
        for some in _portions(groups):
            start = some[0].offset
            data = disk.read_at(fd, some[-1].end - start, start)
            with memoryview(data) as seen:
                found = [_compared(group, seen[group.offset - start : group.end - start]) for group in some]
            yield data, [damage for damage in found if damage]
        yield b"", _compared_end(groups, end, disk.fstat(fd).st_size)
    finally:
        disk.close(fd)


def _portions(groups: Sequence[Group]) -> Iterator[Sequence[Group]]:
    some: list[Group] = []
    for group in groups:
        if some and group.end - some[0].offset > _READ_BYTES:
            yield some
            some = []
        some.append(group)
    if some:
        yield some


def compare(
    groups: Sequence[Group], end: End | None, size: int, read: Callable[[Group], bytes | memoryview]
) -> tuple[int, Sequence[Damage]]:
    """Do what `check` does with what is given by `read`: the bytes that stand where a group was."""
    damages: list[Damage] = []
    intact = 0
    for group in groups:
        damage = _compared(group, read(group))
        if damage is None:
            intact += group.count
        else:
            damages.append(damage)
    return intact, [*damages, *_compared_end(groups, end, size)]


def _compared(group: Group, data: bytes | memoryview) -> Damage | None:
    if crc32(data) == group.crc:
        return None
    why = "shorter than it was" if len(data) < group.length else "not the bytes that were stored"
    return Damage(group.offset, group.length, why)


def _compared_end(groups: Sequence[Group], end: End | None, size: int) -> Sequence[Damage]:
    covered = groups[-1].end if groups else 0
    if end is not None and end.size != covered:
        return [Damage(covered, max(0, end.size - covered), "its checksums are damaged")]
    if end is not None and size > end.size:
        return [Damage(end.size, size - end.size, "bytes that the journal did not write")]
    return []
