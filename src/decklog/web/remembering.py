"""Remembering: answers of a store, for as long as it stays as it is.

So a page that is looked at again costs next to nothing, and no answer is older than the last acknowledged event.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

MOST: Final = 200
"""Answers; each is a page of rows, or a few counts."""

T = TypeVar("T")


class Remembered:
    """Answers by their questions; for several threads."""

    def __init__(self, state: Callable[[], object], most: int = MOST) -> None:
        """`state` gives a value that is another one as soon as an answer may be another one."""
        self._state = state
        self._most = most
        self._lock = threading.Lock()
        self._of: object = None
        self._answers: OrderedDict[Hashable, Any] = OrderedDict()

    def get(self, question: Hashable, ask: Callable[[], T], *, worth: Callable[[T], bool] = lambda _: True) -> T:
        """Give the answer: the remembered one, or that of `ask`, which is remembered if it is `worth` it."""
        before = self._state()
        with self._lock:
            if self._of != before:
                self._answers.clear()
                self._of = before
            elif question in self._answers:
                self._answers.move_to_end(question)
                remembered: T = self._answers[question]
                return remembered
        answer = ask()
        with self._lock:
            if self._of == before and worth(answer):
                self._answers[question] = answer
                if len(self._answers) > self._most:
                    self._answers.popitem(last=False)
        return answer
