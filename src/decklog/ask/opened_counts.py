"""Opened counts: of the requests of a store, by their properties and over time, by index columns alone."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from decklog.ask.stored_told import LABELS
from decklog.ask.top import NONE, chosen_step, timeline
from decklog.errors import DecklogError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from decklog.ask.opened_state import Current
    from decklog.ask.top import Timeline
    from decklog.audit.query import Query
    from decklog.audit.query_sql import Condition

_SECONDS: Final = ((200_000, 10), (2_000_000, 60), (20_000_000, 600))
"""Of windows up to so many seconds, times are told to so many."""
_LONGEST_S: Final = 3600
_FINE_S: Final = 600


class Facet(Struct, frozen=True):
    """A value, and how many requests have it."""

    label: str
    count: int


class Facets(Struct, frozen=True):
    """Counts of requests by several of their properties, each by itself."""

    total: int
    by: dict[str, tuple[Facet, ...]]
    """Name → the most frequent values."""
    different: dict[str, int]
    """Name → how many values there are."""


def _resource(resource: str, group: str, subresource: str) -> str:
    return f"{resource}{'.' + group if group else ''}{'/' + subresource if subresource else ''}" if resource else NONE


def _code(code: int, stage: str) -> str:
    if stage == "Panic":
        return f"{code or ''} panic".strip()
    return str(code) if code else "open" if stage != "ResponseComplete" else NONE


_RAW: Final[dict[str, tuple[tuple[str, ...], Callable[..., str]]]] = {
    "resource": (('"resource"', '"apiGroup"', '"subresource"'), _resource),
    "code": (('"code"', '"stage"'), _code),
}
"""What SQL gives as it is, because there are few, and what makes the label of it."""


def _raw(name: str) -> tuple[tuple[str, ...], Callable[..., str]]:
    if name in _RAW:
        return _RAW[name]
    if name not in LABELS:
        raise DecklogError(f"requests of a store cannot be counted by {name!r}: choose among {', '.join(LABELS)}")
    return (LABELS[name],), lambda text: text or NONE


def tallied(
    current: Current, condition: Condition, names: Sequence[str], step_s: int | None = None
) -> Counter[tuple[Any, ...]]:
    """Count by several properties together; with `step_s`, first the second that begins the step of receipt."""
    raw = [_raw(name) for name in names]
    time = [f'epoch_us("time") // {step_s * 1_000_000} * {step_s}'] if step_s else []
    fields = [*time, *(column for columns, _ in raw for column in columns)]
    inner = ", ".join(f"{field} AS f{place}" for place, field in enumerate(fields))
    outer = ", ".join(f"f{place}" for place in range(len(fields)))

    def write(told: str) -> str:
        sql = f"SELECT {inner}{', ' if inner else ''}1 AS one FROM {told} WHERE {condition.sql}"  # noqa: S608  # because: our own words, values are parameters
        return f"SELECT {outer}{', ' if outer else ''}count(*) FROM ({sql}){' GROUP BY ALL' if outer else ''}"  # noqa: S608  # because: the same

    counts: Counter[tuple[Any, ...]] = Counter()
    for *values, count in current.added(write, inner + condition.sql, condition.parameters):
        label: list[Any] = values[: len(time)]
        at = len(time)
        for columns, said in raw:
            label.append(said(*values[at : at + len(columns)]))
            at += len(columns)
        counts[tuple(label)] += count
    return +counts


def with_times(counts: Counter[tuple[Any, ...]]) -> Counter[tuple[str, ...]]:
    """Write the seconds of `tallied` as times."""
    return Counter({(_time(second), *labels): count for (second, *labels), count in counts.items()})


def _time(second: int | None) -> str:
    return "" if second is None else f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}"


def facets(current: Current, condition: Condition, names: Sequence[str], limit: int) -> Facets:
    """Count by each of several properties, in one reading."""
    raw = [_raw(name) for name in names]
    fields = [column for columns, _ in raw for column in columns]
    inner = ", ".join(f"{field} AS f{place}" for place, field in enumerate(fields))
    sets, at = ["()"], 0
    for columns, _ in raw:
        sets.append(f"({', '.join(f'f{place}' for place in range(at, at + len(columns)))})")
        at += len(columns)
    outer = ", ".join(f"f{place}" for place in range(at))

    def write(told: str) -> str:
        return (
            f"SELECT GROUPING({outer}), {outer}, count(*) FROM"  # noqa: S608  # because: the same
            f" (SELECT {inner} FROM {told} WHERE {condition.sql})"
            f" GROUP BY GROUPING SETS ({', '.join(sets)})"
        )

    return _facets(names, raw, current.added(write, inner + condition.sql, condition.parameters), limit)


def _facets(
    names: Sequence[str],
    raw: list[tuple[tuple[str, ...], Callable[..., str]]],
    rows: list[tuple[Any, ...]],
    limit: int,
) -> Facets:
    width = sum(len(columns) for columns, _ in raw)
    places: dict[int, tuple[str, int, int, Callable[..., str]]] = {}
    at = 0
    for name, (columns, said) in zip(names, raw, strict=True):
        mask = (1 << width) - 1
        for place in range(at, at + len(columns)):
            mask &= ~(1 << (width - 1 - place))
        places[mask] = (name, at, at + len(columns), said)
        at += len(columns)
    total = 0
    counts: dict[str, Counter[str]] = {name: Counter() for name in names}
    for mask, *values, count in rows:
        if mask not in places:
            total += count
            continue
        name, start, end, said = places[mask]
        counts[name][said(*values[start:end])] += count
    ranked = {name: sorted(found.items(), key=lambda each: (-each[1], each[0])) for name, found in counts.items()}
    return Facets(
        total,
        {name: tuple(Facet(*each) for each in found[:limit]) for name, found in ranked.items()},
        {name: len(found) for name, found in counts.items()},
    )


def timed(
    current: Current, condition: Condition, query: Query, names: Sequence[str], *, buckets: int, step_s: int | None
) -> Timeline:
    """Count over time."""
    start, end = (datetime.fromisoformat(time) if time else None for time in (query.since, query.until))
    finest = _finest(current, start, end, step_s)
    counts = tallied(current, condition, names, finest)
    seconds = [int(key[0]) for key in counts if key[0] is not None]
    step = step_s
    if step is None and seconds:
        first = min(seconds) if start is None else min(*seconds, int(start.timestamp()))
        last = max(seconds) if end is None else max(*seconds, int(end.timestamp()) - 1)
        step = chosen_step(first, last, buckets, finest)
    buckets_of: Counter[Hashable] = Counter()
    texts: dict[int, str] = {}
    for (second, *labels), count in counts.items():
        if second is None:
            buckets_of["", tuple(labels)] += count
            continue
        first = int(second) - int(second) % (step or finest)
        if first not in texts:
            texts[first] = _time(first)
        buckets_of[texts[first], tuple(labels)] += count
    return timeline(buckets_of, buckets=buckets, split=bool(names), start=start, end=end, step_s=step, finest_s=finest)


def _finest(current: Current, start: datetime | None, end: datetime | None, step_s: int | None) -> int:
    """Give the seconds to which times are told: few enough different ones, and a divisor of every step."""
    segments = current.view.segments
    times = [time for segment in segments for time in (segment.min_time, segment.max_time) if time]
    first = start or (datetime.fromisoformat(min(times)) if times else None)
    last = end or (datetime.fromisoformat(max(times)) if times else None)
    span = (last - first).total_seconds() if first and last else 0.0
    if step_s is not None:
        return step_s
    if start is not None and span < _FINE_S:
        return 1
    return next((seconds for most, seconds in _SECONDS if span <= most), _LONGEST_S)
