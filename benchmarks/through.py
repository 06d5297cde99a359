"""Single events through a nest, until the last is delivered."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from decklog.testing import event

if TYPE_CHECKING:
    from decklog.audit.sink import Backend
    from decklog.metrics import Account

EVENTS = 40_000
ALONE = (event(),)


async def through(nest: Backend, account: Account) -> float:
    """Seconds for EVENTS single events, from the first call until `account` has the last as delivered."""
    async with nest:
        begun = time.perf_counter()
        for _ in range(EVENTS // 400):
            for _ in range(400):
                nest.process(ALONE)
            await asyncio.sleep(0)  # requests come from the loop, too
        while account.delivered < EVENTS:  # noqa: ASYNC110  # because: a turn of the loop is what is waited for
            await asyncio.sleep(0)
        took = time.perf_counter() - begun
    if not account.balanced or account.dropped:
        raise RuntimeError(f"the benchmark lost events: {account}")
    return took
