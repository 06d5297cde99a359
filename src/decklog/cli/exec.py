"""``decklog exec``: sessions in pods."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from decklog.ask.filters import patterns
from decklog.ask.moments import in_words, readable
from decklog.ask.sessions import queries, sessions
from decklog.audit.query import Pattern, admits
from decklog.cli.following import Asking
from decklog.cli.grid import grid
from decklog.cli.printing import print_json, terminal_width
from decklog.cli.searching import search_options

if TYPE_CHECKING:
    from decklog.ask.sessions import Session
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
_EPILOG: Final = """\b
In -o json each of "sessions" is a request as in decklog query, and further has:
kind, pod, container, command, ports, tty, stdin, start, end, durationSeconds,
opened.
Exit code 1: there are none."""


@click.command("exec", help=_HELP, epilog=_EPILOG)
@click.argument("files", nargs=-1, type=click.Path(), metavar="[FILE]...")
@click.option("-n", "--namespace", multiple=True, metavar="NAME", help="Of the pod; repeatable.")
@click.option("--pod", multiple=True, metavar="NAME", help="Repeatable; a trailing * for any rest.")
@click.option("--user", multiple=True, metavar="NAME", help="Only of this user; repeatable, -NAME for not.")
@click.option("--kind", multiple=True, type=click.Choice(KINDS), help="Repeatable.")
@click.option("--opened", is_flag=True, help="Without those that were refused or failed.")
@search_options(("table", "wide", "json"), policy=True)
def command(
    search: Search,
    namespace: tuple[str, ...],
    pod: tuple[str, ...],
    user: tuple[str, ...],
    kind: tuple[str, ...],
    opened: bool,
) -> None:
    """List the sessions in pods."""
    asking = Asking(search, *queries(search.since, search.until, users=patterns(user)))
    places, pods = (tuple(map(Pattern.parse, texts)) for texts in (namespace, pod))
    found = [
        session
        for session in sessions(asking.requests())
        if (not kind or session.kind.split(" ")[0] in kind) and (session.opened or not opened)
        if _is_of(session, places, pods)
    ]
    found.sort(key=lambda session: session.row.time or "")
    if search.output == "json":
        print_json({"sessions": list(map(_object, found)), "searched": asking.searched()})
    else:
        _write(found, wide=search.output == "wide")
    asking.conclude("there are no such sessions", found=bool(found))


def _is_of(session: Session, namespaces: tuple[Pattern, ...], pods: tuple[Pattern, ...]) -> bool:
    """Filter by the pod that is meant: of a call through a node's proxy the reference names the node."""
    return admits(namespaces, session.namespace) and admits(pods, session.pod)


def _object(session: Session) -> dict[str, Any]:
    data: dict[str, Any] = msgspec.to_builtins(session)
    return {**data.pop("row"), **data}


def _write(found: list[Session], *, wide: bool) -> None:
    titles = ["START (UTC)", "TOOK", "USER", "KIND", "NAMESPACE", "POD", "WHAT", "STATE", "FROM"]
    rows = [
        [
            readable(session.start or session.row.time),
            "-" if session.duration_seconds is None else in_words(session.duration_seconds),
            session.row.who,
            session.kind,
            session.namespace or "-",
            f"{session.pod}{f' ({session.container})' if session.container else ''}",
            _what(session),
            session.state,
            session.row.source_ip or "-",
            *(_rest(session) if wide else ()),
        ]
        for session in found
    ]
    titles += ["END (UTC)", "USER-AGENT", "AUDIT-ID", "WHERE"] if wide else []
    for line in grid(titles, rows, None if wide else terminal_width(sys.stdout)):
        print(line)


def _rest(session: Session) -> tuple[str, ...]:
    row = session.row
    return readable(session.end or None), row.user_agent or "-", row.audit_id, f"{row.file}:{row.line}"


def _what(session: Session) -> str:
    flags = " ".join(name for name in ("tty", "stdin") if getattr(session, name))
    ports = f"ports {','.join(session.ports)}" if session.ports else ""
    return "  ".join(filter(None, (shlex.join(session.command), ports, flags and f"[{flags}]"))) or "-"
