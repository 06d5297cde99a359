"""Deliveries: what a door waits for when it has handed events to a sink, and what it says of those that failed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from decklog.audit.sink import DeliveryError

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Awaitable


class Deliveries:
    """The deliveries of one door that are under way.

    `errors`: where faults that are no DeliveryError are counted, under ``backend``: whoever raises a DeliveryError has
    counted it.
    """

    def __init__(self, errors: Counter[str]) -> None:
        self._errors = errors
        self._sends: set[asyncio.Future[Any]] = set()

    async def wait_for(self, waiting: Awaitable[None], count: int) -> None:
        """Wait for a delivery of `count` events; when the caller is cancelled it goes on, and a failure is counted."""
        sending = asyncio.ensure_future(waiting)
        self.keep(sending)
        sending.add_done_callback(lambda sent: self._over(sent, count))
        await asyncio.shield(sending)

    def keep(self, sending: asyncio.Future[Any]) -> None:
        """Remember work under way until it is over, so that it is not lost when nobody else waits for it."""
        self._sends.add(sending)
        sending.add_done_callback(self._sends.discard)

    def failed(self, error: Exception, count: int) -> None:
        """Count a delivery of `count` events that failed at once."""
        if not isinstance(error, DeliveryError):
            self._errors["backend"] += count

    async def settle(self, timeout_s: float) -> None:
        """Wait for what is under way, at most so long."""
        if self._sends:
            await asyncio.wait(self._sends, timeout=timeout_s)

    def _over(self, sent: asyncio.Future[None], count: int) -> None:
        error = None if sent.cancelled() else sent.exception()
        if sent.cancelled():
            self._errors["backend"] += count
        elif isinstance(error, Exception):
            self.failed(error, count)


def cause_of(error: Exception) -> str:
    """Say why a delivery failed; of a fault the type alone, as its text may quote an event."""
    return str(error) if isinstance(error, DeliveryError) else f"audit backend failed: {type(error).__name__}"
