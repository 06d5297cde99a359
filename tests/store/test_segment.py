from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from backends.faulty_disk import FaultyDisk
from decklog.disk import Disk
from decklog.errors import DecklogError
from decklog.store.compaction import compact
from decklog.store.items import Item, identity_of
from decklog.store.journal import Journal
from decklog.store.segment import Maintenance, seal
from decklog.store.view import view
from store.filled_store import CLUSTER, columns_of, fill, line, numbered, stored, working

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

HOSTILE = {
    "a carriage return as white space": line(1).replace(b'"level"', b'\r"level"'),
    "a control character as text": line(2, user="\\u0001"),
    "a quote and a backslash": line(3, user='\\"\\\\x41\\u0041'),
    "NUL in a name": line(4, user="\\u0000a"),
    "a lone surrogate": line(5, user="\\ud800"),
    "bytes that are no UTF-8": line(6).replace(b"alice", b"\xff\xfe"),
    "a key twice": line(7).replace(b'"annotations":{', b'"annotations":{"a":"1","a":"2",'),
    "numbers for texts": line(8).replace(b'"alice"', b"17"),
    "a time of no calendar": line(9).replace(b"2026-01-31", b"2026-02-30"),
    "a time with an offset": line(10).replace(b'Z","stage', b'+02:00","stage'),
    "no time": line(11).replace(b'"requestReceivedTimestamp"', b'"other"'),
    "the year nought": line(12).replace(b"2026-01-31", b"0000-01-31"),
    "a year far away": line(13).replace(b"2026-01-31", b"9999-12-31"),
    "no event": b'{"a":1}',
    "no JSON": b"what is this? 'quoted', \"too\"\t\x01",
    "deep nesting": b'{"requestObject":' + b"[" * 5000 + b"]" * 5000 + b"}",
    "a million": line(14, user="x" * 1_000_000),
    "SQL": line(15, user="'; DROP TABLE loaded; --"),
    "extra that is no map": line(16).replace(b'"groups"', b'"extra":[1,"\\u0000"],"groups"'),
}


def fill_at_once(store: Path, batches: Sequence[Sequence[bytes]]) -> None:
    """Store batches in one journal segment, one group each."""

    async def write() -> None:
        async with Journal(store / "journal" / "one", Disk(), cluster=CLUSTER) as journal:
            for lines in batches:
                await journal.append([Item(each, identity_of(CLUSTER, each)) for each in lines])
            await journal.turn(now=True)

    asyncio.run(write())


def seal_all(store: Path, disk: Disk | None = None) -> None:
    with working(store, disk) as (work, engine):
        assert not seal(work, engine).left


def test_a_sealed_journal_gives_every_event_byte_for_byte(tmp_path: Path) -> None:
    """After sealing, the segments hold each event as it came, and the journal counts no more."""
    lines = numbered(range(300)) + numbered(range(300, 310), day="2026-02-01")
    fill(tmp_path / "store", lines)
    seal_all(tmp_path / "store")
    seen = view(tmp_path / "store", Disk())
    assert {segment.day: segment.rows for segment in seen.segments} == {"2026-01-31": 300, "2026-02-01": 10}
    assert not any(journal.number == 1 for journal in seen.journals)
    assert stored(tmp_path / "store", tmp_path) == Counter(lines)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_line_stays_as_it_is_and_harms_no_other(name: str, tmp_path: Path) -> None:
    """Whatever a line holds, it is kept byte by byte, and its neighbours keep their columns."""
    lines = [line(100), HOSTILE[name], line(101)]
    fill(tmp_path / "store", lines)
    seal_all(tmp_path / "store")
    assert stored(tmp_path / "store", tmp_path) == Counter(lines)
    ids = {row[0] for row in columns_of(tmp_path / "store", tmp_path, '"auditID"', "\"user\" = 'alice'")}
    assert {"id-100", "id-101"} <= ids


