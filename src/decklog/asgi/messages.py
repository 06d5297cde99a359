"""ASGI's own words: the types of its scopes and messages, what is read of a scope, and the answers that we give."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final
from urllib.parse import quote

from decklog.audit import jsontext
from decklog.audit.quoting import internal_error

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

_PATH: Final = "/$&+,:;=@"


def request_target(scope: Scope) -> bytes:
    """Give the request target as it was sent, as far as the server tells."""
    target = scope.get("decklog.target")
    if isinstance(target, bytes):
        return target
    path: bytes = scope.get("raw_path") or quote(scope["path"].encode("utf-8", "surrogateescape"), _PATH).encode()
    query: bytes = scope.get("query_string", b"")
    return path + b"?" + query if query else path


def has_certificate(scope: Scope) -> bool:
    """Whether the client has shown a certificate, as far as the server tells."""
    return bool(((scope.get("extensions") or {}).get("tls") or {}).get("client_cert_chain"))


def failing(error: Exception) -> Application:
    """Make an application that raises `error`."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive, send
        raise error

    return application


async def refuse(scope: Scope, send: Send, why: str, target: bytes, identity: str = "", code: int = 500) -> None:
    """Answer as kube-apiserver does when it cannot audit a request (500, spec §5.3), or does not take it (400)."""
    text = internal_error(jsontext.text(target), why) if code == 500 else "400 Bad Request"
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"x-content-type-options", b"nosniff")]
    if identity:
        headers.append((b"audit-id", jsontext.raw(identity)))
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1011, "reason": why[:120]})
        return
    await send({"type": "http.response.start", "status": code, "headers": headers})
    await send({"type": "http.response.body", "body": jsontext.raw(text) + b"\n"})
