"""Power cuts: what the device was not told to keep is dropped, torn and reordered; nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from store.crash_disk import CrashDisk, LaxDisk, crash, moved
from store.journal_peers import items, journal, numbers_in

if TYPE_CHECKING:
    from pathlib import Path

STATES_A_RUN = 20


async def live(disk: CrashDisk, chance: random.Random, numbers: list[int]) -> None:
    """Open twice and store `numbers`, several senders side by side, some batches twice; note what is acknowledged."""
    half = len(numbers) // 2
    for part in (numbers[:half], numbers[half:]):
        async with journal(disk.root, disk) as opened:
            waiting = list(part)

            async def send(waiting: list[int] = waiting) -> None:
                while waiting:
                    count = chance.randint(1, 8)
                    batch = waiting[:count]
                    del waiting[:count]
                    for _ in range(chance.choice((1, 1, 2))):
                        await opened.append(items(batch))
                        disk.mark(tuple(batch))

            await asyncio.gather(*(send() for _ in range(chance.randint(1, 4))))
            if chance.random() < 0.5:
                await opened.turn(now=True)


async def check(store: Path, disk: LaxDisk, acknowledged: set[int], sent: list[int], chance: random.Random) -> None:
    """Open what was left: all that was acknowledged is there once; what is sent again is there once, too."""
    async with journal(store, disk) as opened:
        there = Counter(numbers_in(store))
        assert acknowledged <= there.keys()
        assert set(there.values()) <= {1}
        assert there.keys() <= set(sent)
        again = chance.sample(sent, len(sent))
        for at in range(0, len(again), 13):
            await opened.append(items(again[at : at + 13]))
            if isinstance(disk, CrashDisk):
                disk.mark(tuple(again[at : at + 13]))
        assert Counter(numbers_in(store)) == Counter(sent)
    async with journal(store, disk) as opened:
        assert opened.repaired == ()


def cut_power(directory: Path, seed: int, states: int) -> None:
    chance = random.Random(seed)
    store = directory / "store"
    store.mkdir(parents=True)
    disk = CrashDisk(store)
    sent = list(range(chance.randint(5, 120)))
    asyncio.run(live(disk, chance, sent))
    for number in range(states):
        at = chance.randint(0, len(disk.log))
        killed = chance.random() < 0.3
        state = crash(disk.log, at, None if killed else chance)
        place = directory / f"state-{number}"
        state.put(store, place)
        acknowledged = {number for batch in state.marks for number in batch}
        if killed or chance.random() < 0.3:
            second = CrashDisk(place, moved(disk.log[:at], store, place) if killed else None)
            place = cut_power_again(second, acknowledged, sent, chance)
        asyncio.run(check(place, LaxDisk(), acknowledged, sent, chance))
    shutil.rmtree(directory)


def cut_power_again(disk: CrashDisk, acknowledged: set[int], sent: list[int], chance: random.Random) -> Path:
    """Open what a power cut or a kill left, and cut the power during that or soon after."""
    begun = len(disk.log)
    asyncio.run(check(disk.root, disk, acknowledged, sent, chance))
    state = crash(disk.log, chance.randint(begun, len(disk.log)), chance)
    acknowledged.update(number for batch in state.marks for number in batch)
    place = disk.root.with_suffix(".again")
    state.put(disk.root, place)
    return place


@pytest.mark.parametrize(
    "states", [pytest.param(100, id="short"), pytest.param(2000, id="long", marks=pytest.mark.torture)]
)
def test_no_power_cut_loses_what_was_acknowledged(states: int, tmp_path: Path) -> None:
    """Whatever of the unsynced writes survives: what was acknowledged is there, once, and a resend adds no double."""
    for seed in range(states // STATES_A_RUN):
        try:
            cut_power(tmp_path / str(seed), seed, STATES_A_RUN)
        except AssertionError as error:
            error.add_note(f"seed {seed}")
            raise
