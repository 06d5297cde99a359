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
    from collections.abc import Callable, Iterator, Sequence

    from decklog.ask.opened_state import Current
    from decklog.audit.query_sql import Condition
    from decklog.store.catalog import Segment

    _Run = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]

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
        condition, _ = self._where()
        ended, others = self._current.ended(segments), self._current.others(condition)
        found = self._places(ended, bound, self._current.kept_rows) if ended else []
        found += self._places(others, bound, self._current.rows) if others else []
        found.sort(key=lambda row: (row[-1] is not None, row[-1] or _NEVER, row[-2]), reverse=True)
        return self._rows(found[: self._limit + 1])

    def _places(self, told: str, bound: datetime, run: _Run) -> list[tuple[Any, ...]]:
        """Find the newest of some rows by a few columns: where they stand, identity and time, in any order."""
        condition, values = self._where()
        times = run(
            f'SELECT "time" FROM ({told}) WHERE {condition} ORDER BY "time" DESC NULLS LAST LIMIT {self._limit + 1}',  # noqa: S608  # because: our own words, values are parameters
            values,
        )
        if not times:
            return []
        least = max(bound, times[-1][0] or _NEVER)
        newer = '"time" >= ? AND ' if least > _NEVER else ""
        order = 'ORDER BY "time" DESC NULLS LAST, "identity" DESC'
        found = run(
            f'SELECT {columns(PLACE)}, "identity", "time" FROM ({told}) WHERE {newer}{condition} {order}'  # noqa: S608  # because: the same
            f" LIMIT {self._limit + 1}",
            [*([least] if newer else []), *values],
        )
        return list(found)

    def _rows(self, found: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """Read rows: lists are dear, and a union has them read for all rows."""
        if not found:
            return []
        least = found[-1][-1] or _NEVER
        newer = '"time" >= ? AND ' if least > _NEVER else ""
        bound = [least] if newer else []
        places = {(name, number): rank for rank, (name, number, *_) in enumerate(found)}
        names = {name for name, *_ in found}
        files = [each for each in self._current.view.segments if str(self._current.view.store / each.path) in names]
        sealed = {str(self._current.view.store / each.path) for each in files}
        rows = []
        for source, run, chosen in (
            (table(self._current.view, files) if files else "", self._current.kept_rows, True),
            ("tail" if self._current.has_tail else "", self._current.rows, False),
        ):
            identities = [identity for name, _, identity, _ in found if (name in sealed) is chosen]
            if source and identities:
                among = f'{newer}"identity" IN ({", ".join("?" * len(identities))})'
                rows += run(f"SELECT {columns(PAGE)} FROM {source} WHERE {among}", [*bound, *identities])  # noqa: S608  # because: the same
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
        requests = sorted({values[REQUEST] for values in shown})
        near = f'"request" IN ({", ".join("?" * len(requests))}) AND NOT {LAST}'
        found: set[tuple[Any, ...]] = set()
        for source, run in (
            (table(self._current.view, segments) if segments else "", self._current.kept_rows),
            ("tail" if self._current.has_tail else "", self._current.rows),
        ):
            if source and requests:
                found.update(run(f'SELECT DISTINCT "request", "stage" FROM {source} WHERE {near}', requests))  # noqa: S608  # because: the same
        stages: dict[int, tuple[str, ...]] = {}
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
