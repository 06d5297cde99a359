"""An API server for tests: a real server on loopback that does what a script says, and keeps every byte it was sent.

The script is a function of one request: it is called with a `Call` when a head has come, reads what it wants of the
body, and writes what it wants, in whatever state. Heads and bodies are read by `strict_http`; what that refuses is kept
in `malformed`, and the connection is closed.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, Any, Self

from gateway import strict_http
from gateway.strict_http import CRLF, MalformedError, Request

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    Script = Callable[["Call"], Awaitable[None]]

KEPT = 16 * 1024 * 1024
"""Bytes that are kept of one connection; all are counted."""
LIMIT = 1024 * 1024
"""Bytes of a head at most, and of what waits to be read."""


class Connection(asyncio.StreamReaderProtocol):
    """One connection of the gateway's: what it carried, and whether it still lives."""

    def __init__(self, upstream: ScriptedUpstream) -> None:
        self.reader = asyncio.StreamReader(limit=LIMIT)
        super().__init__(self.reader, self._serve)
        self._upstream = upstream
        self.received = bytearray()
        self.total = 0
        self.requests: list[Request] = []
        self.ended = False
        """The gateway has closed its side, or the connection is lost."""
        self.client_certificate: dict[str, Any] | None = None

    def data_received(self, data: bytes) -> None:
        self.total += len(data)
        if len(self.received) < KEPT:
            self.received += data
        super().data_received(data)

    def eof_received(self) -> bool | None:
        self.ended = True
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        super().connection_lost(exc)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        self.writer = writer
        self.client_certificate = writer.get_extra_info("peercert")
        self._upstream.connections.append(self)
        if (task := asyncio.current_task()) is not None:
            self._upstream.tasks.add(task)
            task.add_done_callback(self._upstream.tasks.discard)
        writer.write(self._upstream.greeting)
        try:
            while await self._one():
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the gateway has gone, or the upstream is stopped
        except MalformedError as error:
            self._upstream.malformed.append(str(error))
        finally:
            writer.close()

    async def _one(self) -> bool:
        try:
            head = await self.reader.readuntil(CRLF + CRLF)
        except asyncio.IncompleteReadError as error:
            if error.partial:
                self._upstream.partial.append(error.partial)
            return False
        request = strict_http.parse_head(head)
        self.requests.append(request)
        self._upstream.requests.append(request)
        call = Call(self, request)
        await self._upstream.script(call)
        if call.keeps and not request.complete:
            await call.body()
        return call.keeps and not self.writer.is_closing()


class Call:
    """One request in the hands of a script."""

    def __init__(self, connection: Connection, request: Request) -> None:
        self.connection = connection
        self.request = request
        self.keeps = True
        """Whether the connection goes on after the script: until `close`, `reset` or `take_over`."""
        self._read = 0

    async def write(self, *chunks: bytes) -> None:
        for chunk in chunks:
            self.connection.writer.write(chunk)
        await self.connection.writer.drain()

    async def answer(self, code: int = 200, body: bytes = b"{}", *headers: bytes, length: bool = True) -> None:
        """Answer in one piece, HEAD without the body; `headers` are whole lines without CRLF."""
        lines = [b"HTTP/1.1 %d %s" % (code, b"Told"), *headers]
        if length:
            lines.append(b"Content-Length: %d" % len(body))
        await self.write(CRLF.join([*lines, b"", b""]) + (b"" if self.request.method == b"HEAD" else body))

    async def begin_chunked(self, code: int = 200, *headers: bytes) -> None:
        """Answer with a head after which `chunk` may follow."""
        await self.write(CRLF.join([b"HTTP/1.1 %d Told" % code, *headers, b"Transfer-Encoding: chunked", b"", b""]))

    async def chunk(self, data: bytes) -> None:
        """Write one chunk; the empty one is the last."""
        await self.write(b"%x\r\n" % len(data) + data + CRLF)

    async def body(self) -> bytes:
        """Read the request's body to its end."""
        request = self.request
        if not request.complete:
            if request.chunked:
                await self._chunks()
            else:
                request.body += await self.connection.reader.readexactly(request.length - len(request.body))
            request.complete = True
        return request.body

    async def _chunks(self) -> None:
        reader = self.connection.reader
        while size := strict_http.chunk_size((await reader.readuntil(CRLF))[:-2]):
            self.request.body += await reader.readexactly(size)
            if await reader.readexactly(2) != CRLF:
                raise MalformedError("chunk without its CRLF")
        while line := (await reader.readuntil(CRLF))[:-2]:
            self.request.trailers.append(strict_http.parse_trailer(line))

    async def read(self, size: int) -> bytes:
        """Read exactly so many raw bytes that come after the head, of body or tunnel."""
        return await self.connection.reader.readexactly(size)

    async def read_some(self, size: int = 65536) -> bytes:
        return await self.connection.reader.read(size)

    async def until_ended(self) -> bytes:
        """Read on until the gateway closes; answers what came."""
        self.keeps = False
        try:
            return await self.connection.reader.read()
        except OSError:
            return b""

    def close(self) -> None:
        self.keeps = False
        self.connection.writer.close()

    def reset(self) -> None:
        """Close so that the gateway gets RST, as from a machine that went away."""
        self.keeps = False
        sock = self.connection.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.writer.transport.abort()


async def ok(call: Call) -> None:
    """Read the whole body, then answer 200 with an empty object."""
    await call.body()
    await call.answer()


class ScriptedUpstream:
    """The server: `script` may be changed between requests."""

    def __init__(self, script: Script = ok, tls: ssl.SSLContext | None = None) -> None:
        self.script = script
        self.tls = tls
        self.greeting = b""
        """What it says on every connection before it is asked anything."""
        self.port = 0
        self.connections: list[Connection] = []
        self.requests: list[Request] = []
        """Those whose head has come, of all connections."""
        self.malformed: list[str] = []
        """Why a connection was given up."""
        self.partial: list[bytes] = []
        """Heads that never ended."""
        self.tasks: set[asyncio.Task[Any]] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def total(self) -> int:
        """Bytes that came, on all connections."""
        return sum(connection.total for connection in self.connections)

    @property
    def complete(self) -> list[Request]:
        return [request for request in self.requests if request.complete]

    async def start(self) -> None:
        """Listen, on the port it had before if there was one."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), "127.0.0.1", self.port, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        """Refuse new connections, and cut those that live."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in list(self.tasks):
            task.cancel()
        for connection in self.connections:
            connection.writer.transport.abort()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        await asyncio.gather(*self.tasks, return_exceptions=True)
