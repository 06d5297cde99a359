"""Scanned: what pages need, made from events one by one: of files always, of a store where its index does not tell.

Files of up to `HELD_BYTES` are held as requests while they stay as they are; a larger log is read anew for each page,
which its deadline bounds: whoever has such a log imports it into a store.
"""

from __future__ import annotations

import heapq
import os
import threading
from collections import Counter
from contextlib import contextmanager
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from decklog.ask.requests import merge
from decklog.ask.rows import row
from decklog.ask.scan import scan
from decklog.ask.top import NONE, label_of, timeline
from decklog.audit.query import Query, is_human
from decklog.errors import DecklogError
from decklog.sources.follow import Follower
from decklog.sources.places import find
from decklog.sources.reader import read
from decklog.sources.record import Coverage
from decklog.web import lately, links
from decklog.web.asking import RefusedError
from decklog.web.data import Covered, Facet, Look, Uses, Wanted
from decklog.web.limits import HELD_REQUESTS, TooBroadError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

    from decklog.ask.requests import Request
    from decklog.ask.rows import Row
    from decklog.ask.top import Timeline
    from decklog.audit.event import Event
    from decklog.sources.places import Place
    from decklog.sources.record import Record
    from decklog.web.limits import Deadline

T = TypeVar("T")

HELD_BYTES: Final = 48 << 20
BARS: Final = 96
"""Of a histogram at most."""
SHOWN_VALUES: Final = 8
FACETS: Final = ("verb", "resource", "namespace", "user", "machine", "code", "source-ip", "user-agent")
"""By which requests are counted; ``user`` are people, ``machine`` the others."""
_EVERYTHING: Final = Query(texts=("",))
"""Matches all, and keeps the lines: questions for texts are answered from what is held."""
_SECONDS: Final = len("2026-01-31T12:00:00")


