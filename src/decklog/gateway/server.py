"""The gateway: what all its connections share, its sockets, its deadlines and its end.

Single-threaded: everything happens on one event loop. Several workers are several processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from typing import TYPE_CHECKING, Final

from decklog.audit import jsontext
from decklog.audit.attributes import Attributes, resolve
from decklog.audit.deliveries import Deliveries, cause_of
from decklog.audit.headers import origin
from decklog.audit.target import ResolveError
from decklog.doorway import Guests, Sockets
from decklog.gateway.client import ClientConnection
from decklog.gateway.ending import UNJUDGED
from decklog.gateway.forwarding import Forwarding
from decklog.gateway.towards import is_identity_header
from decklog.gateway.turn import Turn
from decklog.gateway.upstream import Pool, keep_alive
from decklog.http1 import HeadError, Heads
from decklog.recorder.answers import Answer

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Awaitable, Callable, Sequence

    from decklog.audit.decision import Decision
    from decklog.audit.event import Event, User
    from decklog.audit.intent import Intents
    from decklog.audit.sink import Sink
    from decklog.gateway.ending import Ending
    from decklog.gateway.exchange import Exchange
    from decklog.gateway.identity import Identify
    from decklog.gateway.options import GatewayOptions
    from decklog.gateway.towards import Towards
    from decklog.gateway.upstream import Server
    from decklog.metrics import AuditCounters
    from decklog.recorder.recording import Recorder

    Decide = Callable[[Attributes, User | None], Decision]

REFUSED: Final = "decklog/refused"
"""Annotation: why something that is no request was refused."""
_BLOCK: Final = 4096
"""Random bytes that are asked for at a time."""
_SWEEP_S: Final = 1.0
_CUT_S: Final = 0.5
"""How long to wait until connections that were cut are gone: a turn or two of the loop."""
_SHOWN: Final = 8192
"""Bytes of a refused request's first line that are recorded."""

logger = logging.getLogger(__name__)


class RandomIds:
    """Makes audit IDs as kube-apiserver does: random UUIDs of version 4, from the system's randomness in blocks."""

    __slots__ = ("_at", "_block", "_random")

    def __init__(self, random: Callable[[int], bytes] = os.urandom) -> None:
        self._random = random
        self._block = ""
        self._at = 0

    def __call__(self) -> str:
        """Give the next one."""
        at = self._at
        if at >= len(self._block):
            self._block = self._random(_BLOCK).hex()
            at = 0
        self._at = at + 32
        text = self._block[at : at + 32]
        variant = "89ab89ab89ab89ab"[int(text[16], 16)]
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"


