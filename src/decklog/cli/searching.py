"""What the asking commands share: where to search, which window, how to print."""

from __future__ import annotations

import functools
import os
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from decklog.ask.forking import usable_processes
from decklog.ask.moments import moment
from decklog.ask.scan import scan
from decklog.ask.terminal import visible
from decklog.cli.objects import told_apart
from decklog.cli.printing import OutputFormat
from decklog.cli.progress import Bar, total_bytes
from decklog.errors import DecklogError
from decklog.sources.places import find
from decklog.sources.reader import read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from decklog.audit.query import Query
    from decklog.disk import Disk
    from decklog.sources.record import Coverage, Record
    from decklog.store.view import View

    _Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

FORMATS: Final = ("table", "wide", "json", "jsonl", "yaml", "csv", "name", "jsonpath=TEMPLATE")
NOTHING_FOUND: Final = 1

ROWS_HELP: Final = """\b
An answer has one row a request: its latest stage seen. In -o json and jsonl a
request is an object with the event's own names, empty fields left out:
  time user impersonatedUser groups verb apiGroup resource subresource
  namespace name code reason message decision dryRun durationSeconds
  sourceIPs userAgent requestURI level stage stages auditID file line
json and yaml are {"requests": [...], "searched": {...}}, jsonl one request a
line, csv one a row, jsonpath= kubectl's template filled from one at a time.
Of sourceIPs the last is what the server saw; those before it are claims.
Up to 10,000 rows are sorted by time; a longer answer comes in the log's order.
Exit code 1: nothing was found."""


@dataclass(frozen=True, slots=True)
class Search:
    """Where and when to search, and how to print."""

    files: tuple[str, ...]
    rotated: bool
    since: str | None
    """MicroTime."""
    until: str | None
    output: str
    verify_lines: bool = False
    """Decode every line, also those that cannot be about the question."""
    policy: str = ""
    """A policy file: whether it would have recorded what was asked for."""
    store: str = ""
    """A store to search instead of files."""
    cluster: str | None = None
    """Of a store, the events of this cluster alone."""
    declared: bool = False
    """The user says that the files hold nothing but audit logs (`sources.reader`)."""
    bar: Bar = field(default_factory=Bar, compare=False)
    """Shows on a terminal that a long search goes on; to be stopped before anything is printed meanwhile."""

    def records(self, coverage: Coverage, *queries: Query) -> Iterator[Record]:
        """Read what was named; raises DecklogError for what is not there.

        With `queries`, what they are not about may be left out (`ask.scan`).
        """
        if self.store:
            return self._stored(coverage, () if self.verify_lines else queries)
        stdin = sys.stdin.buffer if sys.stdin else BytesIO()  # a process may be started without one
        places = find(self.files, stdin, rotated=self.rotated)
        self.bar.watch(coverage, total_bytes(places))
        if not queries or self.verify_lines:
            return self.bar.over(read(places, coverage, declared=self.declared))
        found = scan(places, coverage, queries, processes=usable_processes(), declared=self.declared)
        return self.bar.over(found)

    def _stored(self, coverage: Coverage, queries: tuple[Query, ...]) -> Iterator[Record]:
        # Because: SQLite and the reader of stores, which questions to files do not need.
        from decklog.ask.stored import stored  # noqa: PLC0415  # because: what a plain search of a log does not need

        seen, disk = self.view()
        self.bar.watch(coverage, None)
        return self.bar.over(stored(seen, disk, coverage, queries, processes=usable_processes()))

    def view(self) -> tuple[View, Disk]:
        """Look at the store; raises DecklogError if it cannot be read."""
        from decklog.disk import Disk  # noqa: PLC0415  # because: questions to files need none of these
        from decklog.store.view import view  # noqa: PLC0415  # because: the same

        disk = Disk()
        try:
            return view(Path(self.store), disk).within(None, self.until, self.cluster), disk
        except OSError as error:
            raise DecklogError(
                f"cannot read the store {self.store} ({error.strerror}): run as a user who may"
            ) from error


