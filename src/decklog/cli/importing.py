"""``decklog import``: put what other programs wrote down into a store."""

from __future__ import annotations

import asyncio
import sys
from io import BytesIO
from pathlib import Path
from typing import Final

import click

from decklog.ask.covering import covered
from decklog.cli.flags import configured
from decklog.cli.printing import print_json, searched
from decklog.cli.progress import Bar, total_bytes
from decklog.cli.searching import tell
from decklog.disk import Disk
from decklog.errors import DecklogError
from decklog.sources.places import find
from decklog.sources.reader import read
from decklog.sources.record import Coverage

NOT_ALL_READ: Final = 1

_HELP: Final = """Put audit logs into a store, each event once.

Events are stored as they are. FILE is whatever the asking commands read: a log (its rotated and packed parts are
found), a directory, an export of a cloud or of a shipper, or - for standard input. What the store has already is passed
over, also what an API server's webhook brought: so an import that was interrupted is run again, as is one of a log that
has grown.

\b
decklog import --store /var/lib/decklog /var/log/kubernetes/audit.log
zcat export.json.gz | decklog import --store /var/lib/decklog --cluster prod -
"""
_EPILOG: Final = """\b
-o json: {"stored", "alreadyStored", "searched": {...}}.
Exit code 1: something could not be read; the rest is stored."""


@click.command("import", help=_HELP, epilog=_EPILOG, short_help="Put audit logs into a store, each event once.")
@configured
@click.argument("files", nargs=-1, required=True, type=click.Path(), metavar="FILE...")
@click.option(
    "--store",
    required=True,
    envvar="DECKLOG_STORE",
    show_envvar=True,
    metavar="DIR",
    type=click.Path(),
    help="The directory that keeps the events; made if it is missing. Where nothing is named, decklog.yaml may say "
    "store: DIR.",
)
@click.option(
    "--cluster",
    default="",
    metavar="NAME",
    help="The name of the cluster whose events these are, where a store keeps several; as the receiver has it.",
)
@click.option(
    "--rotated/--no-rotated", default=True, show_default=True, help="Read the older parts of a rotated log, too."
)
@click.option("-o", "--output", type=click.Choice(("text", "json")), default="text", show_default=True)
def command(files: tuple[str, ...], store: str, cluster: str, rotated: bool, output: str) -> None:
    """Put audit logs into a store."""
    from decklog.assembling.importing import bring_in  # noqa: PLC0415  # because: libraries that --help does not need

    if not store:
        raise DecklogError("--store is empty: give the directory that keeps the events")
    stdin = sys.stdin.buffer if sys.stdin else BytesIO()  # a process may be started without one
    places = find(files, stdin, rotated=rotated)
    coverage, bar = Coverage(), Bar()
    bar.watch(coverage, total_bytes(places))
    try:
        done = asyncio.run(bring_in(bar.over(read(places, coverage)), Path(store), Disk(), cluster=cluster))
    finally:
        for place in places:
            place.close()
    if output == "json":
        said = searched(coverage, None, None)
        print_json({"stored": done.stored, "alreadyStored": done.doubled, "searched": said})
    else:
        click.echo(
            f"{done.stored:,} event{'' if done.stored == 1 else 's'} stored, {done.doubled:,} were there already"
        )
    tell(covered(coverage, None, None))
    if coverage.bad_lines or coverage.problems:
        click.get_current_context().exit(NOT_ALL_READ)
