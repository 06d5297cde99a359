"""``decklog query``: the requests, or single events, that pass a filter; ``decklog tail`` goes on with what comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from decklog.cli.asking import answer
from decklog.cli.narrowing import filtered
from decklog.cli.searching import ROWS_HELP, search_options
from decklog.errors import DecklogError

if TYPE_CHECKING:
    from collections.abc import Callable

    from decklog.cli.narrowing import Filters
    from decklog.cli.objects import Thing
    from decklog.cli.searching import Search

_HELP: Final = """List the requests that pass a filter.

A repeated option is "or", different options are "and". A value may end in * for any rest, or begin with - for
"not" (write --user=-system:*). A word with a slash that is no file is an object, TYPE/NAME, as kubectl takes it.

\b
decklog query audit.log --verb delete --resource deploy -n shop
decklog query audit.log deploy/web secret/db-* -n shop --humans
decklog query -f /var/log/kubernetes --user=-system:* --code 403 --since 2h -o wide
decklog query -f audit.log --source-ip 10.0.0.0/8 --decision forbid -o csv
decklog query -f audit.log --text 'nginx:1.27' -o jsonpath='{.time} {.user}'
zcat old.gz | decklog query - --resource secrets --events -o jsonl
"""


def following(command: Callable[..., Any]) -> Callable[..., Any]:
    """Put the options of following on a command."""
    for option in reversed(_FOLLOWING):
        command = option(command)
    return command


_FOLLOWING: Final = (
    click.option(
        "--checkpoint",
        metavar="FILE",
        type=click.Path(),
        help="With -F: go on where the last run with this file stopped, and keep in it how far this one came.",
    ),
    click.option("--from-start", is_flag=True, help="With -F: begin with what is there, not with what comes."),
)


events_option = click.option(
    "--events",
    is_flag=True,
    help="Single events instead of requests, as with --stage; -o json and jsonl give them verbatim.",
)


@click.command("query", help=_HELP, epilog=ROWS_HELP)
@click.argument("files", nargs=-1, type=click.Path(), metavar="[FILE|TYPE/NAME]...")
@filtered()
@events_option
@click.option("-F", "--follow", is_flag=True, help="Wait for what comes, until Ctrl-C: decklog tail.")
@following
@search_options(objects=True)
def command(
    search: Search,
    things: tuple[Thing, ...],
    filters: Filters,
    follow: bool,
    checkpoint: str | None,
    from_start: bool,
    events: bool,
) -> None:
    """List the requests that pass a filter."""
    queries = filters.queries(search, things)
    events = events or filters.of_events
    if follow:
        from decklog.cli.tailing import tail  # noqa: PLC0415  # because: only following needs its libraries

        tail(search, queries, events=events, checkpoint=checkpoint, from_start=from_start)
    elif checkpoint or from_start:
        raise DecklogError("--checkpoint and --from-start are about following: give -F as well")
    else:
        answer(search, *queries, events=events)
