"""Stored: the reader of a store. Of a view it yields the records that queries are about, each event once.

It gives what `ask.scan` gives of files: at least every record of each request of which an event matches. Records come
in the order of their stage times, about: journals of several writers and the files of a day are merged.

| what | how it is read |
|---|---|
| journals | by needles, as `ask.sifting` does it; all lines are decoded for a question without needles |
| segments | the events that index columns show to be asked for (an object, a user) are decoded; where these tell |
| | less, they tell which audit IDs may be asked for, and the events of these are decoded |
| a question that is about more than `MOST_REQUESTS` requests | everything, day by day |

No lock is taken. What was acknowledged before the view was made is in it.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from heapq import merge
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from decklog.ask.bytesearch import TooMuchError
from decklog.ask.forking import fork_map
from decklog.ask.parts import HELD_OPEN, Log, Sizes
from decklog.ask.prefilter import Sieve
from decklog.ask.sifting import ByAuditId, ByQuestion, Sifted
from decklog.ask.stored_sql import ANY, in_event, lasting, narrowed, whole_requests, within
from decklog.ask.stored_told import either
from decklog.audit.query_sql import Condition
from decklog.audit.wire import WireError, decode_event
from decklog.sources.record import Coverage, Record
from decklog.store import unreadable
from decklog.store.items import identity_of
from decklog.store.known import Keys
from decklog.store.reading import lines as lines_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from decklog.ask.parts import Part
    from decklog.audit.query import Query
    from decklog.disk import Disk
    from decklog.store.catalog import Segment
    from decklog.store.reading import JournalSegment
    from decklog.store.view import View

MOST_REQUESTS: Final = 50_000
MEMORY_MB: Final = 700
_SIZES: Final = Sizes()
_ROWS: Final = 2_000
_FEW: Final = 2_000
"""Up to so many events are read one by one, and may stand in memory together."""
_TAIL_BYTES: Final = 1 << 16
_FOREIGN: Final = "not an audit event: it has no level or no stage"

_Found = tuple[bytes, Record]
"""An event's identity, and its record."""


def stored(
    view: View,
    disk: Disk,
    coverage: Coverage,
    queries: Sequence[Query] = (),
    *,
    processes: int = 1,
    sizes: Sizes = _SIZES,
) -> Iterator[Record]:
    """Yield the records of a view that `queries` are about, all if there are none; each event once.

    `processes` above 1 forks: only for a caller without threads. Counts into `coverage`. Raises DecklogError and
    OSError for a store that cannot be read.
    """
    with ExitStack() as stack:
        journals = _Journals(view.journals, disk, queries, processes, sizes)
        stack.callback(journals.close)
        ids = journals.sifted_ids()
        if not view.segments:
            found = journals.records(ids, coverage)
        else:
            segments = stack.enter_context(reading_segments(view, queries))  # not before: it starts threads
            if journals.any or segments.whole is None:
                ids = _both(journals.decoded_ids if ids is None else lambda: ids, segments.audit_ids)
            else:
                ids = None
            found = merge(segments.records(ids, coverage), journals.records(ids, coverage), key=time_of)
        yield from (record for _, record in each_once(found, doubled=view.doubled))


def _both(*ways: Callable[[], frozenset[str] | None]) -> frozenset[str] | None:
    """Give the audit IDs that each of several found; None: at least one of them cannot tell."""
    found: frozenset[str] = frozenset()
    for way in reversed(ways):  # the index first: it is the quickest to give up
        ids = way()
        if ids is None:
            return None
        found |= ids
    return found if len(found) <= MOST_REQUESTS else None


def time_of(found: _Found) -> str:
    """Give the time of an event's stage."""
    event = found[1].event
    return (event.stage_timestamp or "") if event is not None else ""


def each_once(found: Iterable[_Found], *, doubled: bool) -> Iterator[_Found]:
    """Pass each event on once; those that are not `doubled` as they are."""
    seen = Keys()
    for identity, record in found:
        if not doubled or record.event is None or seen.add(identity):
            yield identity, record


def record_of(line: bytes, name: str, number: int) -> Record:
    """Read a line of a store."""
    try:
        event = decode_event(line)
    except WireError as error:
        return Record(line, name, number, None, str(error))
    if event.level and event.stage:
        return Record(line, name, number, event)
    return Record(line, name, number, None, _FOREIGN)


