from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from decklog.store.items import Appended
from decklog.store.neighbours import WINDOW_S, Neighbours
from decklog.store.recent import Recent
from store.crash_disk import LaxDisk
from store.journal_peers import items, journal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pytest

NOW = 1_000_000.0


class CountingDisk(LaxDisk):
    """Counts the files that are asked about; its calls to list fail while it is `broken`."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.broken = False

    def stat(self, path: Path) -> os.stat_result:
        self.asked += 1
        return super().stat(path)

    def list(self, directory: Path) -> Sequence[str]:
        if self.broken:
            raise OSError(5, os.strerror(5))
        return super().list(directory)


async def store(place: Path, writer: str, first: int, segments: int) -> None:
    """Store two events in each of some segments."""
    async with journal(place, LaxDisk(), writer) as opened:
        for number in range(first, first + 2 * segments, 2):
            await opened.append(items([number, number + 1]))
            await opened.turn(now=True)


def known(recent: Recent, numbers: range) -> list[bool]:
    """Tell which are known, without remembering any."""
    keys = [item.identity[:16] for item in items(numbers)]
    doubled = set(recent.remember(keys))
    recent.forget(
        [key for place, key in enumerate(keys) if place not in doubled], [keys] if len(doubled) < len(keys) else []
    )
    return [place in doubled for place in range(len(keys))]


def test_the_last_hour_is_remembered_the_newest_first(tmp_path: Path) -> None:
    """Of this writer and its neighbours; what is older, or past the capacity, is not."""
    asyncio.run(store(tmp_path, "one", 0, 2))
    asyncio.run(store(tmp_path, "two", 10, 1))
    folder = tmp_path / "journal" / "one"
    for name, age in (("0000000001.sums", WINDOW_S + 1), ("0000000002.sums", 5)):
        os.utime(folder / name, (NOW - age, NOW - age))
    recent = Recent(4096)
    Neighbours(LaxDisk(), folder, recent).catch_up(NOW)
    assert known(recent, range(4)) == [False, False, True, True]
    assert known(recent, range(10, 12)) == [True, True]


def test_finished_files_are_not_asked_about_again(tmp_path: Path) -> None:
    """However many a neighbour has: a group must not pay for the last hour's."""
    asyncio.run(store(tmp_path, "two", 0, 30))
    disk = CountingDisk()
    recent = Recent(4096)
    neighbours = Neighbours(disk, tmp_path / "journal" / "one", recent)
    neighbours.catch_up(0)
    disk.asked = 0
    neighbours.catch_up(0)
    assert disk.asked <= 1
    asyncio.run(store(tmp_path, "two", 100, 3))
    neighbours.catch_up(0)
    assert known(recent, range(100, 107)) == [True] * 6 + [False]


def test_what_cannot_be_read_is_told_and_read_later(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Storing goes on meanwhile."""
    asyncio.run(store(tmp_path, "two", 0, 1))
    disk = CountingDisk()
    recent = Recent(4096)
    neighbours = Neighbours(disk, tmp_path / "journal" / "one", recent)
    disk.broken = True
    neighbours.catch_up(0)
    assert "cannot be read, doubles may be stored" in caplog.text
    assert known(recent, range(2)) == [False, False]
    disk.broken = False
    neighbours.catch_up(0)
    assert known(recent, range(2)) == [True, True]


def test_a_batch_that_a_neighbour_stored_is_a_double_at_once(tmp_path: Path) -> None:
    """A sender that got no answer from one process may ask another one."""

    async def run() -> None:
        async with journal(tmp_path, LaxDisk(), "one") as one, journal(tmp_path, LaxDisk(), "two") as two:
            for first in range(0, 60, 6):
                await (one, two)[first // 6 % 2].append(items(range(first, first + 6)))
                assert await (two, one)[first // 6 % 2].append(items(range(first, first + 6))) == Appended(0, 6)

    asyncio.run(run())
