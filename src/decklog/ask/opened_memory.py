"""Opened memory: what was found in segments, which never change; so a question that comes again reads what is new.

Rows are kept by the SQL that found them, which names the segments, up to a number of them altogether.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

MOST_ROWS: Final = 200_000
"""Altogether: some tens of MB."""
MOST_OF_ONE: Final = 20_000

Rows = list[tuple[Any, ...]]


class Memory:
    """Rows by what was asked for; for several threads."""

    def __init__(self, most: int = MOST_ROWS, most_of_one: int = MOST_OF_ONE) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._lock = threading.Lock()
        self._found: OrderedDict[Hashable, Rows] = OrderedDict()
        self._held = 0

    def get(self, question: Hashable, ask: Callable[[], Rows]) -> Rows:
        """Give the rows, which nobody may change; those of `ask` are kept, unless they are too many."""
        with self._lock:
            if question in self._found:
                self._found.move_to_end(question)
                return self._found[question]
        rows = ask()
        if len(rows) <= self._most_of_one:
            with self._lock:
                self._keep(question, rows)
        return rows

    def _keep(self, question: Hashable, rows: Rows) -> None:
        if question in self._found:  # another thread was quicker
            return
        self._found[question] = rows
        self._held += _size(rows)
        while self._held > self._most:
            _, dropped = self._found.popitem(last=False)
            self._held -= _size(dropped)


def _size(rows: Rows) -> int:
    return 100 + len(rows)  # a question takes its room, too
