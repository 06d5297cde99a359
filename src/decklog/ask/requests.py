"""Requests: the events of a log, merged into one value a request; its latest stage seen tells what came of it.

An audit ID is no key: clients choose it (header Audit-ID), reuse it, and an aggregated API server writes its own events
under the ID of the first. So events belong together if ID, time of receipt, verb and URI are the same. Two last stages
that agree in all of these and yet differ are two requests.

The log is read once, in its order. A request is answered as soon as its last stage is seen; what is held meanwhile are
requests under way that may still match. Both memories are bounded: past `OPEN_REQUESTS` the oldest is answered as it
stands, past `ENDED_REQUESTS` the oldest end is forgotten (only a log read out of order could show it twice).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from decklog.audit.event import Stage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from decklog.audit.event import Event
    from decklog.audit.query import Query
    from decklog.sources.record import Provenance, Record

OPEN_REQUESTS: Final = 100_000
ENDED_REQUESTS: Final = 1_000_000

_LAST_STAGES: Final = frozenset((Stage.RESPONSE_COMPLETE, Stage.PANIC))
_RANK: Final[dict[str, int]] = {
    Stage.REQUEST_RECEIVED: 0,
    Stage.RESPONSE_STARTED: 1,
    Stage.RESPONSE_COMPLETE: 2,
    Stage.PANIC: 2,
}


class Seen(Struct, frozen=True):
    """One event of a request, and where it stood."""

    event: Event
    file: str
    number: int
    line: bytes | None = None
    """What it was read from; kept only where a question asks for text in it."""
    provenance: Provenance | None = None
    """How it came, if it stood in an envelope."""


class Request(Struct, frozen=True):
    """One request, as far as the log shows it."""

    stages: tuple[Seen, ...]
    """In the order of its life; never empty."""

    @property
    def latest(self) -> Seen:
        """The stage that tells most."""
        return self.stages[-1]

    @property
    def ended(self) -> bool:
        """Whether its last stage has been seen."""
        return is_last(self.latest.event)


def is_last(event: Event) -> bool:
    """Tell whether no stage follows that of `event`.

    Failed authentication ends with ResponseStarted (spec §5.7), recognisable by the missing user.
    """
    if event.stage in _LAST_STAGES:
        return True
    return event.stage == Stage.RESPONSE_STARTED and not event.user.username


def merge(records: Iterable[Record], *queries: Query) -> Iterator[Request]:
    """Yield the requests of `records` whose latest stage matches one of `queries`, in the order in which they ended.

    Those that have not ended come last, in the order in which they began.
    """
    merging = _Merging(queries)
    for record in records:
        if record.event is not None and (request := merging.take(record.event, record)) is not None:
            yield request
    yield from merging.rest()


_Key = tuple[str, str | None, str, str]


class _Merging:
    """The requests under way, and the ends already told."""

    def __init__(self, queries: tuple[Query, ...]) -> None:
        self._queries = queries
        self._keeps_lines = any(query.texts for query in queries)
        self._open: dict[_Key, Request] = {}
        self._ended: dict[int, int] = {}

    def take(self, event: Event, record: Record) -> Request | None:
        """Take one event; give a request that is thereby to be told."""
        key = (event.audit_id, event.request_received_timestamp, event.verb, event.request_uri)
        known = self._open.get(key)
        if known is None and not any(query.lasting(event) for query in self._queries):
            return None
        if self._told_before(key, event, record):
            return None
        line = record.line if self._keeps_lines else None
        request = _joined(known, Seen(event, record.file, record.number, line, record.provenance))
        if not request.ended:
            self._open[key] = request
            return self._overflow()
        self._open.pop(key, None)
        self._remember(key, record)
        return request if self._matches(request) else None

    def rest(self) -> Iterator[Request]:
        """Give what has not ended."""
        yield from filter(self._matches, self._open.values())

    def _matches(self, request: Request) -> bool:
        latest = request.latest
        return any(query.matches(latest.event, latest.line) for query in self._queries)

    def _told_before(self, key: _Key, event: Event, record: Record) -> bool:
        """Tell whether `event` is the same line again, or an early stage that comes after its request's end."""
        end = self._ended.get(hash(key))
        return end is not None and (not is_last(event) or end == hash(record.line))

    def _remember(self, key: _Key, record: Record) -> None:
        self._ended[hash(key)] = hash(record.line)
        if len(self._ended) > ENDED_REQUESTS:
            del self._ended[next(iter(self._ended))]

    def _overflow(self) -> Request | None:
        if len(self._open) <= OPEN_REQUESTS:
            return None
        oldest = self._open.pop(next(iter(self._open)))
        return oldest if self._matches(oldest) else None


def _joined(known: Request | None, seen: Seen) -> Request:
    """Add a stage in its place; the same stage again, from a second copy of the log, replaces the first."""
    if known is None:
        return Request((seen,))
    others = [old for old in known.stages if old.event.stage != seen.event.stage]
    return Request(tuple(sorted([*others, seen], key=lambda old: _RANK.get(old.event.stage, 1))))
