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
    from decklog.web.asking import Asked

COLUMNS: Final = tuple(field.encode_name for field in msgspec.structs.fields(Row) if field.name not in {"file", "line"})


def sheet(asked: Asked) -> tuple[str, bytes]:
    """Write the requests that an address asks for, newest first; give a file's name, too.

    `EXPORTED_ROWS` at most: the name says so where there are more.
    """
    wanted = search.wanted(asked.fields.only(search.FIELDS), asked.now)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    look = asked.data.look(wanted, asked.deadline, limit=EXPORTED_ROWS, around=False)
    for row in look.rows:
        values: dict[str, Any] = msgspec.to_builtins(row)
        writer.writerow([cell(values.get(column, "")) for column in COLUMNS])
    name = f"requests-newest-{EXPORTED_ROWS}.csv" if look.older else "requests.csv"
    return name, out.getvalue().encode("utf-8", "backslashreplace")
