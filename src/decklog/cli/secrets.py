"""``decklog secrets``: who touched which secret."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import click

from decklog.ask.filters import listed, patterns
from decklog.ask.moments import readable
from decklog.ask.secret_uses import queries, secret_uses
from decklog.cli.following import Asking
from decklog.cli.grid import grid
from decklog.cli.printing import print_json, terminal_width
from decklog.cli.searching import search_options, tell

if TYPE_CHECKING:
    from decklog.ask.secret_uses import SecretUse
    from decklog.cli.searching import Search

_HELP: Final = """Say who touched which secret, how, and how often.

\b
decklog secrets -f audit.log
decklog secrets db-password -n shop --since 30d -f /var/log/kubernetes
decklog secrets --user=-system:* --verb get,list,watch -f audit.log

A list or a watch hands out every secret of its namespace, or of all namespaces: it is told as such, and found as well
when one secret is asked for by NAME. Tokens minted for service accounts stand here, too. The last line says how many
bodies in this log hold values: such a log is itself a secret.
"""
_EPILOG: Final = """\b
-o json is {"uses": [...], "searched": {...}}: user impersonated verb resource
namespace name count denied first last sourceIPs userAgents valuesRecorded.
Exit code 1: nobody touched any."""


@click.command("secrets", help=_HELP, epilog=_EPILOG)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("-n", "--namespace", multiple=True, metavar="NAME", help="Of the secret; repeatable.")
@click.option("--user", multiple=True, metavar="NAME", help="Only this user; repeatable, -NAME for not.")
@click.option("--verb", multiple=True, metavar="VERB", help="get, list, watch, create, update, patch, delete ...")
@search_options(("table", "wide", "json"), policy=True)
def command(
    search: Search, names: tuple[str, ...], namespace: tuple[str, ...], user: tuple[str, ...], verb: tuple[str, ...]
) -> None:
    """Say who touched which secret."""
    filters = {"users": patterns(user), "since": search.since, "until": search.until}
    asking = Asking(search, *queries(names, namespace, listed(verb), **filters))
    found = secret_uses(asking.requests())
    if search.output == "json":
        print_json({"uses": found, "searched": asking.searched()})
    else:
        _write(found, wide=search.output == "wide")
    if held := sum(use.values_recorded for use in found):
        tell(f"{held} of these requests stand in the log with the secrets' values: guard it, and record at Metadata")
    asking.conclude("nobody touched such secrets", found=bool(found))


def _write(found: list[SecretUse], *, wide: bool) -> None:
    titles = ["COUNT", "FAILED", "USER", "DID", "SECRET", "FIRST (UTC)", "LAST (UTC)", "FROM", "CLIENT"]
    rows = [
        [
            str(use.count),
            str(use.denied or "-"),
            use.who,
            use.did,
            f"service account {use.what}" if use.resource.startswith("serviceaccounts") else use.what,
            readable(use.first),
            readable(use.last),
            ",".join(use.source_ips) or "-",
            ",".join(use.user_agents) or "-",
        ]
        for use in found
    ]
    for line in grid(titles, rows, None if wide else terminal_width(sys.stdout)):
        print(line)
