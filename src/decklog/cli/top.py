"""``decklog top``: by what most requests are made."""

from __future__ import annotations

import sys
from collections import Counter
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

import click

from decklog.ask.covering import covered
from decklog.ask.forking import usable_processes
from decklog.ask.requests import merge
from decklog.ask.tally import tally
from decklog.ask.top import BY, label_of
from decklog.cli.cells import aligned, write_csv
from decklog.cli.narrowing import FILTERS_HELP, narrowed
from decklog.cli.printing import print_json, searched, terminal_width
from decklog.cli.searching import NOTHING_FOUND, search_options, tell
from decklog.sources.places import find
from decklog.sources.record import Coverage

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from decklog.ask.tally import Label
    from decklog.audit.query import Query
    from decklog.cli.searching import Search

FORMATS: Final = ("table", "json", "csv")

_HELP: Final = """Count requests: who, or what, makes most of them.

\b
decklog top --by user audit.log
decklog top --by user,verb,resource --code 403 -f /var/log/kubernetes/audit.log --since 1d
decklog top --by rule --policy audit-policy.yaml audit.log
"""


@click.command("top", help=_HELP, epilog=FILTERS_HELP)
@click.argument("files", nargs=-1, type=click.Path(), metavar="[FILE]...")
@click.option(
    "--by",
    default="user",
    show_default=True,
    metavar="FIELDS",
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
@search_options(FORMATS, policy=True)
@narrowed
def command(search: Search, query: Query, by: str, limit: int) -> None:
    """Count requests."""
    names = named(by)
    coverage = Coverage()
    counts = counted(search, coverage, query, label_of(names, rule_of(search.policy) if search.policy else None), names)
    total = counts.total()
    ranked = sorted(((_texts(label), count) for label, count in counts.items()), key=lambda row: (-row[1], row[0]))
    shown = ranked[: limit or None]
    _print(search, names, shown, total, len(ranked), coverage)
    if rest := ranked[len(shown) :]:
        tell(f"{len(rest):,} more with {sum(count for _, count in rest):,} requests: --limit 0 shows all")
    finish(search, coverage, found=bool(total))


def named(by: str) -> tuple[str, ...]:
    """Read ``user,verb``."""
    return tuple(filter(None, (part.strip().lower() for part in by.split(",")))) or ("user",)


def counted(
    search: Search,
    coverage: Coverage,
    query: Query,
    label: tuple[Label, bool],
    names: tuple[str, ...],
    step_s: int | None = None,
) -> Counter[Hashable]:
    """Count the requests that a search finds; `label` is of `names`, and of the time to `step_s` seconds if given."""
    if search.store:
        return _of_store(search, coverage, query, label[0], names, step_s)
    stdin = sys.stdin.buffer if sys.stdin else BytesIO()  # a process may be started without one
    places = find(search.files, stdin, rotated=search.rotated)
    chosen, whole = label
    return tally(places, coverage, query, chosen, whole=whole or search.verify_lines, processes=usable_processes())


def _of_store(
    search: Search, coverage: Coverage, query: Query, label: Label, names: tuple[str, ...], step_s: int | None
) -> Counter[Hashable]:
    from decklog.ask.stored_tally import can_tally, stored_tally  # noqa: PLC0415  # because: only stores need it

    if search.verify_lines or not can_tally(query, names):
        return Counter(label(request.latest.event) for request in merge(search.records(coverage, query), query))
    view, disk = search.view()
    return stored_tally(view, disk, coverage, query, label, names, step_s=step_s)


def rule_of(policy: str) -> Callable[[Any], str]:
    """Give the label that names the rule of a policy which decides on an event; raises DecklogError."""
    from decklog.policy.event_filter import load  # noqa: PLC0415  # because: only this label needs the policy's reader
    from decklog.policy.recorded import of_event  # noqa: PLC0415  # because: the same

    loaded = load(policy)

    def rule(event: Any) -> str:
        place = loaded.decide(of_event(event)).rule
        return "(no rule)" if place is None else f"{loaded.source}:{loaded.lines[place]}"

    return rule


def finish(search: Search, coverage: Coverage, *, found: bool) -> None:
    """Say what was searched; exits with 1 if nothing was found."""
    if not found:
        tell("no request matches")
    tell(covered(coverage, search.since, search.until))
    if not found:
        click.get_current_context().exit(NOTHING_FOUND)


def _texts(label: Hashable) -> tuple[str, ...]:
    return label if isinstance(label, tuple) else (str(label),)


def _print(
    search: Search,
    names: tuple[str, ...],
    rows: list[tuple[tuple[str, ...], int]],
    total: int,
    different: int,
    coverage: Coverage,
) -> None:
    if search.output == "csv":
        write_csv((*names, "requests"), ((*texts, count) for texts, count in rows))
    elif search.output == "json":
        top = [{"by": dict(zip(names, texts, strict=True)), "requests": count} for texts, count in rows]
        said = searched(coverage, search.since, search.until)
        print_json({"requests": total, "different": different, "top": top, "searched": said})
    elif rows:
        head = ("REQUESTS", "SHARE", *(name.upper() for name in names))
        lines = [head, *((f"{count:,}", f"{100 * count / total:.1f} %", *texts) for texts, count in rows)]
        for line in aligned(lines, frozenset((0, 1)), terminal_width(sys.stdout)):
            click.echo(line)
