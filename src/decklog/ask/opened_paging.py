"""Opened paging: pages of the requests of a store, the newest first, by index columns alone.

Requests are in the order of their receipt; those received in the same microsecond in that of their identities, which
no sealing or compaction changes. So a page can be asked for behind the last request of the one before, whatever came
meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Self

from msgspec import Struct

from decklog.ask.opened_state import parts_by_day
from decklog.ask.rows import Row  # noqa: TC001  # because: hints of a value are read at run time, too
from decklog.ask.stored import table
from decklog.ask.stored_rows import IDENTITY, PAGE, PLACE, REQUEST, page_row
from decklog.ask.stored_told import LAST, columns
from decklog.errors import DecklogError
from decklog.store.parquet import UNKNOWN_DAY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from decklog.ask.opened_state import Current
    from decklog.audit.query_sql import Condition
    from decklog.store.catalog import Segment

_MORE: Final = 8
"""So many times as many days are looked through, where those before have too few requests."""
_NEVER: Final = datetime(1, 1, 1)  # noqa: DTZ001  # because: DuckDB's times have no zone; all are UTC
_TIME: Final = PAGE.index("time")
_RANK: Final = {"RequestReceived": 0, "ResponseStarted": 1}


class Page(Struct, frozen=True):
    """Some requests."""

    rows: tuple[Row, ...]
    next: str | None
    """What to give as `after` for those behind; None: there are none."""


@dataclass(frozen=True, slots=True)
class Place:
    """Of a request in the order of pages."""

    time: datetime
    identity: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `__str__` writes; DecklogError for anything else."""
        micros, _, digits = text.partition(".")
        try:
            return cls(_NEVER + timedelta(microseconds=int(micros)), bytes.fromhex(digits))
        except (ValueError, OverflowError):
            raise DecklogError(f"{text[:80]!r} is no place between two pages: begin with the first page") from None

    def __str__(self) -> str:
        """Write it, for an URL."""
        return f"{(self.time - _NEVER) // timedelta(microseconds=1)}.{self.identity.hex()}"


class Paging:
    """One page in the making."""

    def __init__(self, current: Current, condition: Condition, limit: int, behind: Place | None) -> None:
        self._current = current
        self._condition = condition
        self._limit = limit
        self._behind = behind

    def page(self) -> Page:
        """Make it."""
        days = parts_by_day(self._current.view.segments)
        found: list[tuple[Any, ...]] = []
        for chosen, bound in _spans(days, self._behind):
            found = self._newest(chosen, bound)
            if len(found) > self._limit:
                break
        shown = found[: self._limit]
        stages = self._earlier(shown)
        rows = tuple(page_row(values, stages.get(values[REQUEST], ())) for values in shown)
        last = Place(shown[-1][_TIME] or _NEVER, shown[-1][IDENTITY]) if shown else None
        return Page(rows, str(last) if last is not None and len(found) > self._limit else None)

    def _newest(self, segments: Sequence[Segment], bound: datetime) -> list[tuple[Any, ...]]:
        """Give one request more than the limit, of those received from `bound` on."""
        condition, values = self._where()
        told = self._current.told(condition, segments)
        times = self._current.rows(
            f'SELECT "time" FROM {told} WHERE {condition} ORDER BY "time" DESC NULLS LAST LIMIT {self._limit + 1}',  # noqa: S608  # because: our own words, values are parameters
            values,
        )
        if not times:
            return []
        return self._rows(segments, max(bound, times[-1][0] or _NEVER))

    def _rows(self, segments: Sequence[Segment], least: datetime) -> list[tuple[Any, ...]]:
        """Find the rows by a few columns, then read them: lists are dear, and a union has them read for all rows."""
        condition, values = self._where()
        told = self._current.told(condition, segments)
        newer = '"time" >= ? AND ' if least > _NEVER else ""
        bound = [least] if newer else []
        order = 'ORDER BY "time" DESC NULLS LAST, "identity" DESC'
        found = self._current.rows(
            f'SELECT {columns(PLACE)}, "identity" FROM {told} WHERE {newer}{condition} {order} LIMIT {self._limit + 1}',  # noqa: S608  # because: our own words, values are parameters
            [*bound, *values],
        )
        if not found:
            return []
        places = {(name, number): rank for rank, (name, number, _) in enumerate(found)}
        names = {name for name, _, _ in found}
        files = [each for each in self._current.view.segments if str(self._current.view.store / each.path) in names]
        sources = [table(self._current.view, files)] if files else []
        sources += ["tail"] if self._current.has_tail else []
        chosen = f'{newer}"identity" IN ({", ".join("?" * len(found))})'
        sql = " UNION ALL ".join(f"SELECT {columns(PAGE)} FROM {source} WHERE {chosen}" for source in sources)  # noqa: S608  # because: the same
        rows = self._current.rows(sql, [*bound, *(identity for _, _, identity in found)] * len(sources))
        return sorted((values for values in rows if values[-2:] in places), key=lambda values: places[values[-2:]])

    def _where(self) -> tuple[str, list[Any]]:
        condition, values = self._condition.sql, list(self._condition.parameters)
        place = self._behind
        if place is None:
            return condition, values
        if place.time == _NEVER:
            return f'"time" IS NULL AND "identity" < ? AND {condition}', [place.identity, *values]
        behind = '("time" < ? OR "time" IS NULL OR ("time" = ? AND "identity" < ?))'
        return f"{behind} AND {condition}", [place.time, place.time, place.identity, *values]

    def _earlier(self, shown: Sequence[tuple[Any, ...]]) -> dict[int, tuple[str, ...]]:
        """Give the stages before the last of some requests."""
        times = {values[_TIME] for values in shown}
        days = {f"{time:%Y-%m-%d}" if time is not None else UNKNOWN_DAY for time in times}
        segments = [segment for segment in self._current.view.segments if segment.day in days]
        sources = [table(self._current.view, segments)] if segments else []
        sources += ["tail"] if self._current.has_tail else []
        requests = {values[REQUEST] for values in shown}
        near = f'"request" IN ({", ".join("?" * len(requests))}) AND NOT {LAST}'
        sql = " UNION ".join(f'SELECT "request", "stage" FROM {source} WHERE {near}' for source in sources)  # noqa: S608  # because: the same
        stages: dict[int, tuple[str, ...]] = {}
        found = self._current.rows(sql, [*requests] * len(sources)) if sources and requests else []
        for request, stage in sorted(found, key=lambda each: _RANK.get(each[-1], 1)):
            stages[request] = (*stages.get(request, ()), stage)
        return stages


def _spans(days: list[list[Segment]], behind: Place | None) -> Iterator[tuple[list[Segment], datetime]]:
    """Give ever more of the newest days' segments, with the time from which on they are all."""
    if behind is not None and behind.time > _NEVER:
        last = f"{behind.time:%Y-%m-%d}"
        days = [day for day in days if day[0].day == UNKNOWN_DAY or day[0].day <= last]
    number = 1
    while number < len(days) and days[number - 1][0].day != UNKNOWN_DAY:
        chosen = [segment for day in days[:number] for segment in day]
        yield chosen, datetime.fromisoformat(days[number - 1][0].day)
        number *= _MORE
    yield [segment for day in days for segment in day], _NEVER
