"""Waiting: one line on a terminal that says what is waited for, and is gone afterwards; elsewhere nothing."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from decklog.ask.terminal import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TextIO

_CLEAR = "\r\x1b[K"


@contextmanager
def status_line(err: TextIO | None = None) -> Iterator[Callable[[str], None]]:
    """Give a function that shows its text in place of the one before."""
    out = err if err is not None else sys.stderr
    if not out.isatty():
        yield lambda _: None
        return

    def tell(text: str) -> None:
        width = _width(out)
        shown = visible(text)
        out.write(_CLEAR + (shown if len(shown) < width else f"{shown[: width - 2]}…"))
        out.flush()

    try:
        yield tell
    finally:
        out.write(_CLEAR)
        out.flush()


def _width(out: TextIO) -> int:
    try:
        return os.get_terminal_size(out.fileno()).columns or 80
    except OSError:
        return 80
