"""``decklog who``: who did what to an object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from decklog.ask.questions import who_did
from decklog.cli.asking import answer
from decklog.cli.completing import questions
from decklog.cli.following import Followed, Overhearing, follow
from decklog.cli.narrowing import filtered
from decklog.cli.searching import ROWS_HELP, search_options

if TYPE_CHECKING:
    from decklog.cli.narrowing import Filters
    from decklog.cli.searching import Search


_HELP: Final = """Say who did something to an object.

VERB in any tense: deleted, created, changed, touched, read, scaled, evicted, exec'd into ...; OBJECT as kubectl
takes it: deploy/web, deployment web, deployments.apps/web, pods, a name with a trailing * for any rest, or the
path of a request that is about no resource (/healthz).

\b
decklog who deleted deploy/web -n shop -f /var/log/kubernetes/audit.log
decklog who touched secret/db-password -n shop --since 7d
decklog who exec'd into pod/web-0 -f audit.log -o wide

A name also finds requests that may have reached the object without naming it (OBJECT shows a *): the collective
deletion of a namespace, a list. --exact leaves them out.

A deletion by a controller is followed up as far as the log shows it, below the answer: "... deleted by the garbage
collector, because alice deleted deployments/web"; in -o json and yaml as "because", a list of steps for each.
"""


@click.command("who", help=_HELP, epilog=ROWS_HELP)
@click.argument("words", nargs=-1, required=True, metavar="VERB OBJECT...", shell_complete=questions)
@click.option("--exact", is_flag=True, help="Without lists, watches and collective deletions that reach the object.")
@click.option(
    "--chain/--no-chain",
    default=True,
    show_default=True,
    help="Say on stderr what led to deletions by controllers; reads the log again for each step.",
)
@filtered(without=("verb", "resource", "subresource", "name", "path"))
@search_options()
def command(search: Search, words: tuple[str, ...], filters: Filters, exact: bool, chain: bool) -> None:
    """Say who did something to an object."""
    queries = who_did(words, **filters.fields(search), reach=not exact)
    overhearing = Overhearing.of(search, queries)
    followed = Followed()

    def because() -> dict[str, Any]:
        nonlocal followed
        followed = follow(overhearing)
        return {"because": followed.chains} if followed.chains else {}

    answer(overhearing, *queries, beside=because if chain else None)
    followed.tell()
