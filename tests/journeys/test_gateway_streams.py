"""What flows through the gateway: tunnels, watches, bodies, and what happens when either end goes away."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import json
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from decklog.audit.event import Stage
from decklog.audit.sink import DeliveryError
from decklog.gateway.options import GatewayOptions
from decklog.testing import MemoryBackend
from gateway.odd_heads import get, post
from gateway.running_gateway import WHOLE, Running, Setting, gateway_to, run, until
from gateway.scripted_upstream import Call, ScriptedUpstream, ok
from gateway.transports import PLAIN, TLS, Transport

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from decklog.audit.event import Event
    from gateway.raw_client import RawClient

pytestmark = pytest.mark.journey

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


# Tunnels

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


@BOTH
@pytest.mark.parametrize("asked", UPGRADES.values(), ids=UPGRADES)
def test_tunnel_carries_bytes_both_ways(asked: tuple[str, str, str, str], transport: Transport) -> None:
    """Bytes sent with the request's head, with the 101, and later all arrive unchanged; start and end are recorded."""
    sent = random.Random(4).randbytes(MB)

    async def scene(gateway: Running, client: RawClient) -> None:
        await client.send(upgrade(*asked) + b"early")
        head = await client.head()
        assert (head.code, head.value(b"upgrade")) == (101, asked[2].encode())
        assert head.value(b"content-length") is head.value(b"transfer-encoding") is None
        assert await client.read(11) == b"hello early"
        assert gateway.told == lasting(101)[:2]
        sending = asyncio.ensure_future(client.send(sent))
        assert await client.read(len(sent)) == sent
        await sending
        client.close()
        assert await gateway.until_told(3) == lasting(101)
        (request,) = gateway.upstream.requests
        assert (request.value(b"upgrade"), request.value(b"connection")) == (asked[2].encode(), b"Upgrade")
        assert request.value(b"sec-websocket-protocol") == (asked[3].encode() or None)

    play(echo, scene, transport)


@BOTH
def test_tunnel_that_the_upstream_ends_is_ended(transport: Transport) -> None:
    """What the upstream wrote last arrives, then the client is closed, and the end is recorded."""

    async def script(call: Call) -> None:
        await switch(call, b"bye")

    async def scene(gateway: Running, client: RawClient) -> None:
        await client.send(EXEC)
        assert (await client.head()).code == 101
        assert await client.until_closed() == b"bye"
        assert await gateway.until_told(3) == lasting(101)

    play(script, scene, transport)


@BOTH
@pytest.mark.parametrize("how", ["close", "abort"])
def test_client_gone_from_a_tunnel(how: str, transport: Transport) -> None:
    """The upstream is closed, and the end is recorded with the code of the start."""

    async def scene(gateway: Running, client: RawClient) -> None:
        await client.send(EXEC)
        assert (await client.head()).code == 101
        getattr(client, how)()
        await until(lambda: gateway.upstream.connections[0].ended)
        assert await gateway.until_told(3) == lasting(101)

    play(echo, scene, transport)


DENIALS = {
    "403 with a Status": (403, b'{"kind":"Status","apiVersion":"v1","status":"Failure","code":403}', True, 403),
    "400": (400, b"no", True, 400),
    "200": (200, b"{}", True, 200),
    "500 without a body": (500, b"", True, 500),
    "400 of a kubelet, which knows no audit ID": (400, b"no", False, 101),
}


