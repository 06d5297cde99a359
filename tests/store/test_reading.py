from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from decklog.disk import Disk
from decklog.store import reading
from store.crash_disk import LaxDisk
from store.journal_peers import items, journal, number_of, numbers_in

if TYPE_CHECKING:
    from pathlib import Path


def test_no_store_has_no_segments(tmp_path: Path) -> None:
    """Nor has one without journals."""
    assert reading.segments(tmp_path, Disk()) == []
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / "stray").touch()
    (tmp_path / "journal" / "unclaimed").mkdir()
    assert reading.segments(tmp_path, Disk()) == []


def test_all_writers_are_read_while_they_write(tmp_path: Path) -> None:
    """Finished and open segments, each with writer, cluster and number; an event is there once it is acknowledged."""

    async def run() -> None:
        async with journal(tmp_path, LaxDisk(), "one") as one, journal(tmp_path, LaxDisk(), "two") as two:
            await one.append(items([1, 2]))
            await one.turn(now=True)
            await one.append(items([3]))
            await two.append(items([4]))
            told = [(each.writer, each.cluster, each.number, each.open) for each in reading.segments(tmp_path, Disk())]
            assert told == [
                ("one", "harbour", 1, False),
                ("one", "harbour", 2, True),
                ("two", "harbour", 1, True),
            ]
            assert numbers_in(tmp_path) == [1, 2, 3, 4]

    asyncio.run(run())


@pytest.mark.parametrize("pads", [(0, 1, 2), (3_000_000, 0, 2_500_000), (1_048_576, 1_048_575)])
def test_lines_come_with_their_offsets_however_long_they_are(pads: tuple[int, ...], tmp_path: Path) -> None:
    """From any of these offsets on the rest is read again; a torn end is left out."""
    path = tmp_path / "0000000001.ndjson"
    lines = [b"x" * pad for pad in pads]
    path.write_bytes(b"".join(line + b"\n" for line in lines) + b"torn")
    segment = reading.JournalSegment(path, "one", "harbour", 1, open=True)
    found = [*reading.lines(segment, Disk())]
    assert [line for _, line in found] == lines
    for number, (offset, _) in enumerate(found):
        assert [*reading.lines(segment, Disk(), offset)] == found[number:]


@pytest.mark.parametrize(("still_open", "seen"), [(True, [1, 3]), (False, [1, None, 3])])
def test_a_hole_is_left_out_only_where_it_may_be_of_a_power_cut(
    still_open: bool, seen: list[int | None], tmp_path: Path
) -> None:
    """In an open segment it was never acknowledged; in a finished one it is damage, and somebody has to tell."""
    path = tmp_path / "0000000001.ndjson"
    first, last = (each.line for each in items([1, 3]))
    path.write_bytes(first + b"\n{" + bytes(20) + b"\n" + last + b"\n")
    segment = reading.JournalSegment(path, "one", "harbour", 1, open=still_open)
    found = [line for _, line in reading.lines(segment, Disk())]
    assert [None if b"\0" in line else number_of(line) for line in found] == seen
