"""A server that answers reviews, and what a test needs to ask it: on loopback, and it keeps what it is asked."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from decklog.http1 import Heads

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Iterator

    from decklog.http1 import RequestHead

DEADLINE_S = 10.0


@dataclass
class Asked:
    """One question as it came."""

    path: str
    authorization: str | None
    document: dict[str, Any]


Answer = tuple[int, Any]
"""A code, and the body: bytes as they are, anything else as JSON."""


@dataclass
class Reviewer:
    """Answers what `answer` says; `hold` makes it wait before it does."""

    answer: Callable[[Asked], Answer]
    asked: list[Asked] = field(default_factory=list)
    hold: asyncio.Event | None = None
    close_after: int = 0
    """Answers after which a connection is closed without a word; 0: never."""
    connections: int = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        answered = 0
        try:
            while not self.close_after or answered < self.close_after:
                await self._one(reader, writer)
                answered += 1
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the gateway has closed
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        body = await reader.readexactly(int(headers["content-length"]))
        asked = Asked(first.split(" ")[1], headers.get("authorization"), json.loads(body))
        self.asked.append(asked)
        if self.hold is not None:
            await self.hold.wait()
        code, answer = self.answer(asked)
        written = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (code, len(written), written))
        await writer.drain()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Way]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield Way(server.sockets[0].getsockname()[1])
        finally:
            server.close()
            if self.hold is not None:
                self.hold.set()


@dataclass
class Way:
    """How a test reaches its upstream."""

    port: int
    token: bytes | None = None
    tls_context: ssl.SSLContext | None = None
    own_tls_context: ssl.SSLContext | None = None
    host: str = "127.0.0.1"
    base_path: bytes = b""
    refused: int = 0

    @property
    def tls(self) -> bool:
        return self.tls_context is not None

    @property
    def server_name(self) -> str:
        return self.host

    @property
    def has_certificate(self) -> bool:
        return self.own_tls_context is not None

    def ssl_context(self, *, own_certificate: bool) -> ssl.SSLContext | None:
        return self.own_tls_context if own_certificate and self.own_tls_context else self.tls_context

    def authorization(self) -> bytes | None:
        return self.token

    def expired(self) -> None:
        self.refused += 1


def head(*lines: bytes) -> RequestHead:
    """Read the head of a request with these header lines."""
    return Heads().request(b"\r\n".join([b"GET /api HTTP/1.1", b"Host: x", *lines, b"", b""]))


def websocket(*lines: bytes) -> RequestHead:
    """The same, for one that wants to go on as a WebSocket."""
    return head(b"Connection: Upgrade", b"Upgrade: WebSocket", *lines)


async def until(holds: Callable[[], bool]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(DEADLINE_S):
        while not holds():
            await asyncio.sleep(0)


def counter(*answers: Any) -> Iterator[Any]:
    """Give the answers in turn, then the last for ever."""
    yield from answers
    while True:
        yield answers[-1]
