"""Quarantine: what came and could not be stored as events: kept verbatim, synced before it is acknowledged.

``DIR/quarantine/<writer>/`` holds files that are named by the time at which they came, in nanoseconds:

| name | what it is |
|---|---|
| ``<time>-<n>.body`` | a body that is still to be taken apart |
| ``<time>-<n>.held`` | the items of a body that are no events that can be read; all others are in the journal |
| ``<time>-<n>.kept`` | a body as a whole: too much of it cannot be read |
| ``….part`` | something of these that is being written; nothing of it was acknowledged |

Each begins with a line of JSON (`Origin`). In a ``.body`` and a ``.kept`` the body follows; in a ``.held`` each item:
a line of JSON (`Held`), its bytes, and a newline. Every file appears in its place whole, by a rename.
"""

from __future__ import annotations

import os
from itertools import count
from typing import TYPE_CHECKING, Final, Self

import msgspec
from msgspec import Struct

from decklog import line_files
from decklog.errors import DecklogError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from decklog.disk import Disk

QUARANTINE: Final = "quarantine"
"""The directory of a store that holds a folder for each writer."""
BODY: Final = ".body"
HELD: Final = ".held"
KEPT: Final = ".kept"
_PART: Final = ".part"
_WINDOW: Final = 256 * 1024
_FRESH: Final = os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Origin(Struct, frozen=True, omit_defaults=True):
    """Where something in quarantine came from."""

    received_ns: int
    """Since the epoch."""
    sender: str
    cluster: str
    reason: str
    """Why the body could not be split as usual."""


class Held(Struct, frozen=True):
    """An item that is no event that can be read."""

    number: int
    """Its place in the body, from 0."""
    start: int
    """Where it began in the body, in bytes."""
    size: int
    reason: str


class Quarantine:
    """The quarantine of one writer. Every method raises OSError when the disk fails."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self._folder = folder
        self._disk = disk
        self._numbers = count(1)

    @property
    def folder(self) -> Path:
        """Where it is."""
        return self._folder

    def open(self) -> None:
        """Make the folder where it is missing, and remove what was never finished."""
        line_files.make_directories(self._disk, self._folder)
        for folder in (self._folder.parent, self._folder.parent.parent):
            self._disk.sync_dir(folder)
        for name in self._disk.list(self._folder):
            if name.endswith(_PART):
                self._disk.unlink(self._folder / name)

    def keep(self, pieces: Iterable[bytes], origin: Origin) -> Path:
        """Keep a body, to be taken apart later; it is on the disk when this returns."""
        path = self._folder / f"{origin.received_ns:020d}-{next(self._numbers):06d}{BODY}"
        with Writing(path, self._disk) as writing:
            writing.write(msgspec.json.encode(origin) + b"\n")
            for piece in pieces:
                writing.write(piece)
        return path

    def waiting(self) -> list[tuple[Path, int]]:
        """List the bodies that are still to be taken apart, in the order in which they came, each with its bytes."""
        paths = sorted(self._folder / name for name in self._disk.list(self._folder) if name.endswith(BODY))
        return [(path, self._disk.stat(path).st_size) for path in paths]

    def read(self, path: Path) -> Reading:
        """Open a body."""
        return Reading(path, self._disk)

    def hold(self, path: Path, origin: Origin) -> Writing:
        """Begin to write the items that a body leaves behind."""
        writing = Writing(path.with_suffix(HELD), self._disk)
        writing.write(msgspec.json.encode(origin) + b"\n")
        return writing

    def keep_whole(self, path: Path) -> None:
        """Let a body stay as a whole."""
        self._disk.rename(path, path.with_suffix(KEPT))
        self._disk.sync_dir(self._folder)

    def done(self, path: Path) -> None:
        """Forget a body whose items are all in their places."""
        self._disk.unlink(path)


class Writing:
    """A file that appears under its name when the block ends, synced; and not at all when the block fails."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self._path = path
        self._part = path.with_name(path.name + _PART)
        self._disk = disk
        self._fd = disk.open(self._part, _FRESH)

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: object) -> None:
        """Finish, or give up."""
        try:
            if kind is None:
                self._disk.datasync(self._fd)
        except OSError:
            kind = OSError
            raise
        finally:
            self._disk.close(self._fd)
            if kind is not None:
                self._disk.unlink(self._part)
        if kind is None:
            self._disk.rename(self._part, self._path)
            self._disk.sync_dir(self._path.parent)

    def write(self, data: bytes) -> None:
        """Write all of it."""
        line_files.write_whole(self._disk, self._fd, data)

    def item(self, held: Held, pieces: Iterable[bytes]) -> None:
        """Write one item."""
        self.write(msgspec.json.encode(held) + b"\n")
        for piece in pieces:
            self.write(piece)
        self.write(b"\n")


class Reading:
    """A body in quarantine, open. Raises OSError, and DecklogError for a file that does not begin as one."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self._disk = disk
        self._fd = disk.open(path, os.O_RDONLY)
        try:
            size = disk.fstat(self._fd).st_size
            line = disk.read_at(self._fd, _WINDOW, 0).partition(b"\n")[0]
            self.origin = msgspec.json.decode(line, type=Origin)
        except msgspec.DecodeError:
            disk.close(self._fd)
            raise DecklogError(f"{path} does not begin as a file of the quarantine: move it elsewhere") from None
        except OSError:
            disk.close(self._fd)
            raise
        self._from = len(line) + 1
        self.size = size - self._from
        """Bytes of the body."""

    def __enter__(self) -> Self:
        """Use it."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close it."""
        self._disk.close(self._fd)

    def at(self, size: int, offset: int) -> bytes:
        """Read so many bytes from there; fewer at the end."""
        return self._disk.read_at(self._fd, min(size, max(0, self.size - offset)), self._from + offset)

    def pieces(self, start: int, end: int) -> Iterator[bytes]:
        """Read a part of any size."""
        while start < end and (piece := self.at(min(_WINDOW, end - start), start)):
            start += len(piece)
            yield piece


def held(path: Path, disk: Disk) -> Iterator[tuple[Held, Callable[[], bytes]]]:
    """Give the items of a ``.held`` file, each with the way to its bytes, good until the next one is asked for.

    Raises OSError and DecklogError.
    """
    with Reading(path, disk) as reading:
        at = 0
        while at < reading.size:
            line, newline, _ = reading.at(4096, at).partition(b"\n")
            try:
                found = msgspec.json.decode(line, type=Held)
            except msgspec.DecodeError:
                raise DecklogError(f"{path} is damaged at byte {at} of its items: read the rest by eye") from None
            start = at + len(line) + len(newline)

            def content(start: int = start, size: int = found.size) -> bytes:
                return b"".join(reading.pieces(start, start + size))

            yield found, content
            at = start + found.size + 1
