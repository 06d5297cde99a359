"""Verbatim: places → lines, as bytes. For whoever reads of a line less than the whole event, and much faster.

What befalls files and overlong lines is named in the coverage, as `reader` does it; what stands in a line is the
caller's to read.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from decklog.sources.lines import MAX_LINE_BYTES, DamagedError, chunks, lines
from decklog.sources.packing import Metered
from decklog.sources.record import KEPT_PROBLEMS, BadLine

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from decklog.sources.places import Place
    from decklog.sources.record import Coverage

_SPACE: Final = 0x20
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


def read_lines(places: Iterable[Place], coverage: Coverage, *, max_line_bytes: int = MAX_LINE_BYTES) -> Iterator[bytes]:
    """Yield each line of `places` without its line feed, in order; blank lines are passed over.

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
    for number, line in enumerate(lines(chunks(file), max_line_bytes), start=1):
        if line is None:
            _too_long(coverage, name, number, max_line_bytes)
        elif line and (line[0] > _SPACE or not line.isspace()):
            coverage.lines += 1
            yield line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line


def _too_long(coverage: Coverage, name: str, number: int, max_line_bytes: int) -> None:
    coverage.lines += 1
    coverage.bad_lines += 1
    if len(coverage.bad_examples) < KEPT_PROBLEMS:
        coverage.bad_examples.append(BadLine(name, number, f"longer than {max_line_bytes >> 20} MiB"))
