"""Table: rows of text → lines of a table, fitted to a width. Escapes what is foreign; colours only what is ours."""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING, Final, NamedTuple

from decklog.ask.moments import in_words, readable
from decklog.ask.terminal import columns, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from decklog.ask.rows import Row

MEASURED_ROWS: Final = 1000
"""Widths are taken from so many rows; a longer cell further down pushes its line out."""

_NARROWEST: Final = 8
_GAP: Final = "  "
_RED, _YELLOW, _CYAN, _BOLD, _PLAIN = "\x1b[31m", "\x1b[33m", "\x1b[36m", "\x1b[1m", "\x1b[0m"


class Column(NamedTuple):
    """One column of a table."""

    title: str
    text: Callable[[Row], str]
    shrinks: bool = False
    """May be cut to fit the width."""
    usual: int = 0
    """Columns that most of its cells need; for tables that cannot wait for them."""


_RESULT: Final = "RESULT"

_TIME = Column("TIME (UTC)", lambda row: readable(row.time), usual=19)
_STAGE = Column("STAGE", lambda row: row.stage, shrinks=True, usual=16)
_USER = Column("USER", lambda row: row.who, shrinks=True, usual=24)
_VERB = Column("VERB", lambda row: row.verb or "-", shrinks=True, usual=8)
_NAMESPACE = Column("NAMESPACE", lambda row: row.namespace or "-", shrinks=True, usual=14)
_OBJECT = Column("OBJECT", lambda row: row.what or "-", shrinks=True, usual=32)
_CODE = Column(_RESULT, lambda row: row.result, usual=6)
_FROM = Column("FROM", lambda row: row.source_ip or "-", shrinks=True, usual=15)
_ID = Column("ID", lambda row: row.audit_id[:8], shrinks=True, usual=8)

NARROW: Final = (_TIME, _USER, _VERB, _NAMESPACE, _OBJECT, _CODE, _FROM, _ID)
WIDE: Final = (
    Column("TIME (UTC)", lambda row: (row.time or "-").replace("T", " ").removesuffix("Z")),
    _USER,
    Column("GROUPS", lambda row: ",".join(row.groups) or "-"),
    _VERB,
    Column("RESOURCE", lambda row: row.resource_path or "-"),
    _NAMESPACE,
    Column("NAME", lambda row: row.name or "-"),
    _CODE,
    Column("REASON", lambda row: row.reason or "-"),
    Column("DECISION", lambda row: row.decision or "-"),
    Column("TOOK", lambda row: "-" if row.duration_seconds is None else in_words(row.duration_seconds)),
    _STAGE,
    _FROM,
    Column("CLAIMED", lambda row: ",".join(row.source_ips[:-1]) or "-"),
    Column("USER-AGENT", lambda row: row.user_agent or "-"),
    Column("URI", lambda row: row.request_uri),
    Column("AUDIT-ID", lambda row: row.audit_id),
    Column("WHERE", lambda row: f"{row.file}:{row.line}"),
)


def of_events(shown: tuple[Column, ...]) -> tuple[Column, ...]:
    """Add the stage to columns that lack it."""
    return shown if _STAGE in shown else (shown[0], _STAGE, *shown[1:])


def table(
    rows: Iterable[Row], shown: tuple[Column, ...], *, width: int | None, colours: bool, waits: bool = True
) -> Iterator[str]:
    """Yield the lines of a table, title first; nothing if there are no rows.

    `width`: of the terminal; None: cells are not cut. Rows stream: only the first `MEASURED_ROWS` are held; only
    one, if it must not wait for others (`waits`).
    """
    stream = iter(rows)
    measured = [(row, _cells(row, shown)) for row in islice(stream, MEASURED_ROWS if waits else 1)]
    if not measured:
        return
    titles = [column.title for column in shown]
    widths = [max(map(columns, cells)) for cells in zip(titles, *(cells for _, cells in measured), strict=True)]
    if not waits:
        widths = [max(size, column.usual) for size, column in zip(widths, shown, strict=True)]
    if width is not None:
        widths = _fitted(widths, shown, width)
    title = _line(titles, widths, fit=width is not None)
    yield f"{_BOLD}{title}{_PLAIN}" if colours else title
    for row, cells in chain(measured, ((row, _cells(row, shown)) for row in stream)):
        line = _line(cells, widths, fit=width is not None)
        yield _coloured(line, row, _start_of(_USER, shown, widths)) if colours else line


def _cells(row: Row, shown: tuple[Column, ...]) -> list[str]:
    return [visible(column.text(row)) for column in shown]


def _coloured(line: str, row: Row, user: int) -> str:
    """Colour the whole line of a request that failed, or that was only tried out; of others the user."""
    colour = _RED if row.code >= 400 else _YELLOW if row.dry_run else ""
    if colour:
        return f"{colour}{line}{_PLAIN}"
    end = line.find(_GAP, user)
    if not line.isascii() or end < 0:
        return line
    return f"{line[:user]}{_CYAN}{line[user:end]}{_PLAIN}{line[end:]}"


def _start_of(wanted: Column, shown: tuple[Column, ...], widths: list[int]) -> int:
    """Give the place in a line of ASCII at which a column begins; behind its end, if it is not shown."""
    place = shown.index(wanted) if wanted in shown else len(shown)
    return sum(widths[:place]) + len(_GAP) * place


def _fitted(widths: list[int], shown: tuple[Column, ...], width: int) -> list[int]:
    """Cut the widest of the columns that shrink, evenly, until the line fits or they are as narrow as they may be."""
    room = width - len(_GAP) * (len(shown) - 1)
    room -= sum(size for size, column in zip(widths, shown, strict=True) if not column.shrinks)
    soft = [size for size, column in zip(widths, shown, strict=True) if column.shrinks]
    limit = max(soft, default=_NARROWEST)
    while limit > _NARROWEST and sum(min(size, limit) for size in soft) > room:
        limit -= 1
    return [min(size, limit) if column.shrinks else size for size, column in zip(widths, shown, strict=True)]


def _line(cells: list[str], widths: list[int], *, fit: bool) -> str:
    padded = (_cut(cell, width) if fit else cell for cell, width in zip(cells, widths, strict=True))
    return _GAP.join(cell + " " * (width - columns(cell)) for cell, width in zip(padded, widths, strict=True)).rstrip()


def _cut(cell: str, width: int) -> str:
    """Cut a cell to `width` columns; the mark at its end says so."""
    if columns(cell) <= width:
        return cell
    kept = cell[: width - 1]
    while columns(kept) > width - 1:
        kept = kept[:-1]
    return f"{kept}…"