def test_all_hostile_lines_together(tmp_path: Path) -> None:
    """Hostile lines of one journal do not harm each other."""
    fill(tmp_path / "store", list(HOSTILE.values()))
    seal_all(tmp_path / "store")
    assert stored(tmp_path / "store", tmp_path) == Counter(HOSTILE.values())


def test_columns_hold_what_the_event_says(tmp_path: Path) -> None:
    """A column has the event's value, text that it lacks is empty, a code that it lacks is 0."""
    made = line(1, verb="create", name="").replace(
        b'"annotations"', b'"responseObject":{"metadata":{"name":"made-1"}},"annotations"'
    )
    bare = b'{"level":"None","auditID":"b","stage":"Panic","requestURI":"/x","verb":"get","user":{}}'
    fill(tmp_path / "store", [made, bare])
    seal_all(tmp_path / "store")
    names = '"auditID", "user", "name", "namespace", "code", "decision", cluster, "time"::VARCHAR'
    assert columns_of(tmp_path / "store", tmp_path, names) == [
        ("b", "", "", "", 0, "", "harbour", None),
        ("id-1", "alice", "made-1", "shop", 200, "allow", "harbour", "2026-01-31 10:00:01.000001"),
    ]


def test_events_stand_in_the_order_of_objects(tmp_path: Path) -> None:
    """Within a segment events are sorted by namespace, resource, name and time."""
    fill(tmp_path / "store", list(reversed(numbered(range(50)))))
    seal_all(tmp_path / "store")
    with working(tmp_path / "store") as (work, engine):
        file = tmp_path / "store" / work.catalog.live()[0].path
        rows = engine.all(
            'SELECT "name", "time" FROM read_parquet(?, file_row_number = true) ORDER BY file_row_number', [str(file)]
        )
    assert rows == sorted(rows)
    assert len(rows) == 50


def test_a_damaged_journal_is_not_sealed(tmp_path: Path) -> None:
    """A journal that does not fit its checksums stays, is told of, and keeps no other from being sealed."""
    fill(tmp_path / "store", numbered(range(5)), numbered(range(5, 9)))
    path = tmp_path / "store" / "journal" / "one" / "0000000001.ndjson"
    path.write_bytes(path.read_bytes().replace(b"alice", b"mallo", 1))
    with working(tmp_path / "store") as (work, engine):
        sealed = seal(work, engine)
    assert (sealed.journals, sealed.events, len(sealed.left)) == (1, 4, 1)
    assert "damaged at byte 0" in sealed.left[0]
    assert path.exists()


def test_sealed_journals_go_after_the_grace_period(tmp_path: Path) -> None:
    """Files that count no more stay for the grace period, and go then; going back in time they stay."""
    store = tmp_path / "store"
    fill(store, numbered(range(5)))
    path = store / "journal" / "one" / "0000000001.ndjson"
    seal_all(store)
    for now_s, removed in ((0.0, 0), (1_772_000_100.0, 0), (1_772_003_700.0, 1), (1_772_003_800.0, 0)):
        with working(store, now_s=now_s) as (work, _):
            assert work.remove_dead() == removed
    assert not path.exists()
    assert stored(store, tmp_path) == Counter(numbered(range(5)))


def test_one_maintains_a_store_at_a_time(tmp_path: Path) -> None:
    """A second one is refused while the first holds the lock, and readers are not."""
    fill(tmp_path, numbered(range(5)))
    with Maintenance(tmp_path, Disk()):
        with pytest.raises(DecklogError, match="maintained by another process"), Maintenance(tmp_path, Disk()):
            pass
        assert view(tmp_path, Disk()).journals


def test_a_directory_that_is_no_store_is_left_alone(tmp_path: Path) -> None:
    """Nothing is made in a directory that is no store."""
    with pytest.raises(DecklogError, match="is no store"), Maintenance(tmp_path, Disk()):
        pass
    with pytest.raises(DecklogError, match="is no store"):
        view(tmp_path, Disk())
    assert not list(tmp_path.iterdir())


