"""Listing: the answer of a question that sums up, in every format: a table, JSON, YAML, CSV, names, a template.

What an item looks like is said once, by the columns of its table and by its JSON; the formats follow from these two.
"""

from __future__ import annotations

import sys
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from decklog.ask.terminal import visible, visible_json
from decklog.cli.printing import print_json, terminal_width
from decklog.cli.table import table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from decklog.cli.table import Column

FORMATS_HELP: Final = """json and yaml have what was "searched" beside the list; jsonl is an item a
line, csv one a row, jsonpath= kubectl's template filled from one at a time."""


class Listing(NamedTuple):
    """A list of items, and how to show one."""

    key: str
    """Of the list in JSON."""
    items: Sequence[Any]
    columns: Sequence[Column]
    head: Sequence[str]
    """The titles of CSV: keys of `plain`, or of `flat`."""
    name: Callable[[Any], str] | None = None
    """For ``-o name``."""
    plain: Callable[[Any], dict[str, Any]] = msgspec.to_builtins
    """An item as JSON has it."""
    flat: Callable[[Any], dict[str, Any]] | None = None
    """An item as CSV has it, if that differs."""
    also: dict[str, Any] = {}  # noqa: RUF012  # because: a tuple's default, which nobody changes
    """What stands beside the list in JSON."""


def print_listing(output: str, listing: Listing, searched: dict[str, Any]) -> None:
    """Print the items in a format; `searched` says what the answer covers, for those that have a place for it."""
    out = sys.stdout
    if isinstance(out, TextIOWrapper):
        out.reconfigure(errors="backslashreplace")  # an encoding that lacks a character shows its number, and goes on
    kind, _, template = output.partition("=")
    if kind in {"table", "wide"}:
        _print_table(listing, wide=kind == "wide")
    elif kind == "json":
        print_json({**_document(listing), "searched": searched})
    elif kind == "yaml":
        # Because: PyYAML takes 20 ms to import, which only this format has to pay.
        from decklog.cli.yaml_printing import written  # noqa: PLC0415  # because: the library of one format is for who asks for it

        out.write(written(msgspec.to_builtins({**_document(listing), "searched": searched})))
    elif kind == "csv":
        from decklog.cli.spreadsheets import write_csv  # noqa: PLC0415  # because: the library of one format is for who asks for it

        write_csv(out, listing.head, map(listing.flat or listing.plain, listing.items))
    elif kind == "jsonl":
        for item in listing.items:
            out.write(f"{visible_json(msgspec.json.encode(listing.plain(item)).decode())}\n")
    elif kind == "name":
        for item in listing.items:
            out.write(f"{visible((listing.name or _no_name)(item))}\n")
    else:
        _print_template(listing, template)


def _document(listing: Listing) -> dict[str, Any]:
    return {**listing.also, listing.key: list(map(listing.plain, listing.items))}


def _no_name(_item: Any) -> str:
    return "-"


def _print_table(listing: Listing, *, wide: bool) -> None:
    shown = [column for column in listing.columns if wide or not column.wide]
    for line in table(listing.items, shown, width=None if wide else terminal_width(sys.stdout)):
        sys.stdout.write(f"{line}\n")


def _print_template(listing: Listing, template: str) -> None:
    from decklog.cli.jsonpath_printing import JsonPathPrinter  # noqa: PLC0415  # because: the library of one format is for who asks for it

    printer = JsonPathPrinter(sys.stdout, template, events=False)
    printer.values(msgspec.to_builtins(listing.plain(item)) for item in listing.items)


def names_of(*structs: Any) -> tuple[str, ...]:
    """Give the JSON names of the fields of structs, each once, as titles of CSV."""
    return tuple(dict.fromkeys(field.encode_name for one in structs for field in msgspec.structs.fields(one)))
