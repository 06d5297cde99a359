"""The side towards the clients: connections, each with one request at a time.

A connection reads a head, hands it to an exchange, feeds it the body, and reads the next head once the answer is out.
Bytes of later requests wait, up to a limit. What cannot be read as one request alone is answered 400, recorded, and
ends the connection.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from decklog import doorway
from decklog.audit.target import ResolveError
from decklog.gateway import answers
from decklog.gateway.certificate import shown_by
from decklog.gateway.exchange import Exchange
from decklog.gateway.forwarding import check_target
from decklog.http1 import CHUNKED, END, Chunks, HeadError

if TYPE_CHECKING:
    import ssl

    from decklog.gateway.ending import Ending
    from decklog.gateway.server import Gateway
    from decklog.http1 import RequestHead

_WAITING_LIMIT: Final = 64 * 1024
"""Bytes of later requests that wait before the client is not read any more."""
_BODY_RATE: Final = 1024
"""Bytes a second that a body has to come with, once its grace is over."""


class ClientConnection(asyncio.Protocol):
    """One connection of a client."""

    __slots__ = (
        "_body_since",
        "_buffer",
        "_chunks",
        "_full",
        "_gateway",
        "_held",
        "_left",
        "_lingering",
        "_lost",
        "_reading",
        "_scanned",
        "_since",
        "_turn",
        "_unsent",
        "certificate",
        "closes",
        "exchange",
        "peer",
        "peer_bytes",
        "transport",
        "tunnel",
    )

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.transport: asyncio.Transport = None  # type: ignore[assignment]  # because: set before anything else is called
        self.peer = ""
        self.peer_bytes = b""
        self.certificate: bytes | None = None
        """DER of the client's certificate, where it has shown one that verifies."""
        self.exchange: Exchange | None = None
        self.tunnel = False
        self.closes = False
        """Whether the connection ends with the answer that is under way."""
        self._turn = gateway.turn
        self._buffer = b""
        self._scanned = 0
        self._chunks: Chunks | None = None
        self._left = 0
        self._reading = False
        """Whether the body of the present request is still to come."""
        self._full = False
        """Whether the client does not take what was written: then no further request begins."""
        self._held = False
        self._lost = self._lingering = False
        self._since = 0.0
        """When the present wait began: for a head, or for the next request."""
        self._body_since = 0.0
        self._unsent = 0
        """Bytes that a client which is being closed had not taken at the last look."""

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless there are too many."""
        self.transport = transport  # type: ignore[assignment]  # because: TCP and TLS transports are both ways
        gateway = self._gateway
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple) and peer:
            self.peer = str(peer[0])
            self.peer_bytes = self.peer.encode("ascii", "replace")
        self._since = gateway.now
        if not gateway.admit(self):
            self._lost = True
            self.transport.abort()
            return
        tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        if tls is not None:
            self.certificate = shown_by(tls)
        self.transport.set_write_buffer_limits(high=gateway.options.buffer_bytes)

    def connection_lost(self, exc: Exception | None) -> None:
        """End: the exchange hears that nobody listens any more."""
        del exc
        self._lost = True
        self._gateway.forget_client(self)
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            try:
                exchange.client_gone()
            except Exception as error:  # noqa: BLE001  # because: our own fault becomes a Panic event, not a silence
                exchange.fault(error)

    def eof_received(self) -> None:
        """Close: as for Go's server, a client that sends no more has gone."""

    def pause_writing(self) -> None:
        """Tell the exchange that the client is slow."""
        self._full = True
        if self.exchange is not None:
            self.exchange.client_paused(paused=True)

    def resume_writing(self) -> None:
        """Tell it that it is not any more; on to the next request, if there was no exchange."""
        self._full = False
        if self.exchange is not None:
            self.exchange.client_paused(paused=False)
        elif not self._lingering:
            self._hold(paused=False)
            self._advance()

    def data_received(self, data: bytes) -> None:
        """Take bytes."""
        if self.tunnel:
            if self.exchange is not None:
                self.exchange.tunnel(data)
            return
        if self._lingering:
            return
        self._buffer = self._buffer + data if self._buffer else data
        self._advance()

    # What the exchange does

    @property
    def ending(self) -> bool:
        """Whether no further request will be taken here."""
        return self.closes or self._gateway.stopping

    def write(self, data: bytes) -> None:
        """Send to the client."""
        if not self._lost:
            self._turn.write(self.transport, data)

    def wanted(self) -> None:
        """Let the body come: the upstream is there."""
        self._hold(paused=False)
        self._body_since = self._gateway.now
        if self._buffer:
            self._advance()

    def hold(self, *, paused: bool) -> None:
        """Read no more for now, or again."""
        self._hold(paused=paused)
        if not paused:
            self._body_since = self._gateway.now  # what was not read meanwhile is not the client's fault
        if not paused and self._buffer and not self.tunnel:
            self._advance()

    def switched(self) -> None:
        """Pass everything on from here: what is here already first."""
        self.tunnel = True
        self._hold(paused=False)
        data, self._buffer = self._buffer, b""
        if data and self.exchange is not None:
            self.exchange.tunnel(data)

    def cut(self, *, flush: bool = False) -> None:
        """End the connection: at once, or after what is on its way."""
        if self._lost:
            return
        self.closes = True
        if flush:
            self._turn.send()
            self.transport.close()
        else:
            self.transport.abort()

    def finished(self, exchange: Ending, *, keep_alive: bool) -> None:
        """Hear that an exchange is over: on to the next, or to the end."""
        if self.exchange is not exchange or self._lost:
            return
        self.exchange = None
        if self.closes or not keep_alive:
            self._finish()
            return
        self._since = self._gateway.now
        self._hold(paused=False)
        if self._buffer:
            # Not here: a client that sends a thousand requests at once must not go a thousand frames deep.
            asyncio.get_running_loop().call_soon(self._advance)

    def _finish(self) -> None:
        """Close; a client that is still sending gets a moment to read the answer first."""
        self._turn.send()
        self.closes = True
        self._since = self._gateway.now
        if doorway.close(self.transport, linger=self._reading):
            self._lingering = True
            self._buffer = b""
            self._hold(paused=False)

    # Reading

    def _advance(self) -> None:
        """Go as far as the bytes allow."""
        try:
            while self._buffer and not self._lost and not self.tunnel and not self._lingering:
                exchange = self.exchange
                if exchange is None:
                    if self._full:
                        self._wait()
                        return
                    if self.closes or not self._begin():
                        return
                elif self._reading:
                    if not exchange.takes_body or self._held:
                        self._wait()
                        return
                    self._feed(exchange)
                else:
                    self._wait()
                    return
        except Exception as error:  # noqa: BLE001  # because: our own fault becomes a Panic event, not a silence
            self._fault(error)

    def _wait(self) -> None:
        if len(self._buffer) > _WAITING_LIMIT and not self._held:
            self._hold(paused=True)

    def _begin(self) -> bool:
        """Read a head, if all of it is there, and start its exchange."""
        buffer = self._buffer
        end = buffer.find(END, self._scanned)
        gateway = self._gateway
        if end < 0:
            if len(buffer) > gateway.options.head_limit_bytes:
                self._refuse(buffer, HeadError("the head is too large", 431))
                return False
            if not self._scanned:
                self._since = gateway.now
            self._scanned = max(len(buffer) - 3, 1)
            return False
        end += 4
        self._scanned = 0
        head = buffer[:end]
        self._buffer = buffer[end:] if len(buffer) > end else b""
        if end > gateway.options.head_limit_bytes:
            self._refuse(head, HeadError("the head is too large", 431))
            return False
        try:
            request = gateway.heads.request(head)
            check_target(request, gateway.forwarding.base_path)
        except HeadError as error:
            self._refuse(head, error)
            return False
        self.closes = not request.keep_alive or gateway.stopping
        self._expect_body(request)
        exchange = Exchange(gateway, self, request)
        self.exchange = exchange
        try:
            exchange.start()
        except ResolveError as error:
            self.exchange = None
            self._refuse(head, HeadError(str(error), error.status))
            return False
        return True

    def _expect_body(self, request: RequestHead) -> None:
        self._reading = request.length != 0
        self._left = request.length
        self._chunks = Chunks() if request.length == CHUNKED else None
        self._body_since = self._gateway.now

    def _feed(self, exchange: Exchange) -> None:
        """Hand a part of the body to its exchange."""
        data = self._buffer
        if self._chunks is None:
            left = self._left
            if len(data) > left:
                data, self._buffer = data[:left], data[left:]
            else:
                self._buffer = b""
            self._left = left - len(data)
            self._reading = self._left > 0
            exchange.submitted([data], ended=not self._reading)
            return
        pieces: list[bytes] = []
        try:
            rest = self._chunks.feed(data, pieces)
        except HeadError as error:
            self._buffer = b""
            exchange.bad_body(error)
            return
        self._buffer = rest or b""
        self._reading = rest is None
        exchange.submitted(pieces, ended=rest is not None)

    def _refuse(self, head: bytes, error: HeadError) -> None:
        """Answer what is no request, record it, and end."""
        self._buffer = b""
        self._reading = True  # whatever it meant to send, it may still be sending it
        audit_id = self._gateway.refused(head, error, self.peer)
        if error.status == 500:
            own = answers.failure(_target(head), f"failed to create RequestInfo: {error}")
        else:
            own = answers.refusal(error.status, str(error))
        self.write(answers.render(own, ((b"Audit-Id", audit_id),) if audit_id else (), close=True))
        self._finish()

    def _hold(self, *, paused: bool) -> None:
        if paused == self._held or self._lost or self.transport.is_closing():
            return
        self._held = paused
        if paused:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def _fault(self, error: Exception) -> None:
        exchange = self.exchange
        if exchange is None:
            self._gateway.fault(error)
            self.cut()
            return
        try:
            exchange.fault(error)
        except Exception as second:  # noqa: BLE001  # because: it must not get lost in the event loop, nor the client wait
            self._gateway.fault(second)
            self.cut()

    # Deadlines: looked at once a second, which costs a request nothing

    def sweep(self, now: float) -> None:
        """End what has taken too long."""
        options = self._gateway.options
        exchange = self.exchange
        if self.transport.is_closing():
            self._sweep_closing(now)
        elif exchange is None:
            limit = options.head_timeout_s if self._scanned else options.idle_timeout_s
            if now - self._since > limit and not self._lingering:
                self._since = now
                self.transport.close()
        elif self.tunnel:
            return
        elif self._reading and exchange.takes_body and not self._held:
            elapsed = now - self._body_since
            if (
                elapsed > options.body_grace_s
                and exchange.request_bytes < (elapsed - options.body_grace_s) * _BODY_RATE
            ):
                exchange.body_stalled()
        elif exchange.asked_at and not exchange.long_running and now - exchange.asked_at > options.response_timeout_s:
            exchange.timed_out()

    def _sweep_closing(self, now: float) -> None:
        """Give up a client that is to be closed after its last answer, and takes nothing of it any more."""
        unsent = self.transport.get_write_buffer_size()
        if unsent != self._unsent:
            self._unsent, self._since = unsent, now
        elif now - self._since > self._gateway.options.idle_timeout_s:
            self.transport.abort()


def _target(head: bytes) -> bytes:
    parts = head.partition(b"\r\n")[0].split(b" ")
    return parts[1] if len(parts) > 1 else b""
