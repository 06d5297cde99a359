from __future__ import annotations

import asyncio
import os
import threading
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from decklog.errors import DecklogError
from decklog.store import writer_files
from decklog.store.items import Appended, Item, identity_of
from decklog.store.journal import Journal
from store.crash_disk import LaxDisk
from store.journal_peers import CLUSTER, item, items, journal, numbers_in

if TYPE_CHECKING:
    from pathlib import Path


def test_a_segment_is_the_lines_as_they_came(tmp_path: Path) -> None:
    """One event a line, and nothing else."""

    async def run() -> None:
        async with journal(tmp_path, LaxDisk()) as opened:
            assert await opened.append(items([1, 2])) == Appended(2, 0)
            assert await opened.append([]) == Appended(0, 0)
            path = writer_files.segment_path(opened.folder, 1)
            assert path.read_bytes() == item(1).line + b"\n" + item(2).line + b"\n"
            assert path.stat().st_mode & 0o777 == 0o600

    asyncio.run(run())


@pytest.mark.parametrize(
    "line", [pytest.param(b"", id="empty"), pytest.param(b"a\nb", id="newline"), pytest.param(b"a\0b", id="NUL")]
)
def test_what_is_no_line_is_refused_with_its_batch(line: bytes, tmp_path: Path) -> None:
    """Nothing of the batch is stored; the next one is."""

    async def run() -> None:
        async with journal(tmp_path, LaxDisk()) as opened:
            with pytest.raises(ValueError, match="one line without NUL"):
                await opened.append([item(1), Item(line, identity_of(CLUSTER, line))])
            await opened.append(items([2]))

    asyncio.run(run())
    assert numbers_in(tmp_path) == [2]


def test_a_second_opener_is_refused(tmp_path: Path) -> None:
    """One writer a journal; after its end the next one may."""

    async def run() -> None:
        async with journal(tmp_path, LaxDisk()):
            with pytest.raises(DecklogError, match="in use by another process"):
                async with journal(tmp_path, LaxDisk()):
                    pass
        async with journal(tmp_path, LaxDisk()):
            pass

    asyncio.run(run())


def test_a_folder_of_another_cluster_is_refused(tmp_path: Path) -> None:
    """And the lock is free again."""

    async def run() -> None:
        async with journal(tmp_path, LaxDisk()):
            pass
        with pytest.raises(DecklogError, match="belongs to the cluster"):
            async with Journal(tmp_path / "journal" / "one", LaxDisk(), cluster="other"):
                pass
        async with journal(tmp_path, LaxDisk()):
            pass

    asyncio.run(run())


def test_a_closed_journal_takes_nothing(tmp_path: Path) -> None:
    """It says so, as any file would."""

    async def run() -> None:
        opened = journal(tmp_path, LaxDisk())
        with pytest.raises(OSError, match="closed"):
            await opened.append(items([1]))
        async with opened:
            pass
        with pytest.raises(OSError, match="closed"):
            await opened.append(items([1]))

    asyncio.run(run())


def test_every_batch_sent_three_times_out_of_order_is_stored_once(tmp_path: Path) -> None:
    """At once, later, to a neighbour, and after a restart."""
    batches = [[*range(first, first + 7)] for first in range(0, 70, 7)]

    async def run() -> None:
        async with journal(tmp_path, LaxDisk(), "one") as one, journal(tmp_path, LaxDisk(), "two") as two:
            told = await asyncio.gather(*(one.append(items(batch)) for batch in batches + batches[::-1]))
            assert sum(each.stored for each in told) == 70
            for batch in batches[3:] + batches[:3]:
                assert await two.append(items(batch[::-1])) == Appended(0, 7)
        async with journal(tmp_path, LaxDisk(), "two") as two:
            assert await two.append(items(range(71))) == Appended(1, 70)

    asyncio.run(run())
    assert sorted(numbers_in(tmp_path)) == [*range(71)]


