"""The writers of a store: how their folders are called, and what keeps a journal that is rarely used in order."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from decklog.store.journal import Journal

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


async def keep_turning(journal: Journal) -> None:
    """Let a journal end its segment when it is old, until this is cancelled."""
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        try:
            await journal.turn()
        except OSError as error:
            logger.warning("the journal cannot begin a new segment: %s", error)
