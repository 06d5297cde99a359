"""Asking an API server: one small HTTP request with one deadline over everything, TLS included.

A connection a request: while an API server restarts, a kept connection says nothing about the next one.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from decklog import __version__
from decklog.enable.readiness import Answer, State
from decklog.http1 import Chunks, HeadError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from decklog.access import Access

DEADLINE_S: Final = 5.0
_LIMIT: Final = 64 * 1024
_PIECE: Final = 1 << 18
_DIGITS: Final = re.compile(rb"[0-9]{1,18}")
"""A number that anybody means; Python refuses to read one of thousands of digits."""
_STRANGER: Final = frozenset({401, 403})


class Reply(Struct, frozen=True):
    """What came back."""

    status: int
    """0: nothing that is HTTP."""
    body: bytes


async def ask(
    access: Access,
    method: str,
    path: str,
    headers: Mapping[str, str],
    *,
    deadline_s: float = DEADLINE_S,
    limit: int = _LIMIT,
) -> Reply:
    """Send a request without a body; read at most the first `limit` bytes of the answer. Raises OSError."""
    async with asyncio.timeout(deadline_s):
        context = access.ssl_context(own_certificate=True)
        reader, writer = await asyncio.open_connection(
            access.host, access.port, ssl=context, server_hostname=access.server_name if context else None
        )
        try:
            writer.write(_request(access, method, path, headers))
            await writer.drain()
            data = await _read(reader, limit)
        finally:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()
    return _reply(data)


def _request(access: Access, method: str, path: str, headers: Mapping[str, str]) -> bytes:
    host = f"[{access.host}]" if ":" in access.host else access.host
    lines = [
        f"{method} {access.base_path.decode()}{path} HTTP/1.1",
        f"Host: {host}:{access.port}",
        f"User-Agent: decklog/{__version__}",
        "Accept: application/json, */*",
        "Connection: close",
    ]
    given = {name.lower() for name in headers}
    lines = [line for line in lines if line.partition(":")[0].lower() not in given]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    authorization = access.authorization()
    if authorization is not None:
        lines.append(f"Authorization: {authorization.decode('latin-1')}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


async def _read(reader: asyncio.StreamReader, limit: int) -> bytes:
    """Read to the end of the connection, or to that of a body whose length is known."""
    data = bytearray()
    end = length = None
    while len(data) < limit and (piece := await reader.read(_PIECE)):
        data += piece
        if end is None and (found := data.find(b"\r\n\r\n")) >= 0:
            end, length = found + 4, _length(bytes(data[:found]))
        if end is not None and length is not None and len(data) - end >= length:
            break
    return bytes(data)


def _length(head: bytes) -> int | None:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length" and _DIGITS.fullmatch(value.strip()):
            return int(value)
    return None


def _reply(data: bytes) -> Reply:
    head, _, body = data.partition(b"\r\n\r\n")
    words = head.split(b"\r\n", 1)[0].split(b" ", 2)
    is_http = len(words) > 1 and words[0].startswith(b"HTTP/1.") and _DIGITS.fullmatch(words[1]) is not None
    status = int(words[1]) if is_http else 0
    if re.search(rb"(?im)^transfer-encoding:\s*chunked\s*$", head):
        pieces: list[bytes] = []
        with suppress(HeadError):  # cut at the limit, or broken: what came before it counts
            Chunks().feed(body, pieces)
        body = b"".join(pieces)
    return Reply(status, body)


async def readyz(access: Access) -> Answer:
    """Ask /readyz; every failure is an answer."""
    try:
        reply = await ask(access, "GET", "/readyz", {})
    except ssl.SSLCertVerificationError as error:
        return Answer(State.UNTRUSTED, f"shows a certificate that is not trusted ({error.verify_message or error})")
    except TimeoutError:
        return Answer(State.DOWN, f"does not answer within {DEADLINE_S:.0f} s")
    except ConnectionRefusedError:
        return Answer(State.DOWN, "refuses connections")
    except (OSError, ssl.SSLError) as error:
        return Answer(State.DOWN, f"cannot be reached ({error.strerror or error})")
    if reply.status == 200:
        return Answer(State.READY, "answers 200 to /readyz")
    if reply.status in _STRANGER:
        return Answer(State.STRANGER, f"answers {reply.status} to /readyz")
    if reply.status == 0:
        return Answer(State.DOWN, "closes connections without an answer")
    return Answer(State.NOT_READY, f"answers {reply.status} to /readyz{_failing(reply.body)}")


def _failing(body: bytes) -> str:
    """Name the checks that fail, as /readyz lists them: ``[-]poststarthook/… failed``."""
    failing = [line[3:].split(b" ", 1)[0].decode(errors="replace") for line in body.split(b"\n") if line[:3] == b"[-]"]
    return f" ({', '.join(failing[:3])}{' …' if len(failing) > 3 else ''})" if failing else ""
