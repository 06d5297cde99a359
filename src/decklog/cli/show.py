"""``decklog show``: the six answers about one request."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from decklog.ask.answers import six_answers
from decklog.ask.covering import covered
from decklog.ask.moments import readable
from decklog.ask.requests import merge
from decklog.ask.rows import row
from decklog.ask.terminal import visible, visible_json
from decklog.audit.query import Pattern, Query
from decklog.cli.printing import searched, terminal_width
from decklog.cli.searching import NOTHING_FOUND, search_options, tell
from decklog.errors import DecklogError
from decklog.sources.record import Coverage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from decklog.ask.requests import Request
    from decklog.cli.searching import Search

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


@click.command("show", help=_HELP, epilog="Exit code 1: no request has this audit ID.")
@click.argument("audit_id", metavar="AUDIT-ID")
@search_options(("text", "json"))
def command(search: Search, audit_id: str) -> None:
    """Answer the six questions about one request."""
    if not audit_id:
        raise DecklogError("the audit ID is empty: take one from the table of decklog who or query")
    coverage = Coverage()
    found = _Found(audit_id)
    query = found.query(search)
    for request in merge(search.records(coverage, query), query):
        found.take(request)
    write = _write_json if search.output == "json" else _write_text
    write(found, searched(coverage, search.since, search.until))
    if not found.requests:
        tell(f"no request has the audit ID {audit_id}")
    tell(covered(coverage, search.since, search.until))
    if not found.requests:
        click.get_current_context().exit(NOTHING_FOUND)


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


def _write_json(found: _Found, covers: dict[str, Any]) -> None:
    requests = [
        msgspec.to_builtins(row(request))
        | {"answers": {answer.question: answer.text for answer in six_answers(request)}}
        for request in found.requests
    ]
    text = msgspec.json.format(msgspec.json.encode({"requests": requests, "searched": covers}), indent=2).decode()
    sys.stdout.writelines(f"{visible_json(line)}\n" for line in text.split("\n"))


def _write_text(found: _Found, _covers: dict[str, Any]) -> None:
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