class SlowDisk(LaxDisk):
    """Syncs of segments wait until `go` is set, and are counted."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.waiting = threading.Event()
        self.synced = 0

    def datasync(self, fd: int) -> None:
        if not os.fstat(fd).st_size:
            return
        self.synced += 1
        self.waiting.set()
        assert self.go.wait(20)


def test_what_comes_during_a_sync_shares_the_next_one(tmp_path: Path) -> None:
    """A hundred senders need two syncs, the loop stays free, and nobody is told before the sync is over."""

    async def run() -> None:
        disk = SlowDisk()
        disk.go.set()
        async with journal(tmp_path, disk) as opened:
            disk.go.clear()
            disk.waiting.clear()
            disk.synced = 0
            first = asyncio.create_task(opened.append(items([0])))
            await asyncio.get_running_loop().run_in_executor(None, disk.waiting.wait, 20)
            others = [asyncio.create_task(opened.append(items([number]))) for number in range(1, 101)]
            await asyncio.sleep(0)
            assert not first.done()
            disk.go.set()
            await asyncio.gather(first, *others)
            assert disk.synced == 2

    asyncio.run(run())
    assert sorted(numbers_in(tmp_path)) == [*range(101)]


def test_a_sender_that_left_costs_the_others_nothing(tmp_path: Path) -> None:
    """Its events are stored or not; those who wait are answered."""

    async def run() -> None:
        disk = SlowDisk()
        disk.go.set()
        async with journal(tmp_path, disk) as opened:
            disk.go.clear()
            disk.waiting.clear()
            first = asyncio.create_task(opened.append(items([0])))
            await asyncio.get_running_loop().run_in_executor(None, disk.waiting.wait, 20)
            left, stays = (asyncio.create_task(opened.append(items([number]))) for number in (1, 2))
            await asyncio.sleep(0)
            first.cancel()
            left.cancel()
            disk.go.set()
            assert await stays == Appended(1, 0)

    asyncio.run(run())
    assert sorted(numbers_in(tmp_path)) == [0, 2]


def test_segments_end_by_size_and_by_age(tmp_path: Path) -> None:
    """What is finished may be sealed; the newest segment never, so that its number is not used again."""
    now = [0.0]

    async def run() -> None:
        folder = tmp_path / "journal" / "one"
        async with Journal(
            folder, LaxDisk(), cluster=CLUSTER, segment_bytes=500, segment_age_s=60, clock=lambda: now[0]
        ) as opened:
            await opened.append([item(1, 600)])
            assert opened.closed() == []
            await opened.append([item(2, 10)])
            assert [path.name for path in opened.closed()] == ["0000000001.ndjson"]
            await opened.turn()
            now[0] = 61.0
            await opened.turn()
            await opened.turn()
            assert [path.name for path in opened.closed()] == ["0000000001.ndjson", "0000000002.ndjson"]
            for path in opened.closed():
                writer_files.remove(LaxDisk(), path)
        async with Journal(folder, LaxDisk(), cluster=CLUSTER) as opened:
            await opened.append(items([3]))
            assert writer_files.numbers(LaxDisk(), folder) == [4]

    asyncio.run(run())


@pytest.mark.parametrize("how", ["removed", "moved"])
def test_a_segment_that_is_gone_is_noticed_before_the_next_write(how: str, tmp_path: Path) -> None:
    """What is acknowledged afterwards stands in a new one."""

    async def run() -> None:
        async with journal(tmp_path, LaxDisk()) as opened:
            await opened.append(items([1]))
            path = writer_files.segment_path(opened.folder, 1)
            if how == "removed":
                path.unlink()
            else:
                path.rename(tmp_path / "elsewhere")
            await opened.append(items([2]))

    asyncio.run(run())
    assert numbers_in(tmp_path) == [2]


def test_checksums_of_sealed_segments_go_after_an_hour(tmp_path: Path) -> None:
    """Until then they tell what was stored lately, also to the next life."""
    now = [0.0]

    def opened_journal() -> Journal:
        return Journal(tmp_path / "journal" / "one", LaxDisk(), cluster=CLUSTER, clock=lambda: now[0])

    async def run() -> None:
        async with opened_journal() as opened:
            await opened.append(items([1]))
            await opened.turn(now=True)
            [path] = opened.closed()
            writer_files.remove(LaxDisk(), path)
        async with opened_journal() as opened:
            assert await opened.append(items([1])) == Appended(0, 1)
            now[0] = path.with_suffix(".sums").stat().st_mtime + 3601
            await opened.turn()
            assert not path.with_suffix(".sums").exists()

    asyncio.run(run())


def test_a_start_tells_what_it_repaired(tmp_path: Path) -> None:
    """The torn end of a life that was cut short."""

    async def run() -> None:
        async with journal(tmp_path, LaxDisk()) as opened:
            await opened.append(items([1]))
            path = writer_files.segment_path(opened.folder, 1)
        with path.open("ab") as file:
            file.write(b"{torn")
        async with journal(tmp_path, LaxDisk()) as opened:
            [done] = opened.repaired
            assert (done.path, done.cut, done.recomputed, done.events) == (path, 5, 0, 1)

    asyncio.run(run())


def test_a_clock_that_jumps_costs_and_doubles_nothing(tmp_path: Path) -> None:
    """An hour, a day and a life forward and back, between batches, segments and starts: every event is there once."""
    jumps = [0.0, 3_600.0, -3_600.0, 86_400.0, 4e9, -1.7e9, 1.0]
    now = [1.7e9]

    def opened() -> Journal:
        return Journal(tmp_path / "journal" / "one", LaxDisk(), cluster=CLUSTER, segment_age_s=60, clock=lambda: now[0])

    async def run() -> None:
        for life in range(3):
            async with opened() as journal:
                assert journal.repaired == ()
                for at, jump in enumerate(jumps):
                    now[0] = max(0.0, now[0] + jump)
                    first = 100 * life + 10 * at
                    told = await journal.append(items(range(first, first + 10)))
                    assert told.stored == 10
                    assert (await journal.append(items(range(first, first + 10)))).doubled == 10
                    await journal.turn()

    asyncio.run(run())
    assert Counter(numbers_in(tmp_path)) == dict.fromkeys(
        (100 * life + n for life in range(3) for n in range(10 * len(jumps))), 1
    )
