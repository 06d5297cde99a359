"""Stored: what pages need of a store, asked of one that is held open (`ask.opened`)."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from msgspec.structs import replace

from decklog.ask.moments import microtime
from decklog.ask.opened import OpenStore
from decklog.ask.opened_state import TooSlowError
from decklog.ask.stored import stored
from decklog.ask.top import NONE, Timeline
from decklog.audit.query import Query
from decklog.errors import DecklogError
from decklog.sources.record import Coverage
from decklog.store.view import READING, view
from decklog.web.data import Facet, Look, Uses, Wanted
from decklog.web.limits import AT_ONCE, HELD_REQUESTS, TooBroadError
from decklog.web.remembering import MOST, Remembered
from decklog.web.scanned import BARS, SHOWN_VALUES, covered_of, facet_of, since_time
from decklog.web.tailing import tail

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence

    from decklog.ask.opened_counts import Facets
    from decklog.ask.opened_paging import Page
    from decklog.ask.requests import Request
    from decklog.disk import Disk
    from decklog.sources.record import Record
    from decklog.web.limits import Deadline

T = TypeVar("T")

_FACETS: Final[tuple[str, ...]] = ("verb", "resource", "namespace", "code", "source-ip", "user-agent", "cluster")
_OF_A_USER: Final[tuple[str, ...]] = ("verb", "resource", "code", "source-ip", "user-agent", "namespace")
_CODE: Final = 0
"""Where the code stands behind verb and resource."""
REMEMBERED_REQUESTS: Final = 300
"""Requests that an answer may have at most to be remembered: a sheet's 100,000 rows are not, two hundred times."""


class Stored:
    """A store."""

    has_clusters = True
    advice = ""

    def __init__(self, store: str, disk: Disk, *, remembers: bool = True) -> None:
        """Look at it; raises DecklogError if it is none. `remembers`: answers are kept while nothing comes.

        It is opened by the first question: what is opened cannot cross a fork.
        """
        self._store = Path(store)
        self._disk = disk
        try:
            view(self._store, disk)
        except OSError as error:
            raise DecklogError(f"cannot read the store {store} ({error.strerror}): run as a user who may") from error
        self._opened: OpenStore | None = None
        self._opening = threading.Lock()
        self._remembered = Remembered(self._state, MOST if remembers else 0)
        self._beside = ThreadPoolExecutor(2 * AT_ONCE, thread_name_prefix="store")
        self._together = ThreadPoolExecutor(
            2 * AT_ONCE, thread_name_prefix="page"
        )  # who waits here waits for the other

    def close(self) -> None:
        """Let go of it."""
        self._together.shutdown()
        self._beside.shutdown()
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    @property
    def _open(self) -> OpenStore:
        with self._opening:
            if self._opened is None:
                self._opened = OpenStore(self._store, self._disk)
            return self._opened

    def _asking(self, wanted: Wanted, deadline: Deadline) -> _Asking:
        return _Asking(self._open, self._remembered, wanted, deadline)

    def _state(self) -> object:
        """Give what changes with every event that is acknowledged."""
        try:
            seen = view(self._store, self._disk)
            seen = seen.within(None, None)  # without who reads: that changes with every page
            sizes = tuple((journal.path, self._disk.stat(journal.path).st_size) for journal in seen.journals)
        except OSError:
            return object()  # a journal was sealed meanwhile
        return tuple(segment.id for segment in seen.segments), sizes

    @property
    def title(self) -> str:
        """Its directory."""
        return f"the store {self._store}"

    @property
    def arguments(self) -> tuple[str, ...]:
        """As flags."""
        return ("--store", str(self._store))

    def look(self, wanted: Wanted, deadline: Deadline, *, before: str = "", limit: int, around: bool = True) -> Look:
        """Ask for a page, and count around it."""
        asking = self._asking(wanted, deadline)
        if not around:
            page = asking.page(limit, before or None)
            total = len(page.rows) if not before and page.next is None else asking.count()
            return Look(page.rows, page.next or "", total)
        counted = self._beside.submit(asking.facets, _FACETS)
        users = self._beside.submit(asking.users)
        timeline = self._beside.submit(asking.timeline)
        page = asking.page(limit, before or None)
        facets = counted.result()
        found = {name: _facet(facets, name) for name in _FACETS if name in facets.by} | users.result()
        covered = covered_of(asking.coverage())
        return Look(page.rows, page.next or "", facets.total, timeline.result(), found, covered)

    def requests(self, queries: Sequence[Query], deadline: Deadline, cluster: str | None = None) -> Iterator[Request]:
        """Ask for whole requests; one more than a page holds, so that it is seen that there are more."""

        def ask() -> list[Request]:
            with _in_time(deadline) as left_s:
                return self._open.requests(*queries, limit=HELD_REQUESTS + 1, cluster=cluster, deadline_s=left_s)

        found = (
            ask()
            if cluster == READING
            else self._remembered.get(("requests", tuple(queries), cluster), ask, worth=_is_small)
        )
        return deadline.over(found)

    def uses(self, wanted: Wanted, deadline: Deadline) -> Uses:
        """Count what somebody did: by all properties at once, and over time."""
        asking = self._asking(wanted, deadline)
        counting = self._beside.submit(asking.tally, _OF_A_USER)
        timeline = asking.timeline()
        first, last = asking.ends(timeline)
        cells: Counter[tuple[str, str]] = Counter()
        failed: Counter[tuple[str, str]] = Counter()
        facets: dict[str, Counter[Hashable]] = {name: Counter() for name in _OF_A_USER[2:]}
        for (verb, resource, *values), count in counting.result().items():
            cell = "" if verb == NONE else verb, resource
            cells[cell] += count
            failed[cell] += count if _is_bad(values[_CODE]) else 0
            for name, value in zip(facets, values, strict=True):
                facets[name][value] += count
        return Uses(
            cells.total(),
            first,
            last,
            tuple((*cell, count, failed[cell]) for cell, count in cells.most_common()),
            {name: facet_of(counts) for name, counts in facets.items()},
            timeline,
        )

    def together(self, *calls: Callable[[], T]) -> list[T]:
        """Put the questions side by side: DuckDB leaves Python alone meanwhile."""
        waiting = [self._together.submit(call) for call in calls]
        return [one.result() for one in waiting]

    def newest(self, deadline: Deadline, cluster: str | None = None) -> str | None:
        """Ask for one row."""
        rows = self.look(Wanted(cluster=cluster), deadline, limit=1, around=False).rows
        return rows[0].time if rows else None

    def lines(self, since: str, deadline: Deadline) -> Iterator[bytes]:
        """Read what was written from a time on."""
        try:
            seen = view(self._store, self._disk).within(since or None, None, None)
        except OSError as error:
            raise DecklogError(f"cannot read the store {self._store} ({error.strerror}): ask again") from error
        records = stored(seen, self._disk, Coverage(), (Query(since=since or None),))
        return since_time(deadline.over(records), since)

    def follow(self, wait: Callable[[float], object], stopped: Callable[[], bool]) -> Iterator[Sequence[Record]]:
        """Follow the journals of all writers."""
        return tail(self._store, self._disk, wait, stopped)


