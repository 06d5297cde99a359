from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from decklog.disk import Disk
from decklog.errors import DecklogError
from decklog.store.compaction import compact
from decklog.store.inspection import Checked, Fault, check, gaps, stats
from decklog.store.parquet import engine
from decklog.store.segment import seal
from store.filled_store import fill, line, numbered, working

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    fill(folder, numbered(range(30)), numbered(range(30, 33), day="2026-02-01"))
    with working(folder) as (work, ready):
        seal(work, ready)
    fill(folder, numbered(range(40, 50)), writer="two", cluster="other")
    return folder


def faults_of(store: Path) -> tuple[list[Fault], Checked]:
    checked = Checked()
    with engine(store.parent, threads=1) as ready:
        return list(check(store, Disk(), ready, checked)), checked


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def segment_file(store: Path, day: str) -> Path:
    return next((store / "segments" / f"day={day}").iterdir())


def test_a_whole_store_has_no_fault(store: Path) -> None:
    """Where nothing was changed, every event is counted and nothing told."""
    faults, checked = faults_of(store)
    assert not faults
    assert (checked.events, checked.segments, checked.journals) == (43, 2, 3)


@pytest.mark.parametrize("offset", [0, 5, 700, -1, -5])
def test_a_flipped_bit_of_a_segment_is_found(offset: int, store: Path) -> None:
    """One bit is enough; file, block and the times of the events are named."""
    path = segment_file(store, "2026-01-31")
    flip(path, offset)
    (fault,), checked = faults_of(store)
    assert (fault.path, fault.offset, fault.why) == (path, 0, "not the bytes that were stored")
    assert fault.length == path.stat().st_size
    assert (fault.since, fault.until) == ("2026-01-31T10:00:00.000000Z", "2026-01-31T10:00:29.000029Z")
    assert checked.events == 13


def test_a_block_is_named_by_its_offset(tmp_path: Path) -> None:
    """In a file of several blocks only the damaged one is named."""
    store = tmp_path / "store"
    noise = "".join(f"{number * 2654435761 % 2**64:016x}" for number in range(200_000))
    fill(store, [line(1, user=noise), line(2, user=noise[::-1])])
    with working(store) as (work, ready):
        seal(work, ready)
    path = segment_file(store, "2026-01-31")
    assert path.stat().st_size > 3 << 20
    flip(path, 2_500_000)
    faults, _ = faults_of(store)
    assert [(fault.offset, fault.length) for fault in faults] == [(2 << 20, 1 << 20)]


def test_a_missing_and_a_short_segment(store: Path) -> None:
    """A file that is gone or cut is damage of its events."""
    segment_file(store, "2026-01-31").unlink()
    short = segment_file(store, "2026-02-01")
    size = short.stat().st_size
    short.write_bytes(short.read_bytes()[:-10])
    faults, checked = faults_of(store)
    assert {fault.why for fault in faults} == {
        "the file is missing",
        f"the file has {size - 10:,} bytes, and had {size:,}",
    }
    assert checked.events == 10


def test_damage_of_a_journal_is_named_by_offset_and_time(store: Path) -> None:
    """A journal's damage has the offset of its group, and the times of the events around it."""
    path = store / "journal" / "two" / "0000000001.ndjson"
    flip(path, 300)
    (fault,), _ = faults_of(store)
    assert (fault.path, fault.offset, fault.length) == (path, 0, path.stat().st_size)


def test_a_file_that_nobody_knows_is_told_and_stays(store: Path) -> None:
    """A strange file among the segments is worth a note, no damage; maintenance does not remove it."""
    strange = store / "segments" / "day=2026-01-31" / "mine.parquet"
    strange.write_bytes(b"mine")
    with working(store) as (work, ready):
        compact(work, ready)
        work.remove_dead()
    (fault,), _ = faults_of(store)
    assert (fault.path, fault.damage) == (strange, False)


def test_a_lost_catalog_is_damage(store: Path) -> None:
    """Without its catalog a store's segments are in no answer; that is damage, and each is named."""
    for path in store.glob("catalog.db*"):
        path.unlink()
    (lost, *segments), _ = faults_of(store)
    assert (lost.path, lost.damage) == (store / "catalog.db", True)
    assert {fault.path.parent.name for fault in segments} == {"day=2026-01-31", "day=2026-02-01"}


def test_figures(store: Path) -> None:
    """Events are counted by cluster, day and place."""
    figures = stats(store, Disk())
    assert figures.clusters == {"harbour": 33, "other": 10}
    assert figures.days == {"2026-01-31": 30, "2026-02-01": 3}
    assert (figures.segment_events, figures.journal_events, figures.events) == (33, 10, 43)
    assert figures.bytes_an_event == (figures.segment_bytes + figures.journal_bytes) / 43
    assert (figures.first, figures.last) == ("2026-01-31T10:00:00.000000Z", "2026-02-01T10:00:32.000032Z")


def test_gaps(tmp_path: Path) -> None:
    """Requests that were received and have no end are counted, doubles are counted once, in segments and journals."""
    store = tmp_path / "store"
    received, ended = (
        numbered(range(5), stage="RequestReceived"),
        numbered(range(3)) + numbered(range(3, 4), stage="Panic"),
    )
    fill(store, [*received[:3], *ended[:1]])
    with working(store) as (work, ready):
        seal(work, ready)
    fill(store, [*received, *ended], writer="two")
    with engine(tmp_path, threads=1) as ready:
        found = gaps(store, Disk(), ready)
    assert (found.distinct, found.received, found.open, found.examples) == (9, 5, 1, ("id-4",))


def test_what_is_no_store(tmp_path: Path) -> None:
    """A directory without journals and catalog is refused."""
    with pytest.raises(DecklogError, match="is no store"):
        stats(tmp_path, Disk())
