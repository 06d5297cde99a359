from __future__ import annotations

import json
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decklog.ask.terminal import columns, is_safe, visible, visible_json

ANY_TEXT = st.text(st.characters(exclude_categories=()))  # lone surrogates, too


@pytest.mark.parametrize(
    ("name", "text", "shown"),
    [
        ("plain", "web-7f9c", "web-7f9c"),
        ("letters of other scripts", "Zoë 東京 עברית नमस्ते 🚢", "Zoë 東京 עברית नमस्ते 🚢"),
        ("a title of the window", "\x1b]0;gotcha\x07", "\\x1b]0;gotcha\\x07"),
        ("clear the screen, 8 bits", "\x9b2J", "\\x9b2J"),
        ("overwrite the line", "alice\rroot ", "alice\\rroot "),
        ("forge a line", "a\nERROR b\tc", "a\\nERROR b\\tc"),
        ("NUL and DEL", "a\0b\x7f", "a\\x00b\\x7f"),
        ("right to left override", "txt.\u202egpj", "txt.\\u202egpj"),
        ("isolates", "\u2066a\u2069", "\\u2066a\\u2069"),
        ("zero width", "ad\u200bmin\ufeff\u2060", "ad\\u200bmin\\ufeff\\u2060"),
        ("soft hyphen", "ad\u00admin", "ad\\xadmin"),
        ("odd space", "a\u00a0b\u3000", "a\\xa0b\\u3000"),
        ("line separators", "a\u2028b\u2029\u0085", "a\\u2028b\\u2029\\x85"),
        ("printable, yet nothing to see", "\u3164\u115f\u2800", "\\u3164\\u115f\\u2800"),
        ("variation selectors", "a\ufe0f\U000e0100", "a\\ufe0f\\U000e0100"),
        ("tags", "\U000e0041", "\\U000e0041"),
        ("lone surrogate", "\ud800", "\\ud800"),
        ("private use", "\ue000", "\\ue000"),
        ("accents beyond four", "e" + "\u0301" * 6, "e" + "\u0301" * 4 + "\\u0301\\u0301"),
        ("a Windows user stays", "CORP\\alice", "CORP\\alice"),
        ("an escape written out", "\\x1b \\u202e \\n", "\\\\x1b \\\\u202e \\\\n"),
        ("a backslash before an escape", "\\\n", "\\\\\\n"),
    ],
)
def test_what_could_deceive_is_spelled_out(name: str, text: str, shown: str) -> None:
    """Whatever moves the cursor, hides or reorders is shown by its number; letters of all scripts stay."""
    assert visible(text) == shown, name


@given(ANY_TEXT)
def test_nothing_that_acts_on_a_terminal_is_left(text: str) -> None:
    """Shown text has no control, format, surrogate, private, unassigned character and no space but the plain one."""
    for char in visible(text):
        assert char == " " or unicodedata.category(char)[0] not in "CZ"


@given(st.text(st.sampled_from("\\nrtxuU01ab\n\r\t\x1b\u202e\u0301\U000e0041\ud800 é")))
def test_the_spelling_can_be_read_back(text: str) -> None:
    """No two texts are shown alike: what was escaped can be told from what was written so."""
    assert unspelled(visible(text)) == text


def unspelled(shown: str) -> str:
    """Read the escapes back, from the left."""
    short = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\"}

    def char(match: re.Match[str]) -> str:
        return short[match[1]] if match[1] else chr(int(match[2], 16))

    return re.sub(r"\\(?:([nrt\\])|[xuU]((?<=x)[0-9a-f]{2}|(?<=u)[0-9a-f]{4}|(?<=U)[0-9a-f]{8}))", char, shown)


@given(
    st.recursive(ANY_TEXT | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner))
)
def test_json_keeps_its_value(value: object) -> None:
    """Escaped JSON is the same JSON, and holds nothing that `visible` would spell out."""
    text = json.dumps(value, ensure_ascii=False)
    shown = visible_json(text)
    assert json.loads(shown) == json.loads(json.dumps(value))
    assert all(map(is_safe, shown))


@pytest.mark.parametrize(("text", "width"), [("web", 3), ("東京", 4), ("e\u0301", 1), ("🚢", 2), ("", 0)])
def test_columns_are_those_of_the_terminal(text: str, width: int) -> None:
    """Wide characters take two columns, combining marks none."""
    assert columns(text) == width
