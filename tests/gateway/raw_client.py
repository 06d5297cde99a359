"""A client for tests that sends the bytes it is told, and reads answers as RFC 9112 says, with nothing hidden."""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from gateway import strict_http
from gateway.strict_http import CRLF, MalformedError

if TYPE_CHECKING:
    import ssl
    from types import TracebackType

BODILESS = frozenset({204, 304})


@dataclass
class Answer:
    """One answer as it came."""

    code: int
    headers: list[tuple[bytes, bytes]]
    head: bytes
    """Byte for byte."""
    body: bytes = b""
    """Without the chunks' sizes."""
    chunks: list[bytes] = field(default_factory=list)
    complete: bool = False
    """False: the connection ended before the body did."""

    def values(self, name: bytes) -> list[bytes]:
        return [value for found, value in self.headers if found.lower() == name.lower()]

    def value(self, name: bytes) -> bytes | None:
        values = self.values(name)
        if len(values) > 1:
            raise MalformedError(f"{name!r} stands {len(values)} times")
        return values[0] if values else None


class RawClient:
    """One connection to the gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, port: int, tls: ssl.SSLContext | None = None, *, window: int | None = None) -> Self:
        """Connect; `window` makes the socket's receive buffer small, for a reader that is slow."""
        sock = socket.socket()
        if window is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        sock.setblocking(False)  # noqa: FBT003  # because: the socket module's own signature
        try:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        except OSError:
            sock.close()
            raise
        name = "127.0.0.1" if tls else None
        return cls(*await asyncio.open_connection(sock=sock, ssl=tls, server_hostname=name, limit=window or 65536))

    async def send(self, *chunks: bytes) -> None:
        """Send each chunk by itself."""
        for chunk in chunks:
            self.writer.write(chunk)
            await self.writer.drain()

    async def head(self) -> Answer:
        """Read one answer's head, be it 1xx or final."""
        head = await self.reader.readuntil(CRLF + CRLF)
        line, *lines = head[:-4].split(CRLF)
        version, code, _ = line.split(b" ", 2)
        if version not in {b"HTTP/1.1", b"HTTP/1.0"}:
            raise MalformedError(f"status line {line!r}")
        return Answer(int(code), [strict_http.parse_field(line) for line in lines], head)

    async def answer(self, method: str = "GET") -> Answer:
        """Read one whole answer, past any 1xx but 101, or as much as comes before the connection ends."""
        answer = await self.head()
        while answer.code < 200 and answer.code != 101:
            answer = await self.head()
        if method == "HEAD" or answer.code in BODILESS or answer.code == 101:
            answer.complete = True
            return answer
        try:
            await self._body(answer)
        except asyncio.IncompleteReadError as error:
            answer.body += error.partial
        except ConnectionError:
            pass
        return answer

    async def chunk(self) -> bytes:
        """Read one chunk of a body; b"" is the last."""
        size = strict_http.chunk_size((await self.reader.readuntil(CRLF))[:-2])
        data = await self.reader.readexactly(size + 2)
        if not data.endswith(CRLF):
            raise MalformedError("chunk without its CRLF")
        return data[:-2]

    async def _body(self, answer: Answer) -> None:
        coding, length = answer.value(b"transfer-encoding"), answer.value(b"content-length")
        if coding is not None:
            if coding.lower() != b"chunked" or length is not None:
                raise MalformedError(f"framing: coding {coding!r}, length {length!r}")
            try:
                while data := await self.chunk():
                    answer.chunks.append(data)
            finally:
                answer.body = b"".join(answer.chunks)
        elif length is not None:
            answer.body = await self.reader.readexactly(int(length))
        else:
            answer.body = await self.reader.read()
        answer.complete = True

    async def read(self, size: int) -> bytes:
        return await self.reader.readexactly(size)

    async def until_closed(self) -> bytes:
        """Read on until the gateway closes; answers what came."""
        found = bytearray()
        try:
            while data := await self.reader.read(65536):
                found += data
        except ConnectionError:
            pass
        return bytes(found)

    def half_close(self) -> None:
        self.writer.write_eof()

    def close(self) -> None:
        self.writer.close()

    def abort(self) -> None:
        """Go away with a RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.writer.transport.abort()
