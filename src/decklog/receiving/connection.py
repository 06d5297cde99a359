"""The side towards the senders: connections, each with one body at a time.

A connection reads a head, decides who sends, lets the body come into a `Body`, and answers when the receiver has stored
it. Whatever is refused is refused as early as it can be, with one line, and ends the connection: the rest of a body is
not read but for a moment, so that the answer is not lost in a reset.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from decklog import doorway
from decklog.http1 import CHUNKED, END, Chunks, HeadError
from decklog.receiving.bodies import Body
from decklog.receiving.refusals import CONTINUE, TAKEN, TAKEN_LAST, RefusedError, render

if TYPE_CHECKING:
    import ssl

    from decklog.http1 import RequestHead
    from decklog.receiving.senders import Shown
    from decklog.receiving.server import Receiver

_WAITING_LIMIT: Final = 64 * 1024
"""Bytes of a later request that wait before the sender is not read any more."""
_BODY_RATE: Final = 1024
"""Bytes a second that a body has to come with, once its grace is over."""
_TYPES: Final = frozenset({b"", b"application/json", b"text/json", b"application/vnd.api+json"})
_PLAIN: Final = frozenset({b"", b"identity"})
_GZIP: Final = frozenset({b"gzip", b"x-gzip"})

logger = logging.getLogger(__name__)


class SenderConnection(asyncio.Protocol):
    """One connection of a sender."""

    __slots__ = (
        "_body",
        "_body_since",
        "_buffer",
        "_certificate",
        "_chunks",
        "_closes",
        "_held",
        "_left",
        "_lingering",
        "_lost",
        "_receiver",
        "_scanned",
        "_sender",
        "_since",
        "_storing",
        "peer",
        "transport",
    )

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self.transport: asyncio.Transport = None  # type: ignore[assignment]  # because: set before anything else is called
        self.peer = ""
        self._certificate: Shown | None = None
        self._buffer = b""
        self._scanned = 0
        self._body: Body | None = None
        """The body that is coming in."""
        self._chunks: Chunks | None = None
        self._left = 0
        self._sender = ""
        self._storing = False
        """Whether a body is being stored: then nothing is read but what begins the next request."""
        self._closes = False
        self._held = self._lost = self._lingering = False
        self._since = self._body_since = 0.0

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless there are too many."""
        self.transport = transport  # type: ignore[assignment]  # because: TCP and TLS transports are both ways
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple) and peer:
            self.peer = str(peer[0])
        self._since = self._receiver.now
        if not self._receiver.admit(self):
            self._lost = True
            self.transport.abort()
            return
        tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        if tls is not None:
            self._certificate = self._receiver.senders.certificate(tls.getpeercert(binary_form=True))

    def connection_lost(self, exc: Exception | None) -> None:
        """End; a body that is not whole is forgotten, one that is being stored is stored."""
        del exc
        self._lost = True
        self._receiver.forget(self)
        if self._body is not None and not self._storing:
            self._drop_body()

    def eof_received(self) -> None:
        """Close: as for Go's server, a sender that sends no more has gone."""

    def data_received(self, data: bytes) -> None:
        """Take bytes."""
        if self._lingering:
            return
        if self._body is not None and not self._storing and not self._buffer:
            self._take(data)
            data = b""
        if data:
            self._buffer = self._buffer + data if self._buffer else data
        if self._buffer:
            self._advance()

    # What the receiver asks and tells

    @property
    def idle_since(self) -> float:
        """Since when it has been waiting for a request; infinite while there is one."""
        return float("inf") if self._body is not None or self._storing else self._since

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way."""
        return self._body is None and not self._storing

    def close_soon(self) -> None:
        """End with the answer to what is under way, or now."""
        self._closes = True
        if self.is_idle and not self._lost:
            self.transport.close()

    def cut(self) -> None:
        """End now."""
        if not self._lost:
            self.transport.abort()

    def stored(self) -> None:
        """Hear that all of the body is on the disk: answer, and go on."""
        self._drop_body()
        self._storing = False
        if self._lost:
            return
        last = self._closes or self._receiver.stopping
        self.transport.write(TAKEN_LAST if last else TAKEN)
        if last:
            self.transport.close()
            return
        self._since = self._receiver.now
        self._hold(paused=False)
        if self._buffer:
            # Not here: a sender of a thousand requests at once must not go a thousand frames deep.
            asyncio.get_running_loop().call_soon(self._advance)

    def refuse(self, refused: RefusedError) -> None:
        """Answer that it is not taken, and end."""
        was_whole = self._storing
        self._drop_body()
        self._storing = False
        self._receiver.refused(self._sender or self.peer, refused, admitted=bool(self._sender))
        if self._lost:
            return
        self._buffer = b""
        self._closes = True
        self.transport.write(render(refused))
        self._finish(linger=not was_whole)

    # Reading

    def _advance(self) -> None:
        """Go as far as the bytes allow."""
        try:
            while self._buffer and not (self._lost or self._lingering or (self._closes and self._body is None)):
                if self._storing:
                    if len(self._buffer) > _WAITING_LIMIT:
                        self._hold(paused=True)
                    return
                if self._body is None:
                    if not self._begin():
                        return
                else:
                    data, self._buffer = self._buffer, b""
                    self._take(data)
        except RefusedError as refused:
            self.refuse(refused)

    def _begin(self) -> bool:
        """Read a head, if all of it is there, and decide on it."""
        buffer = self._buffer
        end = buffer.find(END, self._scanned)
        limit = self._receiver.options.head_limit_bytes
        if (len(buffer) if end < 0 else end) > limit:
            raise RefusedError(431, "malformed", "the head of the request is too large")
        if end < 0:
            if not self._scanned:
                self._since = self._receiver.now
            self._scanned = max(len(buffer) - 3, 1)
            return False
        end += 4
        self._scanned = 0
        self._buffer = buffer[end:]
        try:
            head = self._receiver.heads.request(buffer[:end])
        except HeadError as error:
            raise RefusedError(error.status, "malformed", str(error)) from None
        self._decide(head)
        return True

    def _decide(self, head: RequestHead) -> None:
        """Let a body come, or refuse it. Raises RefusedError."""
        receiver = self._receiver
        fields = dict(head.headers)
        self._closes = self._closes or not head.keep_alive or receiver.stopping
        self._sender = receiver.senders.admit(self._certificate, fields.get(b"authorization")) or self.peer
        if head.method != b"POST":
            raise RefusedError(405, "method", "events are posted here: use POST")
        content_type = fields.get(b"content-type", b"").partition(b";")[0].strip().lower()
        encoding = fields.get(b"content-encoding", b"").lower()
        if content_type not in _TYPES:
            raise RefusedError(415, "content-type", "events are taken as JSON: send application/json")
        if encoding not in _PLAIN | _GZIP:
            raise RefusedError(415, "content-encoding", "bodies are taken plain or as gzip")
        limit = receiver.space.limit_bytes
        if head.length > limit:
            raise RefusedError(413, "too-large", f"the body is larger than {limit} bytes: send less at once")
        receiver.check_room()
        self._body = Body(receiver.space, gzip=encoding in _GZIP)
        self._left = head.length
        self._chunks = Chunks() if head.length == CHUNKED else None
        self._body_since = receiver.now
        if head.expects and not self._buffer:
            self.transport.write(CONTINUE)
        if not head.length:
            self._complete()

    def _take(self, data: bytes) -> None:
        """Take a part of the body; what follows it waits."""
        body = self._body
        if body is None:
            return
        try:
            if self._chunks is None:
                if len(data) > self._left:
                    data, self._buffer = data[: self._left], data[self._left :]
                self._left -= len(data)
                body.feed(data)
                is_over = not self._left
            else:
                is_over = self._take_chunks(body, self._chunks, data)
        except RefusedError as refused:
            self.refuse(refused)
        except HeadError as error:
            self.refuse(RefusedError(400, "malformed", str(error)))
        except OSError as error:
            self.refuse(self._receiver.disk_failed(error))
        else:
            if is_over:
                self._complete()

    def _take_chunks(self, body: Body, chunks: Chunks, data: bytes) -> bool:
        pieces: list[bytes] = []
        rest = chunks.feed(data, pieces)
        for piece in pieces:
            body.feed(piece)
        self._buffer = rest or b""
        return rest is not None

    def _complete(self) -> None:
        """Have the body stored."""
        body = self._body
        if body is None:
            return
        try:
            body.finish()
        except RefusedError as refused:
            self.refuse(refused)
            return
        self._storing = True
        self._receiver.store(self, body, self._sender)

    def _drop_body(self) -> None:
        body, self._body = self._body, None
        self._chunks = None
        if body is not None:
            body.close()

    def _hold(self, *, paused: bool) -> None:
        if paused == self._held or self._lost or self.transport.is_closing():
            return
        self._held = paused
        if paused:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def _finish(self, *, linger: bool) -> None:
        """Close; a sender that is still sending gets a moment to read the answer first."""
        if doorway.close(self.transport, linger=linger):
            self._lingering = True
            self._hold(paused=False)

    # Deadlines: looked at once a second, which costs a request nothing

    def sweep(self, now: float) -> None:
        """End what has taken too long."""
        options = self._receiver.options
        if self._storing or self._lingering:
            return
        body = self._body
        if body is None:
            limit = options.head_timeout_s if self._scanned else options.idle_timeout_s
            if now - self._since > limit:
                if self._scanned:
                    self._receiver.refused(self.peer, RefusedError(408, "timeout", "the head did not come in time"))
                self.transport.close()
            return
        elapsed = now - self._body_since
        owed = (elapsed - options.body_grace_s) * _BODY_RATE
        if elapsed > options.body_timeout_s or (owed > 0 and body.packed_bytes < owed):
            self.refuse(RefusedError(408, "timeout", "the body did not come in time"))
