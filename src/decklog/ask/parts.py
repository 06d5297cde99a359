"""Parts: the files behind places, cut so that several processes may work on them at once.

They are read with ``pread`` alone: processes share descriptors, and a reader that comes after finds them rewound.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

from decklog.ask.bytesearch import blocks
from decklog.ask.sifting import HEAD
from decklog.sources.lines import CHUNK_BYTES, DamagedError, chunks
from decklog.sources.places import STANDARD_INPUT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from decklog.ask.bytesearch import Block
    from decklog.sources.places import Place

T = TypeVar("T")

HELD_OPEN: Final = 256
"""Files; more are not scanned but read one after the other."""

_MAGIC_BYTES: Final = 16
_LOOK_BYTES: Final = 16 << 10
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Sizes:
    """How a log is cut, in bytes; none of them changes an answer."""

    smallest: int = 4 << 20
    """Logs of less in all are read line by line, in some milliseconds: then nothing has to be passed over."""
    part: int = 32 << 20
    piece: int = CHUNK_BYTES
    """Read at a time; small enough for a processor's cache."""
    answer: int = 64 << 20
    """Lines that are kept for an answer, of all parts together: they stand there twice while a child hands them over.
    What needs more is read line by line."""


@dataclass(slots=True)
class Log:
    """One file, open, of the size that it had when the question was asked."""

    name: str
    sizes: Sizes
    problem: str = ""
    """Why there is nothing to read in it."""
    descriptor: int = -1
    size_bytes: int = 0
    packed: bool = False
    head: bytes = HEAD
    """How its lines begin, but for odd ones."""

    def parts(self) -> list[Part]:
        """Cut the file, unless it is packed; a part has the lines that begin in it."""
        if self.problem:
            return []
        step = self.size_bytes if self.packed else self.sizes.part
        return [
            Part(self, start, min(start + step, self.size_bytes)) for start in range(0, self.size_bytes, max(step, 1))
        ]


@dataclass(slots=True)
class Part:
    """A stretch of a log."""

    log: Log
    start: int
    end: int
    damage: list[str] = field(default_factory=list)
    """What kept the reading from the end; filled while reading."""
    tick: Callable[[], object] | None = None
    """Called before each block; may raise what ends the reading."""

    def pieces(self) -> Iterator[bytes]:
        """Read the part's lines, unpacked, in pieces of any size."""
        try:
            if self.log.packed:
                yield from chunks(_FromStart(self.log))
            else:
                yield from self._plain()
        except DamagedError as error:
            self.damage.append(f"{self.log.name}: {error}")
        except OSError as error:
            self.cannot_be_read(error)

    def cannot_be_read(self, error: OSError) -> None:
        """Say why there is no more to read."""
        self.damage.append(f"{self.log.name}: cannot be read ({error.strerror or error})")

    def blocks(self) -> Iterator[Block]:
        """Read the part's lines, unpacked, as `bytesearch.blocks` gives them; raises TooMuchError."""
        found = blocks(_Copied(self.pieces()) if self.log.packed else _Filler(self), self.log.sizes.piece)
        return found if self.tick is None else ticking(found, self.tick)

    def _plain(self) -> Iterator[bytes]:
        log = self.log
        place = _line_start(log, self.start)
        end = _line_start(log, self.end)
        while place < end and (piece := os.pread(log.descriptor, _to_line_end(log, place, end) - place, place)):
            place += len(piece)
            yield piece


def ticking(values: Iterable[T], tick: Callable[[], object]) -> Iterator[T]:
    """Call `tick` before each value is passed on."""
    for value in values:
        tick()
        yield value


class _Filler:
    """Reads a part of a file that is not packed into memory that it is given."""

    def __init__(self, part: Part) -> None:
        self._part = part
        self._place = -1
        self._end = 0

    def __call__(self, memory: memoryview) -> int:
        part, log = self._part, self._part.log
        try:
            if self._place < 0:
                self._place, self._end = _line_start(log, part.start), _line_start(log, part.end)
            read = os.preadv(log.descriptor, [memory[: max(self._end - self._place, 0)]], self._place)
        except OSError as error:
            part.cannot_be_read(error)
            return 0
        self._place += read
        return read


class _Copied:
    """Copies pieces into memory that it is given."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = memoryview(b"")

    def __call__(self, memory: memoryview) -> int:
        if not self._left:
            self._left = memoryview(next(self._pieces, b""))
        size = min(len(memory), len(self._left))
        memory[:size] = self._left[:size]
        self._left = self._left[size:]
        return size


def _to_line_end(log: Log, place: int, end: int) -> int:
    """Give where the piece from `place` ends: behind a line, if one ends soon, so that nobody has to cut and join."""
    stop = min(place + log.sizes.piece, end)
    feed = os.pread(log.descriptor, min(_LOOK_BYTES, end - stop + 1), stop - 1).find(b"\n") if stop < end else -1
    return stop + feed if feed >= 0 else stop


class _FromStart:
    """A log as a file that is read from its beginning."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._place = 0

    def read(self, size: int, /) -> bytes:
        left = self._log.size_bytes - self._place
        piece = os.pread(self._log.descriptor, min(size, left), self._place)
        self._place += len(piece)
        return piece

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, place: int, /) -> None:
        self._place = place


def _line_start(log: Log, place: int) -> int:
    """Give the first beginning of a line at `place` or after it; the end of the log if there is none."""
    if place == 0:
        return 0
    place -= 1  # a line begins at `place` itself if a line feed stands before it
    while place < log.size_bytes and (piece := os.pread(log.descriptor, CHUNK_BYTES >> 4, place)):
        if (feed := piece.find(b"\n")) >= 0:
            return min(place + feed + 1, log.size_bytes)
        place += len(piece)
    return log.size_bytes


def survey(places: Sequence[Place], sizes: Sizes) -> list[Log] | None:
    """Open the files behind `places`; None if they are few bytes, or not all files of kube-apiserver's lines."""
    if len(places) > HELD_OPEN or any(place.path == STANDARD_INPUT for place in places):
        return None
    logs = [_opened(place, sizes) for place in places]
    if any(log is None for log in logs):
        return None
    known = [log for log in logs if log is not None]
    return known if sum(log.size_bytes for log in known) >= sizes.smallest else None


def _opened(place: Place, sizes: Sizes) -> Log | None:
    name = os.fsencode(place.path).decode("utf-8", "backslashreplace")  # file names are bytes; ours are text
    if place.problem:
        return Log(name, sizes, f"{name}: {place.problem}")
    try:
        place.file = place.open()
        seen = os.fstat(place.file.fileno())
        if not stat.S_ISREG(seen.st_mode):
            return None
        log = Log(name, sizes, "", place.file.fileno(), seen.st_size)
        return log if _is_native(log) else None
    except (OSError, DamagedError):  # to the reader: it says what can be read, and why no more
        return None


def _is_native(log: Log) -> bool:
    """Tell whether a log holds lines of kube-apiserver: it begins with one, or with the torn end of one."""
    beginning = next(chunks(_FromStart(log)), b"")
    log.packed = not beginning.startswith(os.pread(log.descriptor, _MAGIC_BYTES, 0))
    text = beginning.removeprefix(_BYTE_ORDER_MARK).lstrip()
    if not text or text.startswith(HEAD):
        return True
    return text[:1] not in {b"{", b"["} and b"\n" + HEAD in text
