"""``decklog export``: a log in another format, for another tool."""

from __future__ import annotations

import functools
import glob
import os
import shutil
import signal
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import click
import msgspec
from click.core import ParameterSource

from decklog.ask.requests import Seen
from decklog.ask.rows import event_row, row
from decklog.ask.sound import sound
from decklog.ask.terminal import visible_json
from decklog.cli.asking import Asking, matching
from decklog.cli.narrowing import FILTERS_HELP, filtered
from decklog.cli.objects import told_apart
from decklog.cli.searching import configured, search_options, tell
from decklog.errors import DecklogError
from decklog.sources.places import STANDARD_INPUT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from decklog.ask.rows import Row
    from decklog.cli.narrowing import Filters
    from decklog.cli.objects import Thing
    from decklog.cli.searching import Search

FORMATS: Final = ("jsonl", "csv", "parquet", "ocsf", "ecs")

_HELP: Final = """Write a log in another format.

ocsf is API Activity (class 6003) of OCSF 1.8.0, ecs the Elastic Common Schema, each a line of JSON an event. csv and
parquet have the columns of the table events of decklog sql; jsonl has the rows of -o jsonl. Bodies stay behind unless
--bodies asks for them: they may hold secrets.

\b
decklog export --to ocsf audit.log > activity.jsonl
decklog export --to parquet audit.parquet -f /var/log/kubernetes --since 7d
decklog export --to csv --resource secrets audit.log > secrets.csv

Where the source is named by -f, --store or the configuration, FILE is where to write; else it is the log. A file is
written aside and put in its place when it is whole.
"""
_EPILOG: Final = f"""{FILTERS_HELP}
Without --requests every event is a row, and filters are of single events.
Exit code 1: nothing to export."""
_TERMINATED: Final = 128 + signal.SIGTERM


def written_to(command: Callable[..., Any]) -> Callable[..., Any]:
    """Take the one word that is no source for the place to write to: where the sources are named by other means."""

    @functools.wraps(command)
    def with_place(files: tuple[str, ...], out: str | None, **values: Any) -> Any:
        words, _ = told_apart(files)
        if out is None and len(words) == 1 and words[0] != STANDARD_INPUT and _is_place(words[0]):
            files, out = tuple(word for word in files if word != words[0]), words[0]
        return command(files=files, out=out, **values)

    return with_place


def _is_place(word: str) -> bool:
    """Tell whether a word is where to write; raises DecklogError where it could be either."""
    context = click.get_current_context()
    is_there = os.path.lexists(word)
    sources = [context.get_parameter_source(name) for name in ("filename", "store")]
    if ParameterSource.COMMANDLINE in sources:
        if is_there:
            raise DecklogError(f"{word} is there already: --out {word} writes over it, -f {word} reads it as well")
        return True
    return not is_there and not glob.has_magic(word) and (ParameterSource.ENVIRONMENT in sources or any(configured()))


@click.command("export", help=_HELP, epilog=_EPILOG)
@click.argument("files", nargs=-1, type=click.Path(), metavar="[FILE|TYPE/NAME]...")
@click.option("--to", "kind", required=True, type=click.Choice(FORMATS), help="The format.")
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(),
    help="Where to, also over a file that is there. Without it, and without a FILE to write: standard output.",
)
@click.option(
    "--requests", "by_request", is_flag=True, help="One row a request, its latest stage, instead of every event."
)
@click.option("--bodies", is_flag=True, help="With request and response objects (not in csv and jsonl).")
@written_to
@filtered()
@search_options((), objects=True, names_cluster=True)
def command(
    search: Search,
    things: tuple[Thing, ...],
    filters: Filters,
    kind: str,
    out: str | None,
    by_request: bool,
    bodies: bool,
) -> None:
    """Write a log in another format."""
    if kind == "parquet" and out is None:
        raise DecklogError("a Parquet file needs a place: name it with --out FILE")
    asking = Asking(search, *filters.queries(search, things))
    with _destination(out) as file:
        if kind == "parquet":
            number = _parquet(asking, Path(file.name), by_request=by_request, bodies=bodies)
        else:
            seen = _seen(asking, by_request=by_request)
            number = _lines(kind, seen, file, bodies=bodies, cluster=search.cluster or "")
    tell(f"{number:,} {'request' if by_request else 'event'}{'' if number == 1 else 's'} exported")
    asking.conclude("nothing to export", found=bool(number))


def _seen(asking: Asking, *, by_request: bool) -> Iterator[tuple[Seen, Row]]:
    if by_request:
        for request in asking.requests():
            yield request.latest, row(request)
        return
    for record in matching(asking.records(), asking.queries):
        if record.event is not None:
            seen = Seen(record.event, record.file, record.number, None, record.provenance)
            yield seen, event_row(seen)


def _parquet(asking: Asking, path: Path, *, by_request: bool, bodies: bool) -> int:
    # Because: DuckDB takes 30 ms and more to import; the other formats do not need it.
    from decklog.ask import duck  # noqa: PLC0415  # because: DuckDB, for Parquet alone

    with duck.tables() as filled:
        filled.load_records(matching(asking.records(), asking.queries), bodies=bodies)
        filled.write_parquet(path, requests=by_request)
        return filled.count(requests=by_request)


def _lines(kind: str, seen: Iterator[tuple[Seen, Row]], file: BinaryIO, *, bodies: bool, cluster: str) -> int:
    if kind == "csv":
        return _csv(seen, file)
    encode = msgspec.json.Encoder().encode
    number = 0
    mapped = _mapping(kind)
    for number, (one, one_row) in enumerate(seen, start=1):  # noqa: B007  # because: the last number is the count
        value: Any = one_row if mapped is None else mapped(one.event, cluster=cluster or one_row.cluster, bodies=bodies)
        try:
            line = encode(value)
        except UnicodeEncodeError:  # a lone surrogate, which JSON for others should not have
            line = encode(sound(msgspec.to_builtins(value)))
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
    from decklog.cli.spreadsheets import write_csv  # noqa: PLC0415  # because: the same

    class _Text:
        def write(self, text: str) -> None:
            file.write(text.encode("utf-8", "backslashreplace"))

    flats = (flat(one.event, one.file, one.number) for one, _ in seen)
    rows = ({name: _csv_value(getattr(made, name)) for name in COLUMNS} for made in flats)
    return write_csv(_Text(), tuple(COLUMNS), rows)


def _csv_value(value: Any) -> Any:
    if isinstance(value, dict):
        return "; ".join(f"{key}={item}" for key, item in value.items())
    return str(value).lower() if isinstance(value, bool) else value


@contextmanager
def _destination(out: str | None) -> Iterator[BinaryIO]:
    """Open where to write: a file comes into being whole, or not at all; also when the program is told to end."""
    if out is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(out)
    if path.is_dir():
        raise DecklogError(f"{out} is a directory: name a file in it")
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))
    aside: Path | None = None
    try:
        aside = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name[:100]}."))
        with (aside / path.name).open("wb") as file:
            yield file
        (aside / path.name).replace(path)
    except OSError as error:
        raise DecklogError(f"cannot write {out} ({error.strerror}): name another place") from error
    finally:
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)  # DuckDB writes beside its file, too
        signal.signal(signal.SIGTERM, before)
