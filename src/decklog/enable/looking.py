"""Looking for one event where events arrive: a log file that may be rotated meanwhile, or a receiver's store.

Each place is opened before the request is made, and gives what has come since, line by line.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol

from decklog.enable.container import texts_of
from decklog.store.reading import lines, segments

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from decklog.disk import Disk

_CHUNK: Final = 1 << 20
_LINE_LIMIT: Final = 16 << 20


class Arrivals(Protocol):
    """A place where events arrive."""

    says: str
    """For a sentence: ``the log /var/log/kubernetes/audit.log``."""

    def new_lines(self) -> Iterator[bytes]:
        """Give the lines that have come since the last time. Raises OSError."""
        ...

    def close(self) -> None:
        """Let go."""
        ...


class LogArrivals:
    """A log file: what is appended to it, and what stands in the one that takes its place when it is rotated."""

    def __init__(self, path: Path, says: str, *, framed: bool = False) -> None:
        """Open what is there. `framed`: it is a container's output, each line behind the runtime's words."""
        self.says = says
        self._path = path
        self._framed = framed
        self._file: BinaryIO | None = None
        self._rest = b""
        with suppress(FileNotFoundError):
            self._file = path.open("rb")
            self._file.seek(0, 2)

    def new_lines(self) -> Iterator[bytes]:
        """Give the new lines; no file yet, no lines."""
        yield from self._appended()
        if self._taken_over():
            # What was written between the last look and the rotation is in the file that we still hold.
            yield from self._appended()
            self.close()
            with suppress(FileNotFoundError):
                self._file = self._path.open("rb")
                yield from self._appended()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
        self._file, self._rest = None, b""

    def _taken_over(self) -> bool:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return False
        if self._file is None:
            return True
        held = self._stat()
        if (found.st_dev, found.st_ino) != held:
            return True
        if found.st_size < self._file.tell():  # cut short in its place, as copytruncate does
            self._file.seek(0)
            self._rest = b""
        return False

    def _stat(self) -> tuple[int, int]:
        found = os.fstat(self._file.fileno()) if self._file is not None else None
        return (found.st_dev, found.st_ino) if found is not None else (0, 0)

    def _appended(self) -> Iterator[bytes]:
        if self._file is None:
            return
        while chunk := self._file.read(_CHUNK):
            *whole, self._rest = (self._rest + chunk).split(b"\n")
            self._rest = self._rest[:_LINE_LIMIT]
            yield from texts_of(whole) if self._framed else whole


class StoreArrivals:
    """A receiver's store: what its writers append to their journals."""

    def __init__(self, store: Path, disk: Disk) -> None:
        self.says = f"the store {store}"
        self._store = store
        self._disk = disk
        self._ends: dict[Path, int] = {}
        for segment in segments(store, disk):
            self._ends[segment.path] = disk.stat(segment.path).st_size

    def new_lines(self) -> Iterator[bytes]:
        """Give the lines that came."""
        for segment in segments(self._store, self._disk):
            start = self._ends.get(segment.path, 0)
            with suppress(FileNotFoundError):  # sealed meanwhile: its events came before we asked
                for offset, line in lines(segment, self._disk, start):
                    self._ends[segment.path] = offset + len(line) + 1
                    yield line

    def close(self) -> None:
        """Nothing is held."""