class Files:
    """The logs that were named."""

    has_clusters = False

    def __init__(self, files: Sequence[str], *, rotated: bool = True) -> None:
        if "-" in files:
            raise DecklogError("pages cannot be made of standard input: name a file, or import it into a store")
        self._files = tuple(files)
        self._rotated = rotated
        self._lock = threading.Lock()
        self._held: tuple[object, list[Request], Coverage] | None = None
        for place in find(self._files, BytesIO(), rotated=rotated):
            place.close()

    @property
    def title(self) -> str:
        """The files by name."""
        first = Path(self._files[0]).name or self._files[0]
        return first if len(self._files) == 1 else f"{first} and {len(self._files) - 1} more"

    @property
    def arguments(self) -> tuple[str, ...]:
        """As flags."""
        rotated = () if self._rotated else ("--no-rotated",)
        return (*(word for file in self._files for word in ("-f", file)), *rotated)

    def close(self) -> None:
        """Forget what was held."""
        self._held = None

    def _size(self) -> int:
        places = find(self._files, BytesIO(), rotated=self._rotated)
        for place in places:
            place.close()
        return sum(_signature(place.path)[0] for place in places if place.path)

    @property
    def advice(self) -> str:
        """What to know before looking; empty: nothing."""
        if (size := self._size()) <= HELD_BYTES:
            return ""
        command = links.command(("decklog", "import", "--store", "DIR", *self._files))
        return f"{size >> 20:,} MiB are read anew for each page, which takes its time; quicker: {command}"

    def look(self, wanted: Wanted, deadline: Deadline, *, before: str = "", limit: int, around: bool = True) -> Look:
        """Read, and keep the newest."""
        coverage = Coverage()
        with self._advising():
            found = self._requests((wanted.query,), deadline, coverage)
            return looked(deadline.over(found), coverage, before=before, limit=limit, around=around)

    def requests(self, queries: Sequence[Query], deadline: Deadline, cluster: str | None = None) -> Iterator[Request]:
        """Read the requests that are asked for."""
        del cluster
        return deadline.over(self._requests(queries, deadline, Coverage()))

    def uses(self, wanted: Wanted, deadline: Deadline) -> Uses:
        """Count what somebody did."""
        with self._advising():
            return used(deadline.over(self._requests((wanted.query,), deadline, Coverage())))

    @contextmanager
    def _advising(self) -> Iterator[None]:
        """Say what helps where the log itself is too large for pages."""
        try:
            yield
        except TooBroadError as error:
            if self._size() <= HELD_BYTES:
                raise
            command = links.command(("decklog", "import", "--store", "DIR", *self._files))
            raise RefusedError(
                503,
                f"This log is too large to be read for a page: it took more than {error.seconds:g} s.",
                f"Put it into a store, and show that: {command}; decklog web --store DIR. Or narrow the question.",
            ) from None

    def _requests(self, queries: Sequence[Query], deadline: Deadline, coverage: Coverage) -> Iterable[Request]:
        places = find(self._files, BytesIO(), rotated=self._rotated)
        sizes = [_signature(place.path) for place in places if place.path]
        total = sum(size for size, _, _ in sizes)
        if total > HELD_BYTES or len(sizes) < len(places) or any(place.path.endswith(".gz") for place in places):
            return merge(_closing(scan(places, coverage, queries, tick=deadline.check), places), *queries)
        with self._lock:
            if self._held is None or self._held[0] != sizes:
                seen = Coverage()
                requests = list(merge(_closing(deadline.over(read(places, seen)), places), _EVERYTHING))
                self._held = sizes, requests, seen
            else:
                for place in places:
                    place.close()
            _, held, seen = self._held
        for name in Coverage.__dataclass_fields__:
            setattr(coverage, name, getattr(seen, name))
        return (one for one in held if any(query.matches(one.latest.event, one.latest.line) for query in queries))

    def together(self, *calls: Callable[[], T]) -> list[T]:
        """Put one question after the other: Python reads one log at a time."""
        return [call() for call in calls]

    def newest(self, deadline: Deadline, cluster: str | None = None) -> str | None:
        """Look at the end of the log; where that does not tell, at all of it."""
        if (path := self._alone()) is not None:
            with path.open("rb") as file:
                event = lately.last_event(file)
            if event is not None and event.request_received_timestamp:
                return event.request_received_timestamp
        rows = self.look(Wanted(cluster=cluster), deadline, limit=1, around=False).rows
        return rows[0].time if rows else None

    def lines(self, since: str, deadline: Deadline) -> Iterator[bytes]:
        """Read what was written from a time on; of a plain log only its end, if the time is not before it."""
        if (path := self._alone()) is not None:
            with path.open("rb") as file:
                if offset := lately.offset_since(file, since):
                    yield from since_time(deadline.over(lately.records_from(file, str(path), offset)), since)
                    return
        places = find(self._files, BytesIO(), rotated=self._rotated)
        yield from since_time(_closing(deadline.over(read(places, Coverage())), places), since)

    def _alone(self) -> Path | None:
        """Give the file, if one is named that is there."""
        path = Path(self._files[0])
        return path if len(self._files) == 1 and path.is_file() else None

    def follow(self, wait: Callable[[float], object], stopped: Callable[[], bool]) -> Iterator[Sequence[Record]]:
        """Follow the log, if it is one."""
        path = Path(self._files[0])
        if len(self._files) != 1 or path.is_dir():
            raise DecklogError("what comes is shown of one log: name one file")
        follower = Follower(path, wait=wait, stopped=stopped)
        for batch in follower.batches():
            yield batch.records


def _closing(records: Iterable[Record], places: Sequence[Place]) -> Iterator[Record]:
    """Pass records on; files are closed at the end, also if reading never began."""
    try:
        yield from records
    finally:
        for place in places:
            place.close()


def _signature(path: str) -> tuple[int, int, int]:
    try:
        found = os.stat(path)  # noqa: PTH116  # because: the path is text, and this is asked for each page
    except OSError:
        return 0, 0, 0
    return found.st_size, found.st_mtime_ns, found.st_ino


def since_time(records: Iterable[Record], since: str) -> Iterator[bytes]:
    """Give the lines of events of stages from a time on."""
    for record in records:
        if record.event is not None and (record.event.stage_timestamp or "") >= since:
            yield record.line


def key_of(one: Row) -> tuple[str, str]:
    """Give what rows are ordered by: the time, and the audit ID where it is the same."""
    return one.time or "", one.audit_id


def cursor_of(one: Row) -> str:
    """Write where a page ends."""
    return f"{one.time or ''}~{one.audit_id}"


def read_cursor(text: str) -> tuple[str, str] | None:
    """Read it again; None: the newest page. Raises DecklogError for what is none."""
    time, found, audit_id = text.partition("~")
    if text and not found:
        raise DecklogError(f"{text[:80]!r} is no place between two pages: begin with the first page")
    return (time, audit_id) if found else None


