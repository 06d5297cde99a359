"""Bytes to lines: undo gzip, cut at line feeds; in constant memory, whatever the lengths."""

from __future__ import annotations

import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from decklog.errors import DecklogError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    class Readable(Protocol):
        """Anything that gives bytes."""

        def read(self, size: int, /) -> bytes | None:
            """Give at most `size` bytes; none at the end."""
            ...


CHUNK_BYTES: Final = 1 << 20
MAX_LINE_BYTES: Final = 256 << 20
"""Longer lines are reported instead of kept. An API server takes requests of 3 MiB; the longest answers that it records
(lists at level RequestResponse) have been seen at some tens of MiB."""

_GZIP_MAGIC: Final = b"\x1f\x8b"
_GZIP_WINDOW: Final = 31
"""zlib's number for "gzip header and trailer, largest window"."""


class DamagedError(DecklogError):
    """The rest of a file cannot be read; what was yielded before is good."""


def chunks(file: Readable) -> Iterator[bytes]:
    """Yield the contents of `file` in pieces, unpacked if it begins as gzip does, whatever its name.

    Raises DamagedError where a packed file is cut off or damaged, OSError where the disk fails.
    """
    raw = _raw_chunks(file)
    first = next(raw, b"")
    while 0 < len(first) < len(_GZIP_MAGIC) and (more := next(raw, b"")):  # a pipe may give one byte at a time
        first += more
    if first.startswith(_GZIP_MAGIC):
        yield from _unpacked(first, raw)
    elif first:
        yield first
        yield from raw


def _raw_chunks(file: Readable) -> Iterator[bytes]:
    while chunk := file.read(CHUNK_BYTES):
        yield chunk


def _unpacked(packed: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    """Unpack member after member; each piece stays small, however well it was packed."""
    member = zlib.decompressobj(_GZIP_WINDOW)
    while packed or (packed := next(rest, b"")):
        if member.eof:
            packed = packed.lstrip(b"\0")  # padding of tapes and block devices is allowed behind a member
            if not packed:
                continue
            member = zlib.decompressobj(_GZIP_WINDOW)
        before = member.copy()
        try:
            piece = member.decompress(packed, CHUNK_BYTES)
        except zlib.error as error:
            yield from _salvaged(before, packed)
            raise DamagedError(f"damaged gzip data ({error}); the rest of the file is not readable") from error
        packed = member.unused_data if member.eof else member.unconsumed_tail
        if piece:
            yield piece
    yield from _flushed(member)


def _salvaged(member: zlib._Decompress, packed: bytes) -> Iterator[bytes]:
    """Unpack byte by byte up to the damage: zlib throws away what one call had unpacked before it failed."""
    with suppress(zlib.error):
        for place in range(len(packed)):
            if piece := member.decompress(packed[place : place + 1]):
                yield piece


def _flushed(member: zlib._Decompress) -> Iterator[bytes]:
    while not member.eof and (piece := member.decompress(member.unconsumed_tail, CHUNK_BYTES)):
        yield piece
    if not member.eof:
        raise DamagedError("gzip data is cut off; it ends in the middle (still being written?)")


def lines(pieces: Iterator[bytes], max_line_bytes: int = MAX_LINE_BYTES) -> Iterator[bytes | None]:
    """Cut `pieces` at line feeds; None stands for a line that is longer than `max_line_bytes`.

    The last line comes even without its line feed, also when `pieces` raises (before the error goes on).
    """
    line = _Growing(max_line_bytes)
    try:
        for piece in pieces:
            head, *rest = piece.split(b"\n")
            line.add(head)
            if not rest:
                continue
            yield line.take()
            yield from (whole if len(whole) <= max_line_bytes else None for whole in rest[:-1])
            line.add(rest[-1])
    except (DamagedError, OSError):
        if line.begun:
            yield line.take()
        raise
    if line.begun:
        yield line.take()


class _Growing:
    """A line that arrives in pieces; past the limit it is only measured."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._pieces: list[bytes] = []
        self._size = 0

    @property
    def begun(self) -> bool:
        return self._size > 0

    def add(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._max_bytes:
            self._pieces.clear()
        elif piece:
            self._pieces.append(piece)

    def take(self) -> bytes | None:
        whole = b"".join(self._pieces) if self._size <= self._max_bytes else None
        self._pieces.clear()
        self._size = 0
        return whole
