"""The writers of a store: how their folders are called, and what keeps a journal that is rarely used in order."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from decklog.store.journal import Journal

OUTLIVED_S: Final = 8.0
"""How long a door waits for its journal: one that was killed may hold the lock until a sync of its own returns, and
workers of a supervisor that was killed until they have stopped. Less than what a supervisor lets its workers take."""
LOOK_EVERY_S: Final = 5.0
"""How often a journal is asked whether it is old enough to turn."""
_ODD: Final = re.compile(r"[^a-z0-9-]+")

logger = logging.getLogger(__name__)


def writer_name(door: str, cluster: str) -> str:
    """Name the folder of what a door writes of a cluster: doors of several clusters may share a store."""
    if not cluster:
        return door
    digest = hashlib.sha256(cluster.encode()).hexdigest()[:8]  # names that differ in odd characters alone
    return f"{door}-{_ODD.sub('-', cluster.lower())[:40].strip('-')}-{digest}"


@asynccontextmanager
async def turning(journal: Journal) -> AsyncIterator[None]:
    """Let a journal end its segment when it is old, as long as the block runs."""
    task = asyncio.create_task(_keep_turning(journal))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _keep_turning(journal: Journal) -> None:
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        try:
            await journal.turn()
        except OSError as error:
            logger.warning("the journal cannot begin a new segment: %s", error)
