from __future__ import annotations

import io

from decklog.cli.waiting import status_line


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        raise OSError


def test_a_terminal_sees_the_latest_line_and_then_none() -> None:
    """Each text takes the place of the one before, made safe and cut to the width; at the end the line is gone."""
    out = Terminal()
    with status_line(out) as tell:
        tell("one")
        tell("two\x1b[31m" + "x" * 200)
    shown = out.getvalue().split("\r\x1b[K")
    assert shown[1] == "one"
    assert shown[2].startswith("two\\x1b[31m")
    assert len(shown[2]) < 80
    assert shown[3] == ""


def test_elsewhere_nothing_is_written() -> None:
    """A pipe or a file gets no such lines."""
    out = io.StringIO()
    with status_line(out) as tell:
        tell("one")
    assert out.getvalue() == ""
