"""Tally: counts of the requests of a whole log, by whatever label; several processes, and no row is ever built.

It gives what counting over `ask.requests.merge` gives. Lines go in blocks of a piece of the file each. A block all of
whose lines are events in kube-apiserver's own words is decoded at once, and only the fields that are asked for. If
anything in it is odd (a line that begins otherwise, a value of another type, a time to be brought to UTC), the reader
reads that block line by line, as it reads everything else. So a poison line costs its block's speed, and hurts nobody.

Requests are told apart by hashes of what `merge` tells them apart by. Where a request seems to end twice (the log given
twice, an audit ID used again), its events are looked at a second time, with their lines.

| Differs from counting over `merge` | How | Why |
|---|---|---|
| a field that is not asked for has a wrong type | counted | it is skipped, not decoded; its line counts as read |
| more than 100,000 requests under way at once | all are remembered, each counted once | an int and a label each |
| an end that comes again after 1,000,000 others | counted once | all ends are remembered: 8 bytes each |
"""

from __future__ import annotations

import dataclasses
import gc
from array import array
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, compress
from operator import not_
from typing import TYPE_CHECKING, Any, Final

from decklog.ask.bytesearch import TooMuchError
from decklog.ask.forking import fork_map
from decklog.ask.narrowed import Narrowed
from decklog.ask.parts import Sizes, survey
from decklog.ask.requests import ENDED_REQUESTS, is_last, merge
from decklog.ask.usual import PIECE_BYTES, Usual, unwrapped
from decklog.audit.event import Stage
from decklog.audit.query import Query
from decklog.sources.reader import read, records_of
from decklog.sources.record import Coverage

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

    from decklog.ask.bytesearch import Block
    from decklog.ask.parts import Log, Part
    from decklog.sources.places import Place

    Label = Callable[[Any], Hashable]
    """Takes an Event, or a Slim with the same names."""

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_COMPLETE: Final = Stage.RESPONSE_COMPLETE.value
_RANK: Final[dict[str, int]] = {Stage.REQUEST_RECEIVED: 0, Stage.RESPONSE_STARTED: 1}
_LANES: Final = 64
_SIZES: Final = Sizes(piece=PIECE_BYTES)
_NO_FILTER: Final = Query()


def tally(
    places: Iterable[Place],
    coverage: Coverage,
    query: Query,
    label: Label,
    *,
    whole: bool = False,
    processes: int = 1,
    sizes: Sizes = _SIZES,
) -> Counter[Hashable]:
    """Count the requests whose latest stage matches `query`, by `label`. Counts into `coverage` what was read.

    `whole`: `label` asks for fields that `Slim` lacks. `processes` above 1 forks: only for a caller without threads.
    """
    waiting = list(places)
    try:
        logs = None if query.texts else survey(waiting, sizes)  # a text may stand in any field of the line
        if logs is not None:
            narrowed, (bare, fields) = Narrowed.of(query), unwrapped(label)
            task = _Task(
                narrowed or query,
                bare,
                fields | (narrowed.fields if narrowed else frozenset()),
                whole=whole or narrowed is None,
                all=query == _NO_FILTER,
            )
            with uncollected():
                counts = _Tallying(logs, task, processes).counts(coverage)
            if counts is not None:
                return counts
        return Counter(label(request.latest.event) for request in merge(read(waiting, coverage), query))
    finally:
        for place in waiting:
            place.close()


