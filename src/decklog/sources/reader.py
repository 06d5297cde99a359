"""Reader: places → records. Streams; never fails for what stands in a file.

A line that is no event, a file that is cut off, damaged or gone: each is counted and named in the coverage, and its
neighbours are read.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from decklog.audit.wire import WireError, decode_event
from decklog.sources.lines import MAX_LINE_BYTES, DamagedError, chunks, lines
from decklog.sources.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

    from decklog.sources.places import Place
    from decklog.sources.record import Coverage

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_FOREIGN: Final = "not an audit event: it has no level or no stage"
_LEGACY: Final = b' AUDIT: id="'


def read(places: Iterable[Place], coverage: Coverage, *, max_line_bytes: int = MAX_LINE_BYTES) -> Iterator[Record]:
    """Yield a record for each line of `places`, in order; blank lines are passed over. Counts into `coverage`."""
    waiting = list(places)
    try:
        for place in waiting:
            for record in _read_place(place, coverage, max_line_bytes):
                coverage.count(record)
                yield record
    finally:
        for place in waiting:
            place.close()


def _read_place(place: Place, coverage: Coverage, max_line_bytes: int) -> Iterator[Record]:
    name = os.fsencode(place.path).decode("utf-8", "backslashreplace")  # file names are bytes; ours are text
    if place.problem:
        coverage.problems.append(f"{name}: {place.problem}")
        return
    try:
        place.file = place.open()
        coverage.files.append(name)
        yield from _records(name, _Counted(place.file, coverage), max_line_bytes)
    except DamagedError as error:
        coverage.problems.append(f"{name}: {error}")
    except OSError as error:
        coverage.problems.append(f"{name}: cannot be read ({error.strerror or error})")
    finally:
        place.close()


def _records(name: str, file: _Counted, max_line_bytes: int) -> Iterator[Record]:
    for number, line in enumerate(lines(chunks(file), max_line_bytes), start=1):
        if line is None:
            yield Record(b"", name, number, None, f"longer than {max_line_bytes >> 20} MiB")
        elif line and not line.isspace():
            yield _record(line, name, number)


def _record(line: bytes, name: str, number: int) -> Record:
    text = line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line
    try:
        event = decode_event(text)
    except WireError as error:
        legacy = _LEGACY in line[:120]
        return Record(line, name, number, None, "a line of the legacy text format" if legacy else str(error))
    if not (event.level and event.stage):  # every audit event has both; no core/v1 Event has
        return Record(line, name, number, None, _FOREIGN)
    return Record(line, name, number, event)


class _Counted:
    """A file that counts what is read of it."""

    def __init__(self, file: BinaryIO, coverage: Coverage) -> None:
        self._file = file
        self._coverage = coverage

    def read(self, size: int, /) -> bytes | None:
        chunk = self._file.read(size)
        self._coverage.size_bytes += len(chunk or b"")
        return chunk
