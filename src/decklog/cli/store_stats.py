"""``decklog store stats``: what a store holds."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import click

from decklog.amounts import binary_size
from decklog.ask.terminal import visible
from decklog.cli.storing import FINDINGS, output_option, print_object, reading_engine, store_option
from decklog.disk import Disk

if TYPE_CHECKING:
    from pathlib import Path

    from decklog.store.inspection import Figures, Gaps

_HELP: Final = """Show what a store holds: events, bytes, days, clusters; with --gaps what may be missing.

--gaps reads the whole store: it counts each event once, and looks for requests that were received and have no end.
--sent takes what the sender counted (apiserver_audit_event_total of kube-apiserver, less
apiserver_audit_error_total, since the store began), and compares.

\b
decklog store stats --store /var/lib/decklog
decklog store stats --store /var/lib/decklog --sent 1250000
"""
_SHOWN_DAYS: Final = 14


@click.command("stats", help=_HELP, epilog="Exit code 0: done; 1: fewer events than --sent; 2: the input is wrong.")
@store_option
@click.option("--gaps", "find_gaps", is_flag=True, help="Count events once each, and requests without an end.")
@click.option("--sent", metavar="NUMBER", type=click.IntRange(min=0), help="Events that were sent; implies --gaps.")
@output_option
def command(store: Path, find_gaps: bool, sent: int | None, output: str) -> None:
    """Show figures."""
    # Because: DuckDB takes 30 ms and more to import; --help does not need it.
    from decklog.store.inspection import gaps, stats  # noqa: PLC0415  # because: DuckDB stands behind it, and --help needs none

    figures = stats(store, Disk())
    found = None
    if find_gaps or sent is not None:
        with reading_engine() as engine:
            found = gaps(store, Disk(), engine)
    if output == "json":
        print_object(_json(figures, found, sent))
    else:
        for line in (*_lines(figures), *_gap_lines(found, sent)):
            click.echo(visible(line))
    if found is not None and sent is not None and found.distinct < sent:
        click.get_current_context().exit(FINDINGS)


def _json(figures: Figures, found: Gaps | None, sent: int | None) -> dict[str, Any]:
    value = {**asdict(figures), "events": figures.events, "bytes_an_event": round(figures.bytes_an_event, 1)}
    if found is not None:
        value["gaps"] = asdict(found)
    if found is not None and sent is not None:
        value["missing"] = sent - found.distinct
    return value


def _lines(figures: Figures) -> list[str]:
    days = sorted(figures.days.items(), reverse=True)
    more = len(days) - _SHOWN_DAYS
    packed = f"{binary_size(figures.segment_bytes)} of {binary_size(figures.segment_raw_bytes)}"
    return [
        f"events       {figures.events:,}",
        f"in segments  {figures.segment_events:,} ({packed})",
        f"in journals  {figures.journal_events:,} ({binary_size(figures.journal_bytes)})",
        f"an event     {figures.bytes_an_event:,.0f} bytes",
        f"from         {figures.first or '-'}",
        f"to           {figures.last or '-'}",
        f"quarantine   {figures.waiting:,} files",
        *(f"cluster      {name}: {count:,}" for name, count in sorted(figures.clusters.items())),
        *(f"day          {name}: {count:,}" for name, count in days[:_SHOWN_DAYS]),
        *([f"             … and {more:,} more days"] if more > 0 else []),
    ]


def _gap_lines(found: Gaps | None, sent: int | None) -> list[str]:
    if found is None:
        return []
    lines = [f"distinct     {found.distinct:,}"]
    if found.received:
        lines.append(f"no end       {found.open:,} of {found.received:,} requests that were received")
        lines += [f"             {audit_id}" for audit_id in found.examples]
    else:
        lines.append("no end       not known: the stage RequestReceived is not recorded")
    if sent is not None:
        missing = sent - found.distinct
        word = (
            f"{missing:,} are missing" if missing > 0 else "all are here" if not missing else f"{-missing:,} more here"
        )
        lines.append(f"sent         {sent:,}: {word}")
    return lines
