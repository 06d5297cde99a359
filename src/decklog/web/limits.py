"""Limits: an answer has so much time and so many rows, and only so many are made at once.

A page's work runs in a thread, which nobody can end from outside. So it looks at its deadline as it goes (`check`,
`over`); what waits inside a library is told by `on_expiry` (DuckDB: `interrupt`).
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar

from decklog.web.asking import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

ANSWER_S: Final = 20.0
"""How long a page may take to be made."""
AT_ONCE: Final = 4
"""Pages that are made at once; others wait."""
WAIT_S: Final = 10.0
"""How long one waits for its turn."""
ROWS: Final = 50
"""Rows of a page of the log."""
HELD_REQUESTS: Final = 20_000
"""Requests that a page holds at once at most."""
EXPORTED_ROWS: Final = 100_000
_EVERY: Final = 256

T = TypeVar("T")


class TooBroadError(RefusedError):
    """The question takes longer than a page may take."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(
            503,
            f"This question is too broad: it was not answered within {seconds:g} s.",
            "Narrow it: ask for a shorter time, a namespace, a user or one object.",
        )


class Deadline:
    """When an answer has to be there."""

    def __init__(self, seconds: float = ANSWER_S, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._end = clock() + seconds
        self._cancelled = threading.Event()
        self._timers: set[threading.Timer] = set()

    def cancel(self) -> None:
        """End it now: nobody waits any more. May be called in another thread than the work is done in."""
        self._cancelled.set()
        for timer in tuple(self._timers):
            timer.function()

    @property
    def left_s(self) -> float:
        """The seconds that are left."""
        return 0.0 if self._cancelled.is_set() else max(0.0, self._end - self._clock())

    def check(self) -> None:
        """Raise TooBroadError if it is past."""
        if self._cancelled.is_set() or self._clock() > self._end:
            raise TooBroadError(self.seconds)

    def over(self, values: Iterable[T]) -> Iterator[T]:
        """Pass values on while there is time."""
        for number, value in enumerate(values):
            if number % _EVERY == 0:
                self.check()
            yield value

    @contextmanager
    def on_expiry(self, interrupt: Callable[[], object]) -> Iterator[None]:
        """Call `interrupt` if the time ends within the block; the block then raises TooBroadError, whatever it was."""
        self.check()
        timer = threading.Timer(self.left_s, interrupt)
        timer.daemon = True
        self._timers.add(timer)
        timer.start()
        try:
            self.check()
            yield
        except RefusedError:
            raise
        except Exception:
            self.check()
            raise
        finally:
            self._timers.discard(timer)
            timer.cancel()
