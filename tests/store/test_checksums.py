from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decklog.disk import Disk
from decklog.store import checksums
from decklog.store.checksums import Damage, End, Group, sums_of
from store.crash_disk import LaxDisk
from store.journal_peers import CLUSTER, item, journal

if TYPE_CHECKING:
    from pathlib import Path

GROUP = Group(0, 10, 1, 0xABC, b"0123456789abcdef")


@pytest.fixture
def segment(tmp_path: Path) -> Path:
    """Make a finished segment of three groups of two events, 100 bytes each event and more."""

    async def store() -> Path:
        async with journal(tmp_path, LaxDisk(), segment_bytes=1 << 20) as opened:
            for first in (0, 2, 4):
                await opened.append([item(first, 100), item(first + 1, 100)])
            await opened.turn(now=True)
            return opened.closed()[0]

    return asyncio.run(store())


@given(st.integers(0, 1 << 40), st.integers(1, 1 << 40), st.lists(st.binary(min_size=16, max_size=16), max_size=9))
def test_a_group_reads_back_as_it_was_written(offset: int, length: int, keys: list[bytes]) -> None:
    """Whatever stands in it."""
    group = Group(offset, length, len(keys), length & 0xFFFFFFFF, b"".join(keys))
    line = checksums.group_line(group)
    assert checksums.parse(line[:-1]) == group
    assert [*group.each_key()] == keys


def test_an_end_reads_back_as_it_was_written() -> None:
    """Both figures."""
    assert checksums.parse(checksums.end_line(End(7, 8))[:-1]) == End(7, 8)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"end",
        b"end 1",
        b"end x 1",
        b"1 2 3",
        b"0 10 1 00000abc !!!",
        b"0 10 1 xyz " + checksums.group_line(GROUP).split()[-1],
        b"0 10 2 00000abc " + checksums.group_line(GROUP).split()[-1],
        b"-1 10 1 00000abc " + checksums.group_line(GROUP).split()[-1],
        checksums.group_line(GROUP)[:-3],
        bytes(60),
    ],
)
def test_what_is_torn_is_no_line(line: bytes) -> None:
    """Any other text is none."""
    assert checksums.parse(line) is None


def test_checksums_are_computed_again_as_they_were(segment: Path) -> None:
    """What a crash took is computed from the lines: the same identities, in the same order, and a fitting CRC."""
    groups = checksums.groups_of(Disk(), segment)
    fd = os.open(segment, os.O_RDONLY)
    again = [*checksums.compute(Disk(), fd, groups[1].offset, groups[-1].end, CLUSTER)]
    os.close(fd)
    assert sum(group.count for group in again) == 4
    assert b"".join(group.keys for group in again) == groups[1].keys + groups[2].keys
    assert groups[0].keys == item(0, 100).identity[:16] + item(1, 100).identity[:16]


def test_an_intact_segment_has_no_damage(segment: Path) -> None:
    """All six events are as they were."""
    assert checksums.check(Disk(), segment) == (6, [])


def test_a_changed_byte_is_found_with_its_place(segment: Path) -> None:
    """The group around it is named, the others are intact."""
    groups = checksums.groups_of(Disk(), segment)
    data = bytearray(segment.read_bytes())
    data[groups[1].offset + 5] ^= 1
    segment.write_bytes(data)
    assert checksums.check(Disk(), segment) == (
        4,
        [Damage(groups[1].offset, groups[1].length, "not the bytes that were stored")],
    )


def test_a_shortened_segment_is_found(segment: Path) -> None:
    """What was stored and is gone is damage."""
    groups = checksums.groups_of(Disk(), segment)
    segment.write_bytes(segment.read_bytes()[:-1])
    assert checksums.check(Disk(), segment) == (
        4,
        [Damage(groups[2].offset, groups[2].length, "shorter than it was")],
    )


def test_damaged_checksums_are_found(segment: Path) -> None:
    """They are damage of their own, and the lines may be as they were."""
    sums = sums_of(segment)
    lines = sums.read_bytes().splitlines(keepends=True)
    sums.write_bytes(lines[0] + b"?" + b"".join(lines[1:]))
    intact, damages = checksums.check(Disk(), segment)
    assert intact == 2
    assert [damage.why for damage in damages] == ["its checksums are damaged"]


def test_foreign_bytes_at_the_end_are_found(segment: Path) -> None:
    """Nobody may add to a finished segment."""
    with segment.open("ab") as file:
        file.write(b"{}\n")
    intact, damages = checksums.check(Disk(), segment)
    assert intact == 6
    assert [(damage.length, damage.why) for damage in damages] == [(3, "bytes that the journal did not write")]
