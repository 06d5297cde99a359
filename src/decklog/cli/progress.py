"""Progress: a bar on stderr while a long input is read; on a terminal only, and gone when the answer comes."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TextIO

    from decklog.sources.places import Place
    from decklog.sources.record import Coverage

T = TypeVar("T")

EVERY_LINES: Final = 4096
EVERY_S: Final = 0.2
FIRST_S: Final = 1.0
"""What is done sooner shows nothing."""
_WIDTH: Final = 30


def shown(
    lines: Iterable[bytes],
    coverage: Coverage,
    total_bytes: int | None,
    *,
    err: TextIO | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[bytes]:
    """Pass `lines` on; on a terminal show how much of `total_bytes` has been read (None: nobody knows how much)."""
    out = err if err is not None else sys.stderr
    if not out.isatty():
        yield from lines
        return
    start = latest = clock()
    told = False
    try:
        for number, line in enumerate(lines, start=1):
            yield line
            if number % EVERY_LINES == 0 and (now := clock()) - start >= FIRST_S and now - latest >= EVERY_S:
                latest, told = now, True
                out.write(f"\r{_bar(coverage.size_bytes, total_bytes)} {number / (now - start):,.0f} lines/s\x1b[K")
                out.flush()
    finally:
        if told:
            out.write("\r\x1b[K")
            out.flush()


class Bar:
    """Shows that a search goes on, whatever it is busy with: a timer's signal draws, from a second on.

    A signal, because a search may fork, which threads forbid; timers are not inherited.
    """

    def __init__(self, err: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._err = err
        self._clock = clock
        self._coverage: Coverage | None = None
        self._total: int | None = None
        self._start = 0.0
        self._told = False
        self._before: Any = None

    def watch(self, coverage: Coverage, total: int | None) -> None:
        """Say what is searched: how much of `total` bytes has been read stands in `coverage`."""
        self._coverage, self._total = coverage, total

    def over(self, records: Iterator[T]) -> Iterator[T]:
        """Pass `records` on, and draw meanwhile."""
        self._begin()
        try:
            yield from records
        finally:
            self.stop()

    @contextmanager
    def during(self, coverage: Coverage, total: int | None) -> Iterator[None]:
        """Draw while something else reads, which counts into `coverage`."""
        self.watch(coverage, total)
        self._begin()
        try:
            yield
        finally:
            self.stop()

    def before_output(self, rows: Iterable[T]) -> Iterator[T]:
        """Pass `rows` on; if they are printed on the same terminal, the bar goes before the first of them."""
        for row in rows:
            if sys.stdout.isatty():
                self.stop()
            yield row

    def stop(self) -> None:
        """Take the bar away; it does not come back."""
        if self._before is None:
            return
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._before)
        self._before = None
        if self._told:
            self._write("\r\x1b[K")

    def _begin(self) -> None:
        out = self._err if self._err is not None else sys.stderr
        if not out.isatty():
            return
        self._start = self._clock()
        try:
            self._before = signal.signal(signal.SIGALRM, self._draw) or signal.SIG_DFL
        except ValueError:  # signals are for the main thread
            return
        signal.setitimer(signal.ITIMER_REAL, FIRST_S, EVERY_S)

    def _draw(self, *_: object) -> None:
        read = self._coverage.size_bytes if self._coverage else 0
        seconds = self._clock() - self._start
        self._told = True
        size = f" {self._total / 1e6:,.0f} MB" if self._total else ""
        self._write(f"\r{_bar(read, self._total) if read else f'searching{size}'} {seconds:.0f} s\x1b[K")

    def _write(self, text: str) -> None:
        out = self._err if self._err is not None else sys.stderr
        os.write(out.fileno(), text.encode())  # a signal may come in the middle of a buffered write


def total_bytes(places: Iterable[Place]) -> int | None:
    """Give the size of the files behind places; None if one of them has none (standard input)."""
    total = 0
    for place in places:
        try:
            total += Path(place.path).stat().st_size
        except OSError:
            return None
    return total


def _bar(done: int, total: int | None) -> str:
    if not total:
        return f"{done / 1e6:,.0f} MB"
    part = min(done / total, 1.0)
    filled = int(part * _WIDTH)
    return f"[{'#' * filled}{'.' * (_WIDTH - filled)}] {part:4.0%} of {total / 1e6:,.0f} MB"
