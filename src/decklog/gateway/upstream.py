"""The side towards the API server: connections, each with one request at a time, and the pool that keeps them.

The last used connection is used first, so that the others grow old and are closed. A connection is given back only
after an answer that came to its end in good order; after any doubt it is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from typing import TYPE_CHECKING, Final, Protocol

from decklog.http1 import CHUNKED, END, UNTIL_CLOSE, Chunks, HeadError, ResponseHead

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from decklog.gateway.turn import Turn
    from decklog.http1 import Heads

IDLE_S: Final = 55.0
"""How long a connection is kept without a request: less than the 90 s after which Go's server closes it."""
_HEAD_LIMIT: Final = 1 << 20
_INFORMED_LIMIT: Final = 100
"""Informational heads before an answer, at most: each costs a look at all that came with it."""
_PROBES: Final = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
"""A connection that is silent for a minute is probed; its end is known two minutes after the other end has gone."""


class Server(Protocol):
    """Where the API server is, as `decklog.access.Access` tells it."""

    @property
    def host(self) -> str:
        """Give its host: a name or an address."""
        ...

    @property
    def port(self) -> int:
        """Give its port."""
        ...

    @property
    def base_path(self) -> bytes:
        """Give what stands before the path of every request; nearly always nothing."""
        ...

    @property
    def server_name(self) -> str:
        """The name that its certificate has to bear."""
        ...

    def ssl_context(self, *, own_certificate: bool) -> ssl.SSLContext | None:
        """Give how to speak TLS with it; None: plain."""
        ...

    def expired(self) -> None:
        """Hear that it refuses our own credentials."""
        ...


class Answered(Protocol):
    """Who waits for an answer: an exchange."""

    method: bytes
    upgrades: bool

    def informed(self, head: ResponseHead) -> None:
        """Take an informational head (1xx but 101)."""
        ...

    def switched(self, head: ResponseHead, rest: bytes) -> None:
        """Take the head of a 101: from here on bytes go both ways; `rest` came with it."""
        ...

    def answer(self, head: ResponseHead, data: bytes, pieces: list[bytes] | None, *, done: bool) -> None:
        """Take the head and the bytes that came with it."""
        ...

    def answer_data(self, data: bytes, pieces: list[bytes] | None, *, done: bool) -> None:
        """Take bytes of the body as they came; `pieces` are its content, where chunks had to be opened."""
        ...

    def tunnelled(self, data: bytes) -> None:
        """Take bytes of a switched connection."""
        ...

    def wants_content(self) -> bool:
        """Whether pieces of a chunked body are wanted."""
        ...

    def upstream_lost(self, words: str) -> None:
        """Hear that the connection is gone before the end of the answer."""
        ...

    def upstream_paused(self, *, paused: bool) -> None:
        """Hear that the upstream takes no more for now, or takes again."""
        ...

    def fault(self, error: Exception) -> None:
        """Hear of a fault of our own."""
        ...


