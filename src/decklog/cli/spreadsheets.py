"""CSV: rows for spreadsheets, of which no cell acts: neither on a terminal nor as a formula.

A spreadsheet takes a cell that begins with ``= + - @`` for a formula, also when it stands in quotes. Such a cell gets
an apostrophe in front, which spreadsheets know as "this is text". Control, bidi and zero-width characters are spelled
out as everywhere (`ask.terminal`), so that a row is a line. Lists are joined by a space; what is empty stays empty.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any, Final

import msgspec

from decklog.ask.rows import Row
from decklog.ask.terminal import visible
from decklog.cli.printing import Printer

if TYPE_CHECKING:
    from collections.abc import Iterable

FORMULA_STARTS: Final = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # the last four: full width
COLUMNS: Final = tuple(field.encode_name for field in msgspec.structs.fields(Row))


class CsvPrinter(Printer):
    """A title line, then a line a row."""

    def rows(self, rows: Iterable[Row]) -> int:
        """Print rows; give their number."""
        writer = csv.writer(self.out, lineterminator="\n")
        writer.writerow(COLUMNS)
        number = 0
        for number, row in enumerate(rows, start=1):  # noqa: B007  # because: the last number is the count
            values: dict[str, Any] = msgspec.to_builtins(row)
            writer.writerow([cell(values.get(column, "")) for column in COLUMNS])
        return number


def cell(value: Any) -> str:
    """Write a value as a cell that is text to a terminal and to a spreadsheet."""
    if isinstance(value, bool):
        return "true" if value else ""
    if isinstance(value, (int, float)):
        return str(value)
    text = visible(" ".join(value) if isinstance(value, (list, tuple)) else str(value or ""))
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA_STARTS) else text
