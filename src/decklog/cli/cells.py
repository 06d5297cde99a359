"""Cells: small tables of text and numbers, and CSV of foreign text that no spreadsheet takes for a formula."""

from __future__ import annotations

import csv
import sys
from typing import TYPE_CHECKING, Final

from decklog.ask.terminal import columns, visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_FORMULA: Final = frozenset("=+-@\uff1d\uff0b\uff0d\uff20")
"""What a spreadsheet may read as the beginning of a formula; the full-width ones, too."""


def cell(value: object) -> object:
    """Give a value for CSV: on one line, and an apostrophe before text that a spreadsheet could read as a formula."""
    if not isinstance(value, str):
        return value
    text = visible(value)
    bare = text.lstrip(" ")
    return f"'{text}" if bare and bare[0] in _FORMULA and bare != "-" else text


def write_csv(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write CSV with a head to stdout (RFC 4180, but with line feeds alone)."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([cell(value) for value in row] for row in rows)


def aligned(rows: Sequence[Sequence[str]], right: frozenset[int], width: int | None) -> Iterator[str]:
    """Align rows in columns two spaces apart, those of `right` to their right edge; the last is cut to `width`."""
    safe = [[visible(text) for text in row] for row in rows]
    widths = [max(columns(row[place]) for row in safe) for place in range(len(safe[0]))] if safe else []
    for row in safe:
        pieces = []
        for place, text in enumerate(row):
            room = " " * (widths[place] - columns(text))
            pieces.append(room + text if place in right else text + room)
        line = "  ".join(pieces).rstrip()
        yield line if width is None or columns(line) <= width else _cut(line, width)


def _cut(line: str, width: int) -> str:
    while columns(line) > width - 1:
        line = line[:-1]
    return f"{line}…"
