from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import pytest

from decklog.disk import Disk
from decklog.errors import DecklogError
from decklog.store import writer_files, writers
from decklog.store.items import Item, identity_of
from decklog.store.journal import Journal
from decklog.store.writers import turning, writer_name

if TYPE_CHECKING:
    from pathlib import Path

CLUSTERS = [
    "blue",
    "Blue",
    "a/b",
    "a_b",
    "../x",
    ".",
    "..",
    "a b",
    "é",
    "x" * 300,
    "x" * 301,
    "arn:aws:eks:eu-1:1:cluster/a",
]


def test_doors_of_several_clusters_share_a_store() -> None:
    """Each has folders of its own, whatever the cluster's name; without a name they are called plainly."""
    assert writer_name("receive", "") == "receive"
    names = [writer_name("receive", cluster) for cluster in CLUSTERS]
    assert len(set(names)) == len(CLUSTERS)
    assert all(re.fullmatch(r"receive-[a-z0-9-]{0,40}-[0-9a-f]{8}", name) for name in names)


def test_a_quiet_journal_ends_its_segment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was stored long ago can be sealed, though nothing comes any more."""
    monkeypatch.setattr(writers, "LOOK_EVERY_S", 0.0)

    async def run() -> None:
        journal = Journal(tmp_path / "journal" / "one", Disk(), cluster="", segment_age_s=0.0)
        async with journal, turning(journal):
            await journal.append([Item(b"{}", identity_of("", b"{}"))])
            async with asyncio.timeout(10):
                while not journal.closed():
                    await asyncio.sleep(0)

    asyncio.run(run())


class Releasing(Disk):
    """Lets go of a lock when somebody has looked for it `looks` times."""

    def __init__(self, held: int, looks: int) -> None:
        super().__init__()
        self.held = held
        self.looks = looks

    def open(self, path: Path, flags: int, mode: int = 0o600) -> int:
        """Count those who look for the lock."""
        if path.name == writer_files.LOCK:
            self.looks -= 1
            if not self.looks:
                self.close(self.held)
        return super().open(path, flags, mode)


def test_a_door_waits_for_the_one_that_was_killed(tmp_path: Path) -> None:
    """A lock that is let go of within the time is taken; who may not wait is refused."""
    folder = tmp_path / "journal" / "one"

    async def come(disk: Disk, wait_s: float) -> None:
        async with Journal(folder, disk, cluster="", lock_wait_s=wait_s):
            pass

    asyncio.run(come(Disk(), 0))
    held = writer_files.take_lock(Disk(), folder)
    with pytest.raises(DecklogError, match="in use by another process"):
        asyncio.run(come(Disk(), 0))
    asyncio.run(come(Releasing(held, looks=3), 60))