def search_options(
    formats: tuple[str, ...] = FORMATS, *, objects: bool = False, names_cluster: bool = False
) -> _Decorator:
    """Make a decorator that gives a command the shared options, and its argument `search` a Search.

    The first of `formats` is the default of ``-o``; without any there is no such option. Positional `files`, where a
    command takes them, count as well; with `objects`, those of them that are objects (`objects.told_apart`) are given
    to it as `things`. `names_cluster`: ``--cluster`` is of use to it for files, too.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def with_search(
            *args: Any,
            filename: tuple[str, ...],
            rotated: bool,
            since: str | None,
            until: str | None,
            verify_lines: bool,
            declared: bool,
            policy: str | None,
            store: str | None,
            cluster: str | None,
            output: str = "",
            **values: Any,
        ) -> Any:
            now = datetime.now(UTC)
            start, end = (moment(time, now) if time else None for time in (since, until))
            if start is not None and end is not None and start >= end:
                raise DecklogError(f"--since {since} is not before --until {until}: nothing lies between")
            positional = values.pop("files", ())
            if objects:
                positional, values["things"] = told_apart(positional)
            files, store = _places(positional, filename, store or "")
            if cluster is not None and not store and not names_cluster:
                raise DecklogError("--cluster is about a store: give --store DIR as well")
            search = Search(files, rotated, start, end, output, verify_lines, policy or "", store, cluster, declared)
            return command(*args, **values, search=search)

        with_options: Callable[..., Any] = with_search
        options: tuple[_Decorator, ...] = (*((_output_option(formats),) if formats else ()), *reversed(_OPTIONS))
        for option in options:  # the last one put on is listed first
            with_options = option(with_options)
        return with_options

    return decorate


def _places(positional: tuple[str, ...], named: tuple[str, ...], store: str) -> tuple[tuple[str, ...], str]:
    """Give the files, or else the store; what the environment names counts only where the command line names nothing.

    Where nothing is named at all, the configuration file may name files (``source:``) or a store.
    """
    source = click.get_current_context().get_parameter_source
    files = positional if positional and source("filename") is ParameterSource.ENVIRONMENT else (*positional, *named)
    if not files:
        return ((), store) if store else configured()
    if not store:
        return files, ""
    given_files = bool(positional) or source("filename") is not ParameterSource.ENVIRONMENT
    given_store = source("store") is not ParameterSource.ENVIRONMENT
    if given_files == given_store:
        raise DecklogError("either files or a store: give -f FILE or --store DIR, not both")
    return (files, "") if given_files else ((), store)


def configured() -> tuple[tuple[str, ...], str]:
    """Give the files that the configuration file names, or else its store."""
    # Because: the options of every floor; only where nothing else says what to search.
    from decklog import config_file  # noqa: PLC0415  # because: what a plain search of a log does not need

    path = config_file.find()
    values = config_file.read(path) if path is not None else {}
    files = tuple(filter(None, str(values.get("--source", "")).split(os.pathsep)))
    return files, "" if files else str(values.get("--store", ""))


def _output_option(formats: tuple[str, ...]) -> _Decorator:
    return click.option(
        "-o",
        "--output",
        type=OutputFormat(formats),
        default=formats[0],
        show_default=True,
        help="How to print the answer; on a terminal a table is fitted to it, wide has every column."
        if "wide" in formats
        else "How to print the answer.",
    )


_OPTIONS: Final = (
    click.option(
        "-f",
        "--filename",
        multiple=True,
        metavar="FILE|DIR|GLOB|-",
        envvar="DECKLOG_SOURCE",
        show_envvar=True,
        type=click.Path(),
        help="Audit log to search, repeatable: a file (its rotated and packed parts are found), a directory, a glob in"
        " quotes, or - for standard input. The environment, or source: in decklog.yaml, may name several, parted by"
        " colons.",
    ),
    click.option(
        "--store",
        metavar="DIR",
        envvar="DECKLOG_STORE",
        show_envvar=True,
        type=click.Path(),
        help="Search a store of decklog receive or decklog import instead of files; what it has acknowledged is found."
        " Where nothing is named, decklog.yaml may say store: DIR.",
    ),
    click.option("--cluster", metavar="NAME", help="Of a store, only the events of this cluster."),
    click.option(
        "--rotated/--no-rotated", default=True, show_default=True, help="Read the older parts of a rotated log, too."
    ),
    click.option(
        "--since",
        "--since-time",
        "since",
        metavar="TIME",
        help="Only requests under way at TIME or later: a span back from now (30m, 2h, 7d), a day (2026-01-31)"
        " or a time (2026-01-31T12:00:00Z); UTC where no zone is given.",
    ),
    click.option(
        "--until",
        "--before",
        "until",
        metavar="TIME",
        help="Only requests received before TIME, written in the same way.",
    ),
    click.option(
        "--verify-lines", is_flag=True, help="Decode every line, also those that cannot be about the question: slow."
    ),
    click.option(
        "--declared",
        is_flag=True,
        help="Say that the sources hold nothing but audit logs: a shipper's envelope is then read although it names no"
        " origin. What a container printed is refused all the same.",
    ),
    click.option(
        "--policy",
        metavar="FILE",
        type=click.Path(),
        help="Audit policy of the cluster: say whether it would have recorded what is asked for.",
    ),
)


def tell(text: str) -> None:
    """Write one line beside the answer, on stderr."""
    sys.stdout.flush()  # so that on a terminal it comes below the answer
    click.echo(visible(text), err=True)