def work_through(store: Path, disk: Disk) -> None:
    """Seal, compact, remove what went before: every step that touches the disk."""
    with working(store, disk, grace_s=0) as (work, engine):
        seal(work, engine)
        compact(work, engine)
        work.remove_dead()


def calls_of_a_round(store: Path) -> int:
    disk = FaultyDisk()
    work_through(store, disk)
    return disk.calls


def batches() -> tuple[list[bytes], ...]:
    return numbered(range(20)), numbered(range(10, 30)), numbered(range(40, 45), day="2026-02-01")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # a close that fails in a generator
@pytest.mark.parametrize("every", [13, pytest.param(1, marks=pytest.mark.torture)])
def test_a_failure_at_any_step_leaves_a_complete_store(every: int, tmp_path: Path) -> None:
    """Whichever call fails, all events are in the view, and the next round finishes the work."""
    whole = {each for batch in batches() for each in batch}
    fill(tmp_path / "0", *batches())
    steps = calls_of_a_round(tmp_path / "0")
    assert steps > 60
    for step in range(1, steps + 1, every):
        store = tmp_path / str(step)
        fill(store, *batches())
        try:
            work_through(store, FaultyDisk("fail", step))
        except (OSError, DecklogError):
            assert set(stored(store, tmp_path)) == whole
        work_through(store, Disk())
        assert stored(store, tmp_path) == Counter(whole)
        assert_nothing_is_left(store)


@pytest.mark.parametrize("every", [17, pytest.param(1, marks=pytest.mark.torture)])
def test_a_kill_at_any_step_leaves_a_complete_store(every: int, tmp_path: Path) -> None:
    """Killed at any call, all events are in the view, and the next round finishes the work."""
    whole = {each for batch in batches() for each in batch}
    fill(tmp_path / "0", *batches())
    steps = calls_of_a_round(tmp_path / "0")
    for step in range(2, steps + 1, every):
        store = tmp_path / str(step)
        fill(store, *batches())
        child = os.fork()
        if not child:
            work_through(store, FaultyDisk("kill", step))
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        assert set(stored(store, tmp_path)) == whole
        work_through(store, Disk())
        assert stored(store, tmp_path) == Counter(whole)
        assert_nothing_is_left(store)


def assert_nothing_is_left(store: Path) -> None:
    """No file that counts no more, and none that nobody knows."""
    files = {str(path.relative_to(store)) for path in store.rglob("*.parquet")}
    assert files == {segment.path for segment in view(store, Disk()).segments}
    assert not list((store / "aside").iterdir())


@pytest.mark.parametrize("odd", [HOSTILE["bytes that are no UTF-8"], HOSTILE["a carriage return as white space"]])
def test_a_journal_of_several_pieces_is_sealed_whole(odd: bytes, tmp_path: Path) -> None:
    """Batches that are read one after another all count, whichever of them holds what DuckDB takes for no text."""
    long = [line(number, user="x" * 500_000) for number in range(6)]
    for name, lines in (("first", [odd, *long]), ("last", [*long, odd])):
        fill_at_once(tmp_path / name, [[each] for each in lines])
        seal_all(tmp_path / name)
        assert stored(tmp_path / name, tmp_path) == Counter(lines)


def test_damage_far_inside_a_journal_is_named_and_nothing_is_sealed(tmp_path: Path) -> None:
    """Where the fault stands behind what was read already, the journal stays, and nothing of it is left."""
    batches = [[line(number, user="x" * 500_000)] for number in range(6)]
    fill_at_once(tmp_path / "store", batches)
    path = tmp_path / "store" / "journal" / "one" / "0000000001.ndjson"
    path.write_bytes(path.read_bytes().replace(b"id-4", b"id-9", 1))
    with working(tmp_path / "store") as (work, engine):
        sealed = seal(work, engine)
        assert list(engine.folder.iterdir()) == []
    at = sum(len(lines[0]) + 1 for lines in batches[:4])
    assert (sealed.journals, sealed.events) == (0, 0)
    assert f"damaged at byte {at}:" in sealed.left[0]
    assert path.exists()
