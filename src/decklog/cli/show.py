"""``decklog show``: the six answers about one request."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click
import msgspec

from decklog.ask.answers import six_answers
from decklog.ask.moments import readable
from decklog.ask.rows import Row, row
from decklog.ask.terminal import visible
from decklog.audit.query import Pattern, Query
from decklog.cli.asking import Asking
from decklog.cli.listing import FORMATS_HELP, Listing, names_of, print_listing
from decklog.cli.printing import terminal_width
from decklog.cli.searching import FORMATS, search_options
from decklog.cli.table import NARROW, WIDE
from decklog.errors import DecklogError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from decklog.ask.requests import Request, Seen
    from decklog.cli.searching import Search
    from decklog.cli.table import Column
    from decklog.sources.record import Provenance

SHOWN_REQUESTS: Final = 20
SHORTEST_BEGINNING: Final = 4
LONGEST_SENTENCE: Final = 4000
"""Characters; an audit ID or a user agent may be of any length."""

_INDENT: Final = 18


_HELP: Final = """Answer the six questions about one request.

Who, when, in which namespace, from where, what was the response, what happened: from all stages that the log has.
The beginning of an audit ID will do (the table of who and query shows eight characters). Clients may choose the ID
of a request: if several bear it, each is shown.

\b
decklog show 2df91c98-8768-44fb-8590-93607599da33 -f audit.log
decklog show 2df91c98 -f /var/log/kubernetes -o json
"""
_EPILOG: Final = f"""\b
In -o json each of "requests" is one as in decklog query, and further has answers
(to the six questions) and stagesSeen (stage, time, file, line, provenance).
{FORMATS_HELP}
Exit code 1: no request has this audit ID."""


@click.command("show", help=_HELP, epilog=_EPILOG)
@click.argument("audit_id", metavar="AUDIT-ID")
@search_options(("text", *FORMATS))
def command(search: Search, audit_id: str) -> None:
    """Answer the six questions about one request."""
    if not audit_id:
        raise DecklogError("the audit ID is empty: take one from the table of decklog who or query")
    found = _Found(audit_id)
    asking = Asking(search, found.query(search))
    for request in asking.requests():
        found.take(request)
    if search.output == "text":
        _write_text(found)
    else:
        print_listing(search.output, _listing(found), asking.searched(found=bool(found.requests)))
    asking.conclude(f"no request has the audit ID {audit_id}", found=bool(found.requests))


class _Found:
    """The requests with an audit ID; only if there are none, those whose ID begins with it."""

    def __init__(self, audit_id: str) -> None:
        self._audit_id = audit_id
        self._exact: list[Request] = []
        self._near: list[Request] = []
        self._numbers = [0, 0]

    def query(self, search: Search) -> Query:
        pattern = Pattern(self._audit_id, prefix=len(self._audit_id) >= SHORTEST_BEGINNING)
        return Query(audit_ids=(pattern,), since=search.since, until=search.until)

    def take(self, request: Request) -> None:
        exact = request.latest.event.audit_id == self._audit_id
        self._numbers[exact] += 1
        kept = self._exact if exact else self._near
        if len(kept) < SHOWN_REQUESTS:
            kept.append(request)

    @property
    def requests(self) -> list[Request]:
        return self._exact or self._near

    @property
    def number(self) -> int:
        return self._numbers[1] or self._numbers[0]


def _listing(found: _Found) -> Listing:
    shown = [_Shown(row(request), request) for request in found.requests]
    wide = tuple(column._replace(text=_of_row(column), wide=True) for column in WIDE)
    narrow = tuple(column._replace(text=_of_row(column)) for column in NARROW)
    columns = (*narrow, *(column for column in wide if column.title not in {each.title for each in narrow}))
    return Listing("requests", shown, columns, names_of(Row), lambda one: str(one.row.what), _plain)


class _Shown(NamedTuple):
    row: Row
    request: Request


def _of_row(column: Column) -> Callable[[_Shown], str]:
    return lambda one: column.text(one.row)


def _plain(one: _Shown) -> dict[str, Any]:
    answers = {answer.question: answer.text for answer in six_answers(one.request)}
    return {**msgspec.to_builtins(one.row), "answers": answers, "stagesSeen": list(map(_stage, one.request.stages))}


def _stage(seen: Seen) -> dict[str, Any]:
    found = {"stage": seen.event.stage, "time": seen.event.stage_timestamp, "file": seen.file, "line": seen.number}
    return found if seen.provenance is None else {**found, "provenance": msgspec.to_builtins(seen.provenance)}


def _write_text(found: _Found) -> None:
    width = terminal_width(sys.stdout)
    if found.number > 1:
        sys.stdout.write(f"{found.number} requests; clients may choose the audit ID, so it need not be unique.\n")
    for request in found.requests:
        sys.stdout.writelines(f"{line}\n" for line in _lines(request, width))
    if found.number > len(found.requests):
        sys.stdout.write(f"... and {found.number - len(found.requests)} more\n")


def _lines(request: Request, width: int | None) -> Iterator[str]:
    yield f"Request {_shortened(request.latest.event.audit_id)}"
    for question, text in six_answers(request):
        yield from _labelled(f"{question}?", _wrapped(_shortened(text), width))
    stages = (
        f"{seen.event.stage} {readable(seen.event.stage_timestamp)} {seen.file}:{seen.number}"
        for seen in request.stages
    )
    yield from _labelled("Stages", map(visible, stages))
    if came := _came(request.latest.provenance):
        yield from _labelled("Came as", _wrapped(_shortened(came), width))


def _came(whence: Provenance | None) -> str:
    """Say in what envelope the latest event came, and what of it was made up."""
    if whence is None:
        return ""
    cluster = f", cluster {whence.cluster}" if whence.cluster else ""
    said = ", ".join(f"{key} {value}" for key, value in whence.said.items())
    sentences = [f"a record of {whence.carrier}{cluster}{f' ({said})' if said else ''}."]
    if whence.declared:
        sentences.append("It names no origin: that it is of an audit log, --declared says.")
    if whence.synthesised:
        sentences.append(f"Not in the source, so made up: {', '.join(whence.synthesised)}.")
    return " ".join(sentences)


def _labelled(label: str, lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield f"  {label:<{_INDENT}}{line}"
        label = ""


def _shortened(text: str) -> str:
    """Escape, and cut what is far too long for reading; ``-o json`` has all of it."""
    if len(text) <= LONGEST_SENTENCE:
        return visible(text)
    return f"{visible(text[:LONGEST_SENTENCE])} ... ({len(text) - LONGEST_SENTENCE:,} characters more)"


def _wrapped(text: str, width: int | None) -> list[str]:
    if width is None:
        return [text]
    from textwrap import wrap  # noqa: PLC0415  # because: only a terminal needs it, and it compiles long patterns

    return wrap(text, max(20, width - _INDENT - 2), break_on_hyphens=False) or [""]
