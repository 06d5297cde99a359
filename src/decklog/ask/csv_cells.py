"""CSV cells: foreign text that acts neither on a terminal nor as a formula of a spreadsheet.

A spreadsheet takes a cell that begins with ``= + - @`` for a formula, also when it stands in quotes. Such a cell gets
an apostrophe in front, which spreadsheets know as "this is text". Control, bidi and zero-width characters are spelled
out as everywhere (`ask.terminal`), so that a row is a line. Lists of texts are joined by a space, other structures are
JSON; what is empty stays empty, and a lone ``-`` is nothing that could act.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from decklog.ask.terminal import visible

FORMULA_STARTS: Final = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # the last four: full width


def cell(value: Any) -> str:
    """Write a value as a cell that is text to a terminal and to a spreadsheet."""
    if isinstance(value, bool):
        return "true" if value else ""
    if isinstance(value, (int, float)):
        return str(value)
    text = visible(_text(value))
    bare = text.lstrip(" ")
    return f"'{text}" if bare.startswith(FORMULA_STARTS) and bare != "-" else text


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple)) and all(isinstance(one, (str, int, float)) for one in value):
        return " ".join(map(str, value))
    if isinstance(value, (list, tuple, dict)):
        return msgspec.json.encode(value).decode() if value else ""
    return "" if value is None else str(value)
