r"""Opened: a store held open by a process that answers many questions, as the web pages do.

Nothing is imported, opened or read twice: DuckDB and its knowledge of the segments stay, and what stands in journals is
kept as a table (`stored_tail`). Each question first looks whether the store has changed, so what was acknowledged
before it is in its answer. No lock is taken in the store.

An `OpenStore` may be asked by several threads at once; it must not cross a fork. What requests are, and which events
answer for them, is as in `ask.requests`.

| Differs from asking `ask.stored` | How | Why |
|---|---|---|
| a lone surrogate or NUL in rows and labels | ``\ufffd`` | they are made of index columns |
| two ends of what seems one request | two requests, however far apart | nothing is forgotten |
| a dry run that only a deletion's body asks for | not told in rows of `page` | columns have no bodies |
| a question with text, or about U+FFFD | events are read, of at most `MOST_ROWS` requests | columns cannot tell |
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, Self

from decklog.ask.opened_counts import Facets, facets, tallied, timed, with_times
from decklog.ask.opened_events import events, found
from decklog.ask.opened_paging import Page, Paging, Place
from decklog.ask.opened_state import State
from decklog.ask.requests import merge
from decklog.ask.stored import window
from decklog.ask.stored_told import exact
from decklog.audit.query_sql import Condition
from decklog.errors import DecklogError
from decklog.sources.record import Coverage
from decklog.store.recent import KEY_BYTES

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from decklog.ask.opened_state import Current
    from decklog.ask.requests import Request
    from decklog.ask.top import Timeline
    from decklog.audit.query import Query
    from decklog.disk import Disk
    from decklog.sources.record import Record
    from decklog.store.view import View

FACETS: Final = ("verb", "resource", "namespace", "user", "by", "code", "source-ip", "user-agent", "cluster")
MEMORY_MB: Final = 700
MOST_ROWS: Final = 20_000


class OpenStore:
    """A store that is held open; see the module. All methods raise DecklogError for a store that cannot be read.

    `cluster`: of that cluster alone. `deadline_s`: TooSlowError (`opened_state`) if the answer takes longer.
    """

    def __init__(
        self, store: Path, disk: Disk, *, view: View | None = None, threads: int = 1, memory_mb: int = MEMORY_MB
    ) -> None:
        """Hold it; `view`: what there was at one moment, never to be looked at again."""
        self._disk = disk
        self._state = State(store, disk, view, threads=threads, memory_mb=memory_mb)

    def __enter__(self) -> Self:
        """Use it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Let go of it; nobody may be asking."""
        self._state.close()

    # Requests

    def page(
        self,
        query: Query,
        *,
        limit: int = 50,
        after: str | None = None,
        cluster: str | None = None,
        deadline_s: float | None = None,
    ) -> Page:
        """Give requests that `query` matches, the newest first; `after` is the `next` of the page before.

        Raises DecklogError for an `after` that is none.
        """
        behind = Place.parse(after) if after is not None else None
        with self._state.current(query.since, query.until, cluster, deadline_s) as current:
            return Paging(current, self._condition(current, query), limit, behind).page()

    def requests(
        self,
        *queries: Query,
        limit: int | None = None,
        cluster: str | None = None,
        deadline_s: float | None = None,
        coverage: Coverage | None = None,
    ) -> list[Request]:
        """Give requests that one of `queries` matches, whole events, about in the order in which they ended.

        Counts into `coverage` what was searched.
        """
        since, until = window(queries)
        with self._state.current(since, until, cluster, deadline_s) as current:
            found = events(current, self._disk, queries, Coverage() if coverage is None else coverage)
            return list(islice(merge(found, *queries), limit))

    # Counts

    def count(self, query: Query, *, cluster: str | None = None, deadline_s: float | None = None) -> int:
        """Count requests."""
        return self.tally(query, (), cluster=cluster, deadline_s=deadline_s).total()

    def tally(
        self,
        query: Query,
        names: Sequence[str],
        *,
        step_s: int | None = None,
        cluster: str | None = None,
        deadline_s: float | None = None,
        coverage: Coverage | None = None,
    ) -> Counter[tuple[str, ...]]:
        """Count requests by several properties together, with the labels of `top.label_of`.

        `names` are of `stored_told.LABELS`: those of `top.BY` less ``rule``, and ``cluster`` and ``by`` (humans,
        machines, nobody). With `step_s`, the first label is when the request was received, to so many seconds; empty
        where that is not known. Counts into `coverage` what was searched.
        """
        with self._state.current(query.since, query.until, cluster, deadline_s) as current:
            if coverage is not None:
                current.cover(coverage)
            counts = tallied(current, self._condition(current, query), names, step_s)
            return counts if step_s is None else with_times(counts)

    def facets(
        self,
        query: Query,
        names: Sequence[str] = FACETS,
        *,
        limit: int = 10,
        cluster: str | None = None,
        deadline_s: float | None = None,
    ) -> Facets:
        """Count requests by each of several properties."""
        with self._state.current(query.since, query.until, cluster, deadline_s) as current:
            return facets(current, self._condition(current, query), names, limit)

    def timeline(
        self,
        query: Query,
        *,
        buckets: int = 60,
        by: Sequence[str] = (),
        step_s: int | None = None,
        cluster: str | None = None,
        deadline_s: float | None = None,
    ) -> Timeline:
        """Count requests over time, in at most so many buckets, or in such of `step_s`; split `by` properties."""
        with self._state.current(query.since, query.until, cluster, deadline_s) as current:
            condition = self._condition(current, query)
            return timed(current, condition, query, by, buckets=buckets, step_s=step_s)

    # What was searched

    def coverage(self, query: Query | None = None, *, cluster: str | None = None) -> Coverage:
        """Say what an answer is of; for `covering.covered`."""
        coverage = Coverage()
        since, until = (query.since, query.until) if query is not None else (None, None)
        with self._state.current(since, until, cluster, None) as current:
            current.cover(coverage)
        return coverage

    def clusters(self) -> list[str]:
        """List the clusters of the store."""
        with self._state.current(None, None, None, None) as current:
            segments, journals = current.view.segments, current.view.journals
            return sorted({*(each.cluster for each in segments), *(each.cluster for each in journals)})

    # Within

    def _condition(self, current: Current, query: Query) -> Condition:
        """Say over the columns what `query` matches; of what columns cannot tell, which events it is."""
        condition = exact(query)
        if condition is not None and not query.texts:
            return condition
        passed: dict[tuple[str, int], bytes] = {}
        records = _remembering(found(current, self._disk, [query], Coverage()), passed)
        keys = set()
        for request in merge(records, query):
            latest = request.latest
            keys.add(passed[latest.file, latest.number])
            if len(keys) > MOST_ROWS:
                raise DecklogError(f"more than {MOST_ROWS:,} requests have that text: ask for less")
        if not keys:
            return Condition("FALSE")
        return Condition(f'"identity" IN ({", ".join("?" * len(keys))})', tuple(sorted(keys)))


def _remembering(found: Iterable[tuple[bytes, Record]], passed: dict[tuple[str, int], bytes]) -> Iterator[Record]:
    """Pass records on, and note where the event of an identity stands, as segments know it."""
    for identity, record in found:
        passed[record.file, record.number] = identity[:KEY_BYTES]
        yield record
