"""Every call to the file system fails, tears or fills once, in a scenario with everything that a spool does."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from backends.delegates import turns
from backends.faulty_disk import DISK_FULL, IO_ERROR, FaultyDisk
from backends.spool_peers import DOWN, Nest, numbered
from decklog.audit.sink import DeliveryError
from decklog.errors import DecklogError

if TYPE_CHECKING:
    from pathlib import Path

BAD = {5, 12, 31}
EVENTS = 40


async def live(directory: Path, disk: FaultyDisk) -> tuple[Nest, set[int]]:
    """Deliver, go away, spool over several segments, come back, park; gives the nest and what was stored."""
    nest = Nest(directory, disk=disk, bad=BAD, segment_bytes=1500)
    stored: set[int] = set()

    async def send(*numbers: int) -> None:
        try:
            await nest.send(numbered(*numbers))
        except DeliveryError:
            return
        stored.update(numbers)

    async with nest.entered:
        await send(*range(8))
        nest.receiver.down = DOWN
        for number in range(8, EVENTS - 4, 4):
            await send(*range(number, number + 4))
        nest.receiver.down = None
        await nest.time.pass_by(1)
        await turns()
        disk.freed()
        await send(*range(EVENTS - 4, EVENTS))
        await nest.drained()
        assert nest.account.balanced
        assert nest.account.in_flight == 0
    return nest, stored


def calls(directory: Path) -> int:
    """How many calls a life makes when nothing fails."""
    disk = FaultyDisk()
    nest, stored = asyncio.run(live(directory, disk))
    assert nest.book == {"delivered": EVENTS - len(BAD), "parked": len(BAD)}
    assert stored == set(range(EVENTS))
    return disk.calls


@pytest.mark.parametrize(("kind", "code"), [("fail", IO_ERROR), ("fail", DISK_FULL), ("tear", 0), ("full", 0)])
def test_no_fault_loses_what_was_stored(kind: str, code: int, tmp_path: Path) -> None:
    """Wherever the disk fails: what was taken arrives or is parked, what is lost is counted, the book balances."""
    outcomes: Counter[str] = Counter()
    for at in range(1, calls(tmp_path / "none") + 1):
        directory = tmp_path / str(at)
        try:
            nest, stored = asyncio.run(live(directory, FaultyDisk(kind, at, code=code)))
        except DecklogError:
            outcomes["refused to start"] += 1
            nest, stored = asyncio.run(live(directory, FaultyDisk()))
            assert stored == set(range(EVENTS))
        seen = Counter(nest.receiver.arrived)
        assert stored <= seen.keys() | set(nest.parked), at
        assert set(seen.values()) <= {1}, f"doubled without a kill: {at}"
        assert set(nest.parked) <= BAD
        assert nest.account.delivered == len(nest.receiver.arrived)
        assert nest.account.parked == len(nest.parked)
        assert nest.account.dropped.total() == nest.counters.error_total["webhook"]
        outcomes["dropped"] += nest.account.dropped.total() > 0
        again = Nest(directory)
        asyncio.run(enter_and_drain(again))
        assert set(again.receiver.arrived) <= set(range(EVENTS))
        outcomes["sent again after it"] += bool(again.receiver.arrived)
    if kind == "fail":
        assert outcomes["refused to start"], outcomes
        assert outcomes["dropped"], outcomes


async def enter_and_drain(nest: Nest) -> None:
    async with nest.entered:
        await nest.drained()
