"""``spool<webhook>``: what the receiver does not take goes to disk, and is sent in order when it is back. Ours.

As long as the receiver answers, nothing touches the disk. The first attempt that fails puts its events, and from then
on all others, at the end of the spool; one task sends them from the front, with growing pauses, until it is empty.
In the modes blocking and blocking-strict an event counts as stored once it is on disk.

A body that is refused (400, 413) is halved until the one bad event is alone; that one is parked, the others go on. What
does not fit is dropped and counted (``spool-full``, the newest), as is what cannot be written (``failed``).

Delivery is *at least once*. A batch is sent again when a kill, a lost connection, the end of the time for an answer or
the end of a run comes between the receiver's taking it and our noting that. From disk one batch is under way, before
that as many as the mode sends side by side (16 in mode batch); more than that double only if the position could not be
written at all (a full disk). Nothing else doubles, and nothing that was stored is lost.

Events that an earlier run left are entered in the book as processed and spooled, so that it balances.

| what | kube-apiserver | here | why |
|---|---|---|---|
| printed | no such backend | ``spool<webhook>`` | it is ours |
| attempts of a call | five, then the events are dropped | one, then from disk until taken | nothing is lost |
| 400, 413 | asked again five times, then the whole batch is dropped | halved at once | one bad event hurts itself |
| Retry-After | waited for inside the attempt | the pause lasts as long, ≤ 60 s | the same, for all that waits |
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final, Self

from decklog.audit.sink import DeliveryError
from decklog.backends.books import give_up
from decklog.backends.delivery import PostError, refused
from decklog.backends.failures import reason_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from types import TracebackType

    from decklog.audit.event import Event
    from decklog.backends.delivery import Poster
    from decklog.backends.failures import Failures, Notices
    from decklog.backends.spool_files import SpoolFiles, Taken
    from decklog.metrics import Account

BATCH_EVENTS: Final = 400
BATCH_BYTES: Final = 4 << 20
"""About how much is read back from disk at once."""
GROWTH: Final = 1.5
LONGEST_PAUSE_S: Final = 30.0
"""The longest pause between two attempts while the receiver is away."""
RETRY_AFTER_LIMIT_S: Final = 60.0
_MISSING: Final = "files of the spool were removed by somebody else"


class Spool:
    """Delivers, or keeps on disk. `encode_item` gives an event's JSON, `join` makes a body of several.

    `poster` makes one attempt a call; it is entered and left with the spool if it has a life. `first_pause_s` is the
    first pause after a failure, `sleep` stands for time.
    """

    def __init__(
        self,
        poster: Poster,
        files: SpoolFiles,
        *,
        encode_item: Callable[[Event], bytes],
        join: Callable[[Sequence[bytes]], bytes],
        account: Account,
        failures: Failures,
        notices: Notices,
        first_pause_s: float = 1.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._poster = poster
        self._files = files
        self._encode_item = encode_item
        self._join = join
        self._account = account
        self._failures = failures
        self._notices = notices
        self._first_pause_s = first_pause_s
        self._sleep = sleep
        self._life = contextlib.AsyncExitStack()
        self._open = False
        self._waiting = asyncio.Event()
        self._pause_s = 0.0
        """How long to wait before the next attempt from disk; 0: the receiver was there when last asked."""

    def __str__(self) -> str:
        return "spool<webhook>"

    async def __aenter__(self) -> Self:
        """Open the spool and begin to send what an earlier run left. Raises DecklogError when it cannot."""
        async with contextlib.AsyncExitStack() as life:
            left = self._files.open()
            life.callback(self._files.close)
            if isinstance(self._poster, contextlib.AbstractAsyncContextManager):
                await life.enter_async_context(self._poster)
            life.push_async_callback(_cancel, asyncio.create_task(self._send_from_disk()))
            self._life = life.pop_all()
        self._account.processed += left - self._account.spooled  # this book may have them from an earlier life
        self._account.spooled = left
        self._open = True
        if left:
            self._notices.tell(f"spool: {left} events of an earlier run wait for the receiver")
            self._waiting.set()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop sending; what is left waits on disk for the next start."""
        self._open = False
        await self._life.__aexit__(kind, error, traceback)

    def process(self, events: Sequence[Event]) -> Awaitable[None]:
        """Deliver `events`, or put them on disk. The awaitable raises DeliveryError for what neither took."""
        return self._process(events)

    def keep(self, events: Sequence[Event]) -> None:
        """Put `events` on disk at once: for the end, when there is no time to deliver. Raises DeliveryError."""
        items, losses = self._encoded(events)
        _raise(losses + self._store(items))

    async def _process(self, events: Sequence[Event]) -> None:
        items, losses = self._encoded(events)
        if not self._open:
            losses += self._lost(items, "shut-down", "audit backend shut down")
        elif self._files.items:
            losses += self._store(items)
        elif items:
            losses += await self._deliver_or_store(items)
        _raise(losses)

    def _encoded(self, events: Sequence[Event]) -> tuple[list[bytes], list[DeliveryError]]:
        """Encode each event; one that cannot be hurts only itself."""
        items: list[bytes] = []
        for event in events:
            try:
                item = self._encode_item(event)
            except Exception:  # noqa: BLE001, S112  # because: whatever the reason, it is that event's own, and counted
                continue
            if b"\n" not in item:
                items.append(item)
        bad = len(events) - len(items)
        if not bad:
            return items, []
        give_up(self._account, bad, "unencodable")
        return items, [self._failures.lost(bad, "an event cannot be encoded")]

    async def _deliver_or_store(self, items: list[bytes]) -> list[DeliveryError]:
        """Deliver while the receiver is there; what it does not take is stored."""
        losses: list[DeliveryError] = []
        done = 0
        sizes = [len(items)]
        while sizes:
            size = sizes.pop(0)
            part = items[done : done + size]
            try:
                await self._poster.post(self._join(part))
            except asyncio.CancelledError:
                self._store(items[done:])
                raise
            except Exception as error:  # noqa: BLE001  # because: nothing that a poster does may cost an event
                if _halve(sizes, size, error):
                    continue
                if not _refusal(error):
                    self._trouble(error, grow=not self._pause_s)
                    return losses + self._store(items[done:])
                losses += self._park(part, error)
            else:
                self._account.in_flight -= size
                self._account.delivered += size
            done += size
        return losses

    def _store(self, items: Sequence[bytes]) -> list[DeliveryError]:
        """Put events that are in flight on disk; what cannot be is given up and told."""
        count = self._files.fitting(items)
        losses = self._lost(items[count:], "spool-full", "the spool is full")
        if not count:
            return losses
        try:
            self._files.append(items[:count])
        except OSError as error:
            return losses + self._lost(items[:count], "failed", error)
        self._account.in_flight -= count
        self._account.spooled += count
        self._waiting.set()
        return losses

    def _park(self, items: Sequence[bytes], why: Exception) -> list[DeliveryError]:
        """Put aside the one event in flight that the receiver refuses."""
        if not self._files.fitting(items):
            return self._lost(items, "spool-full", "the spool is full")
        try:
            self._files.park(items)
        except OSError as error:
            return self._lost(items, "failed", error)
        self._account.in_flight -= len(items)
        self._count_parked(len(items), why)
        return []

    def _count_parked(self, count: int, why: Exception) -> None:
        self._account.parked += count
        self._notices.tell(f"spool: {why}: the event is kept aside", count)

    def _lost(self, items: Sequence[bytes], reason: str, cause: BaseException | str) -> list[DeliveryError]:
        if not items:
            return []
        give_up(self._account, len(items), reason)
        return [self._failures.lost(len(items), cause)]

    def _trouble(self, error: Exception, *, grow: bool) -> None:
        """Tell that nothing can be sent now, and pause, longer than last time, before the next attempt from disk."""
        if isinstance(error, PostError):
            self._notices.tell(f"spool: the receiver does not take events, they wait on disk: {error.cause}")
        else:
            self._notices.tell(f"spool: events cannot be sent, they wait on disk: {reason_of(error)}")
        asked_s = (error.retry_after_s if isinstance(error, PostError) else None) or 0.0
        pause_s = (min(self._pause_s * GROWTH, LONGEST_PAUSE_S) or self._first_pause_s) if grow else self._pause_s
        self._pause_s = max(pause_s, min(asked_s, RETRY_AFTER_LIMIT_S))

    # Sending what waits

    async def _send_from_disk(self) -> None:
        while True:
            await self._waiting.wait()
            if self._pause_s:
                await self._sleep(self._pause_s)
            try:
                taken = self._files.take(BATCH_EVENTS, BATCH_BYTES)
                if taken is None:
                    self._waiting.clear()
                    self._write_off_missing()
                    continue
                await self._send_halving(taken)
            except Exception as error:  # noqa: BLE001  # because: whatever happens, what waits is sent one day
                self._trouble(error, grow=True)
                continue
            if self._pause_s:
                self._pause_s = 0.0
                self._notices.tell("spool: the receiver takes events again", level=logging.INFO)

    async def _send_halving(self, taken: Taken) -> None:
        """Send from the front, noting each success; a refused body is halved until the bad event is alone."""
        sizes = [len(taken.items)]
        while sizes:
            size = sizes.pop(0)
            head, rest = taken.split(size)
            try:
                await self._poster.post(self._join(head.items))
            except PostError as error:
                if _halve(sizes, size, error):
                    continue
                if not _refusal(error):
                    raise
                self._files.park(head.items)
                self._count_parked(size, error)
            else:
                self._account.delivered += size
            self._account.spooled -= size
            self._note(head)
            taken = rest

    def _note(self, head: Taken) -> None:
        """Write down how far we are; not being able to is no reason to stop."""
        try:
            self._files.delivered(head)
        except OSError as error:
            self._notices.tell(f"spool: the position cannot be written: {error.strerror}; events may be sent twice")

    def _write_off_missing(self) -> None:
        """Account for events whose files somebody removed."""
        if not self._files.items:
            return
        gone = self._files.write_off()
        self._account.spooled -= gone
        self._account.dropped["failed"] += gone
        self._failures.lost(gone, _MISSING)


def _refusal(error: Exception) -> bool:
    return isinstance(error, PostError) and refused(error)


def _halve(sizes: list[int], size: int, error: Exception) -> bool:
    """Plan two halves instead of a body of several events that was refused."""
    if size == 1 or not _refusal(error):
        return False
    sizes[:0] = [size // 2, size - size // 2]
    return True


def _raise(losses: list[DeliveryError]) -> None:
    if losses:
        raise DeliveryError(losses[0].backend, sum(loss.lost for loss in losses), losses[0].cause)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
