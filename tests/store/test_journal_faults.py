"""Every call to the file system fails, tears or fills once: what is acknowledged is there, the rest is told."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from backends.faulty_disk import DISK_FULL, IO_ERROR, FaultyDisk
from decklog.disk import Disk
from decklog.errors import DecklogError
from decklog.store import checksums, reading
from decklog.store.journal import Appended, Journal
from decklog.store.recent import Recent
from store.crash_disk import LaxDisk
from store.journal_peers import CLUSTER, items, journal, numbers_in
from store.small_disk import mounted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

EVENTS = 64


class LaxFaultyDisk(FaultyDisk, LaxDisk):
    """Faulty, but never waits for the device."""


async def live(store: Path, disk: Disk, *, turning: bool = True) -> tuple[set[int], set[int]]:
    """Store over several segments; gives what was acknowledged and what was refused."""
    acknowledged: set[int] = set()
    refused: set[int] = set()
    async with journal(store, disk, segment_bytes=3000) as opened:
        for first in range(0, EVENTS, 8):
            numbers = range(first, first + 8)
            try:
                told = await opened.append(items(numbers))
            except OSError:
                refused.update(numbers)
                if isinstance(disk, FaultyDisk):
                    disk.freed()
            else:
                assert told.stored == 8
                acknowledged.update(numbers)
            if turning:
                with contextlib.suppress(OSError):
                    await opened.turn()
    return acknowledged, refused


def calls(store: Path) -> int:
    """How many calls a life makes when nothing fails."""
    disk = LaxFaultyDisk()
    acknowledged, refused = asyncio.run(live(store, disk))
    assert (len(acknowledged), len(refused)) == (EVENTS, 0)
    return disk.calls


@pytest.mark.parametrize(("kind", "code"), [("fail", IO_ERROR), ("fail", DISK_FULL), ("tear", 0), ("full", 0)])
def test_no_fault_loses_what_was_acknowledged(kind: str, code: int, tmp_path: Path) -> None:
    """Wherever the disk fails: what was acknowledged is there, what was refused is not, after a resend all is, once."""
    outcomes: Counter[str] = Counter()
    for at in range(1, calls(tmp_path / "none") + 1):
        store = tmp_path / str(at)
        disk = LaxFaultyDisk(kind, at, code=code)
        try:
            acknowledged, refused = asyncio.run(live(store, disk))
        except DecklogError:
            outcomes["refused to start"] += 1
            acknowledged, refused = asyncio.run(live(store, LaxDisk()))
        assert Counter(numbers_in(store)) == dict.fromkeys(acknowledged, 1), (at, disk.met)
        outcomes["refused events"] += bool(refused)
        asyncio.run(send_all(store))
        assert Counter(numbers_in(store)) == dict.fromkeys(range(EVENTS), 1), (at, disk.met)
        for segment in reading.segments(store, LaxDisk()):
            assert checksums.check(LaxDisk(), segment.path)[1] == [], (at, disk.met)
    if kind != "tear":
        assert outcomes["refused events"], outcomes
    if kind == "fail":
        assert outcomes["refused to start"], outcomes


async def send_all(store: Path) -> None:
    async with journal(store, LaxDisk()) as opened:
        told = await opened.append(items(range(EVENTS)))
        assert told.stored + told.doubled == EVENTS


class NoSync(LaxDisk):
    """Each `every`-th sync of a segment's lines fails, from `first` on; `for_ever`: all of them."""

    def __init__(self, first: int, *, for_ever: bool = False) -> None:
        super().__init__()
        self._first, self._for_ever = first, for_ever
        self._synced = 0
        self.failed: Counter[str] = Counter()

    def datasync(self, fd: int) -> None:
        name = str(Path(f"/proc/self/fd/{fd}").readlink())
        if not name.endswith(".ndjson"):
            return
        self._synced += 1
        if self._synced == self._first or (self._for_ever and self._synced > self._first):
            self.failed[name] += 1
            raise OSError(IO_ERROR, os.strerror(IO_ERROR))


@pytest.mark.parametrize("first", range(1, 9))
def test_after_a_failed_sync_the_group_goes_to_a_new_segment(first: int, tmp_path: Path) -> None:
    """A sync that fails is not tried again on the same file; nobody notices but the log."""
    disk = NoSync(first)
    acknowledged, refused = asyncio.run(live(tmp_path, disk))
    assert refused == set()
    assert Counter(numbers_in(tmp_path)) == dict.fromkeys(acknowledged, 1)
    assert list(disk.failed.values()) == [1]


def test_a_disk_that_never_syncs_acknowledges_nothing(tmp_path: Path) -> None:
    """From the fifth sync on each fails: four batches are acknowledged, all others refused; no file is tried twice."""
    disk = NoSync(5, for_ever=True)
    acknowledged, refused = asyncio.run(live(tmp_path, disk, turning=False))
    assert (len(acknowledged), len(refused)) == (32, EVENTS - 32)
    assert set(disk.failed.values()) == {1}
    assert acknowledged <= set(numbers_in(tmp_path))


