"""``decklog store compact``: seal journals, compact days."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from decklog.ask.terminal import visible
from decklog.assembling.upkeep import maintaining, seal_and_compact
from decklog.cli.storing import FINDINGS, store_option
from decklog.disk import Disk
from decklog.store.segment import GRACE_S

if TYPE_CHECKING:
    from pathlib import Path

_HELP: Final = """Seal finished journals, and compact the days that are over.

Journals become Parquet, with every event verbatim; the files of a day become one, in which every event stands once.
No event is deleted. Files that are replaced stay for --grace seconds, for those who are reading them.

\b
decklog store compact --store /var/lib/decklog
"""


@click.command(
    "compact", help=_HELP, epilog="Exit code 0: done; 1: something was left as it is; 2: the input is wrong."
)
@store_option
@click.option("--all-days", is_flag=True, help="Compact the current day, too.")
@click.option(
    "--grace",
    default=GRACE_S,
    show_default=True,
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    help="How long replaced files stay.",
)
def command(store: Path, all_days: bool, grace: float) -> None:
    """Seal and compact."""
    with maintaining(store, Disk(), grace_s=grace) as (work, engine):
        sealed, compacted, removed = seal_and_compact(work, engine, all_days=all_days)
    click.echo(f"sealed {sealed.journals:,} journals: {sealed.events:,} events")
    click.echo(
        f"compacted {compacted.days:,} days: {compacted.events:,} events, {compacted.doubles:,} doubles left out,"
        f" {compacted.bytes_before:,} bytes became {compacted.bytes_after:,}"
    )
    click.echo(f"removed {removed:,} files that were replaced before")
    left = (*sealed.left, *compacted.left)
    for line in left:
        click.echo(visible(f"left as it is: {line}"), err=True)
    if left:
        click.get_current_context().exit(FINDINGS)
