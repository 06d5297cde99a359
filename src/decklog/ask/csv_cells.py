"""CSV cells: foreign text that acts neither on a terminal nor as a formula of a spreadsheet.

A spreadsheet takes a cell that begins with ``= + - @`` for a formula, also when it stands in quotes. Such a cell gets
an apostrophe in front, which spreadsheets know as "this is text". Control, bidi and zero-width characters are spelled
out as everywhere (`ask.terminal`), so that a row is a line. Lists are joined by a space; what is empty stays empty.
"""

from __future__ import annotations

from typing import Any, Final

from decklog.ask.terminal import visible

FORMULA_STARTS: Final = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # the last four: full width


def cell(value: Any) -> str:
    """Write a value as a cell that is text to a terminal and to a spreadsheet."""
    if isinstance(value, bool):
        return "true" if value else ""
    if isinstance(value, (int, float)):
        return str(value)
    text = visible(" ".join(value) if isinstance(value, (list, tuple)) else str(value or ""))
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA_STARTS) else text