class UpstreamConnection(asyncio.Protocol):
    """One connection to the API server."""

    __slots__ = (
        "_buffer",
        "_chunks",
        "_head",
        "_heads",
        "_informed",
        "_left",
        "_lost",
        "_paused",
        "context",
        "exchange",
        "idle_since",
        "keep_alive",
        "pool",
        "received",
        "served",
        "transport",
        "tunnel",
    )

    def __init__(self, pool: Pool, heads: Heads) -> None:
        self.pool = pool
        self.transport: asyncio.Transport = None  # type: ignore[assignment]  # because: set before anything else is called
        self.exchange: Answered | None = None
        self.context: ssl.SSLContext | None = None
        """With what it was made: credentials that have been renewed since are not used any more."""
        self.tunnel = False
        self.keep_alive = True
        self.served = 0
        """Requests that were answered here before the present one."""
        self.received = False
        """Whether anything came since the present request was sent."""
        self.idle_since = 0.0
        self._heads = heads
        self._buffer = b""
        self._head: ResponseHead | None = None
        self._chunks: Chunks | None = None
        self._informed = 0
        """Informational heads of the present answer."""
        self._left = 0
        self._lost = False
        self._paused = False

    # What the exchange does

    def ask(self, exchange: Answered, data: bytes) -> None:
        """Send the head of a request (and what of its body is there)."""
        self.exchange = exchange
        self.received = False
        self._head = None
        self._informed = 0
        self.pool.turn.write(self.transport, data)

    def write(self, data: bytes) -> None:
        """Send more of it."""
        self.pool.turn.write(self.transport, data)

    def abort(self) -> None:
        """End the connection at once: its exchange hears nothing of it."""
        self.exchange = None
        self._lost = True
        self.transport.abort()

    def close(self) -> None:
        """End the connection once all is sent: its exchange hears nothing of it."""
        self.exchange = None
        self._lost = True
        self.pool.turn.send()
        self.transport.close()

    def read(self, *, paused: bool) -> None:
        """Take no more of the answer for now, or again."""
        if paused is self._paused or not self.usable:
            return
        self._paused = paused
        if paused:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    @property
    def usable(self) -> bool:
        """Whether a request may be sent."""
        return not self._lost and not self.transport.is_closing()

    @property
    def between_chunks(self) -> bool:
        """Whether the answer may be ended here by a last chunk of ours."""
        return self._chunks is not None and self._chunks.between

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = transport  # type: ignore[assignment]  # because: TCP and TLS transports are both ways

    def connection_lost(self, exc: Exception | None) -> None:
        """End: an answer that lasts until its connection closes is complete."""
        self._lost = True
        self.pool.forget(self)
        exchange, self.exchange = self.exchange, None
        if exchange is None:
            return
        try:
            if self._head is not None and self._head.length == UNTIL_CLOSE and exc is None:
                self.keep_alive = False
                exchange.answer_data(b"", None, done=True)
            else:
                words = (
                    f"upstream closed the connection: {type(exc).__name__}" if exc else "upstream closed the connection"
                )
                exchange.upstream_lost(words)
        except Exception as error:  # noqa: BLE001  # because: our own fault becomes a Panic event, not a silence
            exchange.fault(error)

    def eof_received(self) -> None:
        """Close: nobody half closes here."""

    def pause_writing(self) -> None:
        """Tell the exchange that the upstream is slow."""
        if self.exchange is not None:
            self.exchange.upstream_paused(paused=True)

    def resume_writing(self) -> None:
        """Tell it that it is not any more."""
        if self.exchange is not None:
            self.exchange.upstream_paused(paused=False)

    def data_received(self, data: bytes) -> None:
        """Take bytes."""
        exchange = self.exchange
        if exchange is None:  # an answer that nobody asked for: nothing on this connection can be trusted
            self.abort()
            return
        self.received = True
        try:
            if self.tunnel:
                exchange.tunnelled(data)
            elif self._head is not None:
                self._body(exchange, data)
            else:
                self._begin(exchange, data)
        except HeadError as error:
            self.abort()
            exchange.upstream_lost(f"upstream sent what is no HTTP: {error}")
        except Exception as error:  # noqa: BLE001  # because: our own fault becomes a Panic event, not a silence
            exchange.fault(error)

    def _begin(self, exchange: Answered, data: bytes) -> None:
        """Read the head, once all of it is there."""
        data = self._buffer + data if self._buffer else data
        while True:
            end = data.find(END)
            if end < 0:
                if len(data) > _HEAD_LIMIT:
                    raise HeadError("head too large")
                self._buffer = data
                return
            end += 4
            head = self._heads.response(data[:end], exchange.method)
            data = data[end:] if len(data) > end else b""
            if head.code == 101:
                if not exchange.upgrades:
                    raise HeadError("switching protocols unasked")
                self._buffer = b""
                self._head = head
                self.tunnel = True
                exchange.switched(head, data)
                return
            if head.code >= 200:
                break
            self._informed += 1
            if self._informed > _INFORMED_LIMIT:
                raise HeadError("too many informational heads")
            exchange.informed(head)
            if not data:
                self._buffer = b""
                return
        self._buffer = b""
        self._head = head
        self.keep_alive = head.keep_alive
        length = head.length
        if length >= 0:
            self._chunks = None
            self._left = length - len(data)
            if self._left < 0:
                raise HeadError("more bytes than the answer has")
            exchange.answer(head, data, None, done=not self._left)
        elif length == CHUNKED:
            self._chunks = Chunks()
            pieces: list[bytes] = []
            done = self._walk(data, pieces)
            exchange.answer(head, data, pieces, done=done)
        else:
            self._chunks = None
            exchange.answer(head, data, None, done=False)

    def _body(self, exchange: Answered, data: bytes) -> None:
        if self._chunks is not None:
            pieces: list[bytes] | None = [] if exchange.wants_content() else None
            exchange.answer_data(data, pieces, done=self._walk(data, pieces))
        elif self._head is not None and self._head.length == UNTIL_CLOSE:
            exchange.answer_data(data, None, done=False)
        else:
            self._left -= len(data)
            if self._left < 0:
                raise HeadError("more bytes than the answer has")
            exchange.answer_data(data, None, done=not self._left)

    def _walk(self, data: bytes, pieces: list[bytes] | None) -> bool:
        chunks = self._chunks
        if chunks is None or not data:
            return False
        rest = chunks.feed(data, pieces)
        if rest:
            raise HeadError("more bytes than the answer has")
        return rest is not None


