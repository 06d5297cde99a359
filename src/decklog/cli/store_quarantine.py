"""``decklog store quarantine``: what came and could not be read as events."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click

from decklog.ask.terminal import visible
from decklog.cli.storing import output_option, print_object, store_option
from decklog.disk import Disk
from decklog.errors import DecklogError
from decklog.store.inspection_quarantine import quarantined
from decklog.store.quarantine import HELD, Reading, held

if TYPE_CHECKING:
    from pathlib import Path

    from decklog.store.inspection_quarantine import Quarantined

_HELP: Final = """List what came and could not be read as events.

It is kept byte by byte. A .held file has the items of a body that are no events, a .kept file a body as a whole, a
.body file one that is still to be taken apart. --show writes a body, or the items of a .held file, to standard output
as they came.

\b
decklog store quarantine --store /var/lib/decklog
decklog store quarantine --store /var/lib/decklog --show receive-0/01769817600000000000-000001.held
"""


@click.command("quarantine", help=_HELP)
@store_option
@click.option("--show", metavar="FILE", help="Write what one of the listed files holds to standard output.")
@output_option
def command(store: Path, show: str | None, output: str) -> None:
    """List or show."""
    disk = Disk()
    files = quarantined(store, disk)
    if show is not None:
        _show(_named(files, show), disk)
        return
    told = [_told(file, disk) for file in files]
    if output == "json":
        print_object({"files": told})
        return
    for one in told:
        click.echo(
            visible(f"{one['file']}  {one['received']}  {one['size']:,} bytes  {one['sender']}  {one['reason']}")
        )
        for item in one["items"]:
            click.echo(visible(f"    item {item['number']}, {item['size']:,} bytes: {item['reason']}"))
    click.echo(f"{len(told):,} files in quarantine", err=True)


def _named(files: list[Quarantined], name: str) -> Quarantined:
    for file in files:
        if name in {file.name, str(file.path)}:
            return file
    raise DecklogError(f"{name} is not in quarantine: decklog store quarantine lists what is")


def _told(file: Quarantined, disk: Disk) -> dict[str, Any]:
    told: dict[str, Any] = {
        "file": file.name,
        "size": file.size,
        "received": "",
        "sender": "",
        "reason": "",
        "items": [],
    }
    try:
        with Reading(file.path, disk) as reading:
            origin = reading.origin
        told["received"] = f"{datetime.fromtimestamp(origin.received_ns / 1e9, UTC):%Y-%m-%dT%H:%M:%SZ}"
        told["sender"], told["cluster"], told["reason"] = origin.sender, origin.cluster, origin.reason
        if file.kind == HELD:
            told["items"] = [
                {"number": item.number, "size": item.size, "reason": item.reason} for item, _ in held(file.path, disk)
            ]
    except (DecklogError, OSError) as error:
        told["reason"] = str(error)
    return told


def _show(file: Quarantined, disk: Disk) -> None:
    out = sys.stdout.buffer
    if file.kind == HELD:
        for _, content in held(file.path, disk):
            out.write(content() + b"\n")
        return
    with Reading(file.path, disk) as reading:
        for piece in reading.pieces(0, reading.size):
            out.write(piece)
