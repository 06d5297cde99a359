"""``decklog store check``: is everything that was stored still as it was."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import click

from decklog.amounts import binary_size
from decklog.ask.terminal import visible
from decklog.cli.storing import FINDINGS, output_option, print_object, reading_engine, store_option
from decklog.disk import Disk

if TYPE_CHECKING:
    from pathlib import Path

    from decklog.store.inspection import Checked, Fault
    from decklog.store.parquet import Engine

_HELP: Final = """Check that everything that was stored is still as it was.

Every byte is held against its checksum, every file's events against their number. Damage is named by file, offset and
the time range of the events that it may have hit. Nothing is changed, and a store that is being written to can be
checked. With --repair, a catalog that is missing or damaged is made anew from the segments first; the old one stays
beside it as catalog.db.lost-TIME.

\b
decklog store check --store /var/lib/decklog
decklog store check --store /var/lib/decklog -o json
decklog store check --store /var/lib/decklog --repair
"""


@click.command("check", help=_HELP, epilog="Exit code 0: all is there; 1: there is damage; 2: the input is wrong.")
@store_option
@click.option("--repair", is_flag=True, help="Make a lost catalog anew from the segments.")
@output_option
def command(store: Path, repair: bool, output: str) -> None:
    """Check a store."""
    # Because: DuckDB takes 30 ms and more to import; --help does not need it.
    from decklog.store.inspection import Checked, check  # noqa: PLC0415  # because: DuckDB stands behind it, and --help needs none

    checked = Checked()
    with reading_engine() as engine:
        if repair:
            _repair(store, engine)
        faults = list(check(store, Disk(), engine, checked))
    if output == "json":
        print_object({"faults": [_json(fault) for fault in faults], "checked": _figures(checked)})
    else:
        for fault in faults:
            click.echo(visible(_line(fault)))
        click.echo(
            f"{checked.events:,} events are as they were, in {checked.segments:,} segments"
            f" and {checked.journals:,} journals ({binary_size(checked.size)})",
            err=True,
        )
    if any(fault.damage for fault in faults):
        click.get_current_context().exit(FINDINGS)


def _repair(store: Path, engine: Engine) -> None:
    from decklog.store.restoring import restore  # noqa: PLC0415  # because: the same

    done = restore(store, Disk(), engine, time.time)
    if done is None:
        click.echo("the catalog is sound: nothing was repaired", err=True)
        return
    click.echo(visible(f"the catalog was lost: {done.why}"), err=True)
    if done.aside is not None:
        click.echo(visible(f"it is kept as {done.aside}"), err=True)
    click.echo(f"the new one has {done.segments:,} segments with {done.events:,} events", err=True)


def _line(fault: Fault) -> str:
    kind = "damage" if fault.damage else "note"
    place = f" at byte {fault.offset:,}, {fault.length:,} bytes" if fault.length else ""
    times = f"; events from {fault.since or '?'} to {fault.until or '?'}" if fault.since or fault.until else ""
    return f"{kind}: {fault.path}{place}: {fault.why}{times}"


def _json(fault: Fault) -> dict[str, object]:
    return {
        "file": str(fault.path),
        "offset": fault.offset,
        "length": fault.length,
        "since": fault.since,
        "until": fault.until,
        "why": fault.why,
        "damage": fault.damage,
    }


def _figures(checked: Checked) -> dict[str, int]:
    return {
        "events": checked.events,
        "segments": checked.segments,
        "journals": checked.journals,
        "bytes": checked.size,
    }
