"""``decklog denied``: who was refused what."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import click
from msgspec.structs import replace

from decklog.ask.denials import DENIED, denials
from decklog.ask.filters import patterns, resources
from decklog.ask.moments import readable
from decklog.audit.query import Pattern
from decklog.cli.following import Asking
from decklog.cli.grid import grid
from decklog.cli.printing import print_json, terminal_width
from decklog.cli.searching import search_options

if TYPE_CHECKING:
    from decklog.ask.denials import Denial
    from decklog.cli.searching import Search

_HELP: Final = """Say who was refused what, and what that reads like.

\b
decklog denied audit.log
decklog denied -f /var/log/kubernetes --since 1d --user=-system:*

Refusals (403) are grouped by user, verb, resource and namespace. VERDICT is a reading of the pattern: "probe?" (many
different things within minutes), "missing permission?" (a program, or the same again and again), "nobody logged
in" (anonymous), "may not impersonate", "refused by admission" (authorization had allowed it: a quota, a policy or a
webhook refused), "single".
"""
_EPILOG: Final = """\b
-o json is {"denials": [...], "searched": {...}}: user impersonated verb what
namespace decision count first last names sourceIPs userAgent message verdict why.
Exit code 1: nobody was refused."""


@click.command("denied", help=_HELP, epilog=_EPILOG)
@click.argument("files", nargs=-1, type=click.Path(), metavar="[FILE]...")
@click.option("-n", "--namespace", multiple=True, metavar="NAME", help="Of the object; repeatable.")
@click.option("--user", multiple=True, metavar="NAME", help="Only of this user; repeatable, -NAME for not.")
@click.option("--resource", multiple=True, metavar="TYPE", help="Only on this; any name that kubectl takes.")
@search_options(("table", "wide", "json"), policy=True)
def command(search: Search, namespace: tuple[str, ...], user: tuple[str, ...], resource: tuple[str, ...]) -> None:
    """Say who was refused what."""
    query = replace(
        DENIED,
        namespaces=tuple(map(Pattern.parse, namespace)),
        users=patterns(user),
        resources=resources(resource),
        since=search.since,
        until=search.until,
    )
    asking = Asking(search, query)
    found = denials(asking.requests())
    if search.output == "json":
        print_json({"denials": found, "searched": asking.searched()})
    else:
        _write(found, wide=search.output == "wide")
    asking.conclude("nobody was refused with 403", found=bool(found))


def _write(found: list[Denial], *, wide: bool) -> None:
    titles = ["COUNT", "USER", "VERB", "WHAT", "NAMESPACE", "VERDICT", "FIRST (UTC)", "LAST (UTC)", "FROM"]
    rows = [
        [
            str(denial.count),
            denial.who,
            denial.verb or "-",
            denial.what,
            denial.namespace or "-",
            denial.verdict,
            readable(denial.first),
            readable(denial.last),
            ",".join(denial.source_ips) or "-",
            *((denial.why, ",".join(denial.names) or "-", denial.user_agent or "-", denial.message) if wide else ()),
        ]
        for denial in found
    ]
    titles += ["WHY", "NAMES", "USER-AGENT", "MESSAGE"] if wide else []
    for line in grid(titles, rows, None if wide else terminal_width(sys.stdout)):
        print(line)
