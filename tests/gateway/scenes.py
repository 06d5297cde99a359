"""What the journeys through the gateway share: requests as kubectl sends them, how they are recorded, and the stage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gateway.odd_heads import get
from gateway.running_gateway import Running, Setting, gateway_to, run
from gateway.transports import PLAIN, TLS, Transport

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.raw_client import RawClient
    from gateway.scripted_upstream import Call


POD = b"/api/v1/namespaces/shop/pods/web-0"
PODS = b"/api/v1/namespaces/shop/pods"
WATCH = get(line=b"GET " + PODS + b"?watch=1 HTTP/1.1")
GET_POD = get(line=b"GET " + POD + b" HTTP/1.1")
RECEIVED = ("RequestReceived", None)
MB = 1024 * 1024
BOTH = pytest.mark.parametrize("transport", [PLAIN, TLS], ids=["plain", "tls"])


def complete(code: int) -> list[tuple[str, int | None]]:
    """What an ordinary request is recorded as."""
    return [RECEIVED, ("ResponseComplete", code)]


PANICKED: list[tuple[str, int | None]] = [RECEIVED, ("Panic", 500)]
"""What an upstream that falls silent is recorded as: so it looks when a kube-apiserver panics."""


def lasting(code: int) -> list[tuple[str, int | None]]:
    """What a long-running request is recorded as."""
    return [RECEIVED, ("ResponseStarted", code), ("ResponseComplete", code)]


def play(
    script: Callable[[Call], Awaitable[None]],
    scene: Callable[[Running, RawClient], Awaitable[None]],
    transport: Transport = PLAIN,
    **given: Any,
) -> None:
    """Run a scene of one client against a gateway in front of an upstream with this script."""

    async def main() -> None:
        async with transport.upstream(script) as upstream:
            setting = transport.setting(Setting(**given))
            async with gateway_to(upstream, setting) as gateway, await gateway.client() as client:
                await scene(gateway, client)

    run(main())


UPGRADES = {
    "exec over SPDY": ("POST", "exec?command=ls&command=-l&container=c&stdin=true&tty=true", "SPDY/3.1", ""),
    "exec over WebSocket v5": ("GET", "exec?command=ls&stdin=true", "websocket", "v5.channel.k8s.io"),
    "exec over WebSocket v4": ("GET", "exec?command=ls&stdout=true", "websocket", "v4.channel.k8s.io"),
    "attach over SPDY": ("POST", "attach?container=c&stdin=true", "SPDY/3.1", ""),
    "port-forward over SPDY": ("POST", "portforward", "SPDY/3.1", ""),
    "port-forward over WebSocket": ("GET", "portforward?ports=80", "websocket", "v2.portforward.k8s.io"),
    "a proxied WebSocket": ("GET", "proxy/socket", "websocket", ""),
}


def upgrade(method: str, path: str, protocol: str, subprotocol: str) -> bytes:
    """Build the head with which kubectl opens a tunnel."""
    lines = [f"Connection: Upgrade\r\nUpgrade: {protocol}\r\n"]
    if protocol == "websocket":
        lines.append("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")
    else:
        lines.append("X-Stream-Protocol-Version: v4.channel.k8s.io\r\nContent-Length: 0\r\n")
    if subprotocol:
        lines.append(f"Sec-WebSocket-Protocol: {subprotocol}\r\n")
    return get("".join(lines).encode(), line=f"{method} {POD.decode()}/{path} HTTP/1.1".encode())


EXEC = upgrade(*UPGRADES["exec over SPDY"])


async def switch(call: Call, early: bytes = b"") -> None:
    """Take the upgrade; `early` goes out together with the head."""
    protocol = call.request.value(b"upgrade") or b"none"
    call.keeps = False
    await call.write(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + protocol + b"\r\n\r\n" + early
    )


async def echo(call: Call) -> None:
    """Take the upgrade and send everything back."""
    await switch(call, b"hello ")
    while data := await call.read_some():
        await call.write(data)


async def watch(call: Call) -> None:
    """Send an event for as long as one lets it."""
    await call.begin_chunked(200, b"Content-Type: application/json")
    await call.chunk(b'{"type":"ADDED"}\n')
    await call.until_ended()


async def in_chunks(call: Call) -> None:
    await call.begin_chunked()
    await call.chunk(b"one ")
    await call.chunk(b"two")
    await call.chunk(b"")
