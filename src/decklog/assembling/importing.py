"""Import: what other programs wrote down, put into a store. Here sources and store meet.

Each event is stored as it came, once: what the store has already is passed over, by identity. So an import that was
interrupted is run again, as is one of a log that has grown since.

| An event that came | is stored as |
|---|---|
| on a line | that line |
| in an envelope | the event, without the envelope |
| over several lines | one line, compacted: the receiver does the same |
| as another format's entry (GKE) | the event that was made of it |
| as something that nobody can read | nothing: it is counted and named, the file still has it |
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from decklog.audit.jsontext import compact
from decklog.audit.wire import encode_event
from decklog.errors import DecklogError
from decklog.store.journal import Item, Journal, identity_of
from decklog.store.known import Keys, add_journals, add_parquet
from decklog.store.view import view
from decklog.store.writer_files import JOURNAL
from decklog.store.writers import writer_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from decklog.disk import Disk
    from decklog.sources.record import Record

BATCH_BYTES: Final = 8 << 20
"""About how much one sync serves."""
_BATCH_EVENTS: Final = 10_000


@dataclass(slots=True)
class Imported:
    """What became of the events that could be read."""

    stored: int = 0
    doubled: int = 0
    """Those that the store had, and those that came twice."""


async def bring_in(records: Iterable[Record], store: Path, disk: Disk, *, cluster: str = "") -> Imported:
    """Store the events of `records`; what is counted is on the device.

    Raises DecklogError if the store cannot be used, or no longer: what was stored by then stays, and is not stored a
    second time.
    """
    done = Imported()
    try:
        async with Journal(store / JOURNAL / writer_name("import", cluster), disk, cluster=cluster) as journal:
            known = _Known(store, disk, cluster)
            for batch in _batches(records, cluster):
                known.look_at(batch.times)
                fresh = [item for item in batch.items if known.keys.add(item.identity)]
                appended = await journal.append(fresh)
                done.stored += appended.stored
                done.doubled += len(batch.items) - appended.stored
            await journal.turn(now=True)  # so that what came can be sealed, though no next import may ever come
    except OSError as error:
        raise DecklogError(
            f"the store {store} cannot be written to: {error.strerror}: {done.stored:,} events are stored; "
            "make room and run the same import again, it goes on from there"
        ) from error
    return done


class _Known:
    """What the store has: all that is in journals, and the segments of the days that the import has come to."""

    def __init__(self, store: Path, disk: Disk, cluster: str) -> None:
        self.keys = Keys()
        self._store = store
        add_journals(self.keys, store, disk)
        self._segments = list(view(store, disk).within(None, None, cluster).segments)  # after the journals

    def look_at(self, times: set[str]) -> None:
        """Learn what segments have of times of receipt (empty: none)."""
        first, last = min(filter(None, times), default=""), max(times)
        left = []
        for segment in self._segments:
            has_untimed = not segment.min_time and "" in times
            if has_untimed or (segment.min_time and first and segment.min_time <= last and first <= segment.max_time):
                add_parquet(self.keys, self._store / segment.path)
            else:
                left.append(segment)
        self._segments = left


@dataclass(slots=True)
class _Batch:
    items: list[Item] = field(default_factory=list)
    times: set[str] = field(default_factory=set)
    """Of receipt, MicroTime; empty where an event has none."""
    size: int = 0


def _line_of(record: Record) -> bytes:
    if record.event is not None and record.provenance is not None and record.provenance.synthesised:
        return encode_event(record.event)
    line = record.line.strip()
    return compact(line) if b"\n" in line or b"\r" in line else line


def _batches(records: Iterable[Record], cluster: str) -> Iterator[_Batch]:
    batch = _Batch()
    for record in records:
        if record.event is None:
            continue
        line = _line_of(record)
        batch.items.append(Item(line, identity_of(cluster, line)))
        batch.times.add(record.event.request_received_timestamp or "")
        batch.size += len(line)
        if batch.size >= BATCH_BYTES or len(batch.items) >= _BATCH_EVENTS:
            yield batch
            batch = _Batch()
    if batch.items:
        yield batch
