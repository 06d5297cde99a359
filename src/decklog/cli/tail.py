"""``decklog tail``: ``query -F``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from decklog.cli.narrowing import filtered
from decklog.cli.query import events_option, following
from decklog.cli.searching import ROWS_HELP, search_options
from decklog.cli.tailing import tail

if TYPE_CHECKING:
    from decklog.cli.narrowing import Filters
    from decklog.cli.objects import Thing
    from decklog.cli.searching import Search

_HELP: Final = """Follow a log: list the requests that pass a filter as they come.

The same as query -F, with the same filters. The log is followed over its rotations, from its end on; a request is
listed when its last stage is there. Ctrl-C ends it with code 130, and lists what is still open.

\b
decklog tail /var/log/kubernetes/audit.log --failed-only
decklog tail audit.log secret/db -n shop --humans -o jsonl --checkpoint /var/lib/decklog/secrets
"""


@click.command("tail", help=_HELP, epilog=ROWS_HELP)
@click.argument("files", nargs=-1, type=click.Path(), metavar="[FILE|TYPE/NAME]...")
@filtered()
@events_option
@following
@search_options(objects=True)
def command(
    search: Search,
    things: tuple[Thing, ...],
    filters: Filters,
    checkpoint: str | None,
    from_start: bool,
    events: bool,
) -> None:
    """Follow a log."""
    events = events or filters.of_events
    tail(search, filters.queries(search, things), events=events, checkpoint=checkpoint, from_start=from_start)
