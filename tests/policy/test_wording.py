from __future__ import annotations

from decklog.policy.wording import go_json, shown


def test_go_json() -> None:
    """Go's JSON escapes what could end a script element, and the two line separators."""
    assert go_json(("a", "<&>", "\u2028é", "\n")) == '["a","\\u003c\\u0026\\u003e","\\u2028é","\\n"]'


def test_shown() -> None:
    """A text of the user's is escaped and cut short in our messages."""
    assert shown("\x1b[31m\u202e") == "'\\x1b[31m\\u202e'"
    assert shown("x" * 100) == f"'{'x' * 60}'…"
