"""The server behind the proxies, in a process of its own: canned answers, chosen by the path.

| path | answer |
|---|---|
| /api/v1/namespaces/big/configmaps | 5 MB, with Content-Length |
| /api/v1/namespaces/chunks/configmaps?watch=true | 10,000 chunks of 230 B, each written in its own turn of the loop |
| …?watch=true | one chunk, then silence |
| else | a ConfigMap of 1 KB |

The port stands on the first line of standard output. It ends with its standard input.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

import uvloop

from benchmarks.gateway.ground import HOST
from decklog import certificates

if TYPE_CHECKING:
    import ssl

BIG_BYTES = 5_000_000
CHUNKS = 10_000
END = b'"end":"of the answer"}'
"""What every answer ends with, before the last chunk where there are chunks."""
LAST_CHUNK = b"0\r\n\r\n"

_FRONT = (
    b"HTTP/1.1 200 OK\r\nAudit-Id: 3ac7b1c5-3d33-4e3f-9ea8-d4d0f4a3b8f7\r\nCache-Control: no-cache, private\r\n"
    b"Content-Type: application/json\r\nX-Kubernetes-Pf-Flowschema-Uid: 2e7c1e0d-0f8b-4f6b-8a53-0ee3ad4d2c09\r\n"
    b"X-Kubernetes-Pf-Prioritylevel-Uid: d4d0f4a3-3ac7-4e3f-9ea8-b1c53d33b8f7\r\n"
    b"Date: Tue, 24 Nov 2026 12:00:00 GMT\r\n"
)


def _filled(size: int) -> bytes:
    front = b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"settings","resourceVersion":"1"},"data":{"x":"'
    middle = b'"},'
    return front + b"x" * (size - len(front) - len(middle) - len(END)) + middle + END


def _sized(body: bytes) -> bytes:
    return _FRONT + b"Content-Length: %d\r\n\r\n" % len(body) + body


def _chunk(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(body), body)


_SMALL = _sized(_filled(1024))
_BIG = _sized(_filled(BIG_BYTES))
_CHUNK = _chunk(_filled(230))
_CHUNKED_HEAD = _FRONT + b"Transfer-Encoding: chunked\r\n\r\n"


class _Canned(asyncio.Protocol):
    _transport: asyncio.Transport
    _rest = b""
    _left = 0
    _paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._loop = asyncio.get_running_loop()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # because: asyncio's signature
        self._left = 0

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._left:
            self._loop.call_soon(self._next_chunk)

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        while (end := data.find(b"\r\n\r\n")) >= 0:
            self._answer(data[: data.index(b"\r\n")])
            data = data[end + 4 :]
        self._rest = data

    def _answer(self, line: bytes) -> None:
        if b"?watch=true" in line:
            self._transport.write(_CHUNKED_HEAD + _CHUNK)
            if b"/chunks/" in line:
                self._left = CHUNKS - 1
                self._loop.call_soon(self._next_chunk)
        else:
            self._transport.write(_BIG if b"/big/" in line else _SMALL)

    def _next_chunk(self) -> None:
        if self._left and not self._paused:
            self._left -= 1
            self._transport.write(_CHUNK if self._left else _CHUNK + LAST_CHUNK)
            self._loop.call_soon(self._next_chunk)


async def _serve(tls: ssl.SSLContext | None) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Canned, HOST, 0, ssl=tls, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), lambda: None if os.read(sys.stdin.fileno(), 1) else ended.set())
    await ended.wait()


def main(folder: str = "") -> None:
    """Serve until standard input ends: over TLS with the certificates in `folder`, plain without."""
    tls = None
    if folder:
        pair = certificates.read(Path(folder, "server.crt"), Path(folder, "server.key"))
        tls = certificates.server_context(pair, Path(folder, "ca.crt").read_bytes())
    uvloop.run(_serve(tls))


if __name__ == "__main__":
    main(*sys.argv[1:])
