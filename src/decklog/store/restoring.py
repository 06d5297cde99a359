"""Restoring: a catalog that is missing or damaged is made anew from the segments, which tell all that it has to know.

| what | where it comes from |
|---|---|
| path, day, number, the beginning of the SHA-256 | the file's name |
| cluster, events, bytes, times | its content |
| legal holds | `decklog.store.holds` |
| which journals were sealed | nothing tells: they are sealed once more, and compaction leaves out what is there twice |
| which segments had been replaced within the last hour | nothing tells: they count again, until they are compacted |

So nothing is lost and nothing is answered twice; what retention deleted within the hour is there until it goes again. A
file that does not fit its name is damaged, and does not count; it stays where it is. What was at the catalog's place is
kept aside: it is evidence. Nobody does this unasked: whoever looks after a store has to hear that its catalog was lost.
"""

from __future__ import annotations

import contextlib
import re
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Final

import msgspec

from decklog.errors import DecklogError
from decklog.store import catalog, holds
from decklog.store.catalog import CATALOG, COMPACTED, SEALED, Catalog, Segment
from decklog.store.parquet import files_sql
from decklog.store.segment import digest, take_lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from decklog.disk import Disk
    from decklog.store.parquet import Engine

_NAME: Final = re.compile(r"(\d{10})-([a-z]+)-([0-9a-f]{16})\.parquet", re.ASCII)
_BESIDE: Final = ("-wal", "-shm")
"""What SQLite keeps beside a database."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What became of a catalog."""

    why: str
    """What was wrong with it."""
    aside: Path | None
    """Where it is now; None: it was missing."""
    segments: int
    events: int
    """Events in them, doubles among them."""
    left: tuple[str, ...]
    """Files that do not count, and why."""


def restore(store: Path, disk: Disk, engine: Engine, clock: Callable[[], float]) -> Restored | None:
    """Make a lost catalog anew; None: there is nothing wrong with it. Raises DecklogError, OSError.

    A crash at any step leaves a catalog that is still lost: the same is done again.
    """
    with ExitStack() as stack:
        stack.callback(disk.close, take_lock(store, disk))
        why = catalog.trouble(store)
        if not why:
            return None
        held = holds.written(store, disk)
        left: list[str] = []
        found = list(_kinds(store, engine, list(_segments(store, disk, engine, left))))
        aside = _set_aside(store, disk, clock())
        with Catalog(store, write=True) as fresh:
            fresh.restore(found, held, number=max(map(_number, found), default=0), now_s=clock())
        disk.sync_dir(store)
        return Restored(why, aside, len(found), sum(segment.rows for segment in found), tuple(left))


def fits_its_name(path: Path, disk: Disk) -> bool | None:
    """Tell whether a segment is what its name says; None: its name is not that of one. Raises OSError."""
    name = _NAME.fullmatch(path.name)
    return digest(disk, path)[0].startswith(name[3]) if name is not None else None


def _segments(store: Path, disk: Disk, engine: Engine, left: list[str]) -> Iterator[Segment]:
    for path in catalog.segment_files(store):
        try:
            yield from _described(store, path, disk, engine)
        except (DecklogError, OSError) as error:
            left.append(f"{path}: {error}")


def _described(store: Path, path: Path, disk: Disk, engine: Engine) -> Iterator[Segment]:
    name = _NAME.fullmatch(path.name)
    sha256, crcs, size = digest(disk, path)
    if name is None or not sha256.startswith(name[3]):
        raise DecklogError("its bytes do not fit its name")
    rows, raw_bytes, first, last = engine.about(path)
    clusters = [row[0] for row in engine.all("SELECT DISTINCT cluster FROM read_parquet(?) LIMIT 2", [str(path)])]
    if len(clusters) != 1:
        raise DecklogError("it is not of one cluster")
    yield Segment(
        path=str(path.relative_to(store)),
        kind=name[2],
        cluster=clusters[0],
        day=path.parent.name.removeprefix("day="),
        rows=rows,
        raw_bytes=raw_bytes,
        file_bytes=size,
        min_time=first,
        max_time=last,
        sha256=sha256,
        crcs=crcs,
        made_s=disk.stat(path).st_mtime,
    )


def _kinds(store: Path, engine: Engine, found: Iterable[Segment]) -> Iterator[Segment]:
    """Let those of a day count as compacted that were, and hold no event twice: all others are compacted again."""
    groups: dict[tuple[str, str], list[Segment]] = defaultdict(list)
    for segment in found:
        groups[segment.cluster, segment.day].append(segment)
    for group in groups.values():
        is_whole = all(segment.kind == COMPACTED for segment in group) and _is_single(store, engine, group)
        for segment in group:
            yield msgspec.structs.replace(segment, kind=COMPACTED if is_whole else SEALED)


def _is_single(store: Path, engine: Engine, group: Iterable[Segment]) -> bool:
    files = files_sql(store / segment.path for segment in group)
    sql = f'SELECT count(*) = count(DISTINCT "identity") FROM read_parquet({files}, hive_partitioning = false)'  # noqa: S608  # because: our own words
    return bool(engine.all(sql)[0][0])


def _number(segment: Segment) -> int:
    return int(segment.path.rpartition("/")[2][:10])


def _set_aside(store: Path, disk: Disk, now_s: float) -> Path | None:
    """Move what is there to a name of its own; None: nothing is. Raises OSError."""
    name = f"{CATALOG}.lost-{datetime.fromtimestamp(now_s, UTC):%Y%m%dT%H%M%SZ}"
    aside = next(path for number in count() if not (path := store / (f"{name}-{number}" if number else name)).exists())
    moved: Path | None = aside
    try:
        disk.rename_noreplace(store / CATALOG, aside)  # first: without its log it might pass for a sound one
    except FileNotFoundError:
        moved = None
    for beside in _BESIDE:  # a new database must not find what another one left
        with contextlib.suppress(FileNotFoundError):
            disk.rename(store / f"{CATALOG}{beside}", store / f"{aside.name}{beside}")
    disk.sync_dir(store)
    return moved
