from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from decklog.assembling.serving import Upkeep
from decklog.disk import Disk
from decklog.metrics import restored
from decklog.store.items import Item, identity_of
from decklog.store.journal import Journal
from decklog.store.options import UpkeepOptions
from decklog.worker import Worker

if TYPE_CHECKING:
    from pathlib import Path


async def fill(store: Path) -> Path:
    """Store an event, and end the segment, whose path is given."""
    async with Journal(store / "journal" / "one", Disk(), cluster="") as journal:
        await journal.append([Item(b'{"kind":"Event"}', identity_of("", b'{"kind":"Event"}'))])
        await journal.turn(now=True)
        return journal.closed()[0]


async def outcomes(store: Path) -> set[str]:
    """Look after a store once or twice; gives what was counted."""
    worker = Worker(1, 1, None, {}, lambda _: None)
    working = asyncio.create_task(Upkeep([str(store)], UpkeepOptions(every_s=0.01)).work(worker))
    async with asyncio.timeout(60):
        while not (found := restored(worker.stats()).upkeep):
            await asyncio.sleep(0.01)
    worker.stop()
    await working
    return set(found)


@pytest.mark.parametrize("outcome", ["done", "incomplete", "failed"])
def test_each_round_is_counted_by_its_outcome(outcome: str, tmp_path: Path) -> None:
    """A sound store, one with a damaged journal, and a directory that is no store."""

    async def run() -> set[str]:
        if outcome != "failed":
            segment = await fill(tmp_path)
            if outcome == "incomplete":
                segment.write_bytes(segment.read_bytes().replace(b"Event", b"event"))
        return await outcomes(tmp_path)

    assert asyncio.run(run()) == {outcome}