class _Journals:
    """The journals of a view."""

    def __init__(
        self,
        journals: Sequence[JournalSegment],
        disk: Disk,
        queries: Sequence[Query],
        processes: int,
        sizes: Sizes,
    ) -> None:
        self._journals = journals
        self._disk = disk
        self._queries = tuple(queries)
        self._processes = processes
        self._sizes = sizes
        self._logs: list[Log] = []
        self._parts: list[tuple[Part, str]] = []
        self._first: list[Sifted] = []

    @property
    def any(self) -> bool:
        """Whether anything stands in them."""
        return any(self._has_bytes(journal) for journal in self._journals)

    def _has_bytes(self, journal: JournalSegment) -> bool:
        try:
            return self._disk.stat(journal.path).st_size > 0
        except FileNotFoundError:
            return True  # it was sealed meanwhile: whoever reads it will tell

    def close(self) -> None:
        """Close the files."""
        for log in self._logs:
            self._disk.close(log.descriptor)
        self._logs = []

    def sifted_ids(self) -> frozenset[str] | None:
        """Give the audit IDs of the requests that are asked for; None: needles cannot tell."""
        sieve = Sieve.of(self._queries) if self._queries else None
        if sieve is None or len(self._journals) > HELD_OPEN:
            return None
        self._open()
        chosen = sieve

        def sift(part: tuple[Part, str]) -> Sifted:
            return ByQuestion(chosen, self._queries, part[0], declared=True).sift()

        try:
            self._first = fork_map(sift, self._parts, self._processes)
        except TooMuchError:
            return None
        found = frozenset[str]().union(*(one.audit_ids for one in self._first))
        return found if len(found) <= MOST_REQUESTS else None

    def decoded_ids(self) -> frozenset[str] | None:
        """Do the same by decoding every line; None: there are too many."""
        found: set[str] = set()
        for _, record in self._all(self._journals, Coverage()):
            event = record.event
            if event is not None and any(query.matches(event, record.line) for query in self._queries):
                found.add(event.audit_id)
                if len(found) > MOST_REQUESTS:
                    return None
        return frozenset(found)

    def _open(self) -> None:
        for journal in self._journals:
            try:
                fd = self._disk.open(journal.path, os.O_RDONLY)
            except FileNotFoundError:
                continue
            log = Log(str(journal.path), self._sizes, "", fd, _whole(self._disk, fd), head=b"{")
            self._logs.append(log)
            self._parts += [(part, journal.cluster) for part in log.parts()]

    def records(self, ids: frozenset[str] | None, coverage: Coverage) -> Iterator[_Found]:
        """Give the events of requests, by time; all if `ids` is None."""
        if ids is not None and self._first:
            try:
                return iter(self._some(ids, coverage))
            except TooMuchError:
                """Then all are read."""
        writers = groupby(self._journals, key=lambda journal: journal.writer)
        found = merge(*[self._all(list(journals), coverage) for _, journals in writers], key=time_of)
        return found if ids is None else (one for one in found if one[1].event is None or one[1].event.audit_id in ids)

    def _all(self, journals: Sequence[JournalSegment], coverage: Coverage) -> Iterator[_Found]:
        return journal_records(journals, self._disk, coverage)

    def _some(self, ids: frozenset[str], coverage: Coverage) -> list[_Found]:
        """Sift again, by audit IDs. Raises TooMuchError."""
        kept = [
            ByAuditId(ids, first.blocks).sift(part.blocks()).kept if ids else []
            for (part, _), first in zip(self._parts, self._first, strict=True)
        ]
        found: list[_Found] = []
        places = zip(self._parts, self._first, self._bases(), kept, strict=True)
        for (part, cluster), first, base, numbered in places:
            if part.start == 0:
                coverage.files.append(part.log.name)
                coverage.size_bytes += part.log.size_bytes
            coverage.add(first.coverage, base)
            for number, line in numbered:
                record = record_of(line, part.log.name, base + number)
                if record.event is not None and record.event.audit_id in ids:
                    found.append((identity_of(cluster, line), record))
        return sorted(found, key=time_of)

    def _bases(self) -> Iterator[int]:
        """Count for each part the lines that stand before it in its file."""
        before = 0
        for (part, _), first in zip(self._parts, self._first, strict=True):
            before = 0 if part.start == 0 else before
            yield before
            before += first.lines