def looked(requests: Iterable[Request], coverage: Coverage, *, before: str, limit: int, around: bool) -> Look:
    """Make a page of a stream of requests, in one pass; what is held is the page."""
    cursor = read_cursor(before)
    newest: list[tuple[tuple[str, str], int, Request]] = []
    counts = _Counts()
    total = 0
    for total, request in enumerate(requests, start=1):  # because: the last number is the count
        event = request.latest.event
        if around:
            counts.add(event)
        key = (event.request_received_timestamp or "", event.audit_id)
        if cursor is not None and key >= cursor:
            continue
        if len(newest) <= limit:
            heapq.heappush(newest, (key, total, request))
        elif key > newest[0][0]:
            heapq.heapreplace(newest, (key, total, request))
    rows = [row(request) for _, _, request in sorted(newest, reverse=True, key=lambda each: each[:2])]
    shown = tuple(rows[:limit])
    return Look(
        shown,
        cursor_of(shown[-1]) if len(rows) > limit and shown else "",
        total,
        counts.timeline() if around else None,
        counts.facets() if around else {},
        covered_of(coverage),
    )


def covered_of(coverage: Coverage) -> Covered:
    """Say what was read."""
    return Covered(
        coverage.size_bytes,
        coverage.lines,
        coverage.bad_lines,
        tuple(coverage.problems[:5]),
        coverage.first,
        coverage.last,
    )


def failed(event: Any) -> bool:
    """Tell whether a request was refused or failed."""
    return bool(event.response_status and event.response_status.code >= 400) or event.stage == "Panic"


class _Counts:
    """Requests, counted by everything at once."""

    def __init__(self) -> None:
        self._labels = {name: label_of((name,))[0] for name in FACETS if name != "machine"}
        self._facets: dict[str, Counter[Hashable]] = {name: Counter() for name in FACETS}
        self._times: Counter[Hashable] = Counter()

    def add(self, event: Event) -> None:
        self._times[(event.request_received_timestamp or "")[:_SECONDS], "failed" if failed(event) else "ok"] += 1
        for name, label in self._labels.items():
            value: Any = label(event)
            if name == "user":
                self._facets["user" if is_human(event) else "machine"][value] += 1
            else:
                self._facets[name][value] += 1

    def timeline(self) -> Timeline:
        return timeline(self._times, buckets=BARS, split=True, finest_s=1)

    def facets(self) -> dict[str, Facet]:
        return {name: facet_of(counter) for name, counter in self._facets.items()}


def facet_of(counter: Counter[Hashable], shown: int = SHOWN_VALUES) -> Facet:
    """Give the most frequent values; what is not there is an empty one."""
    often = sorted(counter.items(), key=lambda item: (-item[1], str(item[0])))
    values = tuple(("" if value == NONE else str(value), count) for value, count in often[:shown])
    return Facet(values, max(0, len(often) - shown))


def used(requests: Iterable[Request]) -> Uses:
    """Count what a stream of requests did."""
    cells: Counter[tuple[str, str]] = Counter()
    bad: Counter[tuple[str, str]] = Counter()
    facets: dict[str, Counter[Hashable]] = {
        name: Counter() for name in ("source-ip", "user-agent", "namespace", "code")
    }
    labels = {name: label_of((name,))[0] for name in (*facets, "resource")}
    times: Counter[Hashable] = Counter()
    first = last = None
    total = 0
    for total, request in enumerate(requests, start=1):  # noqa: B007  # because: the last number is the count
        event = request.latest.event
        cell = event.verb, str(labels["resource"](event))
        cells[cell] += 1
        bad[cell] += failed(event)
        for name, counter in facets.items():
            counter[labels[name](event)] += 1
        if time := event.request_received_timestamp:
            times[time[:_SECONDS], "failed" if failed(event) else "ok"] += 1
            first, last = min(first or time, time), max(last or time, time)
    counted = tuple((verb, resource, count, bad[verb, resource]) for (verb, resource), count in cells.most_common())
    return Uses(
        total,
        first,
        last,
        counted,
        {name: facet_of(counter) for name, counter in facets.items()},
        timeline(times, buckets=BARS, split=True, finest_s=1),
    )


def held(requests: Iterable[Request], most: int = HELD_REQUESTS) -> tuple[list[Request], bool]:
    """Hold requests, up to a number; tell whether that was all."""
    stream = iter(requests)
    found = list(islice(stream, most))
    return found, next(stream, None) is None
