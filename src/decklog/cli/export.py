"""``decklog export``: a log in another format, for another tool."""

from __future__ import annotations

import csv
import os
import sys
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import click
import msgspec

from decklog.ask.covering import covered
from decklog.ask.requests import Seen, merge
from decklog.ask.rows import event_row, row
from decklog.ask.terminal import visible_json
from decklog.cli.cells import cell
from decklog.cli.narrowing import FILTERS_HELP, narrowed
from decklog.cli.searching import NOTHING_FOUND, search_options, tell
from decklog.errors import DecklogError
from decklog.sources.record import Coverage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from decklog.ask.rows import Row
    from decklog.audit.query import Query
    from decklog.cli.searching import Search
    from decklog.sources.record import Record

FORMATS: Final = ("jsonl", "csv", "parquet", "ocsf", "ecs")

_HELP: Final = """Write a log in another format.

ocsf is API Activity (class 6003) of OCSF 1.8.0, ecs the Elastic Common Schema, each a line of JSON an event. csv and
parquet have the columns of the table events of decklog sql; jsonl has the rows of -o jsonl. Bodies stay behind unless
--bodies asks for them: they may hold secrets.

\b
decklog export --to ocsf audit.log > activity.jsonl
decklog export --to parquet --out audit.parquet -f /var/log/kubernetes --since 7d
decklog export --to csv --resource secrets audit.log > secrets.csv
"""


@click.command("export", help=_HELP, epilog=FILTERS_HELP)
@click.argument("files", nargs=-1, type=click.Path(), metavar="[FILE]...")
@click.option("--to", "kind", required=True, type=click.Choice(FORMATS), help="The format.")
@click.option("--out", metavar="FILE", type=click.Path(), help="Where to; standard output without it, but for parquet.")
@click.option(
    "--requests", "by_request", is_flag=True, help="One row a request, its latest stage, instead of every event."
)
@click.option("--bodies", is_flag=True, help="With request and response objects (not in csv and jsonl).")
@search_options(("text",), names_cluster=True)
@narrowed
def command(search: Search, query: Query, kind: str, out: str | None, by_request: bool, bodies: bool) -> None:
    """Write a log in another format."""
    if kind == "parquet" and out is None:
        raise DecklogError("a Parquet file needs a place: name it with --out FILE")
    coverage = Coverage()
    records = search.records(coverage, query)
    if kind == "parquet":
        number = _parquet(records, query, Path(out or ""), by_request=by_request, bodies=bodies)
    else:
        with _destination(out) as file:
            number = _lines(
                kind, _seen(records, query, by_request=by_request), file, bodies=bodies, cluster=search.cluster or ""
            )
    tell(f"{number:,} {'request' if by_request else 'event'}{'' if number == 1 else 's'} exported")
    tell(covered(coverage, search.since, search.until))
    if not number:
        click.get_current_context().exit(NOTHING_FOUND)


def _seen(records: Iterator[Record], query: Query, *, by_request: bool) -> Iterator[tuple[Seen, Row]]:
    if by_request:
        for request in merge(records, query):
            yield request.latest, row(request)
        return
    for record in records:
        if record.event is not None and query.matches(record.event, record.line):
            seen = Seen(record.event, record.file, record.number)
            yield seen, event_row(seen)


def _parquet(records: Iterator[Record], query: Query, path: Path, *, by_request: bool, bodies: bool) -> int:
    # Because: DuckDB takes 30 ms and more to import; the other formats do not need it.
    from decklog.ask import duck  # noqa: PLC0415  # because: DuckDB, for Parquet alone

    def asked() -> Iterator[Record]:
        for record in records:
            if record.event is not None and query.matches(record.event, record.line):
                yield record

    with duck.tables() as filled:
        filled.load_records(asked(), bodies=bodies)
        filled.write_parquet(path, requests=by_request)
        return filled.count(requests=by_request)


def _lines(kind: str, seen: Iterator[tuple[Seen, Row]], file: BinaryIO, *, bodies: bool, cluster: str) -> int:
    if kind == "csv":
        return _csv(seen, file)
    encode = msgspec.json.Encoder().encode
    number = 0
    mapped = _mapping(kind)
    for number, (one, one_row) in enumerate(seen, start=1):  # noqa: B007  # because: the last number is the count
        value: Any = one_row if mapped is None else mapped(one.event, cluster=cluster, bodies=bodies)
        try:
            line = encode(value)
        except UnicodeEncodeError:  # a lone surrogate, which JSON for others should not have
            line = encode(_sound(msgspec.to_builtins(value)))
        file.write(line + b"\n" if not file.isatty() else f"{visible_json(line.decode())}\n".encode())
    return number


def _mapping(kind: str) -> Callable[..., dict[str, Any]] | None:
    if kind == "ocsf":
        from decklog.ask.ocsf import ocsf  # noqa: PLC0415  # because: one of the two is asked for

        return ocsf
    if kind == "ecs":
        from decklog.ask.ecs import ecs  # noqa: PLC0415  # because: the same

        return ecs
    return None


def _csv(seen: Iterator[tuple[Seen, Row]], file: BinaryIO) -> int:
    from decklog.ask.flat import COLUMNS, flat  # noqa: PLC0415  # because: the other formats have other columns

    class _Text:
        def write(self, text: str) -> None:
            file.write(text.encode("utf-8", "backslashreplace"))

    writer = csv.writer(_Text(), lineterminator="\n")
    writer.writerow(COLUMNS)
    number = 0
    for number, (one, _) in enumerate(seen, start=1):  # noqa: B007  # because: the last number is the count
        made = flat(one.event, one.file, one.number)
        writer.writerow([cell(_csv_text(getattr(made, name))) for name in COLUMNS])
    return number


def _csv_text(value: Any) -> object:
    if isinstance(value, tuple):
        return " ".join(value)
    if isinstance(value, dict):
        return "; ".join(f"{key}={item}" for key, item in value.items())
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else value


def _sound(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, (list, tuple)):
        return list(map(_sound, value))
    if isinstance(value, dict):
        return {_sound(key): _sound(item) for key, item in value.items()}
    return value


@contextmanager
def _destination(out: str | None) -> Iterator[BinaryIO]:
    """Open where to write: a file comes into being whole, or not at all."""
    if out is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(out)
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise DecklogError(f"cannot write {out} ({error.strerror})") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
