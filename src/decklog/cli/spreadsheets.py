"""CSV: a title line, then a line a row; what a cell may hold says `ask.csv_cells`."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any, Final

import msgspec

from decklog.ask.csv_cells import cell
from decklog.ask.rows import Row
from decklog.cli.printing import Printer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Protocol

    class _Writes(Protocol):
        def write(self, text: str, /) -> object:
            """Take a line."""


COLUMNS: Final = tuple(field.encode_name for field in msgspec.structs.fields(Row))


class CsvPrinter(Printer):
    """A title line, then a line a row."""

    def rows(self, rows: Iterable[Row]) -> int:
        """Print rows; give their number."""
        return write_csv(self.out, COLUMNS, map(msgspec.to_builtins, rows))


def write_csv(out: _Writes, head: Sequence[str], rows: Iterable[dict[str, Any]]) -> int:
    """Write a title line and a line a row (RFC 4180, but with line feeds alone); give the number of rows."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(map(cell, head))
    number = 0
    for number, row in enumerate(rows, start=1):  # noqa: B007  # because: the last number is the count
        writer.writerow([cell(row.get(column)) for column in head])
    return number
