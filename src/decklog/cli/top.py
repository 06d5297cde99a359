"""``decklog top``: by what most requests are made."""

from __future__ import annotations

import sys
from collections import Counter
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

import click

from decklog.ask.forking import usable_processes
from decklog.ask.top import BY, label_of
from decklog.cli.asking import Asking
from decklog.cli.completing import values
from decklog.cli.listing import FORMATS_HELP, Listing, print_listing
from decklog.cli.narrowing import FILTERS_HELP, filtered
from decklog.cli.progress import total_bytes
from decklog.cli.searching import FORMATS, search_options, tell
from decklog.cli.table import Column
from decklog.sources.places import find

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from decklog.ask.tally import Label
    from decklog.audit.query import Query
    from decklog.cli.narrowing import Filters
    from decklog.cli.objects import Thing
    from decklog.cli.searching import Search

    _Row = tuple[tuple[str, ...], int]

_HELP: Final = """Count requests: who, or what, makes most of them.

\b
decklog top --by user audit.log
decklog top --by user,verb,resource --code 403 -f /var/log/kubernetes/audit.log --since 1d
decklog top --by rule --policy audit-policy.yaml audit.log
"""
_EPILOG: Final = f"""{FILTERS_HELP}
-o json is {{"requests": N, "different": N, "top": [...], "searched": {{...}}}}, an
item {{"by": {{"user": ...}}, "requests": N}}.
{FORMATS_HELP}
Exit code 1: no request matches."""


@click.command("top", help=_HELP, epilog=_EPILOG)
@click.argument("files", nargs=-1, type=click.Path(), metavar="[FILE|TYPE/NAME]...")
@click.option(
    "--by",
    default="user",
    show_default=True,
    metavar="FIELDS",
    shell_complete=values(BY),
    help=f"What to count by, several with commas: {', '.join(BY)}. Resources are named with group and subresource,"
    " a source-ip is the address that the server saw.",
)
@click.option(
    "--limit",
    default=20,
    show_default=True,
    metavar="NUMBER",
    type=click.IntRange(min=0),
    help="So many rows; 0 for all.",
)
@filtered()
@search_options(FORMATS, objects=True)
def command(search: Search, things: tuple[Thing, ...], filters: Filters, by: str, limit: int) -> None:
    """Count requests."""
    names = named(by)
    asking = Asking(search, *filters.queries(search, things))
    counts = counted(asking, label_of(names, rule_of(search.policy) if search.policy else None), names)
    total = counts.total()
    ranked = sorted(((_texts(label), count) for label, count in counts.items()), key=lambda row: (-row[1], row[0]))
    shown = ranked[: limit or None]
    also = {"requests": total, "different": len(ranked)}
    print_listing(search.output, _listing(names, shown, total, also), asking.searched(found=bool(total)))
    if rest := ranked[len(shown) :]:
        tell(f"{len(rest):,} more with {sum(count for _, count in rest):,} requests: --limit 0 shows all")
    asking.conclude("no request matches", found=bool(total))


def _listing(names: tuple[str, ...], rows: list[_Row], total: int, also: dict[str, Any]) -> Listing:
    def by(row: _Row) -> dict[str, str]:
        return dict(zip(names, row[0], strict=True))

    columns = (
        Column("REQUESTS", lambda row: f"{row[1]:,}", right=True),
        Column("SHARE", lambda row: f"{100 * row[1] / total:.1f} %", right=True),
        *(
            Column(name.upper(), lambda row, place=place: row[0][place], shrinks=True)  # type: ignore[misc]  # because: a default binds the place
            for place, name in enumerate(names)
        ),
    )
    return Listing(
        "top",
        rows,
        columns,
        (*names, "requests"),
        lambda row: " ".join(row[0]),
        lambda row: {"by": by(row), "requests": row[1]},
        lambda row: {**by(row), "requests": row[1]},
        also,
    )


def named(by: str) -> tuple[str, ...]:
    """Read ``user,verb``."""
    return tuple(filter(None, (part.strip().lower() for part in by.split(",")))) or ("user",)


def counted(
    asking: Asking, label: tuple[Label, bool], names: tuple[str, ...], step_s: int | None = None
) -> Counter[Hashable]:
    """Count the requests that are asked for; `label` is of `names`, and of the time to `step_s` seconds if given."""
    search, coverage, chosen = asking.search, asking.coverage, label[0]
    if len(asking.queries) > 1 or search.declared:  # what counts blocks knows one filter, and no envelopes
        return _one_by_one(asking, chosen)
    (query,) = asking.queries
    if search.store:
        return _of_store(asking, query, chosen, names, step_s)
    # Because: counting blocks of logs takes 50 ms to import, of which a store needs nothing.
    from decklog.ask.tally import tally  # noqa: PLC0415  # because: only logs are counted so

    stdin = sys.stdin.buffer if sys.stdin else BytesIO()  # a process may be started without one
    places = find(search.files, stdin, rotated=search.rotated)
    whole = label[1] or search.verify_lines
    with search.bar.during(coverage, total_bytes(places)):
        return tally(places, coverage, query, chosen, whole=whole, processes=usable_processes())


def _one_by_one(asking: Asking, label: Label) -> Counter[Hashable]:
    return Counter(label(request.latest.event) for request in asking.requests())


def _of_store(
    asking: Asking, query: Query, label: Label, names: tuple[str, ...], step_s: int | None
) -> Counter[Hashable]:
    from decklog.ask.stored_tally import can_tally, stored_tally  # noqa: PLC0415  # because: only stores need it

    if asking.search.verify_lines or not can_tally(query, names):
        return _one_by_one(asking, label)
    view, disk = asking.search.view()
    with asking.search.bar.during(asking.coverage, None):
        return stored_tally(view, disk, asking.coverage, query, label, names, step_s=step_s)


def rule_of(policy: str) -> Callable[[Any], str]:
    """Give the label that names the rule of a policy which decides on an event; raises DecklogError."""
    from decklog.policy.event_filter import load  # noqa: PLC0415  # because: only this label needs the policy's reader
    from decklog.policy.recorded import of_event  # noqa: PLC0415  # because: the same

    loaded = load(policy)

    def rule(event: Any) -> str:
        place = loaded.decide(of_event(event)).rule
        return "(no rule)" if place is None else f"{loaded.source}:{loaded.lines[place]}"

    return rule


def _texts(label: Hashable) -> tuple[str, ...]:
    return label if isinstance(label, tuple) else (str(label),)
