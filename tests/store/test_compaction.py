from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from decklog.disk import Disk
from decklog.store import compaction
from decklog.store.compaction import compact
from decklog.store.segment import seal
from decklog.store.view import view
from store.filled_store import NOW_S, fill, numbered, stored, working

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pytest


def test_a_closed_day_becomes_one_file_without_doubles(tmp_path: Path) -> None:
    """Segments of one day become one, in which an event that was stored by two writers stands once."""
    store = tmp_path / "store"
    fill(store, numbered(range(10)), numbered(range(10, 20)))
    with working(store) as (work, engine):
        seal(work, engine)
    fill(store, numbered(range(5, 25)), writer="two", cluster="other")
    fill(store, numbered(range(30, 33)), numbered(range(3)), writer="three")
    with working(store) as (work, engine):
        seal(work, engine)
        done = compact(work, engine)
    assert (done.days, done.events, done.doubles) == (2, 23 + 20, 3)
    seen = view(store, Disk())
    assert sorted((segment.cluster, segment.rows) for segment in seen.segments) == [("harbour", 23), ("other", 20)]
    expected = Counter([*numbered(range(20)), *numbered(range(30, 33)), *numbered(range(5, 25))])
    assert stored(store, tmp_path) == expected


def test_the_current_day_waits(tmp_path: Path) -> None:
    """A day is compacted an hour after its end, or when all days are asked for."""
    fill(tmp_path, numbered(range(3), day="2026-02-25"))
    with working(tmp_path) as (work, engine):
        seal(work, engine)
        assert compact(work, engine).days == 0
        assert compact(work, engine, all_days=True).days == 1


def test_what_comes_late_is_compacted_into_its_day(tmp_path: Path) -> None:
    """A day that was compacted is compacted again when something came late, and left alone otherwise."""
    for number in range(3):
        fill(tmp_path, numbered(range(number, number + 3)), writer=f"w{number}")
        with working(tmp_path) as (work, engine):
            seal(work, engine)
            assert compact(work, engine).days == 1
            assert compact(work, engine).days == 0
    assert stored(tmp_path, tmp_path) == Counter(numbered(range(5)))


def test_a_large_day_becomes_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A day that is too large for one file is split by object, and doubles are found all the same."""
    monkeypatch.setattr(compaction, "FILE_BYTES", 3000)
    names = [b"a", b"a\\u0001", b"a-b", b"", b"\xc3\xa4", b"z\\u001f"]
    lines = [
        line.replace(b'"namespace":"shop"', b'"namespace":"%b"' % names[at % 6])
        for at, line in enumerate(numbered(range(30)))
    ]
    fill(tmp_path, lines)
    fill(tmp_path, lines[10:20], writer="two")
    with working(tmp_path) as (work, engine):
        seal(work, engine)
        assert compact(work, engine).doubles == 10
    assert len(view(tmp_path, Disk()).segments) > 2
    assert stored(tmp_path, tmp_path) == Counter(lines)


def test_a_damaged_segment_is_not_compacted(tmp_path: Path) -> None:
    """A day with a damaged file stays as it is, and is told of."""
    fill(tmp_path, numbered(range(3)))
    with working(tmp_path) as (work, engine):
        seal(work, engine)
        path = tmp_path / work.catalog.live()[0].path
        path.write_bytes(path.read_bytes().replace(b"PAR1", b"PAR2"))
        done = compact(work, engine)
    assert done.days == 0
    assert "is damaged" in done.left[0]


def test_files_that_were_replaced_stay_for_readers(tmp_path: Path) -> None:
    """A view that was taken before can be read until the grace period is over."""
    fill(tmp_path, numbered(range(3)))
    with working(tmp_path) as (work, engine):
        seal(work, engine)
        before = view(tmp_path, Disk())
        compact(work, engine)
        work.remove_dead()
    assert all((tmp_path / segment.path).exists() for segment in before.segments)
    with working(tmp_path, now_s=NOW_S + 3601) as (work, _):
        assert work.remove_dead() == 2
    assert not any((tmp_path / segment.path).exists() for segment in before.segments)


@given(st.lists(st.lists(st.integers(0, 30), max_size=12), min_size=1, max_size=4))
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_event_stands_once_after_compaction(
    tmp_path_factory: pytest.TempPathFactory, parts: Sequence[list[int]]
) -> None:
    """Whatever was stored how often by whom, each event stands exactly once after compaction."""
    store = tmp_path_factory.mktemp("store")
    for number, part in enumerate(parts):
        fill(store, *[numbered([each]) for each in part[:2]], numbered(part[2:]), writer=f"w{number}")
    with working(store) as (work, engine):
        seal(work, engine)
        compact(work, engine)
    assert stored(store, store) == Counter(numbered({each for part in parts for each in part}))