@contextmanager
def _in_time(deadline: Deadline) -> Iterator[float]:
    """Give the seconds that are left; what takes longer is told as pages tell it."""
    deadline.check()
    try:
        yield max(deadline.left_s, 0.001)
    except TooSlowError:
        raise TooBroadError(deadline.seconds) from None


class _Asking:
    """One question, in its parts; what was answered is remembered while the store stays as it is."""

    def __init__(self, opened: OpenStore, remembered: Remembered, wanted: Wanted, deadline: Deadline) -> None:
        self._open = opened
        self._remembered = remembered
        self._wanted = wanted
        self._deadline = deadline

    def narrowed(self, **changes: Any) -> _Asking:
        """Ask with another filter."""
        wanted = replace(self._wanted, query=replace(self._wanted.query, **changes))
        return _Asking(self._open, self._remembered, wanted, self._deadline)

    def _asked(
        self, method: Callable[..., T], *args: Any, worth: Callable[[T], bool] = lambda _: True, **settings: Any
    ) -> T:
        def ask() -> T:
            with _in_time(self._deadline) as left_s:
                return method(self._wanted.query, *args, cluster=self._wanted.cluster, deadline_s=left_s, **settings)

        key = (method.__name__, self._wanted, args, tuple(settings.items()))
        return ask() if self._wanted.cluster == READING else self._remembered.get(key, ask, worth=worth)

    def page(self, limit: int, before: str | None) -> Page:
        return self._asked(self._open.page, worth=lambda page: _is_small(page.rows), limit=limit, after=before)

    def count(self) -> int:
        return self._asked(self._open.count)

    def facets(self, names: tuple[str, ...]) -> Facets:
        return self._asked(self._open.facets, names, limit=SHOWN_VALUES)

    def tally(self, names: tuple[str, ...]) -> Counter[tuple[str, ...]]:
        return self._asked(self._open.tally, names)

    def users(self) -> dict[str, Facet]:
        """Count people and machines apart."""
        counts = self.tally(("user", "by"))
        people: Counter[Hashable] = Counter({user: count for (user, by), count in counts.items() if by == "humans"})
        others: Counter[Hashable] = Counter({user: count for (user, by), count in counts.items() if by != "humans"})
        return {name: facet_of(found) for name, found in (("user", people), ("machine", others)) if found}

    def timeline(self) -> Timeline:
        """Count over time; apart what failed."""
        found = self._asked(self._open.timeline, buckets=BARS, by=("code",))
        bad = [counts for code, counts in found.split.items() if _is_bad(code)]
        return replace(found, split={"failed": tuple(map(sum, zip(*bad, strict=True)))} if bad else {})

    def ends(self, timeline: Timeline) -> tuple[str | None, str | None]:
        """Give the times of the first and the last request, to the second."""
        if timeline.start is None:
            return None, None
        step = timedelta(seconds=timeline.step_s)
        filled = [time for time, count in zip(timeline.times(), timeline.counts, strict=True) if count]
        seconds = []
        for start in (filled[0], filled[-1]):
            within = self.narrowed(after=microtime(start), until=microtime(start + step), since=None)
            fine = within._asked(within._open.timeline, step_s=1) if timeline.step_s > 1 else timeline  # noqa: SLF001  # because: our own
            seconds += [time for time, count in zip(fine.times(), fine.counts, strict=True) if count]
        return microtime(min(seconds, default=filled[0])), microtime(max(seconds, default=filled[-1]))

    def coverage(self) -> Coverage:
        return self._open.coverage(self._wanted.query, cluster=self._wanted.cluster)


def _is_small(found: Sequence[object]) -> bool:
    return len(found) <= REMEMBERED_REQUESTS


def _is_bad(code: str) -> bool:
    return code[:1] in {"4", "5"} or "panic" in code


def _facet(facets: Facets, name: str) -> Facet:
    values = tuple(("" if one.label == NONE else one.label, one.count) for one in facets.by[name])
    return Facet(values, max(0, facets.different.get(name, 0) - len(values)))
