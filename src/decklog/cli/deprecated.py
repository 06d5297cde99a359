"""``decklog deprecated``: which clients call APIs that newer releases no longer serve."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import click

from decklog.ask.covering import covered
from decklog.ask.deprecated import deprecated
from decklog.ask.moments import readable
from decklog.ask.requests import merge
from decklog.cli.cells import aligned, write_csv
from decklog.cli.narrowing import FILTERS_HELP, narrowed
from decklog.cli.printing import print_json, searched, terminal_width
from decklog.cli.searching import NOTHING_FOUND, search_options, tell
from decklog.sources.record import Coverage

if TYPE_CHECKING:
    from decklog.audit.query import Query
    from decklog.cli.searching import Search

_HEAD: Final = ("api", "removed", "instead", "requests", "last", "user", "user-agent")
_HELP: Final = """Say which clients call deprecated APIs.

Told by the server's annotations (k8s.io/deprecated), or by the table of what releases up to 1.32 removed.

\b
decklog deprecated -f /var/log/kubernetes/audit.log
decklog deprecated --user=-system:* --since 7d audit.log -o csv
"""


@click.command("deprecated", help=_HELP, epilog=FILTERS_HELP)
@click.argument("files", nargs=-1, type=click.Path(), metavar="[FILE]...")
@search_options(("table", "json", "csv"))
@narrowed
def command(search: Search, query: Query) -> None:
    """Say which clients call deprecated APIs."""
    coverage = Coverage()
    uses = deprecated(merge(search.records(coverage, query), query))
    if search.output == "json":
        print_json({"deprecated": uses, "searched": searched(coverage, search.since, search.until)})
    else:
        rows = [
            (use.api, use.removed, use.instead, use.requests, use.last or "", use.user, use.user_agent) for use in uses
        ]
        if search.output == "csv":
            write_csv(_HEAD, rows)
        elif rows:
            shown = [(*row[:3], f"{row[3]:,}", readable(row[4] or None), *row[5:]) for row in rows]
            cells = [tuple(map(str.upper, _HEAD)), *(tuple(text or "-" for text in row) for row in shown)]
            for line in aligned(cells, frozenset((3,)), terminal_width(sys.stdout)):
                click.echo(line)
    if not uses:
        tell("no request to a deprecated API")
    tell(covered(coverage, search.since, search.until))
    if not uses:
        click.get_current_context().exit(NOTHING_FOUND)