class WatchedMemory(Recent):
    """Tells when the second batch has been looked through."""

    def __init__(self) -> None:
        super().__init__(1000)
        self.looked = 0
        self.second = threading.Event()

    def remember(self, keys: Sequence[bytes]) -> list[int]:
        found = super().remember(keys)
        self.looked += 1
        if self.looked == 2:
            self.second.set()
        return found


class FullAtFirst(LaxDisk):
    """The first write of lines fails, once `go` is set."""

    def __init__(self, go: threading.Event) -> None:
        super().__init__()
        self._go = go
        self._failed = False
        self.append = self._append  # type: ignore[assignment]  # because: the real one is no method

    def _append(self, fd: int, data: bytes) -> int:
        if not self._failed and data.startswith(b"{"):
            self._failed = True
            assert self._go.wait(10)
            raise OSError(DISK_FULL, os.strerror(DISK_FULL))
        return os.write(fd, data)


def test_what_was_double_of_a_batch_that_fails_is_stored(tmp_path: Path) -> None:
    """Looked through while the same events are being stored, which then fails: it is not taken for stored."""

    async def run() -> None:
        memory = WatchedMemory()
        disk = FullAtFirst(memory.second)
        async with Journal(tmp_path / "journal" / "one", disk, cluster=CLUSTER, recent=memory) as opened:
            first, second = await asyncio.gather(
                opened.append(items(range(8))), opened.append(items(range(4, 12))), return_exceptions=True
            )
        assert isinstance(first, OSError)
        assert second == Appended(8, 0)

    asyncio.run(run())
    assert Counter(numbers_in(tmp_path)) == dict.fromkeys(range(4, 12), 1)


class ShortOfMemory(LaxDisk):
    """The `at`-th write ends in a MemoryError, with half of it written."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self._left = at
        self.append = self._append  # type: ignore[assignment]  # because: the real one is no method

    def _append(self, fd: int, data: bytes) -> int:
        self._left -= 1
        if not self._left:
            os.write(fd, data[: len(data) // 2])
            raise MemoryError
        return os.write(fd, data)


@pytest.mark.parametrize("at", range(2, 8))
def test_want_of_memory_is_told_and_leaves_no_trace(at: int, tmp_path: Path) -> None:
    """Whatever it was that failed: the sender hears it, sends again, and each event is there once."""

    async def run() -> None:
        async with journal(tmp_path, ShortOfMemory(at)) as opened:
            for first in range(0, 32, 8):
                try:
                    await opened.append(items(range(first, first + 8)))
                except MemoryError:
                    await opened.append(items(range(first, first + 8)))

    asyncio.run(run())
    assert Counter(numbers_in(tmp_path)) == dict.fromkeys(range(32), 1)


def test_a_disk_that_is_filled_and_freed_keeps_the_accounts(tmp_path: Path) -> None:
    """Twenty times full and freed under load: what was acknowledged is there, once, and storing goes on."""
    disk = LaxFaultyDisk()
    acknowledged: set[int] = set()

    async def fill_and_free(opened: Journal) -> None:
        for turn in range(20):
            disk.arm("full", turn % 7 + 1, only="append")
            await store_until_refused(opened, acknowledged, turn * 1_000_000)
            disk.freed()
            disk.arm("", 0)

    async def run() -> None:
        async with journal(tmp_path, disk) as opened:
            await fill_and_free(opened)
            assert (await opened.append(items([99_000_000]))).stored == 1

    asyncio.run(run())
    acknowledged.add(99_000_000)
    assert Counter(numbers_in(tmp_path)) == dict.fromkeys(acknowledged, 1)


async def store_until_refused(opened: Journal, acknowledged: set[int], first: int) -> None:
    """Store in batches of 40 until the disk is full; what is refused is not acknowledged."""
    while True:
        numbers = range(first, first + 40)
        try:
            await opened.append(items(numbers))
        except OSError:
            return
        acknowledged.update(numbers)
        first += 40


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a real file system of 4 MiB."""
    with mounted(tmp_path / "small", "4m") as place:
        yield place


@pytest.mark.torture
def test_a_real_disk_that_is_filled_and_freed_keeps_the_accounts(small_disk: Path) -> None:
    """Twenty times a real file system fills up and is freed by removing ballast: nothing acknowledged is lost."""
    acknowledged: set[int] = set()
    ballast = small_disk / "ballast"

    async def run() -> None:
        async with journal(small_disk / "store", Disk(), segment_bytes=50_000) as opened:
            for turn in range(20):
                ballast.write_bytes(bytes(3_900_000 - 100_000 * turn - 1000 * (turn % 5)))
                await store_until_refused(opened, acknowledged, turn * 1_000_000)
                await store_until_refused(opened, acknowledged, turn * 1_000_000 + 500_000)
                ballast.unlink()
                assert (await opened.append(items([turn * 1_000_000 + 900_000]))).stored == 1
                acknowledged.add(turn * 1_000_000 + 900_000)

    asyncio.run(run())
    assert Counter(numbers_in(small_disk / "store")) == dict.fromkeys(acknowledged, 1)
