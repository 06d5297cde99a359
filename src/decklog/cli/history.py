"""``decklog history``: who changed an object, when, from where, and what."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec
from msgspec.structs import replace

from decklog.ask.controllers import is_by_controller
from decklog.ask.history import BODY, NOTHING, PATCH, Asked, Entry, Target, history, telling
from decklog.ask.moments import readable
from decklog.ask.owners import said
from decklog.ask.rows import Row
from decklog.ask.terminal import visible
from decklog.audit.query import Query
from decklog.cli.asking import Asking
from decklog.cli.completing import objects
from decklog.cli.following import chains
from decklog.cli.listing import FORMATS_HELP, Listing, names_of, print_listing
from decklog.cli.narrowing import filtered
from decklog.cli.printing import terminal_width
from decklog.cli.searching import FORMATS, search_options, tell
from decklog.cli.table import Column, shortened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from decklog.ask.fields import Change
    from decklog.ask.owners import Step
    from decklog.ask.requests import Request
    from decklog.cli.narrowing import Filters
    from decklog.cli.searching import Search

_NO_FILTER: Final = msgspec.structs.asdict(Query())
LONGEST_VALUE: Final = 60
"""Columns of a value at most where there is no terminal; ``-o json`` has all of it."""
SHOWN_CHANGES: Final = 40
"""Lines of one request's changes; the rest is counted."""

_HELP: Final = """Say who changed an object, when, from where, and what changed.

\b
decklog history deploy/web -n shop -f /var/log/kubernetes/audit.log
decklog history secret/db-password -n shop --since 7d --no-diff
decklog history node/n1 --status -o json

What changed is told by comparing bodies in the log (levels Request and RequestResponse, of reads as well);
where there is only a patch, by what it sets. Without either it is said that the log does not tell. Values of
Secrets are hidden. A deletion by a controller is followed up as far as the log shows it.
"""
_EPILOG: Final = f"""\b
In -o json each of "requests" is one as in decklog query, and further has: deed,
failed, reach (a collective deletion that may have spared the object), toldBy
(versions, patch, body, nothing), changes (path, old, new, added, removed,
unknown: what was before is not known), note, body (the one that shows the
object: response or request), patch, because (the steps up to who caused a
deletion by a controller).
{FORMATS_HELP}
A filter narrows down which changes are shown; all are compared.
Exit code 1: nothing was found."""


@click.command("history", help=_HELP, epilog=_EPILOG)
@click.argument("words", nargs=-1, required=True, metavar="OBJECT", shell_complete=objects)
@click.option("-n", "--namespace", metavar="NAME", help="Of the object; needed if several bear its name.")
@click.option("--diff/--no-diff", default=True, show_default=True, help="Show what changed.")
@click.option("--status", is_flag=True, help="Also what controllers wrote to its status.")
@click.option("--attempts", is_flag=True, help="Also what failed, and dry runs.")
@filtered(without=("resource", "subresource", "name", "namespace", "all_namespaces", "path"))
@search_options(("text", *FORMATS))
def command(
    search: Search,
    words: tuple[str, ...],
    filters: Filters,
    namespace: str | None,
    diff: bool,
    status: bool,
    attempts: bool,
) -> None:
    """Say who changed an object."""
    target = Target.parse(words, namespace)
    narrow = filters.query
    asking = Asking(search, *_asked(search, target, narrow, status=status))
    asked = Asked()
    wider = target.queries(reads=diff, status=status, until=search.until)
    kept = (replace(query, texts=narrow.texts) for query in wider if narrow.texts)  # so that lines are kept
    found = list(asked.counting(telling(asking.requests(*wider, *kept))))
    admitted = {_place(request) for request in found if narrow.matches(request.latest.event, request.latest.line)}
    entries = [
        entry
        for entry in history(found, asked.one(target), status=status)
        if (search.since is None or (entry.row.time or "") >= search.since)
        and (entry.row.file, entry.row.line) in admitted
    ]
    shown = [entry for entry in entries if attempts or not entry.failed]
    because = _because(search, found, shown)
    if search.output == "text":
        _write(shown, because, diff=diff)
    else:
        print_listing(search.output, _listing(shown, because), asking.searched(found=bool(shown)))
    if hidden := len(entries) - len(shown):
        tell(f"{hidden} more changed nothing (failed, dry runs, or without a known end): --attempts shows them")
    asking.conclude(f"nothing in the log changed {target.name}", found=bool(shown))


def _asked(search: Search, target: Target, narrow: Query, *, status: bool) -> tuple[Query, ...]:
    """Give the queries that say what is shown: reads, and what was before the window, only serve to compare."""
    fields = {name: value for name, value in msgspec.structs.asdict(narrow).items() if value != _NO_FILTER[name]}
    queries = target.queries(reads=False, status=status, until=search.until)
    return tuple(replace(query, since=search.since, **fields) for query in queries)


