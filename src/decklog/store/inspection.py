"""Inspection: is everything that was stored still there, and what is it. Takes no lock, changes nothing.

| looked at | held against |
|---|---|
| a segment's bytes | the CRC of each block and the SHA-256 of the whole, in the catalog |
| a segment's events | their number and their bytes, in the catalog |
| a journal segment's bytes | the CRC of each group, in the file beside it |
| the files that are there | the files that the catalog knows |
| the catalog | itself, and whether it knows a segment where there are some |

Damage is named by file, offset and time: of the events in the segment, or of those around the place in a journal.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from decklog.errors import DecklogError
from decklog.store import catalog, checksums, reading
from decklog.store.catalog import BLOCK_BYTES, CATALOG, Catalog
from decklog.store.columns import microtime, row_of
from decklog.store.inspection_quarantine import quarantined
from decklog.store.items import identity_of
from decklog.store.parquet import files_sql
from decklog.store.recent import KEY_BYTES
from decklog.store.restoring import fits_its_name
from decklog.store.segment import digest
from decklog.store.view import View, view

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from decklog.disk import Disk
    from decklog.store.catalog import Segment
    from decklog.store.parquet import Engine
    from decklog.store.reading import JournalSegment

_NEAR_BYTES: Final = 4 << 20
_ENDS: Final = "('ResponseComplete', 'Panic')"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is not as it was stored."""

    path: Path
    offset: int
    length: int
    """Bytes that may be affected; 0: not told."""
    since: str
    """MicroTime of the first event that may be affected; empty: not known."""
    until: str
    why: str
    damage: bool = True
    """False: worth a word, and no event is missing."""


@dataclass(slots=True)
class Checked:
    """What a check looked at."""

    segments: int = 0
    journals: int = 0
    events: int = 0
    """Events that are as they were, doubles among them."""
    size: int = 0
    """Bytes that were read."""


def check(store: Path, disk: Disk, engine: Engine, checked: Checked) -> Iterator[Fault]:
    """Check a whole store; what was looked at is added to `checked`. Raises DecklogError if there is none, OSError."""
    lost = catalog.trouble(store)
    if lost:
        why = f"{lost}: no answer is given without it: decklog store check --repair makes a new one of the segments"
        yield Fault(store / CATALOG, 0, 0, "", "", why)
        seen = View(store, (), tuple(reading.segments(store, disk)))
    else:
        seen = view(store, disk)
    for segment in seen.segments:
        checked.segments += 1
        yield from _check_segment(store / segment.path, segment, disk, engine, checked)
    for journal in seen.journals:
        checked.journals += 1
        yield from _check_journal(journal, disk, checked)
    yield from _unknown(store, disk, lost=bool(lost))


def _check_segment(path: Path, segment: Segment, disk: Disk, engine: Engine, checked: Checked) -> Iterator[Fault]:
    def fault(offset: int, length: int, why: str) -> Fault:
        return Fault(path, offset, length, segment.min_time, segment.max_time, why)

    try:
        sha256, crcs, size = digest(disk, path)
    except FileNotFoundError:
        yield fault(0, segment.file_bytes, "the file is missing")
        return
    except OSError as error:
        yield fault(0, segment.file_bytes, f"the file cannot be read: {error.strerror}")
        return
    checked.size += size
    if sha256 != segment.sha256:
        yield from (fault(at, length, why) for at, length, why in _differences(segment, crcs, size))
        return
    try:
        rows, raw_bytes, _, _ = engine.about(path)
    except DecklogError as error:
        yield fault(0, size, f"its bytes are as they were, but cannot be read: {error}")
        return
    if (rows, raw_bytes) != (segment.rows, segment.raw_bytes):
        yield fault(0, size, f"{rows:,} events of {raw_bytes:,} bytes, and the catalog says {segment.rows:,}")
        return
    checked.events += rows


