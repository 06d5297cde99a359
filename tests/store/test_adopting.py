from __future__ import annotations

import asyncio
import contextlib
import os
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from backends.faulty_disk import FaultyDisk
from decklog.disk import Disk
from decklog.store import reading, writer_files
from decklog.store.adopting import UNOWNED_S, adopt
from decklog.store.items import Item, identity_of
from decklog.store.journal import Journal
from decklog.store.segment import seal
from decklog.store.view import view
from store.filled_store import CLUSTER, NOW_S, line, numbered, stored, working

if TYPE_CHECKING:
    from pathlib import Path

LINES = numbered(range(30))


def leave(store: Path, *, torn: bytes = b"", age_s: float = UNOWNED_S) -> Path:
    """Leave a journal as a killed writer does, written to so long ago; gives its newest segment."""
    folder = store / "journal" / "former"

    async def write() -> None:
        async with Journal(folder, Disk(), cluster=CLUSTER) as journal:
            await journal.append([Item(each, identity_of(CLUSTER, each)) for each in LINES[:20]])
            await journal.turn(now=True)
            await journal.append([Item(each, identity_of(CLUSTER, each)) for each in LINES[20:]])

    asyncio.run(write())
    path = writer_files.segment_path(folder, 2)
    if torn:
        with path.open("ab") as out:
            out.write(torn)
        path.with_suffix(".sums").unlink()
    os.utime(path, (NOW_S - age_s, NOW_S - age_s))
    return path


@pytest.mark.parametrize("torn", [b"", b'{"kind":"Ev'], ids=["whole", "torn by a kill"])
def test_a_journal_without_an_owner_is_sealed_to_its_end(torn: bytes, tmp_path: Path) -> None:
    """Its newest segment is repaired, sealed, and a new one keeps the number; no event is lost or doubled."""
    store = tmp_path / "store"
    path = leave(store, torn=torn)
    with working(store) as (work, engine):
        assert seal(work, engine).events == len(LINES)
    assert stored(store, tmp_path) == Counter(LINES)
    assert [(each.number, each.open) for each in view(store, Disk()).journals] == [(3, True)]
    assert not writer_files.segment_path(path.parent, 3).stat().st_size


def test_a_journal_that_was_written_to_lately_is_left_alone(tmp_path: Path) -> None:
    """Its writer may come back in a moment."""
    leave(tmp_path, age_s=UNOWNED_S - 10)
    with working(tmp_path) as (work, _):
        assert adopt(work) == []


def test_a_clock_that_went_back_adopts_nothing(tmp_path: Path) -> None:
    """A segment from the future is not old."""
    leave(tmp_path, age_s=-86_400)
    with working(tmp_path) as (work, _):
        assert adopt(work) == []


def test_a_journal_with_an_owner_is_left_alone(tmp_path: Path) -> None:
    """However long its owner had nothing to store."""
    folder = tmp_path / "journal" / "quiet"

    async def run() -> None:
        async with Journal(folder, Disk(), cluster=CLUSTER) as journal:
            await journal.append([Item(line(1), identity_of(CLUSTER, line(1)))])
            path = writer_files.segment_path(folder, 1)
            os.utime(path, (NOW_S - 9 * UNOWNED_S, NOW_S - 9 * UNOWNED_S))
            with working(tmp_path) as (work, _):
                assert adopt(work) == []

    asyncio.run(run())
    assert not any(path.stat().st_size == 0 for path in folder.glob("*.ndjson"))


def test_a_former_writer_may_come_back(tmp_path: Path) -> None:
    """After its journal was ended it goes on behind it, and knows what it had stored."""
    leave(tmp_path)
    with working(tmp_path) as (work, _):
        assert [path.name for path in adopt(work)] == ["0000000002.ndjson"]
        assert adopt(work) == []

    async def come_back() -> None:
        async with Journal(tmp_path / "journal" / "former", Disk(), cluster=CLUSTER) as journal:
            told = await journal.append([Item(each, identity_of(CLUSTER, each)) for each in LINES])
            assert (told.stored, told.doubled) == (0, len(LINES))

    asyncio.run(come_back())


def test_a_failure_at_any_step_loses_nothing(tmp_path: Path) -> None:
    """Whichever call fails while a journal is ended, the next round ends it, with every event once."""
    step = 0
    while True:
        step += 1
        store = tmp_path / str(step)
        leave(store, torn=b"half a line")
        disk = FaultyDisk()
        with working(store, disk) as (work, _):
            disk.arm("fail", step)
            with contextlib.suppress(OSError):
                adopt(work)
            done, met = disk.calls < step, disk.met
            disk.arm("", 0)
            for path in (store / "journal" / "former").glob("*.ndjson"):
                os.utime(path, (NOW_S - UNOWNED_S, NOW_S - UNOWNED_S))  # some hours later
            adopt(work)
        found = Counter(
            each for journal in reading.segments(store, Disk()) for _, each in reading.lines(journal, Disk())
        )
        assert found == Counter(LINES), met
        ended = [journal.number for journal in reading.segments(store, Disk()) if not journal.open]
        assert ended == [1, 2], met
        assert all(writer_files.is_finished(Disk(), store / f"journal/former/000000000{n}.ndjson") for n in ended), met
        if done:
            break
    assert step > 30
