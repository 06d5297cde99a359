"""Bytes to lines: cut at line feeds; in constant memory, whatever the lengths. Unpacking is `packing`'s."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from decklog.sources.packing import CHUNK_BYTES, DamagedError, chunks

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CHUNK_BYTES", "MAX_LINE_BYTES", "DamagedError", "chunks", "lines"]

MAX_LINE_BYTES: Final = 64 << 20
"""Longer lines are counted and named instead of kept. An API server takes requests of 3 MiB; the longest answers that
it records (lists at level RequestResponse) have been seen at some tens of MiB. A line is held twice for a moment, so
that this bounds a reader's memory to some 150 MB."""


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
            last = rest.pop()
            if len(piece) <= max_line_bytes:  # so is every line within it, and none has to be measured
                yield from rest
            else:
                yield from (whole if len(whole) <= max_line_bytes else None for whole in rest)
            line.add(last)
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