class ConnectError(Exception):
    """No connection to the upstream: `code` is what a client gets, 502 or 504."""

    def __init__(self, message: str, code: int = 502) -> None:
        super().__init__(message)
        self.code = code


class Pool:
    """Connections to one upstream, with or without our own certificate: the two are never mixed."""

    def __init__(
        self,
        server: Server,
        heads: Heads,
        turn: Turn,
        *,
        own_certificate: bool,
        connect_timeout_s: float,
        buffer_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._server = server
        self._heads = heads
        self.turn = turn
        self._own_certificate = own_certificate
        self._timeout_s = connect_timeout_s
        self._buffer_bytes = buffer_bytes
        self._clock = clock
        self._idle: list[UpstreamConnection] = []
        self._all: set[UpstreamConnection] = set()
        self._context: ssl.SSLContext | None = None

    def __len__(self) -> int:
        return len(self._all)

    def take(self) -> UpstreamConnection | None:
        """Give the connection that was used last, if one is free."""
        idle = self._idle
        while idle:
            connection = idle.pop()
            if connection.usable:
                return connection
        return None

    async def connect(self) -> UpstreamConnection:
        """Make a new one. Raises ConnectError."""
        server = self._server
        loop = asyncio.get_running_loop()
        context = self._freshened()
        try:
            async with asyncio.timeout(self._timeout_s):
                _, connection = await loop.create_connection(
                    lambda: UpstreamConnection(self, self._heads),
                    server.host,
                    server.port,
                    ssl=context,
                    server_hostname=server.server_name if context is not None else None,
                )
        except TimeoutError:
            raise ConnectError(f"no connection to the upstream within {self._timeout_s:g} s", 504) from None
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise ConnectError(f"cannot connect to the upstream: {_words(error)}") from error
        if not connection.usable:  # its end has been told already, when nobody waited for an answer
            raise ConnectError("cannot connect to the upstream: it closed the connection at once")
        keep_alive(connection.transport.get_extra_info("socket"))
        connection.transport.set_write_buffer_limits(high=self._buffer_bytes)
        connection.context = context
        self._all.add(connection)
        return connection

    def _freshened(self) -> ssl.SSLContext | None:
        """Give what new connections are made with; what was proved with older material ends once it is free."""
        context = self._server.ssl_context(own_certificate=self._own_certificate)
        if context is not self._context:
            self._context = context
            self.close_idle()
        return context

    def give_back(self, connection: UpstreamConnection) -> None:
        """Take a connection back whose answer ended in good order."""
        connection.exchange = None
        connection.served += 1
        transport = connection.transport
        stale = not connection.keep_alive or connection.context is not self._context
        if stale or transport.is_closing() or transport.get_write_buffer_size():
            connection.abort()  # also one that was answered before all of its request had gone out
            return
        connection.read(paused=False)  # the client that it was slow for has nothing to do with the next one
        connection.idle_since = self._clock()
        self._idle.append(connection)

    def forget(self, connection: UpstreamConnection) -> None:
        """Hear that one is gone."""
        self._all.discard(connection)
        if not connection.served or connection.exchange is not None:
            return
        if connection in self._idle:
            self._idle.remove(connection)

    def sweep(self) -> None:
        """Close what has been idle for long, or was made with credentials that have been renewed since."""
        self._freshened()
        limit = self._clock() - IDLE_S
        old = [connection for connection in self._idle if connection.idle_since < limit]
        for connection in old:
            self._idle.remove(connection)
            connection.abort()

    def close_idle(self) -> None:
        """Close all that are free."""
        for connection in self._idle:
            connection.abort()
        self._idle.clear()

    def close(self) -> None:
        """Close all."""
        self.close_idle()
        for connection in list(self._all):
            connection.abort()


def keep_alive(sock: socket.socket) -> None:
    """Let the system notice that the other end has vanished: streams and tunnels may be silent for hours."""
    with contextlib.suppress(OSError):  # a connection that has just ended takes none
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _PROBES.items():
            if (number := getattr(socket, name, None)) is not None:  # not every system has them
                sock.setsockopt(socket.IPPROTO_TCP, number, value)


def _words(error: Exception) -> str:
    text = getattr(error, "strerror", None) or getattr(error, "reason", None) or type(error).__name__
    return str(text)
