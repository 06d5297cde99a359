"""Progress: a bar on stderr while a long input is read; on a terminal only, and gone when the answer comes."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TextIO

    from decklog.sources.record import Coverage

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


def _bar(done: int, total: int | None) -> str:
    if not total:
        return f"{done / 1e6:,.0f} MB"
    part = min(done / total, 1.0)
    filled = int(part * _WIDTH)
    return f"[{'#' * filled}{'.' * (_WIDTH - filled)}] {part:4.0%} of {total / 1e6:,.0f} MB"
