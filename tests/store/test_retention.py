from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from backends.faulty_disk import FaultyDisk
from decklog.audit.query import Pattern, Query
from decklog.audit.wire import decode_event
from decklog.errors import DecklogError
from decklog.store.compaction import compact
from decklog.store.holds import hold, release
from decklog.store.retention import DELETIONS, Rules, carry_out, plan
from decklog.store.segment import seal
from store.filled_store import NOW_S, fill, numbered, stored, working

if TYPE_CHECKING:
    from pathlib import Path

    from decklog.disk import Disk

DAY_S = 86_400.0
READS = numbered(range(10), day="2026-02-10")
WRITES = numbered(range(10, 15), day="2026-02-10", verb="delete")
RECENT = numbered(range(20, 24), day="2026-02-24")
OLD = numbered(range(30, 33), day="2026-01-05", user="mallory")


def tiered(line: bytes) -> float | None:
    """Keep deletions a year, mallory's for ever, all else a week."""
    if b"mallory" in line:
        return None
    return 365 * DAY_S if b'"verb":"delete"' in line else 7 * DAY_S


TIERED = Rules(tiered, "tiered")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    fill(folder, READS + WRITES + RECENT + OLD)
    with working(folder) as (work, engine):
        seal(work, engine)
        compact(work, engine)
    return folder


def retain(store: Path, rules: Rules, *, now_s: float = NOW_S, disk: Disk | None = None) -> int:
    with working(store, disk, now_s=now_s) as (work, engine):
        return carry_out(work, engine, plan(work, engine, rules), rules)


def test_each_tier_goes_at_its_age(store: Path, tmp_path: Path) -> None:
    """Reads go after a week, deletions after a year, and what is kept for ever never."""
    assert retain(store, TIERED) == len(READS)
    assert stored(store, tmp_path) == Counter(WRITES + RECENT + OLD)
    assert retain(store, TIERED) == 0
    later = Rules(tiered, "tiered", believe_clock=True)
    assert retain(store, later, now_s=NOW_S + 366 * DAY_S) == len(WRITES + RECENT)
    assert stored(store, tmp_path) == Counter(OLD)


def test_a_plan_deletes_nothing(store: Path, tmp_path: Path) -> None:
    """What would go is found out without deleting any of it."""
    with working(store) as (work, engine):
        found = plan(work, engine, TIERED)
    assert [(each.segment.day, each.rows, each.reason) for each in found.doomed] == [("2026-02-10", 10, "age")]
    assert stored(store, tmp_path) == Counter(READS + WRITES + RECENT + OLD)


def test_a_whole_day_goes_as_a_file(store: Path, tmp_path: Path) -> None:
    """Where all events of a segment are too old, nothing is written in its place."""
    assert retain(store, Rules(lambda _: 2 * DAY_S, "two")) == len(READS + WRITES + OLD)
    assert stored(store, tmp_path) == Counter(RECENT)


def test_events_are_counted_once_by_the_same_rules(store: Path) -> None:
    """A second round with the same rules asks about no event; other rules do."""
    asked: list[bytes] = []

    def keep(line: bytes) -> float | None:
        asked.append(line)
        return None

    for digest, calls in (("a", 22), ("a", 22), ("b", 44)):
        retain(store, Rules(keep, digest))
        assert len(asked) == calls


def test_a_legal_hold_outlives_every_age_and_size(store: Path, tmp_path: Path) -> None:
    """What a hold matches stays until it is released."""
    with working(store) as (work, _):
        hold(work, "case-1", Query(verbs=(Pattern("delete"),)))
    everything = Rules(lambda _: 0.0, "all", max_bytes=0)
    assert retain(store, everything) == len(READS + RECENT + OLD)
    assert stored(store, tmp_path) == Counter(WRITES)
    assert retain(store, Rules(max_bytes=0)) == 0
    with working(store) as (work, _):
        assert release(work, "case-1")
    assert retain(store, everything) == len(WRITES)
    assert not stored(store, tmp_path)


def test_the_oldest_go_where_the_store_is_too_large(store: Path, tmp_path: Path) -> None:
    """By size the oldest days go, as many as it takes."""
    with working(store) as (work, _):
        sizes = [segment.file_bytes for segment in work.catalog.live()]
    assert len(sizes) == 3
    assert retain(store, Rules(max_bytes=sum(sizes))) == 0
    assert retain(store, Rules(max_bytes=sum(sizes) - 1)) == len(OLD)
    assert retain(store, Rules(max_bytes=sizes[2])) == len(READS + WRITES)
    assert stored(store, tmp_path) == Counter(RECENT)


def test_a_clock_that_goes_back_deletes_nothing(store: Path, tmp_path: Path) -> None:
    """After a round, an earlier time than that round's is refused."""
    retain(store, Rules(lambda _: None, "none"))
    with pytest.raises(DecklogError, match="the clock went back by 86,400 s"):
        retain(store, Rules(lambda _: 0.0, "all"), now_s=NOW_S - DAY_S)
    assert stored(store, tmp_path) == Counter(READS + WRITES + RECENT + OLD)


def test_a_clock_far_ahead_deletes_nothing(store: Path, tmp_path: Path) -> None:
    """A time years after all that the store has seen has to be confirmed."""
    with pytest.raises(DecklogError, match="--believe-clock"):
        retain(store, TIERED, now_s=NOW_S + 4000 * DAY_S)
    assert stored(store, tmp_path) == Counter(READS + WRITES + RECENT + OLD)


def test_a_deletion_is_recorded_as_an_event(store: Path) -> None:
    """What was deleted stands in an audit log of its own: how many, from when to when, why."""
    retain(store, TIERED)
    (line,) = (store / DELETIONS).read_bytes().splitlines()
    event = decode_event(line)
    assert (event.verb, event.user.username) == ("delete", "decklog:retention")
    notes = event.annotations
    assert notes["decklog/deleted-events"] == "10"
    assert notes["decklog/events-from"].startswith("2026-02-10T10:00:00")
    assert notes["decklog/reason"] == "age"
    assert json.loads(line)["requestReceivedTimestamp"] == "2026-02-25T06:13:20.000000Z"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # a close that fails in a generator
@pytest.mark.parametrize("every", [11, pytest.param(1, marks=pytest.mark.torture)])
def test_a_failure_at_any_step_deletes_all_of_it_or_nothing(every: int, store: Path, tmp_path: Path) -> None:
    """Whichever call fails, no event is lost that stays, and what has gone is recorded."""
    kept = Counter(WRITES + RECENT + OLD)
    for step in range(1, 60, every):
        folder = tmp_path / str(step)
        fill(folder, READS + WRITES + RECENT + OLD)
        with working(folder) as (work, engine):
            seal(work, engine)
            compact(work, engine)
        try:
            retain(folder, TIERED, disk=FaultyDisk("fail", step))
        except (OSError, DecklogError):
            left = stored(folder, tmp_path)
            assert left in (kept, kept + Counter(READS))
            assert left != kept or (folder / DELETIONS).read_bytes().endswith(b"\n")
        retain(folder, TIERED)
        assert stored(folder, tmp_path) == kept
