from __future__ import annotations

from io import StringIO
from itertools import count

from decklog.cli.progress import EVERY_LINES, shown
from decklog.sources.record import Coverage


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_how_far_it_is() -> None:
    """The bar tells the part of the bytes and the pace, and is wiped at the end; the lines pass."""
    err, coverage, seconds = Terminal(), Coverage(size_bytes=25_000_000), count()
    lines = [b"x"] * (3 * EVERY_LINES)
    assert list(shown(lines, coverage, 100_000_000, err=err, clock=lambda: float(next(seconds)))) == lines
    assert " 25% of 100 MB" in err.getvalue()
    assert err.getvalue().endswith("\r\x1b[K")


def test_an_input_of_unknown_length_shows_what_was_read() -> None:
    """A pipe has no end to measure against."""
    err, seconds = Terminal(), count()
    list(shown([b"x"] * 2 * EVERY_LINES, Coverage(size_bytes=7_000_000), None, err=err, clock=lambda: next(seconds)))
    assert "\r7 MB " in err.getvalue()


def test_what_is_done_at_once_shows_nothing() -> None:
    """No bar flickers over a short log, and none goes into a pipe."""
    err = Terminal()
    list(shown([b"x"] * 2 * EVERY_LINES, Coverage(), 1, err=err, clock=lambda: 0.0))
    pipe = StringIO()
    list(shown([b"x"], Coverage(), 1, err=pipe))
    assert err.getvalue() == pipe.getvalue() == ""