def journal_records(journals: Iterable[JournalSegment], disk: Disk, coverage: Coverage) -> Iterator[_Found]:
    """Read every line of journals, one after another. Counts into `coverage`."""
    for journal in journals:
        name = str(journal.path)
        coverage.files.append(name)
        try:
            for number, (_, line) in enumerate(lines_of(journal, disk), start=1):
                record = record_of(line, name, number)
                coverage.count(record)
                coverage.count_bytes(len(line) + 1)
                yield identity_of(journal.cluster, line), record
        except FileNotFoundError:
            coverage.problems.append(f"{name}: it was removed while the answer was made: ask again")


def _whole(disk: Disk, fd: int) -> int:
    """Give the size up to the last newline: a line that is being written is not there yet."""
    end = disk.fstat(fd).st_size
    while end > 0:
        start = max(0, end - _TAIL_BYTES)
        newline = disk.read_at(fd, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


@contextmanager
def reading_segments(view: View, queries: Sequence[Query]) -> Iterator[Segments]:
    """Open the segments of a view. Raises DecklogError, also within, for one that cannot be read."""
    import duckdb  # noqa: PLC0415  # because: 30 ms, and a store that was never sealed has no segments

    with TemporaryDirectory(prefix="decklog-ask-") as folder:
        settings: dict[str, Any] = {
            "memory_limit": f"{MEMORY_MB}MB",
            "temp_directory": str(Path(folder, "spilled")),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "python_enable_replacements": False,
        }
        connection = duckdb.connect(":memory:", config=settings)
        try:
            connection.execute("SET TimeZone = 'UTC'")
            yield Segments(view, queries, connection.cursor(), Path(folder))
        except duckdb.Error as error:
            raise unreadable.of_store(view.store, error) from error
        finally:
            connection.close()


class Segments:
    """The segments of a view, and DuckDB to read them."""

    def __init__(self, view: View, queries: Sequence[Query], cursor: Any, folder: Path) -> None:
        self.cursor = cursor
        self.folder = folder
        """For files on the way; it goes with the segments."""
        self._whole = view
        self._view = view.during(*window(queries))
        self._queries = queries

    @property
    def whole(self) -> Condition | None:
        """The condition for all events of what is asked for, where one reading of the index tells; else None."""
        return None if any(query.texts for query in self._queries) else whole_requests(self._queries)

    def audit_ids(self) -> frozenset[str] | None:
        """Give the audit IDs of the requests that may be asked for; None: everything has to be read."""
        condition = either(self._queries) or narrowed(self._queries)
        if not self._view.segments:
            return frozenset()
        if any(query.texts for query in self._queries):
            found = self._by_text(condition)
        elif condition is ANY or not self._queries:
            return None
        else:
            rows = table(self._view, self._view.segments)
            sql = f'SELECT DISTINCT "auditID" FROM {rows} WHERE {condition.sql} LIMIT {MOST_REQUESTS + 1}'  # noqa: S608  # because: our own words, values are parameters
            found = {row[0] for row in self.cursor.execute(sql, list(condition.parameters)).fetchall()}
        is_exact = not any("\ufffd" in one for one in found)  # a column has it for what it cannot hold
        return frozenset(found) if len(found) <= MOST_REQUESTS and is_exact else None

    def _by_text(self, condition: Condition) -> set[str]:
        """Look through the events that the columns do not rule out."""
        found: set[str] = set()
        spelled = in_event(self._queries)
        sql = f'SELECT "event" FROM {table(self._view, self._view.segments)} WHERE {condition.sql} AND {spelled.sql}'  # noqa: S608  # because: the same
        self.cursor.execute(sql, [*condition.parameters, *spelled.parameters])
        while len(found) <= MOST_REQUESTS and (rows := self.cursor.fetchmany(_ROWS)):
            for (line,) in rows:
                event = record_of(line, "", 0).event
                if event is not None and any(query.matches(event, line) for query in self._queries):
                    found.add(event.audit_id)
        return found

    def records(self, ids: frozenset[str] | None, coverage: Coverage) -> Iterator[_Found]:
        """Give the events of requests, day by day, by time; all that may be asked for if `ids` is None."""
        self.cover(coverage)
        condition = _one_of(ids, lasting(self._queries)) if ids is not None else self.whole or self._window()
        if (ids is not None and not ids) or not self._view.segments:
            return
        for name, number, identity, line in self._rows(condition):
            record = record_of(line, name, number + 1)
            coverage.undecoded -= 1
            if record.event is None:
                coverage.lines -= 1
                coverage.count(record)
            yield identity, record

    def _window(self) -> Condition:
        """Give the condition for the time of all queries together. Stages before it are left out with it."""
        return within(*window(self._queries))

    def _rows(self, condition: Condition) -> Iterator[tuple[str, int, bytes, bytes]]:
        """Give place, identity and event of what a condition holds for."""
        few = self._places(condition)
        if few is not None:
            yield from self._at(few)
            return
        for _, day in groupby(self._view.segments, key=lambda segment: segment.day):
            sql = (
                f'SELECT filename, file_row_number, "identity", "event" FROM {table(self._view, list(day))}'  # noqa: S608  # because: our own words, values are parameters
                f' WHERE {condition.sql} ORDER BY "stageTime", filename, file_row_number'
            )
            self.cursor.execute(sql, list(condition.parameters))
            while rows := self.cursor.fetchmany(_ROWS):
                yield from rows

    def _places(self, condition: Condition) -> list[tuple[str, int, bytes]] | None:
        """Find the rows by the index alone, in order; None: they are many.

        Because DuckDB unpacks the events of all rows that it cannot rule out by single columns.
        """
        sql = (
            f'SELECT filename, file_row_number, "identity" FROM {table(self._view, self._view.segments)}'  # noqa: S608  # because: the same
            f' WHERE {condition.sql} ORDER BY "stageTime", filename, file_row_number LIMIT {_FEW + 1}'
        )
        found: list[tuple[str, int, bytes]] = self.cursor.execute(sql, list(condition.parameters)).fetchall()
        return found if len(found) <= _FEW else None

    def _at(self, places: Sequence[tuple[str, int, bytes]]) -> Iterator[tuple[str, int, bytes, bytes]]:
        by_file: dict[str, list[int]] = {}
        for name, number, _ in places:
            by_file.setdefault(name, []).append(number)
        events: dict[tuple[str, int], bytes] = {}
        for name, numbers in by_file.items():
            sql = (
                'SELECT file_row_number, "event"'  # noqa: S608  # because: the same
                " FROM read_parquet(?, file_row_number = true, hive_partitioning = false)"
                f" WHERE file_row_number IN ({', '.join(map(str, numbers))})"
            )
            events.update({(name, number): line for number, line in self.cursor.execute(sql, [name]).fetchall()})
        for name, number, identity in places:
            yield name, number, identity, events[name, number]

    def cover(self, coverage: Coverage, *, undecoded: bool = True) -> None:
        """Say what is searched; `undecoded`: its events have still to be read."""
        for segment in self._view.segments:
            coverage.files.append(str(self._view.store / segment.path))
            coverage.size_bytes += segment.file_bytes
            coverage.lines += segment.rows
            coverage.undecoded += segment.rows if undecoded else 0
        for segment in self._whole.segments:  # what was not opened tells, too, of which time the store knows
            for time in filter(None, (segment.min_time, segment.max_time)):
                coverage.stretch(time)


def window(queries: Sequence[Query]) -> tuple[str | None, str | None]:
    """Give the time of all queries together: since, until."""
    since = [query.since for query in queries]
    until = [query.until for query in queries]
    return (
        min(filter(None, since), default=None) if all(since) else None,
        max(filter(None, until), default=None) if all(until) else None,
    )


def _one_of(ids: frozenset[str], same: Condition) -> Condition:
    marks = ", ".join("?" * len(ids))
    values = (*same.parameters, *sorted(map(as_in_column, ids)))
    return Condition(f'{same.sql} AND "auditID" IN ({marks})', values)


def as_in_column(text: str) -> str:
    """Give a text as the columns of a segment have it."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").replace("\0", "\ufffd")


def table(view: View, segments: Sequence[Segment]) -> str:
    """Write segments as a table of SQL."""
    names = ", ".join("'{}'".format(str(view.store / segment.path).replace("'", "''")) for segment in segments)
    return f"read_parquet([{names}], filename = true, file_row_number = true, hive_partitioning = false)"
