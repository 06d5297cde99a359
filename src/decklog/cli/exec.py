"""``decklog exec``: sessions in pods."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from decklog.ask.filters import patterns
from decklog.ask.moments import in_words, readable
from decklog.ask.rows import Row
from decklog.ask.sessions import Session, queries, sessions
from decklog.audit.query import admits
from decklog.cli.asking import Asking
from decklog.cli.listing import FORMATS_HELP, Listing, names_of, print_listing
from decklog.cli.narrowing import FILTERS_HELP, filtered
from decklog.cli.searching import FORMATS, search_options
from decklog.cli.table import Column

if TYPE_CHECKING:
    from decklog.audit.query import Pattern
    from decklog.cli.narrowing import Filters
    from decklog.cli.searching import Search

KINDS: Final = ("exec", "cp", "attach", "portforward", "debug", "console", "vnc", "kubelet")

_HELP: Final = """List the sessions in pods: who, when, how long, which command.

\b
decklog exec audit.log
decklog exec -n shop --user alice --since 7d -f /var/log/kubernetes
decklog exec --kind cp --kind exec -o json audit.log

Commands, attachments, forwarded ports, copied files, debug containers. A session has its start, end and command;
what was typed is in no audit log. Where the policy leaves out the stages ResponseStarted or ResponseComplete, start or
end are not known. "cp" is the tar that kubectl cp runs; "debug" an ephemeral container; "kubelet" the same deeds
through a node's proxy. A session that the server let through may still have failed in the pod (no such command).
"""
_EPILOG: Final = f"""{FILTERS_HELP}
In -o json each of "sessions" is a request as in decklog query, and further has:
kind, pod, container, command, ports, tty, stdin, start, end, durationSeconds,
opened.
{FORMATS_HELP}
Exit code 1: there are none."""


@click.command("exec", help=_HELP, epilog=_EPILOG)
@click.argument("files", nargs=-1, type=click.Path(), metavar="[FILE]...")
@click.option("--pod", multiple=True, metavar="NAME", help="Repeatable; a trailing * for any rest.")
@click.option("--kind", multiple=True, type=click.Choice(KINDS), help="Repeatable.")
@click.option("--opened", is_flag=True, help="Without those that were refused or failed.")
@filtered(without=("verb", "resource", "subresource", "name"))
@search_options(FORMATS)
def command(search: Search, filters: Filters, pod: tuple[str, ...], kind: tuple[str, ...], opened: bool) -> None:
    """List the sessions in pods."""
    places, pods = filters.query.namespaces, patterns(pod)
    fields = {
        key: value for key, value in filters.fields(search).items() if key not in {"since", "until", "namespaces"}
    }
    asking = Asking(search, *queries(search.since, search.until, **fields))
    found = [
        session
        for session in sessions(asking.requests())
        if (not kind or session.kind.split(" ")[0] in kind) and (session.opened or not opened)
        if _is_of(session, places, pods)
    ]
    found.sort(key=lambda session: session.row.time or "")
    listing = Listing("sessions", found, _COLUMNS, _HEAD, lambda one: f"pods/{one.pod}", _object)
    print_listing(search.output, listing, asking.searched(found=bool(found)))
    asking.conclude("there are no such sessions", found=bool(found))


def _is_of(session: Session, namespaces: tuple[Pattern, ...], pods: tuple[Pattern, ...]) -> bool:
    """Filter by the pod that is meant: of a call through a node's proxy the reference names the node."""
    return admits(namespaces, session.namespace) and admits(pods, session.pod)


def _object(session: Session) -> dict[str, Any]:
    data: dict[str, Any] = msgspec.to_builtins(session)
    return {**data.pop("row"), **data}


def _what(session: Session) -> str:
    flags = " ".join(name for name in ("tty", "stdin") if getattr(session, name))
    ports = f"ports {','.join(session.ports)}" if session.ports else ""
    return "  ".join(filter(None, (shlex.join(session.command), ports, flags and f"[{flags}]"))) or "-"


_COLUMNS: Final = (
    Column("START (UTC)", lambda one: readable(one.start or one.row.time)),
    Column("TOOK", lambda one: "-" if one.duration_seconds is None else in_words(one.duration_seconds)),
    Column("USER", lambda one: one.row.who, shrinks=True),
    Column("KIND", lambda one: one.kind, shrinks=True),
    Column("NAMESPACE", lambda one: one.namespace or "-", shrinks=True),
    Column("POD", lambda one: f"{one.pod}{f' ({one.container})' if one.container else ''}", shrinks=True),
    Column("WHAT", _what, shrinks=True, weight=2),
    Column("STATE", lambda one: one.state, shrinks=True),
    Column("FROM", lambda one: one.row.source_ip or "-", shrinks=True, spare=1),
    Column("END (UTC)", lambda one: readable(one.end or None), wide=True),
    Column("USER-AGENT", lambda one: one.row.user_agent or "-", wide=True),
    Column("AUDIT-ID", lambda one: one.row.audit_id, wide=True),
    Column("WHERE", lambda one: f"{one.row.file}:{one.row.line}", wide=True),
)
_HEAD: Final = tuple(name for name in names_of(Row, Session) if name != "row")
