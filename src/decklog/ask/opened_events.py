"""Opened events: whole events of an open store, of its segments and of its journals."""

from __future__ import annotations

from heapq import merge
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from decklog.ask.stored import MOST_REQUESTS, Segments, as_in_column, each_once, record_of, time_of
from decklog.ask.stored_sql import ANY, narrowed
from decklog.ask.stored_tail import line_at
from decklog.ask.stored_told import either
from decklog.audit.query_sql import Condition
from decklog.store.catalog import COMPACTED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from decklog.ask.opened_state import Current
    from decklog.audit.query import Query
    from decklog.disk import Disk
    from decklog.sources.record import Coverage, Record

_Found = tuple[bytes, "Record"]
_PLACE: Final = '"filename", "file_row_number", "at", "size", "identity"'


def events(current: Current, disk: Disk, queries: Sequence[Query], coverage: Coverage) -> Iterator[Record]:
    """Give at least every event of each request that one of `queries` matches, each once, about by time."""
    for _, record in found(current, disk, queries, coverage):
        yield record


def found(current: Current, disk: Disk, queries: Sequence[Query], coverage: Coverage) -> Iterator[_Found]:
    """Do the same, with the events' identities."""
    segments = Segments(current.view, queries, current.cursor, Path())
    ids: frozenset[str] | None = None
    condition = segments.whole
    if condition is None:
        ids = _ids(current, disk, queries, segments)
        condition = _one_of(ids) if ids is not None else ANY
    fresh = sorted(_tail(current, disk, condition), key=time_of) if current.has_tail else []
    current.cover_tail(coverage)
    sealed = segments.records(ids, coverage) if current.view.segments else iter(())
    both = merge(sealed, fresh, key=time_of)
    return each_once(both, doubled=any(segment.kind != COMPACTED for segment in current.view.segments))


def _ids(current: Current, disk: Disk, queries: Sequence[Query], segments: Segments) -> frozenset[str] | None:
    """Give the audit IDs of what is asked for; None: too many, or columns cannot tell."""
    known = segments.audit_ids() if current.view.segments else frozenset()
    if known is None or not current.has_tail:
        return known
    condition = either(queries) or narrowed(queries)
    found: set[str] = set(known)
    if any(query.texts for query in queries):
        for _, record in _tail(current, disk, condition):
            event = record.event
            if event is not None and any(query.matches(event, record.line) for query in queries):
                found.add(event.audit_id)
    elif condition is ANY or not queries:
        return None
    else:
        sql = f'SELECT DISTINCT "auditID" FROM {current.events()} WHERE {condition.sql} LIMIT {MOST_REQUESTS + 1}'  # noqa: S608  # because: our own words, values are parameters
        found |= {row[0] for row in current.rows(sql, condition.parameters)}
    is_exact = not any("\ufffd" in one for one in found)
    return frozenset(found) if len(found) <= MOST_REQUESTS and is_exact else None


def _one_of(ids: frozenset[str]) -> Condition:
    if not ids:
        return Condition("FALSE")
    return Condition(f'"auditID" IN ({", ".join("?" * len(ids))})', tuple(map(as_in_column, sorted(ids))))


def _tail(current: Current, disk: Disk, condition: Condition) -> Iterator[_Found]:
    """Read the events of journals for which a condition over the columns holds."""
    sql = f"SELECT {_PLACE} FROM {current.events()} WHERE {condition.sql}"  # noqa: S608  # because: the same
    rows: list[tuple[Any, ...]] = current.rows(sql, condition.parameters)
    for name, number, at, size, identity in rows:
        line = line_at(disk, Path(name), at, size)
        if line is not None:
            yield identity, record_of(line, name, number + 1)