@contextmanager
def uncollected() -> Iterator[None]:
    """Hold the garbage collector: nothing that is decoded here can be part of a circle, and there is much of it."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


_Open = tuple[int, bool, "Hashable"]
"""Of a request under way: rank of its latest stage, whether that is asked for, its label."""


@dataclass(slots=True)
class _Aside:
    """An event of a request that seems to have ended twice."""

    key: int
    ended: bool
    line: int
    """Its hash."""
    known: bool
    """Passes the lasting part of the filter."""
    open: _Open


@dataclass(slots=True)
class _Part:
    """What was counted in one part of a log."""

    coverage: Coverage = field(default_factory=Coverage)
    feeds: int = 0
    counts: Counter[Hashable] = field(default_factory=Counter)
    ended: list[array[int]] = field(default_factory=list)
    """Hashes of the requests that ended here, in lanes."""
    open: dict[int, _Open] = field(default_factory=dict)
    aside: list[_Aside] = field(default_factory=list)
    too_much: bool = False


@dataclass(frozen=True, slots=True)
class _Task:
    """What is counted."""

    query: Query | Narrowed
    label: Label
    fields: frozenset[str]
    """That are asked for of those that are not always decoded."""
    whole: bool
    all: bool
    """Nothing is filtered."""
    twice: frozenset[int] = frozenset()
    """Requests to be put aside."""

    def count(self, part: Part) -> _Part:
        counting = _Counting(self, part.log.name, at_start=part.start == 0)
        try:
            for block in part.blocks():
                counting.take(block)
        except TooMuchError:
            counting.done.too_much = True
        counting.finish()
        counting.done.coverage.problems += part.damage
        return counting.done


class _Counting:
    """One part being counted."""

    def __init__(self, task: _Task, name: str, *, at_start: bool) -> None:
        self._query, self._label, self._twice = task.query, task.label, task.twice
        self._all = task.all
        self._name = name
        self._first = at_start
        self._usual = Usual(whole=task.whole, fields=task.fields)
        self._ended = array("q")
        self.done = _Part()

    def take(self, block: Block) -> None:
        feeds, events = self._usual.decode(block.text, block.end)
        keys = [] if events is None else _keys(events)
        if events is None or (self._twice and not self._twice.isdisjoint(keys)):
            self._read(block.line(0, block.end))
        else:
            self.done.coverage.lines += len(events)
            self._stretch([event.stage_timestamp for event in events])
            self._add(events, keys)
        self.done.feeds += feeds
        self._first = False

    def finish(self) -> None:
        self.done.ended = _in_lanes(self._ended)

    def _stretch(self, times: list[str]) -> None:
        coverage, first, last = self.done.coverage, min(times), max(times)
        coverage.first = first if coverage.first is None else min(first, coverage.first)
        coverage.last = last if coverage.last is None else max(last, coverage.last)

    def _read(self, text: bytes) -> None:
        """Read a block as the reader does."""
        coverage = self.done.coverage
        events = []
        if self._first:
            text = text.removeprefix(_BYTE_ORDER_MARK)
        for number, line in enumerate(text.split(b"\n"), self.done.feeds + 1):
            if not line or line.isspace():
                continue
            for record in records_of(line, self._name, number, coverage):
                coverage.count(record)
                event = record.event
                if event is None:
                    continue
                key = _keys([event])[0]
                if key in self._twice:
                    self.done.aside.append(
                        _Aside(key, is_last(event), hash(record.line), self._query.lasting(event), self._open(event))
                    )
                else:
                    events.append(event)
        self._add(events, _keys(events))

    def _add(self, events: Sequence[Any], keys: list[int]) -> None:
        """Count events, usual or read; which of them come first is no matter."""
        done, label = self.done, self._label
        complete = [event.stage == _COMPLETE for event in events]
        if not all(complete):
            last = [ends or is_last(event) for event, ends in zip(events, complete, strict=True)]
            for event, key in compress(zip(events, keys, strict=True), map(not_, last)):
                self._begin(event, key)
            events, keys = list(compress(events, last)), list(compress(keys, last))
        self._ended.fromlist(keys)
        if not self._all:
            events = list(filter(self._query.matches, events))
        done.counts.update([label(event) for event in events])
        if done.open:
            for key in done.open.keys() & keys:
                del done.open[key]

    def _begin(self, event: Any, key: int) -> None:
        known = self.done.open.get(key)
        if known is None and not (self._all or self._query.lasting(event)):
            return
        this = self._open(event)
        if known is None or this[0] >= known[0]:
            self.done.open[key] = this

    def _open(self, event: Any) -> _Open:
        return _RANK.get(event.stage, 1), self._all or self._query.matches(event), self._label(event)


def _keys(events: Iterable[Any]) -> list[int]:
    return [hash((event.audit_id, event.request_received_timestamp, event.verb, event.request_uri)) for event in events]


def _in_lanes(keys: Iterable[int]) -> list[array[int]]:
    """Part keys by their last bits: a set of one lane of a whole log still has its place in a processor's cache."""
    lanes = [array("q") for _ in range(_LANES)]
    into = [lane.append for lane in lanes]
    for key in keys:
        into[key % _LANES](key)
    return lanes


