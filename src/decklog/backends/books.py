"""The books of a nest: where an event is entered, and how one is given up (`metrics.Account` has the table of moves).

Three rules keep ``processed`` equal to the sum of the other columns, whoever fails:

1. Whoever raises DeliveryError has booked every event of the call that it was given, delivered ones and lost ones.
2. Whoever raises anything else has booked none of them: the first part above that notices books them all as
   ``failed`` (`Crashes`, or `Entered` where nothing else stands in between).
3. A send that is cancelled leaves its events in flight. That happens only at the end, when the time to drain is up:
   what is in flight when the leaf has been left, `batch`, or else `Entered`, books as ``shut-down``.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from decklog.audit.sink import DeliveryError
from decklog.backends.drain import DRAIN_S, SHUT_DOWN, break_off, first

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from types import TracebackType

    from decklog.audit.event import Event
    from decklog.audit.sink import Backend
    from decklog.backends.failures import Failures
    from decklog.metrics import Account


def give_up(account: Account, count: int, reason: str) -> None:
    """Book `count` events that were in flight as dropped for `reason`."""
    if count:
        account.in_flight -= count
        account.dropped[reason] += count


class Crashes:
    """Makes a DeliveryError of whatever a delegate raises, and counts, tells and books what its author did not."""

    def __init__(self, failures: Failures, account: Account) -> None:
        self._failures = failures
        self._account = account

    def settle(self, count: int, error: Exception) -> DeliveryError:
        """Answer for `count` events that the delegate was given when it raised `error`."""
        if isinstance(error, DeliveryError):
            return error  # rule 1: all is done
        give_up(self._account, count, "failed")
        return self._failures.lost(count, error)


class Entered:
    """The outermost part of every nest: enters in the book what comes in. Not shown, and in nobody's way.

    A caller that stops waiting (its client is gone) does not take its events with it: their send goes on, and is waited
    for at the end, `drain_s` at most. What is lost then, and what comes later and is refused with DeliveryError, is
    booked as ``shut-down`` and counted by `failures`, whose plugin should be ``buffered`` in mode batch. Whoever still
    waits then gets DeliveryError: its own task is not cancelled.
    """

    def __init__(
        self,
        backend: Backend,
        account: Account,
        *,
        failures: Failures | None = None,
        drain_s: float = DRAIN_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._backend = backend
        self._process = backend.process
        self._account = account
        self._failures = failures
        self._drain_s = drain_s
        self._sleep = sleep
        self._sends: set[asyncio.Task[None]] = set()

    def __str__(self) -> str:
        return str(self._backend)

    def process(self, events: Sequence[Event]) -> Awaitable[None] | None:
        """Enter `events` and hand them on."""
        account = self._account
        count = len(events)
        account.processed += count
        account.in_flight += count
        try:
            promise = self._process(events)
        except DeliveryError:
            raise
        except Exception:
            give_up(account, count, "failed")  # rule 2
            raise
        return promise if promise is None else self._send(promise, count)

    async def __aenter__(self) -> Self:
        """Start the nest."""
        await self._backend.__aenter__()
        self._process = self._backend.process
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Wait for what nobody waits for any more, and drain the nest. Afterwards nothing is in flight."""
        self._process = self._refuse
        try:
            if self._sends:
                await first(asyncio.ensure_future(asyncio.wait(self._sends)), self._sleep(self._drain_s))
        finally:
            try:
                await break_off(self._sends, self._sleep)
                await self._backend.__aexit__(kind, error, traceback)
            finally:
                self._write_off()

    def _refuse(self, events: Sequence[Event]) -> None:
        raise self._give_up(len(events))

    def _send(self, promise: Awaitable[None], count: int) -> Awaitable[None]:
        send = asyncio.create_task(self._settle(promise, count))
        self._sends.add(send)
        send.add_done_callback(self._sends.discard)
        return asyncio.shield(send)

    async def _settle(self, promise: Awaitable[None], count: int) -> None:
        try:
            await promise
        except DeliveryError:
            raise
        except asyncio.CancelledError:  # rule 3: only `__aexit__` cancels
            raise DeliveryError(str(self), count, SHUT_DOWN) from None
        except Exception:
            give_up(self._account, count, "failed")
            raise

    def _write_off(self) -> None:
        if self._account.in_flight > 0:
            self._give_up(self._account.in_flight)

    def _give_up(self, count: int) -> DeliveryError:
        give_up(self._account, count, "shut-down")
        if self._failures is None:
            return DeliveryError(str(self), count, SHUT_DOWN)
        return self._failures.lost(count, SHUT_DOWN)