def _differences(segment: Segment, crcs: bytes, size: int) -> Iterator[tuple[int, int, str]]:
    """Give the runs of blocks that are not as they were: offset, length, why."""
    told = False
    start = -1
    blocks = max(len(crcs), len(segment.crcs)) // 4
    for block in range(blocks + 1):
        at = slice(4 * block, 4 * block + 4)
        same = block == blocks or crcs[at] == segment.crcs[at]
        if not same and start < 0:
            start = block
        elif same and start >= 0:
            told = True
            end = min(block * BLOCK_BYTES, max(size, segment.file_bytes))
            yield start * BLOCK_BYTES, end - start * BLOCK_BYTES, _why(size, segment.file_bytes)
            start = -1
    if not told:
        yield 0, size, "not the bytes that were stored"


def _why(size: int, wanted: int) -> str:
    if size == wanted:
        return "not the bytes that were stored"
    return f"the file has {size:,} bytes, and had {wanted:,}"


def _check_journal(journal: JournalSegment, disk: Disk, checked: Checked) -> Iterator[Fault]:
    try:
        intact, damages = checksums.check(disk, journal.path)
        checked.size += disk.stat(journal.path).st_size
    except FileNotFoundError:
        return  # sealed and removed meanwhile
    except OSError as error:
        yield Fault(journal.path, 0, 0, "", "", f"the file cannot be read: {error.strerror}")
        return
    checked.events += intact
    for damage in damages:
        since = _time_before(disk, journal.path, damage.offset)
        until = _time_after(disk, journal.path, damage.offset + damage.length)
        yield Fault(journal.path, damage.offset, damage.length, since, until, damage.why)


def _time_before(disk: Disk, path: Path, offset: int) -> str:
    start = max(0, offset - _NEAR_BYTES)
    return _time_in(reversed(_lines(disk, path, start, offset)))


def _time_after(disk: Disk, path: Path, offset: int) -> str:
    return _time_in(iter(_lines(disk, path, offset, offset + _NEAR_BYTES)))


def _lines(disk: Disk, path: Path, start: int, end: int) -> list[bytes]:
    fd = disk.open(path, os.O_RDONLY)
    try:
        return disk.read_at(fd, end - start, start).split(b"\n")
    finally:
        disk.close(fd)


def _time_in(lines: Iterator[bytes]) -> str:
    return next((time for line in lines if line and (time := microtime(row_of(line).received))), "")


def _unknown(store: Path, disk: Disk, *, lost: bool) -> Iterator[Fault]:
    """Find files among the segments that the catalog does not know; nobody removes them."""
    known: set[str] = set()
    if not lost and catalog.exists(store):
        with Catalog(store) as opened:
            known = opened.known()
    for path in catalog.segment_files(store):
        if str(path.relative_to(store)) not in known:
            yield _stranger(path, disk, lost=lost)


def _stranger(path: Path, disk: Disk, *, lost: bool) -> Fault:
    try:
        fits = fits_its_name(path, disk)
    except OSError as error:
        return Fault(path, 0, 0, "", "", f"the file cannot be read: {error.strerror}")
    if fits is False:
        return Fault(path, 0, path.stat().st_size, "", "", "its bytes do not fit its name; it is in no answer")
    why = "its events are in no answer yet" if lost else "the catalog does not know this file: it is in no answer"
    return Fault(path, 0, 0, "", "", why, damage=False)


# Figures


@dataclass(frozen=True, slots=True)
class Figures:
    """A store in figures. Events in journals and in segments that are not compacted may stand there twice."""

    clusters: dict[str, int]
    """Events of each."""
    days: dict[str, int]
    """Events of each day that is in segments."""
    segment_events: int
    segment_bytes: int
    segment_raw_bytes: int
    journal_events: int
    journal_bytes: int
    waiting: int
    """Files in quarantine."""
    first: str
    last: str
    """MicroTimes of the first and the last event in segments."""

    @property
    def events(self) -> int:
        """All of them."""
        return self.segment_events + self.journal_events

    @property
    def bytes_an_event(self) -> float:
        """What an event takes on the disk, verbatim line, columns and all."""
        return (self.segment_bytes + self.journal_bytes) / self.events if self.events else 0.0


