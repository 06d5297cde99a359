"""Scan: the fast reader. Of places it yields the records that queries are about, and decodes hardly any others.

It gives what `sources.reader.read` gives, less the records of requests of which no event matches: `ask.requests.merge`
makes the same requests of both. What was passed over is counted (`Coverage.undecoded`), so that an answer can say so.

Queries without a needle (`prefilter`) pass over nothing: every line is decoded, but by several processes (`decoding`).

Not scanned but read line by line: standard input, few bytes, logs in other shapes than kube-apiserver's lines, what has
everything as its answer, and what has more than finds room in memory (`room`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from decklog.ask.bytesearch import TooMuchError
from decklog.ask.forking import fork_map
from decklog.ask.looking import shows
from decklog.ask.parts import Sizes, survey, ticking
from decklog.ask.prefilter import Sieve
from decklog.ask.room import Room
from decklog.ask.sifting import NEAR_KEYS, ByAuditId, ByQuestion, Sifted, decode
from decklog.audit.query import Query
from decklog.sources.reader import read
from decklog.sources.record import Coverage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from decklog.ask.parts import Log, Part
    from decklog.ask.sifting import NumberedLine
    from decklog.sources.places import Place
    from decklog.sources.record import Record


_SIZES: Final = Sizes()
_EVERYTHING: Final = Query()


def scan(
    places: Iterable[Place],
    coverage: Coverage,
    queries: Sequence[Query],
    *,
    declared: bool = False,
    processes: int = 1,
    sizes: Sizes = _SIZES,
    tick: Callable[[], object] | None = None,
) -> Iterator[Record]:
    """Yield, in order, at least every record of each request of which an event matches one of `queries`.

    `declared` is the reader's. `processes` above 1 forks: only for a caller without threads. Counts into `coverage`,
    which is complete when the first record comes, unless the log is read line by line. `tick` is called now and then in
    whichever process reads; what it raises is raised here.
    """
    waiting = list(places)
    try:
        found = _found(waiting, coverage, tuple(queries), processes, sizes, tick, declared=declared)
        if found is None:
            records = read(waiting, coverage, declared=declared)
            yield from (records if tick is None else ticking(records, tick))
        else:
            yield from found
    finally:
        for place in waiting:
            place.close()


def _found(
    places: list[Place],
    coverage: Coverage,
    queries: tuple[Query, ...],
    processes: int,
    sizes: Sizes,
    tick: Callable[[], object] | None,
    *,
    declared: bool,
) -> Iterator[Record] | None:
    sieve = Sieve.of(queries)
    if sieve is None and (not queries or any(query.texts or query == _EVERYTHING for query in queries)):
        return None
    logs = survey(places, sizes)
    if logs is None:
        return None
    scanning = _Scanning(logs, processes, sizes.answer, tick, declared=declared)
    try:
        lines = scanning.lines(sieve, queries)
    except TooMuchError:
        return None
    scanning.count(coverage)
    return scanning.records(lines)


class _Scanning:
    """One question put to several logs."""

    def __init__(
        self, logs: list[Log], processes: int, most: int, tick: Callable[[], object] | None, *, declared: bool
    ) -> None:
        self._most = most
        self._declared = declared
        self._logs = logs
        self._parts: list[Part] = [part for log in logs for part in log.parts()]
        for part in self._parts:
            part.tick = tick
        self._processes = processes
        self._first: list[Sifted] = []
        self._audit_ids: frozenset[str] = frozenset()

    def lines(self, sieve: Sieve | None, queries: tuple[Query, ...]) -> list[list[NumberedLine]]:
        """Give for each part the lines that the answer needs; TooMuchError if they are too many."""
        self._first = self._decoded(queries) if sieve is None else self._by_needles(sieve, queries)
        self._audit_ids = frozenset[str]().union(*(found.audit_ids for found in self._first))
        suspects = [found.kept for found in self._first]
        if (sieve is not None and sieve.whole_requests) or not self._audit_ids:
            return suspects
        if self._have_all():
            return [sorted({*found.kept, *found.near}) for found in self._first]
        others = self._others()
        return [sorted({*odd, *more}) for odd, more in zip(suspects, others, strict=True)]

    def _by_needles(self, sieve: Sieve, queries: tuple[Query, ...]) -> list[Sifted]:
        room = Room(len(self._parts), self._most)

        def first(place: int) -> Sifted:
            part = self._parts[place]
            return ByQuestion(sieve, queries, part, declared=self._declared, room=room.of(place)).sift()

        return fork_map(first, range(len(self._parts)), self._processes)

    def _decoded(self, queries: tuple[Query, ...]) -> list[Sifted]:
        # Because: decoding blocks takes long to import, of which questions with a needle need nothing.
        from decklog.ask.decoding import ByDecoding  # noqa: PLC0415  # because: only questions without a needle need it

        room = Room(len(self._parts), self._most)

        def first(place: int) -> Sifted:
            part = self._parts[place]
            return ByDecoding(queries, part, declared=self._declared, room=room.of(place)).sift()

        return fork_map(first, range(len(self._parts)), self._processes)

    def _others(self) -> list[list[NumberedLine]]:
        """Give for each part the lines of the requests that match."""
        room = Room(len(self._parts), self._most)

        def second(place: int) -> list[NumberedLine]:
            sifting = ByAuditId(self._audit_ids, self._first[place].blocks, self._uris(), room.of(place))
            return sifting.sift(self._parts[place].blocks()).kept

        return fork_map(second, range(len(self._parts)), self._processes)

    def _have_all(self) -> bool:
        """Tell whether the first sifting has come by all events of the requests that it found."""
        looked_for = set[tuple[bytes, ...]]().union(*(found.pieces for found in self._first))
        keys = set[tuple[str, str]]().union(*(found.keys for found in self._first))
        return all(found.has_all_near for found in self._first) and all(
            shows(key, pieces) for key in keys for pieces in looked_for
        )

    def _uris(self) -> frozenset[str]:
        """Give the URIs of the requests that match; none if there are too many."""
        if any(len(found.keys) > NEAR_KEYS for found in self._first):
            return frozenset()
        return frozenset(uri for found in self._first for _, uri in found.keys)

    def count(self, coverage: Coverage) -> None:
        """Say what was scanned."""
        places = iter(zip(self._first, self._bases(), strict=True))
        for log in self._logs:
            if log.problem:
                coverage.problems.append(log.problem)
                continue
            coverage.files.append(log.name)
            coverage.size_bytes += log.size_bytes
            for _ in log.parts():
                found, base = next(places)
                coverage.add(found.coverage, base)

    def records(self, lines: list[list[NumberedLine]]) -> Iterator[Record]:
        """Decode the lines of the answer."""
        for part, base, kept in zip(self._parts, self._bases(), lines, strict=True):
            for record in decode(kept, part.log.name, Coverage(), at_start=part.start == 0, declared=self._declared):
                if record.event is not None and record.event.audit_id in self._audit_ids:
                    yield replace(record, number=base + record.number)

    def _bases(self) -> list[int]:
        """Count for each part the lines that stand before it in its file."""
        bases: list[int] = []
        before = 0
        for part, found in zip(self._parts, self._first, strict=True):
            before = 0 if part.start == 0 else before
            bases.append(before)
            before += found.lines
        return bases
