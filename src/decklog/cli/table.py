"""Table: items → lines of a table, fitted to a width. Escapes what is foreign; colours only what is ours."""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from decklog.ask.moments import in_words, readable
from decklog.ask.terminal import columns, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from decklog.ask.rows import Row

MEASURED_ROWS: Final = 1000
"""Widths are taken from so many rows; a longer cell further down pushes its line out."""

_NARROWEST: Final = 8
_LAST_RESORT: Final = 4
"""Where that is still too wide, cells are cut down to so many columns; past that, the line is longer."""
_GAP: Final = "  "
_RED, _YELLOW, _CYAN, _BOLD, _PLAIN = "\x1b[31m", "\x1b[33m", "\x1b[36m", "\x1b[1m", "\x1b[0m"


class Column(NamedTuple):
    """One column of a table."""

    title: str
    text: Callable[[Any], str]
    shrinks: bool = False
    """May be cut to fit the width."""
    usual: int = 0
    """Columns that most of its cells need; for tables that cannot wait for them."""
    right: bool = False
    """Stands at the right edge: a number."""
    wide: bool = False
    """Only in the table that has every column."""
    weight: int = 1
    """How much more room than others it gets where cells are cut."""
    spare: int = 0
    """Left out where cells would be cut past reading, 1 first; 0: never."""


_RESULT: Final = "RESULT"


def _time(row: Row) -> str:
    return readable(row.time)


_TIME = Column("TIME (UTC)", _time, usual=19)
_STAGE = Column("STAGE", lambda row: row.stage, shrinks=True, usual=16)
_USER = Column("USER", lambda row: row.who, shrinks=True, usual=24)
_VERB = Column("VERB", lambda row: row.verb or "-", shrinks=True, usual=8)
_NAMESPACE = Column("NAMESPACE", lambda row: row.namespace or "-", shrinks=True, usual=14)
_OBJECT = Column("OBJECT", lambda row: row.what or "-", shrinks=True, usual=32, weight=2)
_CODE = Column(_RESULT, lambda row: row.result, shrinks=True, usual=6)
_FROM = Column("FROM", lambda row: row.source_ip or "-", shrinks=True, usual=15, spare=1)
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
    Column("CARRIER", lambda row: row.carrier or "-"),
)


def of_events(shown: tuple[Column, ...]) -> tuple[Column, ...]:
    """Add the stage to columns that lack it."""
    return shown if _STAGE in shown else (shown[0], _STAGE, *shown[1:])


def table(
    items: Iterable[Any],
    shown: Sequence[Column],
    *,
    width: int | None,
    colours: bool = False,
    waits: bool = True,
) -> Iterator[str]:
    """Yield the lines of a table, title first; nothing if there are no items.

    `width`: of the terminal; None: cells are not cut. Items stream: only the first `MEASURED_ROWS` are held; only
    one, if it must not wait for others (`waits`). `colours` are for rows of requests alone.
    """
    stream = iter(items)
    measured = [(item, _cells(item, shown)) for item in islice(stream, MEASURED_ROWS if waits else 1)]
    if not measured:
        return
    titles = [column.title for column in shown]
    widths = [max(map(columns, cells)) for cells in zip(titles, *(cells for _, cells in measured), strict=True)]
    if not waits:
        widths = [max(size, column.usual) for size, column in zip(widths, shown, strict=True)]
    if width is not None:
        widths = _fitted(widths, shown, width)
    title = _line(titles, widths, shown, fit=width is not None)
    yield f"{_BOLD}{title}{_PLAIN}" if colours else title
    user = _start_of(_USER, shown, widths)
    for item, cells in chain(measured, ((item, _cells(item, shown)) for item in stream)):
        line = _line(cells, widths, shown, fit=width is not None)
        yield _coloured(line, item, user) if colours else line


def shortened(text: str, width: int) -> str:
    """Cut safe text to so many columns; the mark at its end says so."""
    if columns(text) <= width:
        return text
    kept = text[: max(width - 1, 0)]
    while kept and columns(kept) > width - 1:
        kept = kept[:-1]
    return f"{kept}…"


def _cells(item: Any, shown: Sequence[Column]) -> list[str]:
    return [visible(column.text(item)) for column in shown]


def _coloured(line: str, row: Row, user: int) -> str:
    """Colour the whole line of a request that failed, or that was only tried out; of others the user."""
    colour = _RED if row.code >= 400 else _YELLOW if row.dry_run else ""
    if colour:
        return f"{colour}{line}{_PLAIN}"
    end = line.find(_GAP, user)
    if not line.isascii() or end < 0:
        return line
    return f"{line[:user]}{_CYAN}{line[user:end]}{_PLAIN}{line[end:]}"


def _start_of(wanted: Column, shown: Sequence[Column], widths: list[int]) -> int:
    """Give the place in a line of ASCII at which a column begins; behind its end, if it is not shown."""
    place = shown.index(wanted) if wanted in shown else len(shown)
    return sum(size + len(_GAP) for size in widths[:place] if size)


def _fitted(widths: list[int], shown: Sequence[Column], width: int) -> list[int]:
    """Cut the widest of the columns that shrink, evenly by weight, until the line fits; 0 is a column left out.

    Where cells were to be cut past reading, spare columns go first; then cells are cut as far as they may be.
    """
    spare = sorted((column.spare, place) for place, column in enumerate(shown) if column.spare)
    while not _fits(cut := _cut(widths, shown, width, _NARROWEST), width):
        if not spare:
            return _cut(widths, shown, width, _LAST_RESORT)
        widths = [0 if place == spare[0][1] else size for place, size in enumerate(widths)]
        spare = spare[1:]
    return cut


def _fits(widths: list[int], width: int) -> bool:
    return sum(widths) + len(_GAP) * (sum(map(bool, widths)) - 1) <= width


def _cut(widths: list[int], shown: Sequence[Column], width: int, narrowest: int) -> list[int]:
    limit = max((size for size, column in zip(widths, shown, strict=True) if column.shrinks), default=narrowest)
    cut = widths
    while limit > narrowest and not _fits(cut, width):
        limit -= 1
        cut = [
            min(size, limit * column.weight) if column.shrinks else size
            for size, column in zip(widths, shown, strict=True)
        ]
    return cut


def _line(cells: list[str], widths: list[int], shown: Sequence[Column], *, fit: bool) -> str:
    pieces = []
    for cell, width, column in zip(cells, widths, shown, strict=True):
        if not width:
            continue
        text = shortened(cell, width) if fit else cell
        room = " " * (width - columns(text))
        pieces.append(room + text if column.right else text + room)
    return _GAP.join(pieces).rstrip()
