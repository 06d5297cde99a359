"""The receiver: what all its connections share, its sockets, its deadlines, and what becomes of a body.

Single-threaded: everything happens on one event loop, but for what is written to the quarantine. Several workers are
several processes.

A body is answered 200 when every event of it is on the disk: in the journal, or, where it cannot be taken apart in the
usual way, as a whole in quarantine. `keep` stores lines and returns when they are synced; what it raises is answered
503, and the sender comes again: what was stored of the body already is stored once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Final

from decklog.doorway import Guests, Sockets
from decklog.errors import DecklogError
from decklog.http1 import Heads
from decklog.receiving.behind import Behind
from decklog.receiving.connection import SenderConnection
from decklog.receiving.refusals import WINDOW_S, Refusals, RefusedError
from decklog.receiving.splitting import Splitter, UnsplitError
from decklog.store.quarantine import Origin

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Awaitable, Callable, Sequence

    from decklog.metrics import ReceiverCounters
    from decklog.receiving.behind import TakenApart
    from decklog.receiving.bodies import Body, Space
    from decklog.receiving.options import ReceiverOptions
    from decklog.receiving.senders import Senders
    from decklog.store.items import Appended
    from decklog.store.quarantine import Quarantine

    Keep = Callable[[Sequence[bytes]], Awaitable[Appended]]
    """Stores events, a line each; they are synced when it returns. Raises OSError or DecklogError."""

_SWEEP_S: Final = 1.0
_HANDSHAKE_S: Final = 10.0
_LARGE_AT_ONCE: Final = 1
"""Bodies in files that are taken apart at the same time: each may need several times the memory of its largest item."""
_GROUP_BYTES: Final = 2 << 20
_GROUP_ITEMS: Final = 16_384
"""How much of such a body is stored at once."""
_TOLD_EVERY_S: Final = 60.0

logger = logging.getLogger(__name__)


class Receiver:
    """Takes EventLists. `senders` may be replaced at any time."""

    def __init__(
        self,
        options: ReceiverOptions,
        *,
        keep: Keep,
        quarantine: Quarantine,
        space: Space,
        senders: Senders,
        counters: ReceiverCounters,
        cluster: str = "",
        is_low: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.options = options
        self.space = space
        self.senders = senders
        self.counters = counters
        self.heads = Heads()
        self.stopping = False
        self.now = clock()
        """The loop's time, as of the last sweep: good enough for deadlines of seconds, and free."""
        self._keep = keep
        self._quarantine = quarantine
        self._cluster = cluster
        self._is_low = is_low
        self._low = False
        self._clock = clock
        self._clock_ns = clock_ns
        self._refusals = Refusals(clock)
        self._connections: Guests[SenderConnection] = Guests(
            options.max_connections, options.max_connections_per_address
        )
        self._sockets = Sockets(lambda: SenderConnection(self), handshake_timeout_s=_HANDSHAKE_S)
        self._large = asyncio.Semaphore(_LARGE_AT_ONCE)
        self._storing: set[asyncio.Task[None]] = set()
        self._sweeping: asyncio.Task[None] | None = None
        self._behind = Behind(quarantine, self._keep_counted, self.taken_apart)
        self._working: asyncio.Task[None] | None = None
        self._failed, self._failed_s = "", 0.0
        self._told_s = -_TOLD_EVERY_S

    # Life

    async def start(self) -> None:
        """Begin to look at deadlines, and to take apart what waits in quarantine."""
        self._look()
        self._sweeping = asyncio.create_task(self._sweep())
        self._working = asyncio.create_task(self._behind.run())

    async def listen(self, sock: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Take connections from a bound socket; the socket is the receiver's from here on."""
        await self._sockets.listen(sock, tls)

    async def relisten(self, tls: ssl.SSLContext | None) -> None:
        """Take connections with another TLS context; those that are open end with their present request."""
        await self._sockets.relisten(tls)
        for connection in self._connections:
            connection.close_soon()

    async def drain(self, grace_s: float) -> None:
        """Stop: no new connections; bodies that are coming may come to their end within `grace_s`.

        When this returns, every body that was whole is stored and answered.
        """
        self.stopping = True
        self._sockets.close()
        for connection in self._connections:
            if connection.is_idle:
                connection.close_soon()
        await self._connections.gone(grace_s)
        if self._storing:
            await asyncio.wait(self._storing, timeout=grace_s)
        for connection in self._connections:
            connection.cut()
        self._behind.stop()
        if self._working is not None:
            await self._working
        if self._sweeping is not None:
            self._sweeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeping
        await asyncio.sleep(0)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            self._look()
            for connection in self._connections:
                try:
                    connection.sweep(self.now)
                except Exception:
                    logger.exception("a fault of the receiver")

    def _look(self) -> None:
        """See how late it is, how full the disk, and whether other tokens are in force."""
        self.now = self._clock()
        self._low = self._is_low()
        self.senders.follow()

    # What connections ask

    @property
    def connections(self) -> int:
        """Senders that are connected."""
        return len(self._connections)

    def admit(self, connection: SenderConnection) -> bool:
        """Count a connection in. One that is idle makes room; where none is, or an address has its share, no."""
        if self._connections.has_share(connection):
            self.counters.refused["too-many-of-one-address"] += 1
            return False
        if self._connections.is_full:
            idle = min(self._connections, key=lambda other: other.idle_since)
            if not idle.is_idle:
                self.counters.refused["too-many-connections"] += 1
                return False
            self.counters.refused["idle"] += 1
            idle.cut()
            self.forget(idle)
        self._connections.add(connection)
        return True

    def forget(self, connection: SenderConnection) -> None:
        """Count it out."""
        self._connections.discard(connection)

    def check_room(self) -> None:
        """Raise RefusedError while the disk is almost full."""
        if self._low:
            raise RefusedError(503, "disk-low", "the store's disk is almost full: try again later")

    def refused(self, sender: str, refused: RefusedError, *, admitted: bool = False) -> None:
        """Count what was not taken, with its sender; the log has the first of each, and every thousandth.

        `admitted`: he may send. What others try is no loss, and must not take us out of service.
        """
        self.counters.refused[refused.reason] += 1
        count = self._refusals.add(sender, refused.reason, is_loss=admitted)
        if count == 1 or not count % 1000:
            logger.warning("refused what %r sent (%s): %s (%d so far)", sender[:128], refused.reason, refused, count)

    def disk_failed(self, error: Exception) -> RefusedError:
        """Tell that the disk has failed: to the log, once a minute, and to the sender, without details."""
        self._failed, self._failed_s = str(error), self._clock()
        now = self._failed_s
        if now - self._told_s >= _TOLD_EVERY_S:
            self._told_s = now
            logger.error("events cannot be stored, senders are told to come again: %s", error)
        return RefusedError(503, "store-failed", "the events cannot be stored just now: try again later")

    def problems(self) -> list[str]:
        """Say why it is not ready, a line each."""
        found = self._refusals.problems()
        if self._low:
            found.append(f"less than {self.options.free_bytes} bytes are free: make room, senders are told to wait")
        if self._failed and self._clock() - self._failed_s < WINDOW_S:  # not for ever: who is not ready gets no senders
            found.append(f"events cannot be stored: {self._failed}")
        return found

    # Storing

    def store(self, connection: SenderConnection, body: Body, sender: str) -> None:
        """Store a body; its connection is told."""
        task = asyncio.create_task(self._store(connection, body, sender))
        self._storing.add(task)
        task.add_done_callback(self._storing.discard)

    async def _store(self, connection: SenderConnection, body: Body, sender: str) -> None:
        try:
            await self._keep_body(body, sender)
        except (OSError, DecklogError) as error:
            connection.refuse(self.disk_failed(error))
        except RefusedError as refused:
            connection.refuse(refused)
        except Exception:
            logger.exception("a fault of the receiver")
            connection.refuse(RefusedError(500, "fault", "a fault of the receiver: its log says more"))
        else:
            self._failed = ""
            self.counters.bodies += 1
            self.counters.body_bytes += body.size
            connection.stored()

    async def _keep_body(self, body: Body, sender: str) -> None:
        try:
            if body.in_memory:
                await self._keep_counted(await _split(body))
            else:
                async with self._large:
                    await self._keep_windows(body)
        except UnsplitError as error:
            await self._set_aside(body, sender, str(error))

    async def _keep_windows(self, body: Body) -> None:
        splitter = Splitter()
        lines: list[bytes] = []
        size = 0
        for window in body.windows():
            found = splitter.feed(window)
            lines += found
            size += sum(map(len, found))
            if size < _GROUP_BYTES and len(lines) < _GROUP_ITEMS:
                await asyncio.sleep(0)
            else:
                await self._keep_counted(lines)
                lines, size = [], 0
        await self._keep_counted(lines + splitter.end())

    async def _keep_counted(self, lines: Sequence[bytes]) -> None:
        if not lines:
            return
        begun = time.perf_counter()
        kept = await self._keep(lines)
        counters = self.counters
        counters.store_seconds += time.perf_counter() - begun
        counters.stores += 1
        counters.events += kept.stored
        counters.doubled += kept.doubled

    async def _set_aside(self, body: Body, sender: str, why: str) -> None:
        """Keep a body as a whole, synced."""
        if not body.size:
            raise RefusedError(400, "empty", "the body is empty: post an EventList")
        origin = Origin(self._clock_ns(), sender, self._cluster, why)
        await asyncio.to_thread(self._quarantine.keep, body.windows(), origin)
        self.counters.quarantined += 1
        self._behind.more()

    def taken_apart(self, result: TakenApart) -> None:
        """Hear what came of a body in quarantine."""
        if result.held:
            self.counters.held += result.held
            logger.warning(
                "%d of %d items of a body are no events that can be read: they stay in %s",
                result.held,
                result.held + result.events,
                self._quarantine.folder,
            )


async def _split(body: Body) -> list[bytes]:
    """Split a body that is in memory; between two windows others have their turn. Raises UnsplitError."""
    splitter = Splitter()
    lines: list[bytes] = []
    for number, window in enumerate(body.windows()):
        if number:
            await asyncio.sleep(0)
        lines += splitter.feed(window)
    return lines + splitter.end()