def stats(store: Path, disk: Disk) -> Figures:
    """Add up a store, from the catalog and the checksum files. Raises DecklogError if there is none, OSError."""
    seen = view(store, disk)
    clusters: dict[str, int] = {}
    days: dict[str, int] = {}
    for segment in seen.segments:
        clusters[segment.cluster] = clusters.get(segment.cluster, 0) + segment.rows
        days[segment.day] = days.get(segment.day, 0) + segment.rows
    events = size = 0
    for journal in seen.journals:
        count, length = _journal_figures(journal, disk)
        clusters[journal.cluster] = clusters.get(journal.cluster, 0) + count
        events, size = events + count, size + length
    timed = [segment for segment in seen.segments if segment.max_time]
    return Figures(
        clusters,
        days,
        sum(segment.rows for segment in seen.segments),
        sum(segment.file_bytes for segment in seen.segments),
        sum(segment.raw_bytes for segment in seen.segments),
        events,
        size,
        len(quarantined(store, disk)),
        min((segment.min_time for segment in timed), default=""),
        max((segment.max_time for segment in timed), default=""),
    )


def _journal_figures(journal: JournalSegment, disk: Disk) -> tuple[int, int]:
    """Count by the checksums; what they do not tell of yet, by its lines."""
    try:
        groups = checksums.groups_of(disk, journal.path)
        start = groups[-1].end if groups else 0
        rest = sum(1 for _ in reading.lines(journal, disk, start))
        return sum(group.count for group in groups) + rest, disk.stat(journal.path).st_size
    except FileNotFoundError:
        return 0, 0


@dataclass(frozen=True, slots=True)
class Gaps:
    """What a count of the events themselves tells."""

    distinct: int
    """Events, each once."""
    received: int
    """Events of the stage RequestReceived."""
    open: int
    """Of these, requests without an end (ResponseComplete or Panic): still under way, or lost."""
    examples: tuple[str, ...]
    """Audit IDs of some."""


def gaps(store: Path, disk: Disk, engine: Engine, *, examples: int = 10) -> Gaps:
    """Count events once each, and pair RequestReceived with an end. Reads the whole store; raises as `stats`."""
    seen = view(store, disk)
    engine.all("CREATE OR REPLACE TABLE pairs (identity BLOB, id VARCHAR, stage VARCHAR)")
    if seen.segments:
        files = files_sql(store / segment.path for segment in seen.segments)
        engine.all(f'INSERT INTO pairs SELECT "identity", "auditID", "stage" FROM read_parquet({files})')  # noqa: S608  # because: our own words
    for journal in seen.journals:
        engine.pairs(_identified(journal, disk))
    distinct = engine.all("SELECT count(DISTINCT identity) FROM pairs")[0][0]
    received = engine.all("SELECT count(DISTINCT identity) FROM pairs WHERE stage = 'RequestReceived'")[0][0]
    open_sql = (
        f"SELECT id FROM pairs GROUP BY id HAVING bool_or(stage = 'RequestReceived') AND NOT bool_or(stage IN {_ENDS})"  # noqa: S608  # because: the same
    )
    count = engine.all(f"SELECT count(*) FROM ({open_sql})")[0][0]  # noqa: S608  # because: the same
    some = engine.all(f"{open_sql} ORDER BY id LIMIT {int(examples)}")
    return Gaps(distinct, received, count, tuple(str(row[0]) for row in some))


def _identified(journal: JournalSegment, disk: Disk) -> Iterator[tuple[bytes, bytes]]:
    try:
        for _, line in reading.lines(journal, disk):
            yield identity_of(journal.cluster, line)[:KEY_BYTES], line
    except FileNotFoundError:
        return
