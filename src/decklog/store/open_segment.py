"""The one segment that a journal writes to, and the checksums beside it. One thread at a time."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final

from decklog import line_files
from decklog.store.checksums import End, Group, crc32, end_line, group_line, sums_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from decklog.disk import Disk

_NEW: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND
_BESIDE: Final = os.O_RDWR | os.O_CREAT | os.O_APPEND


class OpenSegment:
    """A new segment, whose name is on the device. Raises OSError; then there is none."""

    def __init__(self, disk: Disk, path: Path, began: float) -> None:
        self.path = path
        self.began = began
        """When it was opened, by the journal's clock."""
        self.size = 0
        """Up to where lines are synced."""
        self.whole = True
        """False: something failed that only `repair` can mend; nothing more may be written here."""
        self._disk = disk
        self._count = 0
        self._sums = -1
        self._sums_size = 0
        self._unwritten = bytearray()
        """Checksums that could not be written yet: a full disk must not cost an acknowledgement twice."""
        self._fd = disk.open(path, _NEW)
        try:
            found = disk.fstat(self._fd)
            self._identity = found.st_dev, found.st_ino
            disk.sync_dir(path.parent)
        except OSError:
            disk.close(self._fd)
            with contextlib.suppress(OSError):
                disk.unlink(path)
            raise

    def has_name(self) -> bool:
        """Tell whether nobody removed the file, or moved it. Raises OSError."""
        there = self._disk.stat(self.path)
        return (there.st_dev, there.st_ino) == self._identity

    def write(self, batches: Sequence[Sequence[bytes]]) -> list[tuple[int, int]]:
        """Write the lines of batches behind what is there; gives how many bytes each takes, and their CRC.

        Raises OSError; then what came of it is cut off, if that can be done. Batches are joined one after another: the
        memory that one leaves serves the next, and need not be asked of the kernel (1 µs an event).
        """
        written: list[tuple[int, int]] = []
        try:
            for lines in batches:
                blob = b"\n".join((*lines, b""))
                written.append((len(blob), crc32(blob)))
                line_files.write_whole(self._disk, self._fd, blob)
        except BaseException:  # memory may be short, too
            self.cut_back()
            raise
        return written

    def sync(self) -> None:
        """Return when what was written is on the device. Raises OSError; then the segment must not be used again.

        After a failed sync the kernel may hold the pages for clean: a second one would succeed, and prove nothing.
        """
        try:
            self._disk.datasync(self._fd)
        except OSError:
            self.cut_back()
            self.whole = False  # whether the cut is on the device, nobody can say
            raise

    def cut_back(self) -> None:
        """Cut off what is behind the last synced line."""
        try:
            self._disk.truncate(self._fd, self.size)
        except OSError:
            self.whole = False

    def keep(self, groups: Sequence[Group]) -> None:
        """Count groups that are synced now, and note their checksums."""
        self.size = groups[-1].end
        for group in groups:
            self._count += group.count
            self._unwritten += group_line(group)
        with contextlib.suppress(OSError, MemoryError):  # the lines are stored, whatever this comes to
            self._write_sums()

    def finish(self) -> bool:
        """Close for good; False: something is to be repaired."""
        try:
            if self.whole:
                self._write_sums()
                self._disk.datasync(self._sums)  # first: where there is an end, nothing before it is missing
                self._unwritten += end_line(End(self.size, self._count))
                self._write_sums()
                self._disk.datasync(self._sums)
        except OSError:
            self.whole = False
        for fd in (self._fd, self._sums):
            with contextlib.suppress(OSError):
                if fd >= 0:
                    self._disk.close(fd)
        return self.whole

    def _write_sums(self) -> None:
        if self._sums < 0:
            self._sums = self._disk.open(sums_of(self.path), _BESIDE)
        try:
            line_files.write_whole(self._disk, self._sums, bytes(self._unwritten))
        except BaseException:
            self.whole = False
            self._disk.truncate(self._sums, self._sums_size)
            self.whole = True
            raise
        self._sums_size += len(self._unwritten)
        self._unwritten.clear()
