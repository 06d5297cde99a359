"""Receiver: a real HTTP/1.1 server on loopback that answers as a recorded one did, and keeps what it got."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from types import TracebackType

Items = tuple[tuple[str, str], ...]
"""(audit ID, stage) of each event of a post: what makes two posts attempts at the same batch."""

_BODY = b"not JSON: whatever stands here, only the status counts"


@dataclass(frozen=True)
class Reply:
    """How one request is answered."""

    status: int | None = 200
    """None: the connection is closed without an answer."""
    after_s: float = 0.0
    retry_after_s: int | None = None
    hangs: bool = False
    """Never answered."""


@dataclass(frozen=True)
class Got:
    """One request as it came."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes
    at: float
    """By the loop's clock."""
    client_certificate: bool = False
    items: Items = ()


def items_of(body: bytes) -> Items:
    """Name the events of a posted body; () for what is no EventList."""
    try:
        return tuple((item["auditID"], item["stage"]) for item in json.loads(body)["items"])
    except (ValueError, LookupError, TypeError):
        return ()


@dataclass
class Receiver:
    """Answers each request as `judge` says."""

    judge: Callable[[Got], Reply]
    tls: ssl.SSLContext | None = None
    listening: bool = True
    """False: it has a port at which nobody listens."""
    got: list[Got] = field(default_factory=list)
    port: int = 0
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        if not self.listening:
            self._server.close()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
        try:
            while await self._one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client is gone, or the replay is over
        finally:
            if task is not None:
                self._tasks.discard(task)
            writer.transport.abort()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Take one request and answer it; False: the connection is to be closed."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in head[1:] if line)]
        length = int(next((value for name, value in headers if name.lower() == "content-length"), "0"))
        body = await reader.readexactly(length)
        certified = bool(writer.get_extra_info("peercert"))
        now = asyncio.get_running_loop().time()
        got = Got(head[0], headers, body, now, certified, items_of(body))
        reply = self.judge(got)
        self.got.append(got)
        if reply.hangs:
            await reader.read()  # until the client gives up
            return False
        await asyncio.sleep(reply.after_s)
        if reply.status is None:
            return False
        writer.write(_answer(reply))
        await writer.drain()
        return True


def _answer(reply: Reply) -> bytes:
    body = b"" if reply.status in {101, 204, 304} else _BODY
    lines = [f"HTTP/1.1 {reply.status} Recorded"]
    if reply.retry_after_s is not None:
        lines.append(f"Retry-After: {reply.retry_after_s}")
    if reply.status is not None and 300 <= reply.status < 400:
        lines.append("Location: /elsewhere")
    if reply.status != 204:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body
