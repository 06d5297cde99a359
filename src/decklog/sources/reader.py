"""Reader: places → records. Streams; never fails for what stands in a file.

A line that is no event, a file that is cut off, damaged or gone: each is counted and named in the coverage, and its
neighbours are read. A line is an event, or an envelope (`carriers`), or a bad line. Text that is no series of lines is
cut into its documents (`documents`), told by how it begins.

Who reads faster and by other means calls `records_of` for each line that does not begin with `USUAL`, and leaves places
to `read` whose beginning `documents.is_documents` takes.
"""

from __future__ import annotations

import os
from itertools import chain
from typing import TYPE_CHECKING, Final

from decklog.audit.wire import WireError, decode_event
from decklog.sources.documents import HEAD_BYTES, documents, is_documents
from decklog.sources.lines import MAX_LINE_BYTES, DamagedError, chunks, lines
from decklog.sources.packing import Metered
from decklog.sources.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from decklog.audit.event import Event
    from decklog.sources.carriers.envelope import Message
    from decklog.sources.places import Place
    from decklog.sources.record import Coverage

USUAL: Final = b'{"kind":"Event"'
"""So begins an event that an API server, or decklog, wrote: in no envelope."""

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_FOREIGN: Final = "not an audit event: it has no level or no stage"
_LEGACY: Final = b' AUDIT: id="'


def read(
    places: Iterable[Place], coverage: Coverage, *, max_line_bytes: int = MAX_LINE_BYTES, declared: bool = False
) -> Iterator[Record]:
    """Yield a record for each event of `places`, and for each line that is none, in order. Counts into `coverage`.

    Blank lines are passed over. `declared`: the user says that the places hold nothing but audit logs, so that an
    envelope need not say it (`carriers.envelope.whence`); a container's output is refused all the same.
    """
    waiting = list(places)
    try:
        for place in waiting:
            for record in _read_place(place, coverage, max_line_bytes, declared=declared):
                coverage.count(record)
                yield record
    finally:
        for place in waiting:
            place.close()


def _read_place(place: Place, coverage: Coverage, max_line_bytes: int, *, declared: bool) -> Iterator[Record]:
    name = os.fsencode(place.path).decode("utf-8", "backslashreplace")  # file names are bytes; ours are text
    if place.problem:
        coverage.problems.append(f"{name}: {place.problem}")
        return
    try:
        place.file = place.open()
        coverage.files.append(name)
        pieces = chunks(Metered(place.file, coverage.count_bytes))
        yield from _records(name, pieces, coverage, max_line_bytes, declared=declared)
    except DamagedError as error:
        coverage.problems.append(f"{name}: {error}")
    except OSError as error:
        coverage.problems.append(f"{name}: cannot be read ({error.strerror or error})")
    finally:
        place.close()


def _records(
    name: str, pieces: Iterator[bytes], coverage: Coverage, max_line_bytes: int, *, declared: bool
) -> Iterator[Record]:
    head = b""
    while len(head) < HEAD_BYTES and b"\n" not in head.lstrip() and (piece := next(pieces, b"")):
        head += piece
    pieces = chain([head.removeprefix(_BYTE_ORDER_MARK)], pieces)
    cut = documents(pieces, max_line_bytes) if is_documents(head) else enumerate(lines(pieces, max_line_bytes), 1)
    usual = USUAL
    for number, line in cut:
        if line is None:
            yield Record(b"", name, number, None, f"longer than {max_line_bytes >> 20} MiB")
        elif line and not line.isspace():
            try:
                event = decode_event(line)
            except WireError as error:
                yield from _unusual(line, name, number, coverage, None, str(error), declared=declared)
                continue
            if event.level and event.stage and line.startswith(usual):
                yield Record(line, name, number, event)
            else:
                yield from _unusual(line, name, number, coverage, event, _FOREIGN, declared=declared)


def records_of(line: bytes, name: str, number: int, coverage: Coverage, *, declared: bool = False) -> Iterator[Record]:
    """Yield what stands in one line. Counts into `coverage` only what is no record: the caller counts records."""
    event: Event | None = None
    reason = _FOREIGN
    try:
        event = decode_event(line)
    except WireError as error:
        reason = str(error)
    if event is not None and event.level and event.stage and line.startswith(USUAL):
        yield Record(line, name, number, event)
    else:
        yield from _unusual(line, name, number, coverage, event, reason, declared=declared)


def _unusual(
    line: bytes, name: str, number: int, coverage: Coverage, event: Event | None, reason: str, *, declared: bool
) -> Iterator[Record]:
    """Yield what stands in a line that is no event in an API server's own words; `event` and `reason`: read as such."""
    # Because: a tenth of a command's start, and most logs hold nothing else than events.
    from decklog.sources.carriers.opening import UnknownError, open_text  # noqa: PLC0415  # because: envelopes are for logs that have some
    from decklog.sources.carriers.shippers import merged  # noqa: PLC0415  # because: envelopes are for logs that have some

    message = merged(line, event) if event is not None else None
    if message is not None and (message.problem or _is_audit(message.event)):
        yield _record(message, name, number)
        return
    if event is not None and _is_audit(event):
        yield Record(line, name, number, event)
        return
    if _LEGACY in line[:120]:
        yield Record(line, name, number, None, "a line of the legacy text format")
        return
    try:
        for message in open_text(line, declared=declared):
            if message.other:
                coverage.others += 1
            else:
                yield _record(message, name, number)
    except UnknownError:
        yield Record(line, name, number, None, reason)
    except WireError as error:
        yield Record(line, name, number, None, str(error) if event is None else reason)


def _is_audit(event: Event | None) -> bool:
    """Every audit event has a level and a stage; no core/v1 Event has."""
    return event is not None and event.level != "" and event.stage != ""


def _record(message: Message, name: str, number: int) -> Record:
    line, provenance, event = message.line, message.provenance, message.event
    if message.problem:
        return Record(line, name, number, None, message.problem, provenance, message.audit_id)
    try:
        event = decode_event(line) if event is None else event
    except WireError as error:
        return Record(line, name, number, None, str(error), provenance)
    if not _is_audit(event):
        return Record(line, name, number, None, _FOREIGN, provenance)
    return Record(line, name, number, event, "", provenance)
