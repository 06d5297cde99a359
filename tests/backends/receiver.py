"""A receiver for tests: a real HTTP/1.1 server on loopback that answers as it is told and keeps what it got."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from types import TracebackType


@dataclass(frozen=True)
class Got:
    """One request as it came."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes
    at: float
    """By the loop's clock."""

    @property
    def items(self) -> list[dict[str, Any]]:
        """The events of its EventList."""
        found: list[dict[str, Any]] = json.loads(self.body)["items"]
        return found


@dataclass(frozen=True)
class Say:
    """One answer."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b"{}"
    after_s: float = 0.0
    close: bool = False
    """Close the connection without an answer."""
    reset: bool = False
    """Reset the connection: after the answer's first bytes if `raw` holds some, else without any."""
    hang: bool = False
    """Never answer; with `raw`, never go on after it."""
    raw: bytes = b""
    """Bytes in place of an answer."""
    byte_every_s: float = 0.0
    """Send the body byte by byte, one at a time."""


@dataclass
class Receiver:
    """Answers each request by `script`, the last entry again and again; `judge` may decide by the request instead."""

    script: list[Say] = field(default_factory=lambda: [Say()])
    tls: ssl.SSLContext | None = None
    judge: Callable[[Got], Say] | None = None
    got: list[Got] = field(default_factory=list)
    port: int = 0
    connections: int = 0
    """How many there have been."""
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen, on the port it had before if there was one."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Be gone: connections are reset, new ones refused."""
        if self._server is not None:
            self._server.close()
            for writer in list(self._writers):
                writer.transport.abort()
            self._server = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}/audit"

    @property
    def ids(self) -> list[str]:
        """The audit IDs of all events that were taken, in order."""
        return [item["auditID"] for got in self.taken for item in got.items]

    @property
    def taken(self) -> list[Got]:
        """The requests that were answered with success."""
        return [got for got, said in zip(self.got, self._said, strict=False) if said.status == 200 and not said.close]

    def __post_init__(self) -> None:
        self._said: list[Say] = []

    async def until(self, condition: Callable[[], bool], limit_s: float = 10.0) -> None:
        """Wait until `condition` holds; AssertionError past the limit."""
        async with asyncio.timeout(limit_s):
            while not condition():
                await asyncio.sleep(0)  # other tasks run; nothing is waited for but the condition

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self.connections += 1
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in head[1:] if line)]
        length = int(next((value for name, value in headers if name.lower() == "content-length"), "0"))
        got = Got(head[0], headers, await reader.readexactly(length), asyncio.get_running_loop().time())
        said = self.judge(got) if self.judge is not None else self.script[min(len(self.got), len(self.script) - 1)]
        self.got.append(got)
        self._said.append(said)
        if said.after_s:
            await asyncio.sleep(said.after_s)
        if said.raw:
            writer.write(said.raw)
            await writer.drain()
        if said.hang:
            await asyncio.Event().wait()
        if said.reset:
            _reset(writer)
        if said.close or said.reset or said.raw:
            return False
        lines = [f"HTTP/1.1 {said.status} X", *(f"{name}: {value}" for name, value in said.headers)]
        lines.append(f"Content-Length: {len(said.body)}")
        writer.write("\r\n".join([*lines, "", ""]).encode())
        await _write(writer, said)
        return True


async def _write(writer: asyncio.StreamWriter, said: Say) -> None:
    step = 1 if said.byte_every_s else max(len(said.body), 1)
    for begin in range(0, len(said.body), step):
        writer.write(said.body[begin : begin + step])
        await writer.drain()
        if said.byte_every_s:
            await asyncio.sleep(said.byte_every_s)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close so that the peer gets RST, as from a machine that does not know the connection any more."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
