"""A log's folder, prepared and listed as a recorded one was; lines of any length; a disk that fills up."""

from __future__ import annotations

import errno
import gzip
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from msgspec import Raw, structs

from decklog.audit.wire import encode_line
from decklog.disk import Disk
from decklog.testing import event

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from decklog.audit.event import Event

Row = dict[str, Any]
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}")
_STDOUT: Final = 1


@dataclass(frozen=True)
class Entry:
    """A file as it is compared: the time in a backup's name, and a packed size, are nobody's merit."""

    shape: str
    """The name, its time replaced by ``TIME``."""
    size: int | None
    """In bytes; None: packed."""
    mode: str
    lines: int
    ends_with_newline: bool
    name: str = ""

    @property
    def old(self) -> bool:
        """Whether it is a backup."""
        return "TIME" in self.shape

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Entry) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __str__(self) -> str:
        size = "packed" if self.size is None else f"{self.size} B"
        return f"{self.shape} {size} {self.mode} {self.lines} lines{'' if self.ends_with_newline else ', torn'}"


def recorded_listing(rows: Sequence[Row]) -> list[Entry]:
    """Read a recorded listing."""
    return [
        Entry(
            _shape(row["name"]),
            None if row["name"].endswith(".gz") else row["size"],
            row["mode"],
            row.get("lines", 0),
            row.get("ends_with_newline", False),
        )
        for row in rows
    ]


def list_folder(folder: Path) -> list[Entry]:
    """List a folder of ours in the same way, by name; what another process is about to make or remove is left out."""
    entries = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        try:
            data, mode = _read(path), path.stat().st_mode & 0o7777
        except (OSError, EOFError):
            continue
        size = None if path.suffix == ".gz" else len(data)
        entries.append(Entry(_shape(path.name), size, oct(mode), data.count(b"\n"), data[-1:] == b"\n", path.name))
    return entries


def _shape(name: str) -> str:
    return _TIME.sub("TIME", name)


def _read(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data


def prepare(folder: Path, listing: Sequence[Row]) -> None:
    """Make the files that stood in the folder before the server did; an empty audit.log is the server's own."""
    for row in listing:
        if row["name"] == "audit.log" and not row["size"]:
            continue
        folder.mkdir(mode=0o700, exist_ok=True)
        path = folder / row["name"]
        packed = path.suffix == ".gz"
        data = _filler(row["lines"] * 25 if packed else row["size"], row["lines"])
        path.write_bytes(gzip.compress(data) if packed else data)
        path.chmod(int(row["mode"], 8))


def _filler(size: int, lines: int) -> bytes:
    """Make `lines` lines, `size` bytes in all."""
    if not lines:
        return b"x" * size
    short, longer = divmod(size, lines)
    return b"".join(b"x" * (short - 1 + (number < longer)) + b"\n" for number in range(lines))


def event_of(stage: str, length: int, encode: Callable[[Event], bytes] = encode_line) -> Event:
    """Make an event whose line has `length` bytes, its newline counted. ValueError where no line is as short."""
    bare = event(stage=stage, response_object=Raw(b'""'), user_agent="a")
    padding = length - len(encode(bare))
    if padding < 0:
        raise ValueError(f"no event has a line as short as {length} bytes")
    if encode is encode_line:
        return structs.replace(bare, response_object=Raw(b'"' + b"x" * padding + b'"'))
    return structs.replace(bare, user_agent="a" * (1 + padding))


@dataclass(frozen=True)
class Lines:
    """All whole lines of some files."""

    count: int
    longest: int
    """In bytes, with the newline."""

    @classmethod
    def of(cls, paths: Sequence[Path]) -> Self:
        """Count them."""
        lengths = [len(line) for path in paths for line in _read(path).splitlines(keepends=True) if line[-1:] == b"\n"]
        return cls(len(lengths), max(lengths, default=0))


class FullDisk(Disk):
    """A disk that takes `capacity` bytes in all (0: any number), and keeps standard output to itself."""

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity
        self.printed = 0
        """Whole lines that went to standard output."""
        self._used = 0

    def append(self, fd: int, data: bytes) -> int:  # type: ignore[override]  # because: a disk's is os.write itself
        """Write as much as fits, as write(2) does; OSError when nothing does."""
        if fd == _STDOUT:
            self.printed += data.count(b"\n")
            return len(data)
        fits = min(len(data), self.capacity - self._used) if self.capacity else len(data)
        if data and not fits:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = os.write(fd, data[:fits])
        self._used += written
        return written