class Gateway:
    """A reverse proxy that audits. `decide` may be replaced at any time; requests under way keep their decision.

    `is_identity`: which headers (lower case) tell an identity, and so never go on as they came. `grouped`: the sink may
    be given the events of several requests in one call, as it fails for all of them or for none (a log, a batch).
    """

    def __init__(
        self,
        options: GatewayOptions,
        *,
        access: Server,
        decide: Decide,
        recorder: Recorder,
        sink: Sink,
        identify: Identify,
        towards: Towards,
        counters: AuditCounters,
        intents: Intents | None = None,
        is_identity: Callable[[bytes], bool] = is_identity_header,
        grouped: bool = False,
        new_id: Callable[[], str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        options.check()
        self.options = options
        self.decide = decide
        self.recorder = recorder
        self.sink = sink
        self.identify = identify
        self.forget = identify.forget
        self.expired = access.expired
        self.towards = towards
        self.counters = counters
        self.intents = intents
        self.new_id = new_id if new_id is not None else RandomIds()
        self.heads = Heads()
        self.grouped = grouped
        self.turn = Turn(self._store_arrived, self._store_ended)
        self.replaces_odd_ids = options.audit_id == "replace-odd"
        host = access.host if ":" not in access.host else f"[{access.host}]"
        self.forwarding = Forwarding(f"{host}:{access.port}".encode(), is_identity, access.base_path)
        self.echoes_ids = True
        """Whether the last ordinary answer of the upstream named its audit ID: a kube-apiserver always does."""
        self.stopping = False
        self.now = clock()
        """The loop's time, as of the last sweep: good enough for deadlines of seconds, and free."""
        self._clock = clock
        self._pools = {own: self._pool(access, own=own) for own in (False, True)}
        self._clients: Guests[ClientConnection] = Guests(options.max_connections, options.max_connections_per_address)
        self._sockets = Sockets(lambda: ClientConnection(self), handshake_timeout_s=options.head_timeout_s)
        self._sweeping: asyncio.Task[None] | None = None
        self.deliveries = Deliveries(counters.error_total)
        self.waiting: set[Ending] = set()
        """Requests that wait for somebody: whether their client is still there or not, each ends in the record."""

    def _pool(self, access: Server, *, own: bool) -> Pool:
        return Pool(
            access,
            self.heads,
            self.turn,
            own_certificate=own,
            connect_timeout_s=self.options.connect_timeout_s,
            buffer_bytes=self.options.buffer_bytes,
            clock=self._clock,
        )

    # Life

    async def start(self) -> None:
        """Begin to look at deadlines."""
        self.now = self._clock()
        self._sweeping = asyncio.create_task(self._sweep())

    async def listen(self, sock: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Take connections from a bound socket; the socket is the gateway's from here on."""
        keep_alive(sock)  # what is accepted inherits it
        await self._sockets.listen(sock, tls)

    async def relisten(self, tls: ssl.SSLContext | None) -> None:
        """Take new connections with another TLS context; those that are open go on as they are."""
        await self._sockets.relisten(tls)

    async def drain(self, grace_s: float) -> None:
        """Stop: no new connections; watches end with a clean last chunk; short requests may finish within `grace_s`.

        Tunnels are cut at the end of the grace. Everything is recorded when this returns.
        """
        self.stopping = True
        self._sockets.close()
        for client in self._clients:
            exchange = client.exchange
            if exchange is None:
                client.cut(flush=True)
            elif exchange.long_running and not client.tunnel:
                exchange.stop()
        await self._clients.gone(grace_s)
        for client in self._clients:
            if client.exchange is not None:
                client.exchange.stop()
        for client in self._clients:
            client.cut()
        await self._clients.gone(_CUT_S)
        for waiting in list(self.waiting):
            try:
                waiting.give_up()
            except Exception as error:  # noqa: BLE001  # because: one request must not cost the others their events
                waiting.fault(error)
        self.turn.over()
        for pool in self._pools.values():
            pool.close()
        await self.deliveries.settle(grace_s)
        if self._sweeping is not None:
            self._sweeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeping
        await asyncio.sleep(0)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            self.now = now = self._clock()
            for client in self._clients:
                try:
                    client.sweep(now)
                except Exception as error:  # noqa: BLE001  # because: one connection must not end the deadlines of all
                    self.fault(error)
            for pool in self._pools.values():
                pool.sweep()

    # What connections ask

    @property
    def connections(self) -> int:
        """Clients that are connected."""
        return len(self._clients)

    def admit(self, client: ClientConnection) -> bool:
        """Count a connection in, unless there are too many; none any more when its handshake outlasts a stop."""
        if self.stopping:
            return False
        if self._clients.is_full:
            self.counters.refused_connections["too-many"] += 1
            return False
        if self._clients.has_share(client):
            self.counters.refused_connections["too-many-of-one-address"] += 1
            return False
        self._clients.add(client)
        return True

    def forget_client(self, client: ClientConnection) -> None:
        """Count it out."""
        self._clients.discard(client)

    def pool(self, *, own_certificate: bool) -> Pool:
        """Give the pool of connections that bear our own certificate, or of those that bear none."""
        return self._pools[own_certificate]

    # Events

    def _store_arrived(self, arrived: Sequence[tuple[Event, Exchange]]) -> None:
        """Store the first events of several requests in one call, and let them go on, or not."""
        try:
            waiting = self.sink.process([event for event, _ in arrived])
        except Exception as error:  # noqa: BLE001  # because: whatever failed, no request may go on unrecorded
            for _, exchange in arrived:
                exchange.not_stored(error)
            return
        waiting = waiting if waiting is None else asyncio.ensure_future(waiting)  # many wait for it
        for _, exchange in arrived:
            exchange.stored(waiting)

    def _store_ended(self, ended: Sequence[tuple[Sequence[Event], Ending | None]]) -> None:
        """Store the later events of several requests in one call."""
        waiting = self.late([event for events, _ in ended for event in events])
        for _, exchange in ended:
            if exchange is not None:
                exchange.told(waiting)

    def late(self, events: Sequence[Event]) -> asyncio.Future[bool] | None:
        """Deliver what can refuse nothing any more; a failure is counted where it happens, and told here.

        None: done, and stored. Otherwise a future that tells whether they were stored; it need not be awaited.
        """
        try:
            waiting = self.sink.process(events)
        except Exception as error:  # noqa: BLE001  # because: the answer is on its way, and no backend may break it
            self.deliveries.failed(error, len(events))
            logger.error("%s", cause_of(error))  # noqa: TRY400  # because: the cause is in the text
            unstored: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            unstored.set_result(False)
            return unstored
        if waiting is None:
            return None
        sending = asyncio.ensure_future(self._wait(waiting, len(events)))
        self.deliveries.keep(sending)
        return sending

    async def _wait(self, waiting: Awaitable[None], count: int) -> bool:
        try:
            await self.deliveries.wait_for(waiting, count)
        except Exception as error:  # noqa: BLE001  # because: see `late`
            logger.error("%s", cause_of(error))  # noqa: TRY400  # because: the cause is in the text
            return False
        return True

    def fault(self, error: Exception) -> None:
        """Count and tell a fault of our own: its kind alone, as its text may quote a body."""
        self.counters.error_total["gateway"] += 1
        logger.error("a fault of the gateway: %s", type(error).__name__, exc_info=error if _DEBUG else None)

    def refused(self, head: bytes, error: HeadError, peer: str) -> bytes:
        """Record what is no request: one ResponseStarted without a user, like a failed login; gives its audit ID.

        At Metadata, whatever the policy says of requests: this is none, and nobody tries such a thing by chance.
        """
        method, target, headers = _legible(head)
        try:
            attributes = resolve(method, target)
        except ResolveError:
            uri = jsontext.text(target)
            attributes = Attributes(method.lower(), uri.partition("?")[0], request_uri=uri)
        audit_id, addresses, agent = origin(headers, peer, self.new_id)
        recording = self.recorder.open(attributes, UNJUDGED, None, audit_id, addresses, agent)
        recording.annotate(REFUSED, str(error))
        event = recording.unauthenticated(Answer(error.status), str(error))
        if event is not None:
            self.late((event,))
        return jsontext.raw(audit_id)


_DEBUG: Final = False


def _legible(head: bytes) -> tuple[str, bytes, list[tuple[bytes, bytes]]]:
    """Give what can be read of something that is no request: method, target, and the header lines as they look."""
    line, _, rest = head.partition(b"\n")
    words = line.strip().split(b" ")
    method = words[0][:32].decode("ascii", "replace") if words else ""
    target = words[1][:_SHOWN] if len(words) > 1 else b""
    headers = []
    for text in rest.split(b"\n")[:256]:
        name, colon, value = text.strip().partition(b":")
        name = name.strip().lower()
        if colon and name in {b"user-agent", b"x-forwarded-for", b"x-real-ip"}:
            headers.append((name, value.strip()[:_SHOWN]))
    return method, target, headers
