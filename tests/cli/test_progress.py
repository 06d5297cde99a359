from __future__ import annotations

import os
import pty
import select
import signal
from io import BytesIO, StringIO
from itertools import count
from typing import TYPE_CHECKING

from decklog.cli.progress import EVERY_LINES, Bar, shown, total_bytes
from decklog.sources.places import Place
from decklog.sources.record import Coverage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


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


def test_a_long_search_shows_its_bar_until_the_answer_comes() -> None:
    """From a second on the bar is drawn, whatever the search is busy with; it is gone before the first row."""
    ours, theirs = pty.openpty()
    before = signal.getsignal(signal.SIGALRM)
    with open(theirs, "w", encoding="utf-8") as err:  # noqa: PTH123  # because: a descriptor
        bar, coverage = Bar(err), Coverage(size_bytes=25_000_000)
        bar.watch(coverage, 100_000_000)

        def records() -> Iterator[int]:
            ready, _, _ = select.select([ours], [], [], 30)
            assert ready, "no bar was drawn"
            yield 1

        assert list(bar.over(records())) == [1]
        drawn = b""
        while not drawn.endswith(b"\r\x1b[K") and select.select([ours], [], [], 30)[0]:
            drawn += os.read(ours, 1 << 16)
    os.close(ours)
    assert b" 25% of 100 MB" in drawn
    assert drawn.endswith(b" s\x1b[K\r\x1b[K")
    assert signal.getsignal(signal.SIGALRM) == before
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0.0


def test_without_a_terminal_there_is_no_timer() -> None:
    """A pipe is left alone, and so is the process's alarm."""
    bar = Bar(StringIO())
    assert list(bar.over(iter([signal.getitimer(signal.ITIMER_REAL)]))) == [(0.0, 0.0)]


def test_the_size_of_what_is_searched(tmp_path: Path) -> None:
    """Files have a size, standard input has none."""
    (tmp_path / "a").write_bytes(b"12345")
    assert total_bytes([Place(str(tmp_path / "a"))]) == 5
    assert total_bytes([Place(str(tmp_path / "a")), Place("-", BytesIO())]) is None


def test_whoever_reads_otherwise_shows_the_bar_meanwhile() -> None:
    """Counting and SQL read in their own way; the bar is there while they do, and gone afterwards."""
    before = signal.getsignal(signal.SIGALRM)
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as err, Bar(err).during(Coverage(), 5_000_000):
        seen = b""
        while b"searching 5 MB" not in seen:
            seen += os.read(ours, 1024)
    assert signal.getsignal(signal.SIGALRM) == before
    os.close(ours)
