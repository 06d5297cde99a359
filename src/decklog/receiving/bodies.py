"""Bodies: what a sender posts, while it comes: in memory up to a mebibyte, then in a file that has no name.

gzip is unpacked on the way, within bounds of size and of ratio: what would unpack to the limit and more is never
unpacked beyond it.
"""

from __future__ import annotations

import os
import zlib
from itertools import count
from typing import TYPE_CHECKING, Final

from decklog.receiving.refusals import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from decklog.disk import Disk

WINDOW: Final = 256 * 1024
RATIO: Final = 200
"""What gzip may pack to one byte, once a mebibyte is unpacked; logs come to 30."""
_RATIO_FROM: Final = 1 << 20
_GZIP: Final = 31
"""zlib's number for "gzip header and trailer, largest window"."""
PREFIX: Final = ".body-"


class Space:
    """Where bodies are kept while they come, and how much of memory they take together. One for a worker."""

    def __init__(
        self,
        folder: Path,
        disk: Disk,
        *,
        limit_bytes: int,
        memory_bytes: int,
        spill_bytes: int,
        is_low: Callable[[], bool] = lambda: False,
    ) -> None:
        self.disk = disk
        self.limit_bytes = limit_bytes
        self.memory_bytes = memory_bytes
        self.spill_bytes = spill_bytes
        self.is_low = is_low
        self.used_bytes = 0
        """Of memory, by all bodies."""
        self._folder = folder
        self._numbers = count(1)

    def open(self) -> int:
        """Make a file without a name. Raises OSError."""
        path = self._folder / f"{PREFIX}{next(self._numbers)}"
        fd = self.disk.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        self.disk.unlink(path)
        return fd

    def clear(self) -> None:
        """Remove names that a kill has left behind. Raises OSError."""
        for name in self.disk.list(self._folder):
            if name.startswith(PREFIX):
                self.disk.unlink(self._folder / name)


class Body:
    """One body. `feed` and `finish` raise RefusedError, and OSError when the disk fails; `close` ends it."""

    __slots__ = ("_fd", "_inflate", "_pieces", "_space", "packed_bytes", "size")

    def __init__(self, space: Space, *, gzip: bool = False) -> None:
        self._space = space
        self._inflate = zlib.decompressobj(_GZIP) if gzip else None
        self._pieces: list[bytes] = []
        self._fd = -1
        self.size = 0
        """Bytes, unpacked."""
        self.packed_bytes = 0
        """Bytes as they came."""

    @property
    def in_memory(self) -> bool:
        """Whether all of it is in memory."""
        return self._fd < 0

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        self.packed_bytes += len(data)
        if self._inflate is None:
            self._take(data)
        else:
            self._unpack(data)

    def finish(self) -> None:
        """Hear that there is no more."""
        inflate = self._inflate
        if inflate is not None and not inflate.eof:
            raise RefusedError(400, "bad-gzip", "the gzip of the body is not whole: send it again")

    def _whole(self) -> bytes:
        if len(self._pieces) > 1:
            self._pieces = [b"".join(self._pieces)]
        return self._pieces[0] if self._pieces else b""

    def windows(self) -> Iterator[bytes]:
        """Give it piece by piece. Raises OSError."""
        if self.in_memory:
            whole = self._whole()
            yield from (whole[at : at + WINDOW] for at in range(0, len(whole), WINDOW))
            return
        at = 0
        while at < self.size:
            window = self._space.disk.read_at(self._fd, WINDOW, at)
            if not window:
                raise OSError("a body's file is shorter than what was written to it")
            at += len(window)
            yield window

    def close(self) -> None:
        """Give everything back."""
        if self._fd >= 0:
            self._space.disk.close(self._fd)
            self._fd = -1
        else:
            self._space.used_bytes -= self.size
        self._pieces.clear()
        self.size = 0

    def _unpack(self, data: bytes) -> None:
        unpacked = b""
        while data or len(unpacked) == WINDOW:  # a full window: there may be more behind it, all input read or not
            inflate = self._inflate
            if inflate is None or (inflate.eof and data):
                inflate = self._inflate = zlib.decompressobj(_GZIP)  # members that follow each other are one text
            try:
                unpacked = inflate.decompress(data, WINDOW)
            except zlib.error:
                raise RefusedError(
                    400, "bad-gzip", "the body is not the gzip that its head says: send it again"
                ) from None
            data = inflate.unconsumed_tail or (inflate.unused_data if inflate.eof else b"")
            self._take(unpacked)
            if self.size > _RATIO_FROM and self.size > RATIO * self.packed_bytes:
                raise RefusedError(
                    413, "gzip-bomb", f"the body unpacks to more than {RATIO} times its size: send it plain"
                )

    def _take(self, data: bytes) -> None:
        space = self._space
        if self.size + len(data) > space.limit_bytes:
            raise RefusedError(
                413, "too-large", f"the body is larger than {space.limit_bytes} bytes: send less at once"
            )
        if self._fd >= 0:
            self._write(data)
        elif self.size + len(data) > space.spill_bytes or space.used_bytes + len(data) > space.memory_bytes:
            self._spill(data)
        else:
            self._pieces.append(data)
            space.used_bytes += len(data)
            self.size += len(data)

    def _spill(self, data: bytes) -> None:
        """Go on in a file."""
        space = self._space
        self._fd = space.open()
        held, self._pieces = self._pieces, []
        space.used_bytes -= self.size
        self.size = 0
        for piece in (*held, data):
            self._write(piece)

    def _write(self, data: bytes) -> None:
        space = self._space
        if space.is_low():
            raise RefusedError(503, "disk-low", "the store's disk is almost full: try again later")
        view = memoryview(data)
        while view:
            written = space.disk.append(self._fd, view)
            view = view[written:]
            self.size += written
