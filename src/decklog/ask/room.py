"""Room: how much of an answer finds room in memory, counted by several processes together."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING, Final

from decklog.ask.bytesearch import TooMuchError

if TYPE_CHECKING:
    from collections.abc import Callable

_COUNTER_BYTES: Final = 8


class Room:
    """Room for `most` bytes of lines of all parts of all logs. Processes that are forked later share it."""

    def __init__(self, parts: int, most: int) -> None:
        self._most = most
        self._taken = memoryview(mmap.mmap(-1, _COUNTER_BYTES * max(parts, 1))).cast("Q")

    def of(self, part: int) -> Callable[[int], None]:
        """Give what a part calls with the bytes that it takes so far; it raises TooMuchError if all take too much."""

        def take(size: int) -> None:
            self._taken[part] = size  # its own counter: a part that is done again, after a killed child, counts once
            if sum(self._taken) > self._most:
                raise TooMuchError("too many lines to keep")

        return take
