from __future__ import annotations

from decklog.ask.terminal import columns
from decklog.cli.grid import grid, shortened


def test_lines_are_aligned_and_fitted() -> None:
    """The widest columns are cut first; foreign text is escaped; without a width nothing is cut."""
    rows = [["a", "x" * 80, "end"], ["b\x1b[2J", "漢字" * 30, "e"]]
    lines = list(grid(["ONE", "TWO", "THREE"], rows, 60))
    assert all(columns(line) <= 60 for line in lines)
    assert "\x1b" not in "".join(lines)
    assert lines[1].count("…") == 1
    assert list(grid(["ONE", "TWO", "THREE"], rows, None))[1] == f"a         {'x' * 80}{' ' * 40}  end"


def test_no_rows_are_no_table() -> None:
    """Titles alone say nothing."""
    assert not list(grid(["A"], [], 80))


def test_shortening_keeps_what_fits() -> None:
    """A mark tells that something is missing."""
    assert (shortened("abc", 3), shortened("abcd", 3), shortened("漢字", 3)) == ("abc", "ab…", "漢…")
