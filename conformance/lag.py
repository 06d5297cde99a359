"""Lag: how late the loop's timers were, so that this machine's load is not taken for a fault of what is replayed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

TICK_S: Final = 0.02


@dataclass
class Lag:
    """A watch on the loop: how late its timers were."""

    late: list[tuple[float, float]] = field(default_factory=list)
    """(when, by how many seconds)."""

    async def watch(self) -> None:
        """Watch until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + TICK_S
            await asyncio.sleep(TICK_S)
            if loop.time() - due > TICK_S / 4:
                self.late.append((loop.time(), loop.time() - due))

    def between(self, begin: float, end: float) -> float:
        """Say how far off a moment in this span may be: what was late at either end adds up."""
        return 2 * max((late for at, late in self.late if begin - 0.5 <= at <= end + 0.5), default=0.0)
