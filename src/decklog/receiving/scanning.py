"""Scanning: finds where the items of a body lie, whatever is in them; for bodies that cannot be split as usual.

Brackets and strings are all that it looks at: no decoding, no recursion, no limit of depth. A lone surrogate, a number
of five thousand digits, ten thousand brackets or bytes that are no UTF-8 are one item's own affair. It reads windows,
and gives extents: nothing of a body is held.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from decklog.receiving.splitting import TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Read = Callable[[int, int], bytes]
    """(size, offset) → so many bytes from there, fewer at the end."""

WINDOW: Final = 256 * 1024
_IN_STRING: Final = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_KEY: Final = b'"items"'
_MARGIN: Final = 64
"""A string that begins so near a window's end is read again from its beginning: it may be a key."""
_BETWEEN: Final = b" \t\r\n,"


class Extent(Struct, frozen=True):
    """A part of a body: from `start` up to `end`, in bytes."""

    start: int
    end: int
    is_object: bool = True
    """Whether it is an object from its first to its last bracket; otherwise something that stands beside items."""


def extents(read: Read, size: int, between_windows: Callable[[], None] = lambda: None) -> Iterator[Extent]:
    """Give the extents of the items of a body of `size` bytes, in order; together they leave nothing out.

    Items are the elements of an array that is the body, or of the body's ``items``. A body without either is one
    extent, a body that breaks off ends with the extent of what is not whole. `between_windows` is called now and then.
    """
    scan = _Scan(read, size)
    while scan.more():
        yield from scan.window()
        between_windows()
    yield from scan.end()


class _Scan:
    """How far a scan has come."""

    def __init__(self, read: Read, size: int) -> None:
        self._read = read
        self._size = size
        self._at = 0
        self._depth = 0
        self._array = 0
        """The depth of the items; 0: not in them."""
        self._seen_items = False
        self._in_string = False
        self._key = False
        """Whether the last string, at depth 1, was the key of the items."""
        self._start = -1
        """Where the present item begins; -1: in none."""
        self._gap = 0
        """Where the last one ended."""

    def more(self) -> bool:
        return self._at < self._size

    def window(self) -> Iterator[Extent]:
        window = self._read(WINDOW, self._at)
        base, position = self._at, 0
        if not window:  # shorter than it was said to be
            self._size = base
            return
        self._at = base + len(window)
        is_last = self._at >= self._size
        if self._in_string:
            found = _IN_STRING.match(window)
            position = found.end() if found is not None else 0
            if position == len(window):
                return
            if window[position] != 0x22:  # a backslash that ends the window
                self._at = self._size if is_last else base + position
                return
            self._in_string = False
            position += 1
        for token in TOKEN.finditer(window, position):
            mark = token[0]
            if mark == b'"':
                if not is_last and len(window) - token.start() < _MARGIN and token.start():
                    self._at = base + token.start()
                else:
                    self._in_string, self._at = True, base + token.end()
                return
            if len(mark) > 1:
                if self._depth == 1:
                    self._key = mark == _KEY
            elif mark in b"{[":
                yield from self._opened(mark, base + token.start())
            else:
                yield from self._closed(base + token.end())

    def _opened(self, mark: bytes, at: int) -> Iterator[Extent]:
        if self._array:
            if self._depth == self._array and self._start < 0:
                yield from self._between(at)
                self._start = at
        elif mark == b"[" and (not self._depth or (self._depth == 1 and self._key)):
            self._array, self._gap, self._seen_items = self._depth + 1, at + 1, True
        self._depth += 1
        self._key = False

    def _closed(self, end: int) -> Iterator[Extent]:
        self._depth -= 1
        if self._array and self._depth == self._array and self._start >= 0:
            yield Extent(self._start, end)
            self._start, self._gap = -1, end
        elif self._array and self._depth < self._array:
            yield from self._between(end - 1)
            self._array = 0

    def _between(self, end: int) -> Iterator[Extent]:
        """Give what stands between items, if it is more than commas and blanks."""
        start = self._gap
        if end - start > _MARGIN or self._read(end - start, start).strip(_BETWEEN):
            yield Extent(start, end, is_object=False)

    def end(self) -> Iterator[Extent]:
        if not self._seen_items:
            yield Extent(0, self._size)
        elif self._array:
            yield Extent(self._start if self._start >= 0 else self._gap, self._size, is_object=False)