def _place(request: Request) -> tuple[str, int]:
    return request.latest.file, request.latest.number


def _because(search: Search, found: list[Request], shown: list[Entry]) -> dict[tuple[str, int], list[Step]]:
    """Follow the deletions up that controllers made; keyed by where the request stands."""
    places = {(entry.row.file, entry.row.line) for entry in shown}
    deletions = [
        request
        for request in found
        if (request.latest.file, request.latest.number) in places and is_by_controller(request.latest.event)
    ]
    return {(steps[0].row.file, steps[0].row.line): steps for steps in chains(search, deletions)}


def _listing(shown: list[Entry], because: dict[tuple[str, int], list[Step]]) -> Listing:
    def plain(entry: Entry) -> dict[str, Any]:
        place = (entry.row.file, entry.row.line)
        data = msgspec.to_builtins(entry)
        return {**data.pop("row"), **data, **({"because": because[place]} if place in because else {})}

    return Listing("requests", shown, _COLUMNS, _HEAD, lambda entry: str(entry.row.what), plain)


def _write(shown: list[Entry], because: dict[tuple[str, int], list[Step]], *, diff: bool) -> None:
    width = terminal_width(sys.stdout)
    for entry in shown:
        print(_head(entry))
        for line in _lines(entry) if diff else ():
            print(f"    {shortened(line, width - 4) if width else line}")
        if steps := because.get((entry.row.file, entry.row.line)):
            print(f"    {visible(said(steps))}")


def _head(entry: Entry) -> str:
    row = entry.row
    manager = _field_manager(row.request_uri)
    how = f" with {row.user_agent}" if row.user_agent else ""
    parts = (
        readable(row.time),
        f"{row.who} {_did(entry)}",
        f"from {row.source_ip or '-'}{how}{f' ({manager})' if manager else ''}",
        f"{row.audit_id[:8]} {row.file}:{row.line}",
    )
    return "  ".join(map(visible, parts))


def _did(entry: Entry) -> str:
    row = entry.row
    if entry.failed:
        return f"tried: {row.verb}{f' {row.subresource}' if row.subresource else ''} it ({row.result})"
    return entry.did


def _field_manager(uri: str) -> str:
    from urllib.parse import parse_qs  # noqa: PLC0415  # because: only the text output needs it

    return parse_qs(uri.partition("?")[2]).get("fieldManager", [""])[0]


def _lines(entry: Entry) -> Iterator[str]:
    """Say what changed, or why it cannot be told. Escaped."""
    if entry.failed:
        return
    for change in entry.changes[:SHOWN_CHANGES]:
        yield _said(change)
    if len(entry.changes) > SHOWN_CHANGES:
        yield f"... and {len(entry.changes) - SHOWN_CHANGES} more (-o json has them)"
    if entry.told_by == PATCH and entry.changes:
        yield "(by what was sent)"
    if entry.told_by == NOTHING and not entry.deed.startswith(("created", "deleted", "evicted", "scheduled")):
        yield "(no body is in the log: what changed is not known)"
    elif not entry.changes and entry.told_by not in {BODY, NOTHING}:
        yield "(nothing that people set has changed)"
    if entry.note:
        yield f"({visible(entry.note)})"


def _said(change: Change) -> str:
    path = visible(change.path)
    if change.removed:
        return f"- {path}{'' if change.old is None else f': {_value(change.old)}'}"
    if change.added:
        return f"+ {path}: {_value(change.new)}"
    return f"~ {path}: {'?' if change.unknown else _value(change.old)} → {_value(change.new)}"


def _value(value: Any) -> str:
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return shortened(visible(text), LONGEST_VALUE)


def _changed(entry: Entry) -> str:
    return "; ".join(_said(change) for change in entry.changes) or "-"


_COLUMNS: Final = (
    Column("TIME (UTC)", lambda entry: readable(entry.row.time)),
    Column("USER", lambda entry: entry.row.who, shrinks=True),
    Column("DID", lambda entry: entry.deed, shrinks=True),
    Column("RESULT", lambda entry: entry.row.result),
    Column("FROM", lambda entry: entry.row.source_ip or "-", shrinks=True, spare=1),
    Column("CHANGED", _changed, shrinks=True, weight=3),
    Column("ID", lambda entry: entry.row.audit_id[:8], shrinks=True),
    Column("USER-AGENT", lambda entry: entry.row.user_agent or "-", wide=True),
    Column("TOLD-BY", lambda entry: entry.told_by, wide=True),
    Column("NOTE", lambda entry: entry.note or "-", wide=True),
    Column("WHERE", lambda entry: f"{entry.row.file}:{entry.row.line}", wide=True),
)
_HEAD: Final = (*(name for name in names_of(Row, Entry) if name != "row"), "because")
