"""Verbatim: places → lines, as bytes. For whoever reads of a line less than the whole event, and much faster.

What befalls files and overlong lines is named in the coverage, as `reader` does it; what stands in a line is the
caller's to read.
"""

from __future__ import annotations

import os
from itertools import chain
from typing import TYPE_CHECKING, Final

from decklog.audit.wire import encode_event
from decklog.sources.documents import HEAD_BYTES, documents, is_documents
from decklog.sources.lines import MAX_LINE_BYTES, DamagedError, chunks, lines
from decklog.sources.packing import Metered
from decklog.sources.reader import USUAL, records_of
from decklog.sources.record import KEPT_PROBLEMS, BadLine

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from decklog.sources.places import Place
    from decklog.sources.record import Coverage

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


def read_lines(places: Iterable[Place], coverage: Coverage, *, max_line_bytes: int = MAX_LINE_BYTES) -> Iterator[bytes]:
    """Yield each line of `places` without its line feed, in order; blank lines are passed over.

    Of what a carrier put into an envelope the events are yielded, each as a line; its other messages are passed over.
    Counts files, bytes, lines and problems into `coverage`; its times and bad lines, but for those too long to keep,
    are the caller's to know.
    """
    waiting = list(places)
    try:
        for place in waiting:
            yield from _read_place(place, coverage, max_line_bytes)
    finally:
        for place in waiting:
            place.close()


def _read_place(place: Place, coverage: Coverage, max_line_bytes: int) -> Iterator[bytes]:
    name = os.fsencode(place.path).decode("utf-8", "backslashreplace")  # file names are bytes; ours are text
    if place.problem:
        coverage.problems.append(f"{name}: {place.problem}")
        return
    try:
        place.file = place.open()
        coverage.files.append(name)
        yield from _lines_of(Metered(place.file, coverage.count_bytes), name, coverage, max_line_bytes)
    except DamagedError as error:
        coverage.problems.append(f"{name}: {error}")
    except OSError as error:
        coverage.problems.append(f"{name}: cannot be read ({error.strerror or error})")
    finally:
        place.close()


def _lines_of(file: Metered, name: str, coverage: Coverage, max_line_bytes: int) -> Iterator[bytes]:
    pieces = chunks(file)
    head = b""
    while len(head) < HEAD_BYTES and b"\n" not in head.lstrip() and (piece := next(pieces, b"")):
        head += piece
    pieces = chain([head.removeprefix(_BYTE_ORDER_MARK)], pieces)
    cut = documents(pieces, max_line_bytes) if is_documents(head) else enumerate(lines(pieces, max_line_bytes), 1)
    usual = USUAL
    for number, line in cut:
        if line is None:
            _too_long(coverage, name, number, max_line_bytes)
        elif line.startswith(usual):
            coverage.lines += 1
            yield line
        elif line and not line.isspace():
            yield from _opened(line, name, number, coverage)


def _opened(line: bytes, name: str, number: int, coverage: Coverage) -> Iterator[bytes]:
    """Yield the events that a carrier's envelope holds, or else the line as it is."""
    for record in records_of(line, name, number, coverage):
        coverage.lines += 1
        made_up = record.event is not None and record.provenance is not None and record.provenance.synthesised
        yield encode_event(record.event) if made_up and record.event is not None else record.line or line


def _too_long(coverage: Coverage, name: str, number: int, max_line_bytes: int) -> None:
    coverage.lines += 1
    coverage.bad_lines += 1
    if len(coverage.bad_examples) < KEPT_PROBLEMS:
        coverage.bad_examples.append(BadLine(name, number, f"longer than {max_line_bytes >> 20} MiB"))
