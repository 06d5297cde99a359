"""``decklog deprecated``: which clients call APIs that newer releases no longer serve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from decklog.ask.deprecated import Use, deprecated
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

_HELP: Final = """Say which clients call deprecated APIs.

Told by the server's annotations (k8s.io/deprecated), or by the table of what releases up to 1.32 removed.

\b
decklog deprecated -f /var/log/kubernetes/audit.log
decklog deprecated --user=-system:* --since 7d audit.log -o csv
"""
_EPILOG: Final = f"""{FILTERS_HELP}
-o json is {{"deprecated": [...], "searched": {{...}}}}: api removed instead user
userAgent verbs requests first last toldBy (annotation or table).
{FORMATS_HELP}
Exit code 1: no request was to a deprecated API."""
_COLUMNS: Final = (
    Column("API", lambda use: use.api, shrinks=True, weight=2),
    Column("REMOVED", lambda use: use.removed or "-"),
    Column("INSTEAD", lambda use: use.instead or "-", shrinks=True),
    Column("REQUESTS", lambda use: f"{use.requests:,}", right=True),
    Column("VERBS", lambda use: ",".join(use.verbs) or "-", wide=True),
    Column("FIRST (UTC)", lambda use: readable(use.first or None), wide=True),
    Column("LAST (UTC)", lambda use: readable(use.last or None), spare=1),
    Column("USER", lambda use: use.user or "-", shrinks=True),
    Column("USER-AGENT", lambda use: use.user_agent or "-", shrinks=True, weight=2),
    Column("TOLD-BY", lambda use: use.told_by, wide=True),
)


@click.command("deprecated", help=_HELP, epilog=_EPILOG)
@click.argument("files", nargs=-1, type=click.Path(), metavar="[FILE|TYPE/NAME]...")
@filtered()
@search_options(FORMATS, objects=True)
def command(search: Search, things: tuple[Thing, ...], filters: Filters) -> None:
    """Say which clients call deprecated APIs."""
    asking = Asking(search, *filters.queries(search, things))
    uses = deprecated(asking.requests())
    listing = Listing("deprecated", uses, _COLUMNS, names_of(Use), lambda use: str(use.api))
    print_listing(search.output, listing, asking.searched(found=bool(uses)))
    asking.conclude("no request to a deprecated API", found=bool(uses))
