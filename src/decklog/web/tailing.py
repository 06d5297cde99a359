"""Tailing: what comes into the journals of a store from now on, of all its writers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from decklog.audit.wire import WireError, decode_event
from decklog.sources.record import Provenance, Record
from decklog.store import reading
from decklog.store.view import READING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from decklog.disk import Disk
    from decklog.store.reading import JournalSegment

POLL_S: Final = 0.2
MOST_AT_ONCE: Final = 5_000


def tail(
    store: Path, disk: Disk, wait: Callable[[float], object], stopped: Callable[[], bool]
) -> Iterator[Sequence[Record]]:
    """Give the events that come, in batches, until `stopped`; an empty batch when there is nothing. Calls `wait`."""
    read = {segment.path: _size(segment, disk) for segment in reading.segments(store, disk)}
    while not stopped():
        found: list[Record] = []
        segments = [one for one in reading.segments(store, disk) if one.cluster != READING]
        for segment in segments:
            found += _new(segment, disk, read)
        known = {segment.path for segment in segments}
        for path in [path for path in read if path not in known]:
            del read[path]
        yield found
        if not found:
            wait(POLL_S)


def _size(segment: JournalSegment, disk: Disk) -> int:
    try:
        return disk.stat(segment.path).st_size
    except OSError:
        return 0


def _new(segment: JournalSegment, disk: Disk, read: dict[Path, int]) -> list[Record]:
    begin = read.setdefault(segment.path, 0)
    if _size(segment, disk) <= begin:
        return []
    found = []
    of_cluster = Provenance("store", segment.cluster)
    try:
        for offset, line in reading.lines(segment, disk, begin):
            read[segment.path] = offset + len(line) + 1
            try:
                found.append(Record(line, str(segment.path), 0, decode_event(line), "", of_cluster))
            except WireError as error:
                found.append(Record(line, str(segment.path), 0, None, str(error)))
            if len(found) >= MOST_AT_ONCE:
                break
    except FileNotFoundError:
        """It was sealed; all of it had come before."""
    return found
