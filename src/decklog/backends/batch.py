"""``batch<…>``: the mode in which nobody waits: events gather in a buffer and are sent together (spec §6.4).

| what | kube-apiserver | here | why |
|---|---|---|---|
| printed | ``buffered<log>`` | ``batch<log>`` | the mode has the flag's name; the counter's plugin is ``buffered`` |
| batches on their way at once | as many as come | `concurrency`, 16 | memory stays bounded while a receiver hangs |
| draining | as long as it takes | `drain_s`, 6 s | a process that is told to stop stops; what is left is counted |
| a full buffer | drops the newest | goes to the spool, if there is one | a spool is there so that nothing is lost |
| a delegate that panics | takes the server down | loses its batch | meant so there, too |
| no wait, max size > 1 | spins | waits for the first event | the same batches without a busy core |
| room | the buffer, besides what was taken out | the same, by count | the collector has no core of its own here |
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol, Self

from decklog.backends.books import Crashes, give_up
from decklog.backends.drain import DRAIN_S, SHUT_DOWN, break_off, first
from decklog.backends.failures import Failures, Notices
from decklog.backends.limits import BatchLimits
from decklog.backends.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from types import TracebackType

    from decklog.audit.event import Event
    from decklog.audit.sink import Backend
    from decklog.metrics import Account, AuditCounters

__all__ = ["Batch", "BatchLimits"]

PLUGIN: Final = "buffered"
FULL: Final = "audit buffer queue blocked"
CONCURRENCY: Final = 16
_A_TURN: Final = 100
"""After how many events without any wait the collector lets others run."""


class Tokens(Protocol):
    """What a batch waits for before it is sent."""

    async def take(self) -> None:
        """Come back when the next batch may go."""


class Batch:
    """Takes events at once and sends them later; `process` neither waits nor raises while the backend lives.

    A full buffer drops the newest events, reason ``buffer-full``, and says so in counters and log, not to the caller;
    where there is a `keep`, it goes there, and nothing is dropped.
    After the end events are refused with DeliveryError, reason ``shut-down``. One `Batch` stands in a nest, and the
    nest's account is for nobody else: what is in flight when all is over is what was lost.

    `asynchronous`: batches are sent side by side, `concurrency` at most, and may arrive out of order (the webhook);
    else one after another (the log). When draining takes longer than `drain_s`, sends are cancelled; what then was not
    sent goes to `keep`, if there is one (a spool; it books what it takes, and raises if it cannot), else it is
    dropped. `clock`, `sleep` and `throttle` stand for time.
    """

    def __init__(
        self,
        backend: Backend,
        limits: BatchLimits,
        *,
        account: Account,
        counters: AuditCounters,
        asynchronous: bool,
        notices: Notices | None = None,
        concurrency: int = CONCURRENCY,
        drain_s: float = DRAIN_S,
        keep: Callable[[Sequence[Event]], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        throttle: Tokens | None = None,
    ) -> None:
        self._backend = backend
        self._limits = limits
        self._account = account
        self._notices = notices or Notices()
        self._failures = Failures(PLUGIN, counters, self._notices)
        self._crashes = Crashes(Failures(str(backend), counters, self._notices), account)
        self._concurrency = concurrency if asynchronous else 0
        self._drain_s = drain_s
        self._keep = keep
        self._sleep = sleep
        self._throttle = throttle
        if throttle is None and limits.throttle:
            self._throttle = Throttle(limits.qps, limits.burst, clock=clock, sleep=sleep)
        self._queue: deque[Event] = deque()
        self._room = limits.buffer_size
        self._claimed = 0
        """How many events at the front of the queue are the batch that waits until it may go."""
        self._wanted: float = math.inf
        self._bell: asyncio.Future[None] | None = None
        self._stopping = False
        self._closed = False
        self._since_turn = 0
        self._collector: asyncio.Task[None] | None = None
        self._sends: set[asyncio.Task[None]] = set()

    def __str__(self) -> str:
        return f"batch<{self._backend}>"

    def process(self, events: Sequence[Event]) -> None:
        """Put `events` into the buffer, as many as there is room for."""
        queue = self._queue
        if self._closed:
            raise self._refused(len(events))
        count = len(events)
        if len(queue) + count > self._room:
            events = self._overflow(events)
            count = len(events)
        queue.extend(events)
        account = self._account
        account.in_flight -= count
        account.queued += count
        if len(queue) >= self._wanted:
            self._ring()

    async def __aenter__(self) -> Self:
        """Start the delegate, then the collector."""
        await self._backend.__aenter__()
        self._stopping = self._closed = False
        self._claimed = 0
        self._collector = asyncio.create_task(self._collect())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Send what waits, then leave the delegate. Afterwards nothing is queued or in flight."""
        self._closed = self._stopping = True
        self._ring()
        try:
            await self._drain()
        finally:
            try:
                await self._backend.__aexit__(kind, error, traceback)
            finally:
                self._write_off()

    # The caller's side

    def _overflow(self, events: Sequence[Event]) -> Sequence[Event]:
        """Drop what there is no room for, or give all to whoever keeps it; answer with what goes into the buffer."""
        if self._keep is not None:
            self._hand_over([*self._take_behind(self._claimed), *events])
            return ()
        fitting = max(self._room - len(self._queue), 0)
        give_up(self._account, len(events) - fitting, "buffer-full")
        self._failures.lost(len(events) - fitting, FULL)
        return events[:fitting]

    def _refused(self, count: int) -> Exception:
        give_up(self._account, count, "shut-down")
        return self._failures.lost(count, SHUT_DOWN)

    def _ring(self) -> None:
        """Wake the collector."""
        self._wanted = math.inf
        if self._bell is not None and not self._bell.done():
            self._bell.set_result(None)

    # The collector's side

    async def _collect(self) -> None:
        """Gather and send until told to stop, then send what is left, and see the last ones arrive."""
        limits = self._limits
        while not self._stopping:
            # The batch that is forming counts beside the buffer: the server's collector has taken it out by now.
            self._room = limits.buffer_size + limits.max_size
            if limits.max_size == 1 or limits.max_wait_s <= 0:
                await self._until(1)
            else:
                await self._until(limits.max_size, limits.max_wait_s)
            self._room = limits.buffer_size
            await self._send_next()
        while self._queue:
            await self._send_next()
        if self._sends:
            await asyncio.wait(self._sends)

    async def _until(self, count: int, at_most_s: float | None = None) -> None:
        """Wait until `count` events are there, the time is up, or the end has come."""
        if len(self._queue) >= count or self._stopping:
            return
        self._bell = asyncio.get_running_loop().create_future()
        self._wanted = count
        self._since_turn = 0
        try:
            if at_most_s is None:
                await self._bell
            else:
                await first(self._bell, self._sleep(at_most_s))
        finally:
            self._wanted = math.inf

    async def _send_next(self) -> None:
        """Send the next batch as soon as it may go; it stays in the buffer until then, beside those that wait."""
        size = min(len(self._queue), self._limits.max_size)
        if not size:
            return
        self._room = self._limits.buffer_size + size
        self._claimed = size
        if self._throttle is not None:
            await self._throttle.take()
        while len(self._sends) >= self._concurrency > 0:
            await asyncio.wait(self._sends, return_when=asyncio.FIRST_COMPLETED)
        batch = self._take(size)
        self._claimed = 0
        self._room = self._limits.buffer_size
        if self._concurrency:
            send = asyncio.create_task(self._deliver(batch))
            self._sends.add(send)
            send.add_done_callback(self._sends.discard)
        else:
            await self._deliver(batch)
        await self._give_way(size)

    def _take(self, size: int) -> list[Event]:
        queue = self._queue
        if size == len(queue):
            batch = list(queue)
            queue.clear()
        else:
            batch = [queue.popleft() for _ in range(size)]
        self._account.queued -= size
        self._account.in_flight += size
        return batch

    async def _deliver(self, batch: Sequence[Event]) -> None:
        try:
            promise = self._backend.process(batch)
            if promise is not None:
                await promise
        except Exception as error:  # noqa: BLE001  # because: whatever happens to a batch, the next one is sent
            self._crashes.settle(len(batch), error)

    async def _give_way(self, count: int) -> None:
        """Let others run from time to time: a backend that never waits would keep the loop to itself."""
        self._since_turn += count
        if self._since_turn >= _A_TURN:
            self._since_turn = 0
            await asyncio.sleep(0)

    # The end

    async def _drain(self) -> None:
        collector = self._collector
        if collector is None:
            return
        try:
            await first(collector, self._sleep(self._drain_s))
        finally:
            if await break_off((collector, *self._sends), self._sleep):
                self._hand_over(self._take(len(self._queue)))
        if not collector.cancelled():
            collector.result()

    def _take_behind(self, count: int) -> list[Event]:
        """Take all but the first `count`."""
        self._queue.rotate(-count)
        return self._take(len(self._queue) - count)

    def _hand_over(self, left: Sequence[Event]) -> None:
        """Give events in flight to whoever keeps them; without anybody they are written off by and by."""
        if left and self._keep is not None:
            try:
                self._keep(left)
            except Exception as error:  # noqa: BLE001  # because: no caller, and no delegate's end, may suffer from it
                self._crashes.settle(len(left), error)

    def _write_off(self) -> None:
        """Nothing moves any more: what has not arrived is lost."""
        self._take(len(self._queue))
        left = self._account.in_flight
        if left > 0:
            give_up(self._account, left, "shut-down")
            self._failures.lost(left, SHUT_DOWN)
        self._notices.flush(everything=True)
