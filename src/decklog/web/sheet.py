"""Sheet: the log's requests as CSV, of which no cell acts as a formula."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any, Final

import msgspec

from decklog.ask.csv_cells import cell
from decklog.ask.rows import Row
from decklog.web import search
from decklog.web.limits import EXPORTED_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from decklog.web.asking import Asked

COLUMNS: Final = tuple(field.encode_name for field in msgspec.structs.fields(Row) if field.name not in {"file", "line"})
_AT_ONCE: Final = 500
"""Rows that are written together."""


def sheet(asked: Asked) -> tuple[str, Iterator[bytes]]:
    """Write the requests that an address asks for, newest first, piece by piece; give a file's name, too.

    `EXPORTED_ROWS` at most: the name says so where there are more.
    """
    wanted = search.wanted(asked.fields.only(search.FIELDS), asked.now)
    look = asked.data.look(wanted, asked.deadline, limit=EXPORTED_ROWS, around=False)
    name = f"requests-newest-{EXPORTED_ROWS}.csv" if look.older else "requests.csv"
    return name, _pieces(look.rows)


def _pieces(rows: Sequence[Row]) -> Iterator[bytes]:
    yield _written([COLUMNS])
    for start in range(0, len(rows), _AT_ONCE):
        builtins: list[dict[str, Any]] = msgspec.to_builtins(rows[start : start + _AT_ONCE])
        yield _written([[cell(values.get(column, "")) for column in COLUMNS] for values in builtins])


def _written(lines: Iterable[Iterable[Any]]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(lines)
    return out.getvalue().encode("utf-8", "backslashreplace")
