"""``decklog store retain``: delete what is older than its age."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import click

from decklog.amounts import binary_size
from decklog.ask.filters import listed, patterns, resources
from decklog.ask.moments import moment
from decklog.ask.terminal import visible
from decklog.assembling.upkeep import maintaining, retention_rules
from decklog.audit.query import Query
from decklog.cli.storing import FINDINGS, store_option
from decklog.disk import Disk
from decklog.errors import DecklogError
from decklog.store import holds as legal_holds

if TYPE_CHECKING:
    from pathlib import Path

    from decklog.store.retention import Plan

_HELP: Final = """Delete what is older than its age, or show what would go.

Without --write nothing is deleted: what would go is shown. --policy names a file with rules as an audit policy has
them, each with keep: instead of level: (docs/store.md); the first that matches decides, and what none matches stays for
ever. --max-size lets the oldest go until the rest is small enough. What a legal hold matches stays in any case. What
was deleted is recorded in deletions.ndjson in the store.

\b
decklog store retain --store /var/lib/decklog --policy retention.yaml
decklog store retain --store /var/lib/decklog --policy retention.yaml --max-size 500GiB --write
decklog store retain --store /var/lib/decklog --hold case-17 --user mallory --since 2026-01-01
decklog store retain --store /var/lib/decklog --release case-17
"""
_SIZE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(B|[KMGT]i?B)?", re.ASCII | re.IGNORECASE)
_UNITS: Final = {"b": 1, **{f"{letter}ib": 1024 ** (place + 1) for place, letter in enumerate("kmgt")}}
_DECIMAL: Final = {f"{letter}b": 1000 ** (place + 1) for place, letter in enumerate("kmgt")}


@click.command(
    "retain", help=_HELP, epilog="Exit code 0: done; 1: something stays that should go (stderr says why); 2: input."
)
@store_option
@click.option("--policy", metavar="FILE", type=click.Path(), help="How long what is kept: a Retention file.")
@click.option("--max-size", metavar="SIZE", help="Of all segments: 500GiB.")
@click.option("--write", is_flag=True, help="Delete; without it, show.")
@click.option("--believe-clock", is_flag=True, help="Delete although the clock is far ahead of all events.")
@click.option("--hold", metavar="NAME", help="Make a legal hold of what the filters below match.")
@click.option("--release", metavar="NAME", help="End a legal hold.")
@click.option("--holds", is_flag=True, help="List the legal holds.")
@click.option("--user", multiple=True, metavar="NAME", help="For --hold: who authenticated.")
@click.option("--verb", multiple=True, metavar="VERB", help="For --hold.")
@click.option("--resource", multiple=True, metavar="TYPE", help="For --hold.")
@click.option("-n", "--namespace", multiple=True, metavar="NAME", help="For --hold: of the object.")
@click.option("--name", multiple=True, metavar="NAME", help="For --hold: of the object.")
@click.option("--audit-id", multiple=True, metavar="ID", help="For --hold.")
@click.option("--text", multiple=True, metavar="TEXT", help="For --hold: anywhere in the event.")
@click.option("--since", metavar="TIME", help="For --hold: under way at that time, or later.")
@click.option("--until", metavar="TIME", help="For --hold: received before that time.")
def command(
    store: Path,
    policy: str | None,
    max_size: str | None,
    write: bool,
    believe_clock: bool,
    hold: str | None,
    release: str | None,
    holds: bool,
    **filters: object,
) -> None:
    """Delete, show, hold or release."""
    if hold is not None or release is not None or holds:
        _holds(store, hold, release, _query(filters) if hold is not None else None)
        return
    if any(filters.values()):
        raise DecklogError("filters say what a legal hold keeps: give --hold NAME with them")
    if policy is None and max_size is None:
        raise DecklogError("nothing says what may go: give --policy or --max-size")
    # Because: DuckDB takes 30 ms and more to import; --help does not need it.
    from decklog.store import retention  # noqa: PLC0415  # because: DuckDB stands behind it, and --help needs none

    rules = retention_rules(policy, _bytes(max_size), believe_clock=believe_clock)
    with maintaining(store, Disk()) as (work, engine):
        found = retention.plan(work, engine, rules)
        _show(found, write=write)
        for line in found.left:
            click.echo(visible(f"left as it is: {line}"), err=True)
        if found.refused:
            click.echo(f"nothing is deleted: {found.refused}", err=True)
            click.get_current_context().exit(FINDINGS)
        if write:
            retention.carry_out(work, engine, found, rules)
            work.remove_dead()
    if found.left:
        click.get_current_context().exit(FINDINGS)


def _show(found: Plan, *, write: bool) -> None:
    for doomed in found.doomed:
        segment = doomed.segment
        click.echo(
            visible(
                f"{segment.day}  {segment.cluster}  {doomed.rows:,} of {segment.rows:,} events"
                f" ({segment.min_time or '?'} to {segment.max_time or '?'})  by {doomed.reason}"
            )
        )
    word = "deleted" if write and not found.refused else "would be deleted (--write does it)"
    freed = sum(doomed.segment.file_bytes * doomed.rows // doomed.segment.rows for doomed in found.doomed)
    click.echo(f"{found.events:,} events, about {binary_size(freed)}: {word}; {found.held:,} are held", err=True)


def _holds(store: Path, hold: str | None, release: str | None, query: Query | None) -> None:
    with maintaining(store, Disk()) as (work, _):
        if hold is not None and query is not None:
            legal_holds.hold(work, hold, query)
        if release is not None and not legal_holds.release(work, release):
            raise DecklogError(f"there is no legal hold {release!r}: --holds lists them")
        for name, text in work.catalog.holds().items():
            click.echo(visible(f"{name}  {text}"))


def _query(filters: dict[str, object]) -> Query:
    def texts(name: str) -> tuple[str, ...]:
        value = filters[name]
        return tuple(map(str, value)) if isinstance(value, tuple) else ()

    now = datetime.now(UTC)
    since, until = (moment(str(filters[name]), now) if filters[name] else None for name in ("since", "until"))
    query = Query(
        users=patterns(texts("user")),
        verbs=listed(texts("verb")),
        resources=resources(texts("resource")),
        namespaces=patterns(texts("namespace")),
        names=patterns(texts("name")),
        audit_ids=patterns(texts("audit_id")),
        texts=texts("text"),
        since=since,
        until=until,
    )
    if query == Query():
        raise DecklogError("--hold without a filter would keep everything: say what it is about, such as --user NAME")
    return query


def _bytes(text: str | None) -> int | None:
    if text is None:
        return None
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise DecklogError(f"--max-size: {text!r} is no size: write one as in 500GiB")
    unit = (found[2] or "b").lower()
    return int(float(found[1]) * ({**_UNITS, **_DECIMAL}[unit]))
