"""``decklog secrets``: who touched which secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click
from msgspec.structs import replace

from decklog.ask.moments import readable
from decklog.ask.secret_uses import SecretUse, queries, secret_uses
from decklog.cli.asking import Asking
from decklog.cli.listing import FORMATS_HELP, Listing, names_of, print_listing
from decklog.cli.narrowing import FILTERS_HELP, filtered
from decklog.cli.searching import FORMATS, search_options, tell
from decklog.cli.table import Column

if TYPE_CHECKING:
    from decklog.cli.narrowing import Filters
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
_EPILOG: Final = f"""{FILTERS_HELP}
-o json is {{"uses": [...], "searched": {{...}}}}: user impersonated verb resource
namespace name count denied first last sourceIPs userAgents valuesRecorded.
{FORMATS_HELP}
Exit code 1: nobody touched any."""


def _secret(use: SecretUse) -> str:
    return f"service account {use.what}" if use.resource.startswith("serviceaccounts") else use.what


_COLUMNS: Final = (
    Column("COUNT", lambda use: f"{use.count:,}", right=True),
    Column("FAILED", lambda use: f"{use.denied:,}" if use.denied else "-", right=True),
    Column("USER", lambda use: use.who, shrinks=True),
    Column("DID", lambda use: use.did, shrinks=True),
    Column("SECRET", _secret, shrinks=True, weight=2),
    Column("FIRST (UTC)", lambda use: readable(use.first or None), spare=1),
    Column("LAST (UTC)", lambda use: readable(use.last or None)),
    Column("FROM", lambda use: ",".join(use.source_ips) or "-", shrinks=True),
    Column("CLIENT", lambda use: ",".join(use.user_agents) or "-", shrinks=True, spare=2),
    Column("VALUES", lambda use: f"{use.values_recorded:,}" if use.values_recorded else "-", right=True, wide=True),
)


@click.command("secrets", help=_HELP, epilog=_EPILOG)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@filtered(without=("resource", "subresource", "name"))
@search_options(FORMATS)
def command(search: Search, names: tuple[str, ...], filters: Filters) -> None:
    """Say who touched which secret."""
    verbs, namespaces = filters.query.verbs, filters.query.namespaces
    fields = {key: value for key, value in filters.fields(search).items() if key not in {"verbs", "namespaces"}}
    asked = (replace(query, namespaces=namespaces) for query in queries(names, (), verbs, **fields))
    asking = Asking(search, *asked)
    found = secret_uses(asking.requests())
    listing = Listing("uses", found, _COLUMNS, names_of(SecretUse), _name)
    print_listing(search.output, listing, asking.searched(found=bool(found)))
    if held := sum(use.values_recorded for use in found):
        tell(f"{held} of these requests stand in the log with the secrets' values: guard it, and record at Metadata")
    asking.conclude("nobody touched such secrets", found=bool(found))


def _name(use: SecretUse) -> str:
    return f"{use.resource}/{use.name}" if use.name else use.resource
