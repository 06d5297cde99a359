"""What flows through the gateway for long: tunnels and watches, and clients that go away."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from decklog.gateway.options import GatewayOptions
from gateway.odd_heads import post
from gateway.running_gateway import Running, until
from gateway.scenes import (
    BOTH,
    EXEC,
    GET_POD,
    MB,
    PANICKED,
    UPGRADES,
    WATCH,
    complete,
    echo,
    lasting,
    play,
    switch,
    upgrade,
    watch,
)
from gateway.scripted_upstream import Call, ok

if TYPE_CHECKING:
    from gateway.raw_client import RawClient
    from gateway.transports import Transport

pytestmark = pytest.mark.journey

# Tunnels


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


@pytest.mark.parametrize("echoes", [True, False], ids=["echoes IDs", "does not"])
def test_refused_upgrade_of_an_upstream(*, echoes: bool) -> None:
    """A refusal without Audit-Id counts as written after the hijack (101) only where the upstream echoes IDs at all."""

    async def script(call: Call) -> None:
        if call.request.value(b"upgrade") is None:
            await call.answer(200, b"{}", *([b"Audit-Id: " + (call.request.value(b"audit-id") or b"")] * echoes))
        else:
            await call.answer(403, b"no")

    async def scene(gateway: Running, client: RawClient) -> None:
        await client.send(GET_POD)
        assert (await client.answer()).code == 200
        await client.send(EXEC)
        assert (await client.answer()).code == 403
        assert (await gateway.until_told(5))[2:] == lasting(101 if echoes else 403)

    play(script, scene)
