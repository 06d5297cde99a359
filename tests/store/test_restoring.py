from __future__ import annotations

import shutil
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from backends.faulty_disk import FaultyDisk
from decklog.audit.query import Pattern, Query
from decklog.disk import Disk
from decklog.errors import DecklogError
from decklog.store.catalog import CATALOG
from decklog.store.compaction import compact
from decklog.store.holds import hold
from decklog.store.inspection import Checked, check
from decklog.store.parquet import engine
from decklog.store.restoring import Restored, restore
from decklog.store.segment import seal
from decklog.store.view import view
from store.filled_store import NOW_S, fill, numbered, stored, working

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OLD = numbered(range(30))
LATE = numbered(range(20, 40))
OTHER = numbered(range(50, 55), day="2026-02-01")
WHOLE = {*OLD, *LATE, *OTHER}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A compacted day, sealed events that came late (some a second time), and a legal hold."""
    folder = tmp_path / "store"
    fill(folder, OLD + OTHER)
    with working(folder) as (work, ready):
        seal(work, ready)
        compact(work, ready)
        hold(work, "case-1", Query(verbs=(Pattern("delete"),)))
    fill(folder, LATE, writer="two")
    with working(folder) as (work, ready):
        seal(work, ready)
    return folder


def remove(store: Path) -> None:
    for path in store.glob(f"{CATALOG}*"):
        path.unlink()


def empty(store: Path) -> None:
    remove(store)
    (store / CATALOG).touch()


def scribble(store: Path) -> None:
    remove(store)
    (store / CATALOG).write_bytes(b"not a database " * 1000)


def flip_pages(store: Path) -> None:
    for path in store.glob(f"{CATALOG}*"):
        data = bytearray(path.read_bytes())
        for at in range(2000, len(data), 512):
            data[at] ^= 0xFF
        path.write_bytes(data)


LOSSES: dict[str, Callable[[Path], None]] = {
    "removed": remove,
    "emptied": empty,
    "overwritten": scribble,
    "damaged": flip_pages,
}


def repair(store: Path, disk: Disk | None = None) -> Restored | None:
    with engine(store.parent, threads=1) as ready:
        return restore(store, disk or Disk(), ready, lambda: NOW_S)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_lost_catalog_is_never_passed_over(loss: str, store: Path, tmp_path: Path) -> None:
    """No answer is given without it, nothing is maintained, and the check names it, until it is made anew."""
    LOSSES[loss](store)
    with pytest.raises(DecklogError, match="check --repair"):
        view(store, Disk())
    with pytest.raises(DecklogError, match="check --repair"), working(store):
        pass
    with engine(tmp_path, threads=1) as ready:
        faults = list(check(store, Disk(), ready, Checked()))
    assert [fault.path for fault in faults if fault.damage] == [store / CATALOG]


@pytest.mark.parametrize("loss", LOSSES)
def test_a_lost_catalog_is_made_anew(loss: str, store: Path, tmp_path: Path) -> None:
    """Every event and the legal holds are back, the old catalog is kept, and compaction lets each event stand once."""
    LOSSES[loss](store)
    done = repair(store)
    assert done is not None
    assert done.left == ()
    assert (done.aside is None) == (loss == "removed")
    assert done.aside is None or done.aside.exists()
    assert set(stored(store, tmp_path)) == WHOLE
    with working(store, grace_s=0) as (work, ready):
        assert set(work.catalog.holds()) == {"case-1"}
        seal(work, ready)
        compact(work, ready)
        work.remove_dead()
    assert stored(store, tmp_path) == Counter(WHOLE)
    with engine(tmp_path, threads=1) as ready:
        assert not list(check(store, Disk(), ready, Checked()))


def test_days_that_were_whole_are_not_compacted_again(store: Path) -> None:
    """A day whose only segment was compacted stays as it is; one that holds an event twice does not."""
    with working(store, grace_s=0) as (work, _):
        work.remove_dead()
    remove(store)
    repair(store)
    with working(store) as (work, _):
        assert {(each.day, each.kind) for each in work.catalog.live()} == {
            ("2026-01-31", "sealed"),
            ("2026-02-01", "compacted"),
        }


def test_a_damaged_segment_does_not_count(store: Path, tmp_path: Path) -> None:
    """A file that does not fit its name stays where it is, is told of, and the others count."""
    remove(store)
    path = next((store / "segments" / "day=2026-02-01").iterdir())
    path.write_bytes(path.read_bytes()[:-7])
    done = repair(store)
    assert done is not None
    assert [str(path) in line for line in done.left] == [True]
    with engine(tmp_path, threads=1) as ready:
        (fault,) = check(store, Disk(), ready, Checked())
    assert (fault.path, fault.damage) == (path, True)


def test_a_sound_catalog_is_left_alone(store: Path) -> None:
    """Nothing is done where nothing is wrong, nor where a store was never sealed."""
    assert repair(store) is None
    fill(store.parent / "fresh", OLD)
    assert repair(store.parent / "fresh") is None
    (store.parent / "fresh" / CATALOG).touch()
    assert repair(store.parent / "fresh") is None
    assert len(view(store.parent / "fresh", Disk()).journals) == 2


def test_a_failure_at_any_step_is_made_good_by_the_next_repair(store: Path, tmp_path: Path) -> None:
    """Whichever call fails, no answer is given from half a catalog, and the next repair finishes."""
    remove(store)
    (store / CATALOG).write_bytes(b"x" * 5000)
    disk = FaultyDisk()
    spare = tmp_path / "spare"
    shutil.copytree(store, spare)
    repair(spare, disk)
    for step in range(1, disk.calls + 1):
        place = tmp_path / f"step-{step}"
        shutil.copytree(store, place)
        try:
            repair(place, FaultyDisk("fail", step))
        except (OSError, DecklogError):
            repair(place)
        assert set(stored(place, tmp_path)) == WHOLE, step
