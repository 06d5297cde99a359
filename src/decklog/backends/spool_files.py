"""The spool's files: events that wait on disk, in order, for a receiver that is away.

A directory holds segments ``000000000001.ndjson`` …, one encoded event a line, and ``position.json``, which says up to
where they were delivered. What is appended is synced before it counts; the position is replaced in one step after each
delivery. So a kill at any point loses nothing that was taken, and at most the last delivery is made again: that is what
*at least once* means here. A last line without its newline was never taken: it is cut off at the start, and told.

A segment's number is never used twice: an old position can then only be behind, never inside of something new. Events
that were refused stand in ``parked.ndjson``; they count towards the size until somebody takes that file away. A segment
goes when all of it is delivered, so that the disk may hold one segment more than `max_bytes`.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from decklog import line_files
from decklog.errors import DecklogError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from decklog.disk import Disk

SEGMENT_BYTES: Final = 8 << 20
"""Size at which a new segment begins; a delivered one is removed whole."""
PARKED: Final = "parked.ndjson"
POSITION: Final = "position.json"
LOCK: Final = "lock"
_APPEND: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT
_DIGITS: Final = 12

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Taken:
    """Items read from the front, and the position behind them."""

    items: list[bytes]
    segment: int
    offset: int

    def split(self, count: int) -> tuple[Taken, Taken]:
        """Part the first `count` items from the others."""
        head, rest = self.items[:count], self.items[count:]
        return Taken(head, self.segment, self.offset - _size(rest)), Taken(rest, self.segment, self.offset)


class SpoolFiles:
    """The directory, opened by one process at a time. Not for several threads."""

    def __init__(
        self, directory: str | Path, disk: Disk, *, max_bytes: int, segment_bytes: int = SEGMENT_BYTES
    ) -> None:
        self._directory = Path(directory)
        self._disk = disk
        self._max_bytes = max_bytes
        self._segment_bytes = segment_bytes
        self._reset()
        self._fd = self._lock = -1

    def _reset(self) -> None:
        self._segment = self._last = 1
        self._offset = self._size = 0
        self._parked_bytes = 0
        self._ends: dict[int, int] = {}
        """Where segments end that could not be cut back after a failed write."""
        self._stale: set[int] = set()
        """Segments that are delivered and still there."""
        self.bytes = 0
        """Bytes that wait."""
        self.items = 0
        """Events that wait."""

    def open(self) -> int:
        """Lock, repair, and count what an earlier run left. Raises DecklogError if the directory cannot be used."""
        self._reset()
        try:
            self._take_lock()
            self._recover()
        except OSError as error:
            self.close()
            raise DecklogError(
                f"cannot use the spool {self._directory}: {error.strerror}: give --audit-webhook-spool-dir a directory "
                "where decklog may write"
            ) from error
        return self.items

    def close(self) -> None:
        """Let go of files and lock; what waits stays on disk."""
        open_fds = [fd for fd in (self._fd, self._lock) if fd >= 0]
        self._fd = self._lock = -1
        for fd in open_fds:
            self._let_go(fd)

    def fitting(self, items: Sequence[bytes]) -> int:
        """Tell how many of `items`, from the first on, there is room for."""
        count = self._fitting(items)
        if count < len(items) and self._parked_bytes:
            self._measure_parked()  # somebody may have taken the parked events away
            count = self._fitting(items)
        return count

    def _fitting(self, items: Sequence[bytes]) -> int:
        room = self._max_bytes - self.bytes - self._parked_bytes
        for number, item in enumerate(items):
            room -= len(item) + 1
            if room < 0:
                return number
        return len(items)

    def append(self, items: Sequence[bytes]) -> None:
        """Put `items` at the end, on disk before it returns. Raises OSError; then none of them is in the spool."""
        data = _lines(items)
        self._prepare_segment()
        try:
            line_files.write_whole(self._disk, self._fd, data)
            self._disk.datasync(self._fd)
        except OSError:
            self._cut_back()
            raise
        self._size += len(data)
        self.bytes += len(data)
        self.items += len(items)

    def take(self, count: int, size_bytes: int) -> Taken | None:
        """Read up to `count` items, or about `size_bytes`, from the front; None when there is nothing.

        Raises OSError. What was taken stays until it is `delivered`.
        """
        while True:
            items = self._read(count, size_bytes)
            if items:
                return Taken(items, self._segment, self._offset + _size(items))
            if self._segment >= self._last:
                return None
            self._stale.add(self._segment)
            self._segment, self._offset = self._segment + 1, 0

    def delivered(self, taken: Taken) -> None:
        """Forget what `take` gave, or its head: it was delivered, or parked.

        Raises OSError if that cannot be written: it is forgotten, but may be sent again after the next start.
        """
        self._segment, self._offset = taken.segment, taken.offset
        self.bytes -= _size(taken.items)
        self.items -= len(taken.items)
        if not self.items:
            self._begin_afresh()
        try:
            self._write_position()
        finally:
            self._sweep()  # also then: this may be what makes room for the position

    def write_off(self) -> int:
        """Give up on events that `take` no longer finds, because somebody removed their files; gives how many."""
        gone, self.items, self.bytes = self.items, 0, 0
        self._begin_afresh()
        self._sweep()
        return gone

    def park(self, items: Sequence[bytes]) -> None:
        """Put `items` aside, on disk before it returns. Raises OSError; then none of them is there."""
        fd = self._disk.open(self._directory / PARKED, _APPEND)
        try:
            size = self._disk.fstat(fd).st_size
            try:
                line_files.write_whole(self._disk, fd, _lines(items))
                self._disk.datasync(fd)
                if not size:
                    self._disk.sync_dir(self._directory)
            except OSError:
                self._disk.truncate(fd, size)
                raise
            self._parked_bytes = size + _size(items)
        finally:
            self._let_go(fd)

    # The start

    def _take_lock(self) -> None:
        line_files.make_directories(self._disk, self._directory)
        self._lock = self._disk.open(self._directory / LOCK, os.O_RDWR | os.O_CREAT)
        if not line_files.lock(self._lock):
            self.close()
            raise DecklogError(
                f"the spool {self._directory} is in use by another process: give each its own --audit-webhook-spool-dir"
            )

    def _recover(self) -> None:
        self._measure_parked()
        if self._parked_bytes:
            self._repair(self._directory / PARKED)
        numbers = sorted(int(name[:_DIGITS]) for name in self._disk.list(self._directory) if _is_segment(name))
        segment, offset = self._read_position()
        self._stale = {number for number in numbers if number < segment}
        waiting = [number for number in numbers if number >= segment]
        if waiting:
            self._segment, self._last = waiting[0], waiting[-1]
            self._count(waiting, offset if self._segment == segment else 0)
        else:
            self._segment = self._last = segment + 1
        self._sweep()

    def _read_position(self) -> tuple[int, int]:
        try:
            fd = self._disk.open(self._directory / POSITION, os.O_RDONLY)
        except FileNotFoundError:
            return 0, 0
        try:
            value = json.loads(self._disk.read_at(fd, 256, 0))
            segment, offset = int(value["segment"]), int(value["offset"])
            if 0 <= segment < 10**_DIGITS and offset >= 0:
                return segment, offset
        except (ValueError, KeyError, TypeError, OverflowError):
            pass
        finally:
            self._let_go(fd)
        logger.warning("spool: the position in %s cannot be read; everything there is sent again", self._directory)
        return 0, 0

    def _count(self, numbers: Sequence[int], offset: int) -> None:
        """Mend each segment and count what waits in it; the first one from `offset` on."""
        for number in numbers:
            self._repair(self._path(number))
            fd = self._disk.open(self._path(number), os.O_RDONLY)
            try:
                if number == self._segment:
                    self._offset = self._line_start(fd, offset)
                lines, size = line_files.count_lines(self._disk, fd, self._offset if number == self._segment else 0)
            finally:
                self._let_go(fd)
            self.items += lines
            self.bytes += size

    def _line_start(self, fd: int, offset: int) -> int:
        if not offset or self._disk.read_at(fd, 1, offset - 1) == b"\n":
            return offset
        logger.warning("spool: the position in %s does not fit; a segment is sent again", self._directory)
        return 0

    def _repair(self, path: Path) -> None:
        fd = self._disk.open(path, os.O_RDWR)
        try:
            cut = line_files.cut_torn_end(self._disk, fd)
        finally:
            self._let_go(fd)
        if cut:
            logger.warning("spool: %d bytes of an event that was never taken are cut off %s", cut, path.name)

    def _measure_parked(self) -> None:
        try:
            self._parked_bytes = self._disk.stat(self._directory / PARKED).st_size
        except OSError:
            self._parked_bytes = 0

    # Segments

    def _path(self, number: int) -> Path:
        return self._directory / f"{number:0{_DIGITS}d}.ndjson"

    def _prepare_segment(self) -> None:
        """See that the last segment is open, has a name, and is not full."""
        if self._fd >= 0 and (self._size >= self._segment_bytes or not self._disk.fstat(self._fd).st_nlink):
            self._end_segment()
        if self._fd >= 0:
            return
        fd = self._disk.open(self._path(self._last), _APPEND)
        try:
            self._size = self._disk.fstat(fd).st_size
            self._disk.sync_dir(self._directory)
        except OSError:
            self._let_go(fd)
            raise
        self._fd = fd

    def _end_segment(self) -> None:
        """Let the next event begin a new segment."""
        if self._fd >= 0:
            self._let_go(self._fd)
            self._fd = -1
        self._last += 1

    def _begin_afresh(self) -> None:
        """Nothing waits: the next event begins a new segment, so that all others can go."""
        self._stale.update(range(self._segment, self._last + 1))
        self._end_segment()
        self._segment, self._offset = self._last, 0

    def _read(self, count: int, size_bytes: int) -> list[bytes]:
        try:
            fd = self._disk.open(self._path(self._segment), os.O_RDONLY)
        except FileNotFoundError:
            return []
        try:
            end = self._ends.get(self._segment)
            if end is None:
                end = self._disk.fstat(fd).st_size
            return line_files.read_lines(self._disk, fd, self._offset, end, count=count, size_bytes=size_bytes)
        finally:
            self._let_go(fd)

    def _cut_back(self) -> None:
        """Take back what of a failed append is in the file."""
        try:
            self._disk.truncate(self._fd, self._size)
        except OSError:
            self._ends[self._last] = self._size
            self._end_segment()

    def _write_position(self) -> None:
        """Replace the position in one step."""
        fresh = self._directory / f"{POSITION}.new"
        fd = self._disk.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            position = json.dumps({"segment": self._segment, "offset": self._offset})
            line_files.write_whole(self._disk, fd, position.encode())
            self._disk.datasync(fd)
        finally:
            self._let_go(fd)
        self._disk.rename(fresh, self._directory / POSITION)

    def _sweep(self) -> None:
        """Remove what is delivered; what cannot be removed now is tried again."""
        for number in sorted(self._stale):
            try:
                self._disk.unlink(self._path(number))
            except FileNotFoundError:
                pass
            except OSError:
                continue
            self._stale.discard(number)
            self._ends.pop(number, None)

    def _let_go(self, fd: int) -> None:
        """Close; everything that counts was synced before."""
        with contextlib.suppress(OSError):
            self._disk.close(fd)


def _lines(items: Sequence[bytes]) -> bytes:
    return b"".join(item + b"\n" for item in items)


def _size(items: Sequence[bytes]) -> int:
    return sum(map(len, items)) + len(items)


def _is_segment(name: str) -> bool:
    stem, _, ending = name.partition(".")
    return ending == "ndjson" and len(stem) == _DIGITS and stem.isascii() and stem.isdigit()
