"""HTTP as the sandbox's handlers see it: a request to read, an answer or a stream to give.

Lives here: `Request` over an ASGI scope, with its body limit; `Answer` and `Stream`; and the sending of both.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from decklog.audit.attributes import resolve
from decklog.sandbox.status import ApiError, too_large

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping, Sequence

    from decklog.audit.attributes import Attributes
    from decklog.audit.event import User
    from decklog.audit.notes import Notes
    from decklog.sandbox.resources import Resource

    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

BODY_LIMIT_BYTES: Final = 3 << 20
"""kube-apiserver's limit on a request body."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. `value` is a JSON value to be rendered as the client accepts, or bytes as they are."""

    code: int
    value: Any
    resource: Resource | None = None
    """What a JSON value is of, where it may be shown as a Table."""
    content_type: str = "text/plain; charset=utf-8"
    """Of bytes."""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer without a known end: chunks as they come."""

    content_type: str
    chunks: AsyncGenerator[bytes, None]


@dataclass
class Request:
    """One request. Its user is set once it is known."""

    scope: MutableMapping[str, Any]
    receive: Receive
    user: User | None = None
    warnings: list[str] = field(default_factory=list)
    """Texts for Warning headers, in order."""

    @property
    def method(self) -> str:
        """As sent."""
        return str(self.scope["method"])

    @cached_property
    def target(self) -> bytes:
        """The request target as sent, or as ASGI lets it be put together again."""
        raw = self.scope.get("decklog.target")
        if raw is None:
            query = self.scope.get("query_string") or b""
            raw = (self.scope.get("raw_path") or self.scope["path"].encode()) + (b"?" + query if query else b"")
        return bytes(raw)

    @cached_property
    def attributes(self) -> Attributes:
        """What kube-apiserver calls RequestInfo. Raises ResolveError."""
        return resolve(self.method, self.target)

    @cached_property
    def query(self) -> dict[str, list[str]]:
        """Query parameters, decoded."""
        query = (self.scope.get("query_string") or b"").decode("latin-1")
        try:
            return parse_qs(query, keep_blank_values=True, max_num_fields=1000)
        except ValueError:
            raise ApiError(400, "BadRequest", "too many query parameters") from None

    @property
    def notes(self) -> Notes | None:
        """The request's side of the audit log, if somebody audits."""
        return self.scope.get("decklog")

    def first(self, name: str, default: str = "") -> str:
        """Read a query parameter; of several, the first."""
        return self.query.get(name, [default])[0]

    def flag(self, name: str) -> bool:
        """Read a query parameter as Kubernetes reads booleans: there and not ``false`` or ``0``."""
        return name in self.query and self.first(name).lower() not in {"false", "0"}

    def header(self, name: bytes) -> str:
        """Read a header; of several, the first."""
        return next((value.decode("latin-1") for key, value in self.scope["headers"] if key == name), "")

    async def body(self) -> bytes:
        """Read the body. Raises ApiError: 413 past the limit, 500 when the client goes before its end."""
        parts, size, more = [], 0, True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ApiError(500, "", "unexpected EOF")
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            more = message.get("more_body", False)
            if size > BODY_LIMIT_BYTES:
                raise too_large(BODY_LIMIT_BYTES)
        return b"".join(parts)


def tagged(request: Request, body: bytes, content_type: str, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """Answer a document that clients may keep: 304 while its tag is the one that they have."""
    tag = f'"{hashlib.sha256(body).hexdigest().upper()}"'
    fields = (*headers, ("etag", tag), ("vary", "Accept"))
    if request.header(b"if-none-match") == tag:
        return Answer(304, b"", headers=fields)
    return Answer(200, body, content_type=content_type, headers=fields)


async def send_whole(send: Send, code: int, content_type: str, body: bytes, headers: list[tuple[str, str]]) -> None:
    """Send an answer in one piece."""
    fields = [("content-type", content_type), ("content-length", str(len(body)))]
    if code == 304:
        # A cache lays these fields over the ones it keeps: what says nothing of the kept body must not be there.
        fields = []
    await send({"type": "http.response.start", "status": code, "headers": _encoded(fields + headers)})
    await send({"type": "http.response.body", "body": body})


async def send_stream(stream: Stream, receive: Receive, send: Send, stopping: asyncio.Event) -> None:
    """Send chunks until they end, the client goes, or the sandbox stops; then the stream is ended in good order."""
    fields = [("cache-control", "no-cache, private"), ("content-type", stream.content_type)]
    await send({"type": "http.response.start", "status": 200, "headers": _encoded(fields)})
    over = [asyncio.ensure_future(_disconnected(receive)), asyncio.ensure_future(stopping.wait())]
    try:
        while (chunk := await _next_chunk(stream, over)) is not None:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        for task in over:
            task.cancel()
        await asyncio.gather(*over, return_exceptions=True)
        await stream.chunks.aclose()


async def _next_chunk(stream: Stream, over: Sequence[asyncio.Future[Any]]) -> bytes | None:
    coming = asyncio.ensure_future(anext(stream.chunks, None))
    await asyncio.wait((coming, *over), return_when=asyncio.FIRST_COMPLETED)
    if coming.done():
        return coming.result()
    coming.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await coming
    return None


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _encoded(fields: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in fields]