class _Tallying:
    """The parts of all logs, put together in their order."""

    def __init__(self, logs: list[Log], task: _Task, processes: int) -> None:
        self._logs = logs
        self._task = task
        self._processes = processes
        self._parts = [part for log in logs for part in log.parts()]

    def counts(self, coverage: Coverage) -> Counter[Hashable] | None:
        """Count; None: it has to be read line by line."""
        done = fork_map(self._task.count, self._parts, self._processes)
        ended, twice = _joined(done)
        if twice and len(twice) <= ENDED_REQUESTS and not any(part.too_much for part in done):
            task = dataclasses.replace(self._task, twice=frozenset(twice))
            for looked_at in self._parts:
                looked_at.damage.clear()
            done = fork_map(task.count, self._parts, self._processes)
            ended, _ = _joined(done)
        if len(twice) > ENDED_REQUESTS or any(part.too_much for part in done):
            return None
        self._cover(coverage, done)
        return _total(done, ended)

    def _cover(self, coverage: Coverage, done: Sequence[_Part]) -> None:
        parts = iter(done)
        for log in self._logs:
            if log.problem:
                coverage.problems.append(log.problem)
                continue
            coverage.files.append(log.name)
            coverage.size_bytes += log.size_bytes
            base = 0
            for _ in log.parts():
                part = next(parts)
                coverage.add(part.coverage, base)
                base += part.feeds


def _joined(parts: Sequence[_Part]) -> tuple[set[int], set[int]]:
    """Give the requests that were under way in one part and ended in another; and those that ended twice."""
    elsewhere: set[int] = set()
    twice: set[int] = set()
    under_way = _in_lanes({key for part in parts for key in part.open})
    for lane, open_here in enumerate(under_way):
        ends = [part.ended[lane] for part in parts]
        ended = set[int]().union(*ends)
        if len(ended) < sum(map(len, ends)):
            twice.update(key for key, times in Counter(chain(*ends)).items() if times > 1)
        elsewhere.update(ended.intersection(open_here))
    return elsewhere, twice


def _total(parts: Sequence[_Part], ended: set[int]) -> Counter[Hashable]:
    """Add up; with the requests that were put aside, and those that have not `ended`."""
    counts: Counter[Hashable] = Counter()
    under_way: dict[int, _Open] = {}
    for part in parts:
        counts.update(part.counts)
        for key, this in part.open.items():
            known = under_way.get(key)
            if key not in ended and (known is None or this[0] >= known[0]):
                under_way[key] = this
    counts.update(label for _, wanted, label in under_way.values() if wanted)
    counts.update(_told(chain.from_iterable(part.aside for part in parts)))
    return counts


def _told(aside: Iterable[_Aside]) -> Iterator[Hashable]:
    """Tell the requests among events that were put aside, as `ask.requests.merge` does."""
    under_way: dict[int, _Open] = {}
    ends: dict[int, int] = {}
    for seen in aside:
        known = under_way.get(seen.key)
        if known is None and not seen.known:
            continue
        end = ends.get(seen.key)
        if end is not None and (not seen.ended or end == seen.line):
            continue
        if not seen.ended:
            if known is None or seen.open[0] >= known[0]:
                under_way[seen.key] = seen.open
            continue
        under_way.pop(seen.key, None)
        ends[seen.key] = seen.line
        if seen.open[1]:
            yield seen.open[2]
    yield from (label for _, wanted, label in under_way.values() if wanted)
