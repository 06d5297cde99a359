"""``decklog denied``: who was refused what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click
from msgspec.structs import replace

from decklog.ask.denials import DENIED, Denial, denials
from decklog.ask.moments import readable
from decklog.cli.asking import Asking
from decklog.cli.listing import FORMATS_HELP, Listing, names_of, print_listing
from decklog.cli.narrowing import FILTERS_HELP, filtered
from decklog.cli.searching import FORMATS, search_options
from decklog.cli.table import Column

if TYPE_CHECKING:
    from decklog.cli.narrowing import Filters
    from decklog.cli.objects import Thing
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
_EPILOG: Final = f"""{FILTERS_HELP}
-o json is {{"denials": [...], "searched": {{...}}}}: user impersonated verb what
namespace decision count first last names sourceIPs userAgent message verdict why.
{FORMATS_HELP}
Exit code 1: nobody was refused."""
_COLUMNS: Final = (
    Column("COUNT", lambda one: f"{one.count:,}", right=True),
    Column("USER", lambda one: one.who, shrinks=True),
    Column("VERB", lambda one: one.verb or "-", shrinks=True),
    Column("WHAT", lambda one: one.what, shrinks=True, weight=2),
    Column("NAMESPACE", lambda one: one.namespace or "-", shrinks=True),
    Column("VERDICT", lambda one: one.verdict, shrinks=True),
    Column("FIRST (UTC)", lambda one: readable(one.first or None), spare=1),
    Column("LAST (UTC)", lambda one: readable(one.last or None)),
    Column("FROM", lambda one: ",".join(one.source_ips) or "-", shrinks=True, spare=2),
    Column("WHY", lambda one: one.why, wide=True),
    Column("NAMES", lambda one: ",".join(one.names) or "-", wide=True),
    Column("USER-AGENT", lambda one: one.user_agent or "-", wide=True),
    Column("MESSAGE", lambda one: one.message, wide=True),
)


@click.command("denied", help=_HELP, epilog=_EPILOG)
@click.argument("files", nargs=-1, type=click.Path(), metavar="[FILE|TYPE/NAME]...")
@filtered(without=("code", "failed_only"))
@search_options(FORMATS, objects=True)
def command(search: Search, things: tuple[Thing, ...], filters: Filters) -> None:
    """Say who was refused what."""
    asking = Asking(search, *(replace(query, codes=DENIED.codes) for query in filters.queries(search, things)))
    found = denials(asking.requests())
    listing = Listing("denials", found, _COLUMNS, names_of(Denial), lambda one: str(one.what))
    print_listing(search.output, listing, asking.searched(found=bool(found)))
    asking.conclude("nobody was refused with 403", found=bool(found))