@pytest.mark.parametrize(("code", "body", "own", "recorded"), DENIALS.values(), ids=DENIALS)
def test_denied_upgrade_opens_no_tunnel(code: int, body: bytes, own: bool, recorded: int) -> None:
    """The answer is relayed; what the client sends after it reaches nobody, and both connections are closed.

    An API server that has hijacked the connection for a kubelet records 101, whatever the kubelet then says.
    """

    async def script(call: Call) -> None:
        identity = (b"Audit-Id: " + (call.request.value(b"audit-id") or b""),) if own else ()
        await call.answer(code, body, *identity)
        call.tail = await call.until_ended()  # type: ignore[attr-defined]  # because: looked at below
        calls.append(call)

    calls: list[Any] = []

    async def scene(gateway: Running, client: RawClient) -> None:
        await client.send(EXEC + b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = await client.answer()
        assert (answer.code, answer.body, answer.complete) == (code, body, True)
        assert await client.until_closed() == b""
        await until(lambda: calls)
        assert b"smuggled" not in gateway.upstream.connections[0].received
        assert await gateway.until_told(3) == lasting(recorded)

    play(script, scene)


def test_switching_protocols_that_nobody_asked_for() -> None:
    """An upstream that answers 101 without being asked is given up: 502, closed, and no byte of it passes."""

    async def script(call: Call) -> None:
        await switch(call, b"GET /smuggled HTTP/1.1\r\n\r\n")

    async def scene(gateway: Running, client: RawClient) -> None:
        await client.send(GET_POD)
        answer = await client.answer()
        assert (answer.code, json.loads(answer.body)["kind"], b"smuggled" in answer.body) == (502, "Status", False)
        await until(lambda: gateway.upstream.connections[0].ended)
        assert await gateway.until_told(2) == PANICKED

    play(script, scene)


EXEC_ANNOTATIONS = {
    "decklog/exec-command": '["ls", "-l"]',
    "decklog/exec-container": "c",
    "decklog/exec-stdin": "true",
    "decklog/exec-tty": "true",
}


@pytest.mark.parametrize("on", [True, False])
def test_what_a_tunnel_runs_is_annotated(on: bool) -> None:
    """Command, container, stdin and tty of an exec stand in its events; with the option off, nothing of ours does."""

    async def scene(gateway: Running, client: RawClient) -> None:
        await client.send(EXEC)
        assert (await client.head()).code == 101
        client.close()
        await gateway.until_told(3)
        assert gateway.events[-1].annotations == (EXEC_ANNOTATIONS if on else {})

    play(echo, scene, options=replace(GatewayOptions(), exec_annotations=on))


# Watches


async def watch(call: Call) -> None:
    """Send an event for as long as one lets it."""
    await call.begin_chunked(200, b"Content-Type: application/json")
    await call.chunk(b'{"type":"ADDED"}\n')
    await call.until_ended()


@BOTH
def test_watch_streams_at_once(transport: Transport) -> None:
    """Each chunk arrives before the next is sent, and ResponseStarted is recorded before the first."""
    go_on = asyncio.Event()

    async def script(call: Call) -> None:
        await call.begin_chunked()
        for number in range(5):
            await call.chunk(b"%d\n" % number)
            await go_on.wait()
            go_on.clear()
        await call.chunk(b"")

    async def scene(gateway: Running, client: RawClient) -> None:
        await client.send(WATCH)
        assert (await client.head()).code == 200
        assert gateway.told == lasting(200)[:2]
        for number in range(5):
            assert await client.chunk() == b"%d\n" % number
            go_on.set()
        assert await client.chunk() == b""
        assert await gateway.until_told(3) == lasting(200)

    play(script, scene, transport)


@BOTH
@pytest.mark.parametrize("how", ["close", "abort"])
def test_client_gone_mid_watch(how: str, transport: Transport) -> None:
    """The upstream's connection is closed, and the watch is complete with its code."""

    async def scene(gateway: Running, client: RawClient) -> None:
        await client.send(WATCH)
        await client.head()
        await client.chunk()
        getattr(client, how)()
        await until(lambda: gateway.upstream.connections[0].ended)
        assert await gateway.until_told(3) == lasting(200)

    play(watch, scene, transport)


@BOTH
def test_client_gone_before_the_answer(transport: Transport) -> None:
    """The upstream is closed; the request is complete in kube-apiserver's words for it."""

    async def script(call: Call) -> None:
        await call.until_ended()

    async def scene(gateway: Running, client: RawClient) -> None:
        await client.send(GET_POD)
        await until(lambda: gateway.upstream.requests)
        client.close()
        await until(lambda: gateway.upstream.connections[0].ended)
        assert await gateway.until_told(2) == complete(200)
        status = gateway.events[-1].response_status
        assert status is not None
        assert (status.status, status.message) == ("Success", "Connection closed early")

    play(script, scene, transport)


def test_client_gone_while_it_sends_a_body() -> None:
    """The upstream never sees a whole request, its connection is closed, and the request is complete."""

    async def scene(gateway: Running, client: RawClient) -> None:
        await client.send(post(b"Content-Length: 100000\r\n", body=b"x" * 50_000))
        await until(lambda: gateway.upstream.connections and gateway.upstream.connections[0].total > 50_000)
        client.abort()
        await until(lambda: gateway.upstream.connections[0].ended)
        assert gateway.upstream.complete == []
        assert [stage for stage, _ in await gateway.until_told(2)] == ["RequestReceived", "ResponseComplete"]

    play(ok, scene)


# The upstream in trouble


async def close_unanswered(call: Call) -> None:
    call.close()


async def reset_unanswered(call: Call) -> None:
    call.reset()


LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"
CHUNK = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhalf"
CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"


async def break_chunks(call: Call) -> None:
    await call.write(b"nonsense\r\n")
    await call.until_ended()


DEATHS = {
    "in a body with a length": (LENGTH, close_unanswered),
    "in a chunk": (CHUNK, close_unanswered),
    "between chunks": (CHUNKS, close_unanswered),
    "by a reset": (LENGTH, reset_unanswered),
    "by a reset between chunks": (CHUNKS, reset_unanswered),
    "by chunks that are none": (CHUNKS, break_chunks),
}


@BOTH
@pytest.mark.parametrize(("begins", "ends"), DEATHS.values(), ids=DEATHS)
@pytest.mark.parametrize("sent", [GET_POD, WATCH], ids=["get", "watch"])
def test_upstream_that_dies_mid_body_truncates(
    begins: bytes, ends: Callable[[Call], Awaitable[None]], sent: bytes, transport: Transport
) -> None:
    """The client can see that the body is not whole, and is closed; the request is recorded to its end, once."""
    go_on = asyncio.Event()

    async def script(call: Call) -> None:
        await call.write(begins)
        await go_on.wait()
        await ends(call)

    async def scene(gateway: Running, client: RawClient) -> None:
        await client.send(sent)
        assert (await client.head()).code == 200
        assert (await client.read(4))[:2] in {b"ha", b"64", b"4\r"}
        go_on.set()
        assert not (await client.until_closed()).endswith(b"0\r\n\r\n")
        expected = lasting(200) if sent is WATCH else complete(200)
        assert await gateway.until_told(len(expected)) == expected

    play(script, scene, transport)


async def half_head(call: Call) -> None:
    await call.write(b"HTTP/1.1 200 OK\r\nContent-Le")
    call.close()


async def nonsense(call: Call) -> None:
    await call.write(b"220 smtp ready\r\n\r\n")


async def two_lengths(call: Call) -> None:
    await call.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef")


async def split_head(call: Call) -> None:
    await call.write(b"HTTP/1.1 200 OK\r\nX: a\nContent-Length: 5\r\n\r\nabcde")


async def huge_head(call: Call) -> None:
    await call.write(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 2 * MB)
    await call.until_ended()


NO_ANSWERS = {
    "closes": close_unanswered,
    "resets": reset_unanswered,
    "closes in the head": half_head,
    "says what is no HTTP": nonsense,
    "says two lengths": two_lengths,
    "says a bare LF": split_head,
    "says a head without end": huge_head,
}


@pytest.mark.parametrize("script", NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_upstream_without_an_answer_is_a_bad_gateway(script: Callable[[Call], Awaitable[None]]) -> None:
    """The client gets 502 and a Status, the request is not sent again, and the upstream's connection is closed."""

    async def scene(gateway: Running, client: RawClient) -> None:
        await client.send(GET_POD)
        answer = await client.answer()
        assert (answer.code, answer.complete) == (502, True)
        _check_status(answer.body, 502)
        assert len(gateway.upstream.requests) == 1
        await until(lambda: gateway.upstream.connections[0].ended)
        assert await gateway.until_told(2) == PANICKED

    play(script, scene)


def _check_status(body: bytes, code: int) -> None:
    document = json.loads(body)
    assert (document["kind"], document["apiVersion"], document["status"]) == ("Status", "v1", "Failure")
    assert document["code"] == code


@BOTH
def test_upstream_that_is_down(transport: Transport) -> None:
    """502 and a Status for each request on one connection of the client's, until the upstream is there again."""

    async def scene(gateway: Running, client: RawClient) -> None:
        gateway.upstream.stop()
        for count in (1, 2):
            await client.send(GET_POD)
            answer = await client.answer()
            assert answer.code == 502
            _check_status(answer.body, 502)
            assert await gateway.until_told(2 * count) == complete(502) * count
        await gateway.upstream.start()
        await client.send(GET_POD)
        assert (await client.answer()).code == 200

    play(ok, scene, transport)


def test_upstream_that_speaks_no_tls() -> None:
    """A handshake that fails is 502 and a Status, recorded."""

    async def main() -> None:
        async with ScriptedUpstream() as upstream:
            upstream.greeting = b"220 smtp ready\r\n"
            setting = Setting(upstream_tls=TLS.setting(Setting()).upstream_tls)
            async with gateway_to(upstream, setting) as gateway, await gateway.client() as client:
                await client.send(GET_POD)
                answer = await client.answer()
                assert answer.code == 502
                _check_status(answer.body, 502)
                assert await gateway.until_told(2) == complete(502)

    run(main())


def test_upstream_that_is_too_slow() -> None:
    """504 and a Status past the time for an answer, the upstream is closed; a watch may wait as long as it wants."""
    calls: dict[bytes, Call] = {}

    async def script(call: Call) -> None:
        calls[call.request.target] = call
        if b"watch" in call.request.target:
            await go_on.wait()
            await call.answer(200, b"late")
        else:
            await call.until_ended()

    go_on = asyncio.Event()

    async def scene(gateway: Running, client: RawClient) -> None:
        async with await gateway.client() as watcher:
            await watcher.send(WATCH)
            await until(lambda: len(calls) == 1)
            await client.send(GET_POD)
            answer = await client.answer()
            assert answer.code == 504
            _check_status(answer.body, 504)
            await until(lambda: calls[POD].connection.ended)
            assert (await gateway.until_told(3))[-1] == ("ResponseComplete", 504)
            go_on.set()
            late = await watcher.answer()
            assert (late.code, late.body) == (200, b"late")

    play(script, scene, options=replace(GatewayOptions(), response_timeout_s=0.2))


# Connections that are kept


def test_connections_are_kept_and_used_again() -> None:
    """Requests one after the other share one connection to the upstream, also from different clients."""

    async def scene(gateway: Running, client: RawClient) -> None:
        for _ in range(3):
            await client.send(GET_POD)
            assert (await client.answer()).code == 200
        async with await gateway.client() as other:
            await other.send(GET_POD)
            assert (await other.answer()).code == 200
        assert len(gateway.upstream.connections) == 1

    play(ok, scene)


async def first_only(call: Call) -> None:
    """Answer the first request of a connection; close at the second without a word."""
    await call.body()
    if len(call.connection.requests) > 1:
        call.close()
        return
    await call.answer()


PATCH = b"PATCH " + POD + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
RETRIES = {
    "GET": (GET_POD, True),
    "HEAD": (get(line=b"HEAD " + POD + b" HTTP/1.1"), True),
    "POST with a length": (post(b"Content-Length: 5\r\n", body=b"abcde"), False),
    "POST in chunks": (post(b"Transfer-Encoding: chunked\r\n", body=b"5\r\nabcde\r\n0\r\n\r\n"), False),
    "PATCH": (PATCH, False),
}


@pytest.mark.parametrize(("sent", "again"), RETRIES.values(), ids=RETRIES)
def test_stale_connection_is_tried_once_more_when_safe(sent: bytes, again: bool) -> None:
    """A request without a body is sent again, once, on a new connection; one with a body may have been done: 502."""

    async def scene(gateway: Running, client: RawClient) -> None:
        await client.send(GET_POD)
        assert (await client.answer()).code == 200
        await client.send(sent)
        answer = await client.answer(sent.split(b" ")[0].decode())
        assert answer.code == (200 if again else 502)
        seen = gateway.upstream.requests[1:]
        assert len(seen) == (2 if again else 1)
        assert len({request.value(b"audit-id") for request in seen}) == 1
        assert (await gateway.until_told(4))[2:] == (complete(200) if again else PANICKED)

    play(first_only, scene)


def test_stale_connection_is_not_tried_a_third_time() -> None:
    """An upstream that always closes gets a request twice at most."""

    async def script(call: Call) -> None:
        if len(gone) == 0:
            gone.append(call)
            await call.answer()
        else:
            call.close()

    gone: list[Call] = []

    async def scene(gateway: Running, client: RawClient) -> None:
        await client.send(GET_POD)
        assert (await client.answer()).code == 200
        await client.send(GET_POD)
        assert (await client.answer()).code == 502
        assert len(gateway.upstream.requests) == 3
        assert (await gateway.until_told(4))[2:] == PANICKED

    play(script, scene)


def test_idle_connections_that_the_upstream_closes() -> None:
    """Between requests the upstream may close: the next one, with a body or not, gets a new connection."""

    async def scene(gateway: Running, client: RawClient) -> None:
        for sent in (GET_POD, post(b"Content-Length: 5\r\n", body=b"abcde"), GET_POD):
            await client.send(sent)
            assert (await client.answer()).code == 200
            gateway.upstream.connections[-1].writer.close()
            await until(lambda: gateway.upstream.connections[-1].ended)
        assert [len(connection.requests) for connection in gateway.upstream.connections] == [1, 1, 1]

    play(ok, scene)


def test_upstream_that_says_more_than_its_answer_is_not_used_again() -> None:
    """Bytes behind an answer poison the connection: no later client ever reads them."""

    async def script(call: Call) -> None:
        await call.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        if len(call.connection.requests) + len(gone) == 1:
            gone.append(call)
            await released.wait()
            await call.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")

    released = asyncio.Event()
    gone: list[Call] = []

    async def scene(gateway: Running, client: RawClient) -> None:
        await client.send(GET_POD)
        assert (await client.answer()).body == b"{}"
        released.set()
        await until(lambda: gateway.upstream.connections[0].ended)
        await client.send(GET_POD)
        assert (await client.answer()).body == b"{}"
        assert len(gateway.upstream.connections) == 2

    play(script, scene)


# Answers without bodies, and many on one connection

BODILESS = {
    "HEAD with a length": (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", 200),
    "HEAD in chunks": (b"HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200),
    "HEAD of 404": (b"HEAD", b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n", 404),
    "204": (b"DELETE", b"HTTP/1.1 204 No Content\r\n\r\n", 204),
    "304": (b"GET", b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n", 304),
    "304 with a length": (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n", 304),
    "length 0": (b"GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200),
}


@pytest.mark.parametrize(("method", "said", "code"), BODILESS.values(), ids=BODILESS)
def test_answer_without_a_body(method: bytes, said: bytes, code: int) -> None:
    """Its end is seen at once, and both connections serve the next request."""

    async def script(call: Call) -> None:
        await (call.write(said) if len(call.connection.requests) == 1 else call.answer())

    async def scene(gateway: Running, client: RawClient) -> None:
        await client.send(get(line=method + b" " + POD + b" HTTP/1.1") + GET_POD)
        answer = await client.answer(method.decode())
        assert (answer.code, answer.complete) == (code, True)
        assert answer.value(b"content-length") == (b"100" if b"100" in said else answer.value(b"content-length"))
        assert (await client.answer()).body == b"{}"
        assert len(gateway.upstream.connections) == 1
        assert await gateway.until_told(4) == complete(code) + complete(200)

    play(script, scene)


def test_pipelined_requests_are_answered_in_order() -> None:
    """Twenty requests in one segment, some with bodies: the answers come in their order, each event pair whole."""
    sent = [
        get(line=b"GET /version?n=%d HTTP/1.1" % n)
        if n % 3
        else b"POST /version?n=%d HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcde" % n
        for n in range(20)
    ]

    async def script(call: Call) -> None:
        await call.body()
        await call.answer(200, call.request.target)

    async def scene(gateway: Running, client: RawClient) -> None:
        await client.send(b"".join(sent))
        assert [(await client.answer()).body for _ in sent] == [b"/version?n=%d" % n for n in range(20)]
        assert await gateway.until_told(40) == complete(200) * 20
        uris = [event.request_uri for event in gateway.events if event.stage is Stage.RESPONSE_COMPLETE]
        assert uris == [f"/version?n={n}" for n in range(20)]

    play(script, scene)


def test_answer_that_comes_before_the_body() -> None:
    """An upstream that answers early is heard; the rest of the body is never taken for a request."""

    async def script(call: Call) -> None:
        await call.answer(413, b"{}", b"Connection: close")
        call.close()

    async def scene(gateway: Running, client: RawClient) -> None:
        await client.send(post(b"Content-Length: 100\r\n"))
        assert (await client.answer()).code == 413
        client.writer.write(b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n".ljust(100, b" "))
        await client.until_closed()
        assert len(gateway.upstream.requests) == 1
        assert await gateway.until_told(2) == complete(413)

    play(script, scene)


# 100-continue


@BOTH
def test_continue_goes_end_to_end(transport: Transport) -> None:
    """The 100 is the upstream's: the client gets it only after the upstream has said so, then sends its body."""

    async def script(call: Call) -> None:
        assert call.request.value(b"expect") == b"100-continue"
        await call.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await call.answer(201, await call.body())

    async def scene(gateway: Running, client: RawClient) -> None:
        await client.send(post(b"Expect: 100-continue\r\n", b"Content-Length: 5\r\n"))
        assert (await client.head()).code == 100
        assert gateway.told == [RECEIVED]
        await client.send(b"abcde")
        answer = await client.answer()
        assert (answer.code, answer.body) == (201, b"abcde")
        assert await gateway.until_told(2) == complete(201)

    play(script, scene, transport)


def test_refused_expectation() -> None:
    """A 413 instead of the 100 arrives at once; nothing of the body is waited for, and the code is the 413."""

    async def script(call: Call) -> None:
        await call.answer(413, b"{}")
        call.close()

    async def scene(gateway: Running, client: RawClient) -> None:
        await client.send(post(b"Expect: 100-continue\r\n", b"Content-Length: 5000000\r\n"))
        answer = await client.head()
        assert answer.code == 413
        assert await gateway.until_told(2) == complete(413)
        assert (await client.until_closed()).endswith(b"{}")
        assert gateway.upstream.complete == []

    play(script, scene)


def test_other_informational_answers() -> None:
    """A 103 is relayed to a client of HTTP/1.1, and is not what is recorded."""

    async def script(call: Call) -> None:
        await call.write(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
        await call.answer()

    async def scene(gateway: Running, client: RawClient) -> None:
        await client.send(GET_POD)
        assert (await client.answer()).code == 200
        assert await gateway.until_told(2) == complete(200)

    play(script, scene)


# Much


async def _stalled(gateway: Running, count: Callable[[], int]) -> int:
    """Make small requests until `count` has not moved for twenty of them; answers the count."""
    async with await gateway.client() as clock:
        still, before = 0, -1
        while still < 20:
            await clock.send(get(line=b"GET /version HTTP/1.1"))
            assert (await clock.answer()).code == 200
            now = count()
            still, before = (still + 1, before) if now == before else (0, now)
        return before


@BOTH
def test_slow_reader_is_not_buffered_for(transport: Transport) -> None:
    """While a client does not read, the upstream is not read either; when it does, all of it arrives."""
    total, piece = 48 * MB, b"x" * 65536
    written = 0

    async def script(call: Call) -> None:
        nonlocal written
        if call.request.target == b"/version":
            await call.answer()
            return
        await call.begin_chunked()
        while written < total:
            await call.chunk(piece)
            written += len(piece)
        await call.chunk(b"")

    async def scene(gateway: Running, client: RawClient) -> None:
        del client
        async with await gateway.client(window=256 * 1024) as reader:
            await reader.send(WATCH)
            await until(lambda: written)
            assert await _stalled(gateway, lambda: written) < total // 2
            answer = await reader.answer()
            assert (len(answer.body), answer.complete) == (total, True)
            assert (await gateway.until_told(3))[-1] == ("ResponseComplete", 200)

    play(script, scene, transport)


def test_slow_upstream_is_not_buffered_for() -> None:
    """While the upstream does not read an upload, the client is not read either; later all of it arrives."""
    total, piece = 64 * MB, b"x" * 65536
    sent = 0
    go_on = asyncio.Event()

    async def script(call: Call) -> None:
        if call.request.target != b"/version":
            await go_on.wait()
            count = 0
            while count < total:
                count += len(await call.read_some())
            call.request.complete = True
        await call.answer()

    async def scene(gateway: Running, client: RawClient) -> None:
        async def upload() -> None:
            nonlocal sent
            await client.send(post(b"Content-Length: %d\r\n" % total))
            while sent < total:
                await client.send(piece)
                sent += len(piece)

        sending = asyncio.ensure_future(upload())
        await until(lambda: sent)
        assert await _stalled(gateway, lambda: sent) < total // 2
        go_on.set()
        assert (await client.answer()).code == 200
        await sending

    play(script, scene)


FRAMINGS = {"with a length": False, "in chunks": True}


@BOTH
@pytest.mark.parametrize("chunked", FRAMINGS.values(), ids=FRAMINGS)
def test_five_megabytes_both_ways(chunked: bool, transport: Transport) -> None:
    """5 MB up and down arrive byte for byte, at the level that records bodies too."""
    sent = random.Random(5).randbytes(5 * MB)
    pieces = [sent[at : at + 77_777] for at in range(0, len(sent), 77_777)]

    async def script(call: Call) -> None:
        body = await call.body()
        if not chunked:
            await call.answer(201, body, b"Content-Type: application/octet-stream")
            return
        await call.begin_chunked(201)
        for at in range(0, len(body), 65_536):
            await call.chunk(body[at : at + 65_536])
        await call.chunk(b"")

    async def scene(gateway: Running, client: RawClient) -> None:
        if chunked:
            body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
            head = post(b"Transfer-Encoding: chunked\r\n")
        else:
            head, body = post(b"Content-Length: %d\r\n" % len(sent)), sent
        sending = asyncio.ensure_future(client.send(head + body))
        answer = await client.answer()
        await sending
        assert (answer.code, answer.complete) == (201, True)
        assert _digest(answer.body) == _digest(sent) == _digest(gateway.upstream.requests[0].body)
        assert await gateway.until_told(2) == complete(201)

    play(script, scene, transport, policy=WHOLE)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_compressed_answer_is_untouched_and_recorded_plain() -> None:
    """gzip on the wire stays byte for byte as it was; the event holds what was in it."""
    document = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "web-0"}}
    packed = gzip.compress(json.dumps(document).encode())

    async def script(call: Call) -> None:
        assert call.request.value(b"accept-encoding") == b"gzip"
        await call.answer(200, packed, b"Content-Type: application/json", b"Content-Encoding: gzip")

    async def scene(gateway: Running, client: RawClient) -> None:
        await client.send(get(b"Accept-Encoding: gzip\r\n", line=b"GET " + POD + b" HTTP/1.1"))
        answer = await client.answer()
        assert (answer.body, answer.value(b"content-encoding")) == (packed, b"gzip")
        await gateway.until_told(2)
        assert json.loads(bytes(gateway.events[-1].response_object)) == document

    play(script, scene, policy=WHOLE)


# Clients of HTTP/1.0, and answers without a length


async def in_chunks(call: Call) -> None:
    await call.begin_chunked()
    await call.chunk(b"one ")
    await call.chunk(b"two")
    await call.chunk(b"")


async def until_close(call: Call) -> None:
    await call.answer(200, b"one two", b"Connection: close", length=False)
    call.close()


async def with_length(call: Call) -> None:
    await call.answer(200, b"one two")


ENDINGS = {"in chunks": in_chunks, "until closed": until_close, "with a length": with_length}


@pytest.mark.parametrize("script", [until_close, with_length])
def test_client_of_http_1_0(script: Callable[[Call], Awaitable[None]]) -> None:
    """The upstream is told, so that it sends no chunks; the connection is closed after the answer."""

    async def scene(gateway: Running, client: RawClient) -> None:
        await client.send(b"GET " + POD + b" HTTP/1.0\r\n\r\n")
        answer = await client.answer()
        assert (answer.code, answer.value(b"transfer-encoding"), answer.body) == (200, None, b"one two")
        assert await client.until_closed() == b""
        assert gateway.upstream.requests[0].minor == 0
        assert await gateway.until_told(2) == complete(200)

    play(script, scene)


@pytest.mark.parametrize("script", ENDINGS.values(), ids=ENDINGS)
def test_answer_ends_where_it_ends(script: Callable[[Call], Awaitable[None]]) -> None:
    """However the upstream ends its answer, the client sees it whole."""

    async def scene(gateway: Running, client: RawClient) -> None:
        await client.send(GET_POD)
        answer = await client.answer()
        assert (answer.body, answer.complete) == (b"one two", True)
        assert await gateway.until_told(2) == complete(200)

    play(script, scene)


# The end of a gateway


@BOTH
def test_drain_ends_everything_in_its_way(transport: Transport) -> None:
    """A slow GET finishes, a watch ends with a clean last chunk, idle clients are closed, new ones refused, a tunnel is
    cut at the end of the grace; all of it is recorded."""

    async def script(call: Call) -> None:
        if b"watch" in call.request.target:
            await watch(call)
        elif b"exec" in call.request.target:
            await echo(call)
        elif b"slow" in call.request.target:
            await go_on.wait()
            await call.answer(200, b"slow")
        else:
            await call.answer()

    go_on = asyncio.Event()

    async def scene(gateway: Running, idle: RawClient) -> None:
        async with contextlib.AsyncExitStack() as closing:
            await drained(gateway, idle, closing)

    async def drained(gateway: Running, idle: RawClient, closing: contextlib.AsyncExitStack) -> None:
        slow, watcher, tunnel = [await closing.enter_async_context(await gateway.client()) for _ in range(3)]
        await idle.send(get(line=b"GET /version HTTP/1.1"))
        assert (await idle.answer()).code == 200
        await watcher.send(WATCH)
        assert ((await watcher.head()).code, await watcher.chunk()) == (200, b'{"type":"ADDED"}\n')
        await tunnel.send(EXEC)
        assert ((await tunnel.head()).code, await tunnel.read(6)) == (101, b"hello ")
        await slow.send(get(line=b"GET /api/v1/namespaces/slow HTTP/1.1"))
        await until(lambda: len(gateway.upstream.requests) == 4)
        draining = asyncio.ensure_future(gateway.gateway.drain(1.0))
        assert await idle.until_closed() == b""
        with pytest.raises(OSError, match=r"refused|Connect call failed"):
            await gateway.client()
        go_on.set()
        answer = await slow.answer()
        assert (answer.code, answer.body, answer.complete) == (200, b"slow", True)
        assert await slow.until_closed() == b""
        assert await watcher.until_closed() == b"0\r\n\r\n"
        assert await tunnel.until_closed() == b""
        await draining
        ends = {event.request_uri.rpartition("/")[2]: event for event in gateway.events if event.stage is _COMPLETE}
        codes = sorted(_code(event) for event in ends.values())
        assert codes == [101, 200, 200, 200]

    play(script, scene, transport)


_COMPLETE = Stage.RESPONSE_COMPLETE


def _code(event: Event) -> int:
    assert event.response_status is not None
    return event.response_status.code


def test_drain_gives_up_at_its_grace() -> None:
    """A GET that the upstream never answers does not hold the gateway past its grace; it is recorded."""

    async def script(call: Call) -> None:
        await call.until_ended()

    async def scene(gateway: Running, client: RawClient) -> None:
        await client.send(GET_POD)
        await until(lambda: gateway.upstream.requests)
        await gateway.gateway.drain(0.1)
        await client.until_closed()
        assert [stage for stage, _ in gateway.told] == ["RequestReceived", "ResponseComplete"]
        await until(lambda: gateway.upstream.connections[0].ended)

    play(script, scene)


# Sinks that fail, and faults of our own


def test_strict_sink_that_fails_refuses() -> None:
    """500 in kube-apiserver's words, nothing is forwarded, and the refusal is counted; later requests pass again."""
    sink = MemoryBackend()
    sink.failing = True

    async def scene(gateway: Running, client: RawClient) -> None:
        await client.send(post(b"Content-Length: 5\r\n", body=b"abcde"))
        answer = await client.answer()
        assert (answer.code, answer.complete) == (500, True)
        assert answer.body == b'Internal Server Error: "/api/v1/namespaces/shop/pods": failed to store audit event\n'
        assert gateway.upstream.total == 0
        assert gateway.counters.requests_rejected_total == 1
        sink.failing = False
        async with await gateway.client() as other:
            await other.send(GET_POD)
            assert (await other.answer()).code == 200

    play(ok, scene, sink=sink)


class FailsLater(MemoryBackend):
    """Takes RequestReceived, and nothing after it."""

    def process(self, events: Sequence[Event]) -> None:
        if events[0].stage is not Stage.REQUEST_RECEIVED:
            raise DeliveryError("memory", len(events), "told to fail later")
        super().process(events)


class Breaks(MemoryBackend):
    """As FailsLater, with an error that no sink should raise."""

    def process(self, events: Sequence[Event]) -> None:
        if events[0].stage is not Stage.REQUEST_RECEIVED:
            raise RuntimeError("a sink's own fault")
        super().process(events)


@pytest.mark.parametrize("sink", [FailsLater, Breaks])
@pytest.mark.parametrize("sent", [GET_POD, WATCH, EXEC], ids=["get", "watch", "exec"])
def test_sink_that_fails_later_breaks_no_answer(sink: type[MemoryBackend], sent: bytes) -> None:
    """What is on its way arrives whole, and the connection goes on."""

    async def script(call: Call) -> None:
        if call.request.value(b"upgrade"):
            await switch(call, b"one two")
        else:
            await in_chunks(call)

    async def scene(gateway: Running, client: RawClient) -> None:
        del gateway
        await client.send(sent)
        if sent is EXEC:
            assert (await client.head()).code == 101
            assert await client.until_closed() == b"one two"
            return
        for _ in range(2):
            answer = await client.answer()
            assert (answer.code, answer.body, answer.complete) == (200, b"one two", True)
            await client.send(sent)

    play(script, scene, sink=sink())


class Waits(MemoryBackend):
    """A sink whose promise takes a while: a blocking webhook."""

    def process(self, events: Sequence[Event]) -> Any:
        super().process(events)
        return asyncio.sleep(0)


@pytest.mark.parametrize("sent", [GET_POD, WATCH], ids=["get", "watch"])
def test_sink_that_is_awaited(sent: bytes) -> None:
    """A sink that answers later holds the request back, changes nothing else, and keeps the order of stages."""

    async def scene(gateway: Running, client: RawClient) -> None:
        await client.send(sent * 3)
        for _ in range(3):
            answer = await client.answer()
            assert (answer.code, answer.body) == (200, b"one two")
        expected = (complete(200) if sent is GET_POD else lasting(200)) * 3
        assert await gateway.until_told(len(expected)) == expected

    play(in_chunks, scene, sink=Waits())


def broken(*_: object) -> Any:
    """Fail as only a bug does."""
    raise ZeroDivisionError("a fault of ours")


def test_fault_of_ours_is_a_panic() -> None:
    """500, RequestReceived and Panic, whose text names the kind alone; the gateway goes on."""

    async def scene(gateway: Running, client: RawClient) -> None:
        await client.send(GET_POD)
        answer = await client.answer()
        assert answer.code == 500
        told = await gateway.until_told(2)
        assert told == [RECEIVED, ("Panic", 500)]
        status = gateway.events[-1].response_status
        assert status is not None
        assert (status.reason, status.message) == ("InternalError", "APIServer panic'd: ZeroDivisionError")
        assert gateway.upstream.total == 0
        async with await gateway.client() as other:
            await other.send(GET_POD)
            assert (await other.answer()).code == 500

    play(ok, scene, towards=broken)


def test_fault_of_ours_before_anything_is_recorded() -> None:
    """A policy that cannot be asked: 500 in kube-apiserver's words, and nothing is forwarded."""

    async def scene(gateway: Running, client: RawClient) -> None:
        gateway.gateway.decide = broken
        await client.send(GET_POD)
        answer = await client.answer()
        assert (answer.code, gateway.upstream.total) == (500, 0)
        assert answer.body.startswith(b'Internal Server Error: "/api/v1/namespaces/shop/pods/web-0": ')

    play(ok, scene)
