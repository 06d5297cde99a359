"""``decklog sql``: one SELECT over a log, read-only."""

from __future__ import annotations

import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from decklog.ask.flat import BODIES, COLUMNS
from decklog.ask.forking import usable_processes
from decklog.audit.query import Query
from decklog.cli.asking import Asking
from decklog.cli.listing import Listing, print_listing
from decklog.cli.progress import total_bytes
from decklog.cli.searching import FORMATS, search_options, tell
from decklog.cli.table import Column
from decklog.sources.places import find

if TYPE_CHECKING:
    from collections.abc import Callable

    from decklog.ask.duck import Answer
    from decklog.cli.searching import Search

_HELP: Final = """Run one SELECT over a log, read-only, in DuckDB's dialect.

The table requests has one row a request (its latest stage), events one row an event. Nothing else can be reached from
SQL: no file, no network, no setting.

\b
decklog sql "select user, count(*) n from requests where code = 403 group by user order by n desc" audit.log
decklog sql "select date_trunc('hour', time) h, quantile_cont(durationSeconds, .99) from requests group by h" audit.log
decklog sql "select requestObject->>'$.spec.replicas' from events where subresource = 'scale'" -f audit.log -o csv
"""
_MOST_BYTES_A_CELL: Final = 200


def _columns_help() -> str:
    columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    words = f"Columns of both: {columns}; {', '.join(BODIES)} JSON, where the query names them.".split(" ")
    lines, line = [], ""
    for word in words:
        if len(line) + len(word) > 76:
            lines.append(line)
            line = ""
        line = f"{line} {word}".strip()
    more = "Only in requests: stages VARCHAR[], durationSeconds DOUBLE. Times are in UTC."
    return "\b\n" + "\n".join([*lines, line, more, "Exit code 1: the answer has no rows."])


@click.command("sql", help=_HELP, epilog=_columns_help())
@click.argument("sql", metavar="SELECT")
@click.argument("files", nargs=-1, type=click.Path(), metavar="[FILE]...")
@click.option("--limit", default=1000, show_default=True, metavar="NUMBER", type=click.IntRange(min=1), help="Of rows.")
@click.option(
    "--timeout",
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    type=click.FloatRange(min=0.01, max=86_400),
    help="For the query, after the log has been read.",
)
@click.option(
    "--memory-mb", default=700, show_default=True, metavar="MB", type=click.IntRange(min=600), help="For DuckDB."
)
@search_options(tuple(name for name in FORMATS if name != "name"))
def command(search: Search, sql: str, limit: int, timeout: float, memory_mb: int) -> None:
    """Run one SELECT."""
    # Because: DuckDB takes 30 ms and more to import; --help does not need it.
    from decklog.ask import duck  # noqa: PLC0415  # because: DuckDB, once the command line is known to be right

    duck.check(sql)
    processes = usable_processes()
    bodies = duck.mentions(sql, BODIES)
    asking = Asking(search, Query(since=search.since, until=search.until))
    with duck.tables(memory_mb=memory_mb, threads=processes) as filled:
        asking.coverage = filled.coverage
        if search.store or search.declared:
            filled.load_records(asking.records(), bodies=bodies, since=search.since, until=search.until)
        else:
            stdin = sys.stdin.buffer if sys.stdin else BytesIO()  # a process may be started without one
            places = find(search.files, stdin, rotated=search.rotated)
            with search.bar.during(filled.coverage, total_bytes(places)):
                filled.load(places, bodies=bodies, since=search.since, until=search.until, processes=processes)
        answer = _interruptible(
            lambda: duck.ask(filled, sql, max_rows=limit, timeout_s=timeout), filled.connection.interrupt
        )
    _print(asking, answer)
    if answer.cut:
        tell(f"there are more than {limit:,} rows: --limit shows more")
    asking.conclude(found=bool(answer.rows))


def _interruptible(ask: Callable[[], Answer], stop: Callable[[], None]) -> Answer:
    """Ask in a thread of its own: DuckDB, while it is busy, would let Ctrl-C wait for the end of the query."""
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask)
        try:
            return asked.result()
        except KeyboardInterrupt:
            stop()
            raise


def _print(asking: Asking, answer: Answer) -> None:
    first, names = answer.rows[0] if answer.rows else (), _each_once(answer.columns)
    cut = _MOST_BYTES_A_CELL if asking.search.output == "table" else None
    columns = tuple(
        Column(
            name,
            lambda row, place=place: _text(row[place])[:cut],  # type: ignore[misc]  # because: a default binds the place
            shrinks=True,
            right=place < len(first) and isinstance(first[place], (int, float)) and not isinstance(first[place], bool),
        )
        for place, name in enumerate(answer.columns)
    )

    def plain(row: Any) -> dict[str, Any]:
        return dict(zip(names, map(_plain, row), strict=True))

    def flat(row: Any) -> dict[str, Any]:
        spelled = (str(value).lower() if isinstance(value, bool) else value for value in map(_plain, row))
        return dict(zip(names, spelled, strict=True))

    listing = Listing("rows", answer.rows, columns, names, None, plain, flat, {"more": answer.cut})
    print_listing(asking.search.output, listing, asking.searched(found=bool(answer.rows)))


def _each_once(names: list[str]) -> list[str]:
    """Tell columns apart that bear one name, for the formats that name each: ``a``, ``a:1``."""
    seen: Counter[str] = Counter()
    told = []
    for name in names:
        told.append(f"{name}:{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return told


def _plain(value: Any) -> Any:
    """Give a value as JSON has it: times as RFC 3339 in UTC, what JSON lacks as text."""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%S.%f}Z"
    if isinstance(value, (list, tuple)):
        return list(map(_plain, value))
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _text(value: Any) -> str:
    plain = _plain(value)
    if plain is None:
        return ""
    return plain if isinstance(plain, str) else msgspec.json.encode(plain).decode()
