"""Compaction: the segments of a closed day become one, in which every event stands once.

Events are the same if their identities are (cluster and bytes). A day of a cluster is compacted again when something
came late. A large day becomes several files, each with a range of objects; equal events fall into the same one, so
that each file can be sorted and freed of doubles by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING, Final

from decklog.errors import DecklogError
from decklog.store.catalog import COMPACTED, SEALED
from decklog.store.parquet import ORDER, UNKNOWN_DAY, files_sql
from decklog.store.segment import digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from decklog.store.catalog import Segment
    from decklog.store.parquet import Engine, Made
    from decklog.store.segment import Maintenance

FILE_BYTES: Final = 192 << 20
"""About how many bytes of events go into one file: a quarter of what DuckDB may take, for it sorts whole events."""
_SAMPLE: Final = 20_000
_KEY: Final = ('"namespace"', '"resource"', '"name"', "coalesce(\"time\"::VARCHAR, '')")
"""Equal for equal events."""
CLOSED_AFTER_S: Final = 3600.0
"""How long after its end a day counts as closed."""


@dataclass(frozen=True, slots=True)
class Compacted:
    """What compaction did."""

    days: int
    files: int
    """That were made one, or few."""
    events: int
    doubles: int
    """Events that stood there twice."""
    bytes_before: int
    bytes_after: int
    left: tuple[str, ...]
    """Days that could not be compacted, and why."""


def compact(work: Maintenance, engine: Engine, *, all_days: bool = False) -> Compacted:
    """Compact the days that are closed, or all. Raises OSError; what is damaged is left as it is, and told."""
    days = files = events = doubles = before = after = 0
    left: list[str] = []
    for group in _due(work, all_days=all_days):
        try:
            fresh = _compact_one(work, engine, group)
        except DecklogError as error:
            left.append(f"{group[0].day}: {error}")
            continue
        rows = sum(segment.rows for segment in fresh)
        days += 1
        files += len(group)
        events += rows
        doubles += sum(segment.rows for segment in group) - rows
        before += sum(segment.file_bytes for segment in group)
        after += sum(segment.file_bytes for segment in fresh)
    return Compacted(days, files, events, doubles, before, after, tuple(left))


def _due(work: Maintenance, *, all_days: bool) -> Iterator[list[Segment]]:
    """Give the segments of each day and cluster that has some which are not compacted."""
    open_from = datetime.fromtimestamp(max(0.0, work.clock() - CLOSED_AFTER_S), UTC).strftime("%Y-%m-%d")
    for (day, _), segments in groupby(work.catalog.live(), lambda each: (each.day, each.cluster)):
        group = list(segments)
        closed = all_days or day < open_from or day == UNKNOWN_DAY
        if closed and any(segment.kind == SEALED for segment in group):
            yield group


def _compact_one(work: Maintenance, engine: Engine, group: Sequence[Segment]) -> list[Segment]:
    for segment in group:
        if digest(work.disk, work.store / segment.path)[0] != segment.sha256:
            raise DecklogError(f"{segment.path} is damaged: decklog store check tells more")
    made = list(_made(work, engine, group))
    unique = engine.all(f'SELECT count(DISTINCT "identity") FROM read_parquet({_files(work, group)})')[0][0]  # noqa: S608  # because: our own words
    if sum(one.rows for one in made) != unique:
        raise DecklogError("DuckDB wrote other events than it was given: nothing was changed")
    return work.publish(made, COMPACTED, segments=group)


def _made(work: Maintenance, engine: Engine, group: Sequence[Segment]) -> Iterator[Made]:
    """Write the events range by range, each small enough to be sorted in memory."""
    reading = f"SELECT * FROM read_parquet({_files(work, group)}, hive_partitioning = false)"  # noqa: S608  # because: our own words
    for where, values in _ranges(engine, reading, 1 + sum(segment.raw_bytes for segment in group) // FILE_BYTES):
        chosen = f"{reading} WHERE {where}"
        doubled = f'SELECT "identity" FROM ({chosen}) GROUP BY "identity" HAVING count(*) > 1'  # noqa: S608  # because: the same
        select = f"{chosen} ORDER BY {ORDER}"
        if engine.all(f"SELECT 1 FROM ({doubled}) LIMIT 1", values):  # noqa: S608  # because: the same
            select = (
                f"{chosen} QUALIFY row_number() OVER"
                f' (PARTITION BY "identity" ORDER BY "time", octet_length("event")) = 1 ORDER BY {ORDER}'
            )
        yield engine.copy(select, values, group[0].day, group[0].cluster)


def _ranges(engine: Engine, reading: str, parts: int) -> Iterator[tuple[str, list[str]]]:
    """Give conditions that part the events into about so many equal ranges of objects, with their parameters.

    The namespace stands in each by itself, for it lets DuckDB pass over what a file has of other ranges.
    """
    if parts == 1:
        yield "TRUE", []
        return
    sample = f"SELECT {', '.join(_KEY)} FROM ({reading}) USING SAMPLE {_SAMPLE} ROWS"  # noqa: S608  # because: our own words
    found = engine.all(f"SELECT * FROM ({sample}) ORDER BY ALL")  # noqa: S608  # because: the same
    cuts = sorted({found[len(found) * part // parts] for part in range(1, parts)})
    for low, high in zip([None, *cuts], [*cuts, None], strict=True):
        conditions: list[str] = []
        values: list[str] = []
        for cut, sign, loose in ((low, ">=", ">="), (high, "<", "<=")):
            if cut is not None:
                conditions.append(f'({", ".join(_KEY)}) {sign} (?, ?, ?, ?) AND "namespace" {loose} ?')
                values += (*cut, cut[0])
        yield " AND ".join(conditions) or "TRUE", values


def _files(work: Maintenance, group: Sequence[Segment]) -> str:
    return files_sql(work.store / segment.path for segment in group)
