"""``decklog get``: an object as the log last shows it at a time."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from decklog.ask.history import Asked, Target, telling
from decklog.ask.manifest import manifest, said
from decklog.ask.moments import microtime, moment
from decklog.cli.asking import Asking
from decklog.cli.completing import objects
from decklog.cli.listing import Listing, print_listing
from decklog.cli.printing import print_json
from decklog.cli.searching import search_options, tell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from decklog.ask.manifest import Manifest
    from decklog.ask.requests import Request
    from decklog.cli.searching import Search

_HELP: Final = """Show an object as the log last shows it, at a time.

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
manifest alone is -o manifest, in JSON; jsonl is the same in one line, jsonpath=
kubectl's template filled from it, as kubectl get does.
Exit code 1: no manifest is known."""


@click.command("get", help=_HELP, epilog=_EPILOG)
@click.argument("words", nargs=-1, required=True, metavar="OBJECT", shell_complete=objects)
@click.option("-n", "--namespace", metavar="NAME", help="Of the object; needed if several bear its name.")
@click.option("--at", metavar="TIME", help="Written as for --since; without it: at the end of the log.")
@click.option("--show-managed-fields", is_flag=True, help="Keep metadata.managedFields.")
@search_options(("yaml", "json", "manifest", "jsonl", "name", "jsonpath=TEMPLATE"))
def command(
    search: Search, words: tuple[str, ...], namespace: str | None, at: str | None, show_managed_fields: bool
) -> None:
    """Show an object as the log last shows it."""
    target = Target.parse(words, namespace)
    time = moment(at, datetime.now(UTC)) if at else search.until
    search = replace(search, since=None, until=time)
    # A request that began before the time may have ended after it, and the reverse cannot be.
    asking = Asking(search, *target.queries(reads=True, until=_just_after(time)))
    known = _known(target, asking.requests(), time, managed_fields=show_managed_fields)
    _write(search.output, known, target, asking.searched(found=known.document is not None))
    for sentence in said(known, target.name):
        tell(sentence)
    nothing = "" if known.later else f"no request in the log shows {target.name}"
    asking.conclude(nothing, found=known.document is not None)


def _known(target: Target, found: Iterator[Request], time: str | None, *, managed_fields: bool) -> Manifest:
    """Find the manifest; the requests are held only where their namespace has to be found out first."""
    asked = Asked()
    if target.namespace is not None:
        known = manifest(asked.counting(found), target, time, managed_fields=managed_fields)
        asked.one(target)
        return known
    held = list(asked.counting(telling(found)))
    return manifest(held, asked.one(target), time, managed_fields=managed_fields)


def _just_after(time: str | None) -> str | None:
    """Turn "at or before" into "before"."""
    if time is None:
        return None
    from datetime import timedelta  # noqa: PLC0415  # because: only needed with --at

    return microtime(datetime.fromisoformat(time) + timedelta(microseconds=1))


def _write(output: str, known: Manifest, target: Target, covers: dict[str, Any]) -> None:
    if output == "json":
        data = msgspec.to_builtins(known)
        print_json({"manifest": data.pop("document"), **data, "searched": covers})
    elif known.document is None:
        return
    elif output == "manifest":
        print_json(known.document)
    elif output == "yaml":
        sys.stdout.write(_yaml(known.document))
    else:
        print_listing(output, Listing("", [known.document], (), (), lambda _: _name(target)), covers)


def _name(target: Target) -> str:
    kind = next((pattern for pattern in target.resources), None)
    group = f".{kind.group}" if kind is not None and kind.group else ""
    return f"{kind.resource.text if kind is not None else 'object'}{group}/{target.name}"


def _yaml(document: dict[str, Any]) -> str:
    """Write YAML with the keys in their order; what acts on a terminal comes out escaped (PyYAML quotes such text)."""
    import yaml  # noqa: PLC0415  # because: 20 ms that only this command has to pay

    return str(yaml.safe_dump(document, sort_keys=False, allow_unicode=False, default_flow_style=False, width=10_000))
