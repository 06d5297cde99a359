"""``decklog get``: an object as the log last shows it at a time."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from decklog.ask.covering import covered
from decklog.ask.history import Asked, Target, telling
from decklog.ask.manifest import manifest, said
from decklog.ask.moments import microtime, moment
from decklog.cli.following import requests
from decklog.cli.printing import print_json, searched
from decklog.cli.searching import NOTHING_FOUND, search_options, tell
from decklog.sources.record import Coverage

if TYPE_CHECKING:
    from decklog.ask.manifest import Manifest
    from decklog.cli.searching import Search

_HELP: Final = """Show an object as the log last shows it, at a time or at its end.

\b
decklog get deploy/web -n shop --at 2026-01-31T14:05:00Z -f audit.log
decklog get deploy/web -n shop --at 2h > before.yaml

The manifest is a body of a request in the log (levels Request and RequestResponse), of reads as well. Where it
stands, and which later writes left no body, is told on stderr. Nothing is made up: a patch without an answer is
named, not applied. Of a deleted object the last manifest is shown.
"""
_EPILOG: Final = """\b
-o json has "manifest" (null if no body is known), "provenance" (request, stage,
body, file, line), "later" (request, deed, sure), "gone" and "searched"; the
manifest alone is -o manifest, in JSON.
Exit code 1: no manifest is known."""


@click.command("get", help=_HELP, epilog=_EPILOG)
@click.argument("words", nargs=-1, required=True, metavar="OBJECT")
@click.option("-n", "--namespace", metavar="NAME", help="Of the object; needed if several bear its name.")
@click.option("--at", metavar="TIME", help="Written as for --since; without it: at the end of the log.")
@click.option("--show-managed-fields", is_flag=True, help="Keep metadata.managedFields.")
@search_options(("yaml", "json", "manifest"))
def command(
    search: Search, words: tuple[str, ...], namespace: str | None, at: str | None, show_managed_fields: bool
) -> None:
    """Show an object as the log last shows it."""
    target = Target.parse(words, namespace)
    time = moment(at, datetime.now(UTC)) if at else search.until
    coverage = Coverage()
    # A request that began before the time may have ended after it, and the reverse cannot be.
    found = list(telling(requests(search, coverage, *target.queries(reads=True, until=_just_after(time)))))
    asked = Asked()
    for request in found:
        asked.count(request)
    known = manifest(found, asked.one(target), time, managed_fields=show_managed_fields)
    _write(search.output, known, searched(coverage, None, time))
    for sentence in said(known, target.name):
        tell(sentence)
    tell(covered(coverage, None, time))
    if known.document is None:
        click.get_current_context().exit(NOTHING_FOUND)


def _just_after(time: str | None) -> str | None:
    """Turn "at or before" into "before"."""
    if time is None:
        return None
    from datetime import timedelta  # noqa: PLC0415  # because: only needed with --at

    return microtime(datetime.fromisoformat(time) + timedelta(microseconds=1))


def _write(output: str, known: Manifest, covers: dict[str, Any]) -> None:
    if output == "json":
        data = msgspec.to_builtins(known)
        print_json({"manifest": data.pop("document"), **data, "searched": covers})
    elif known.document is not None and output == "manifest":
        print_json(known.document)
    elif known.document is not None:
        sys.stdout.write(_yaml(known.document))


def _yaml(document: dict[str, Any]) -> str:
    """Write YAML with the keys in their order; what acts on a terminal comes out escaped (PyYAML quotes such text)."""
    import yaml  # noqa: PLC0415  # because: 20 ms that only this command has to pay

    return str(yaml.safe_dump(document, sort_keys=False, allow_unicode=False, default_flow_style=False, width=10_000))
