"""An upstream in trouble: what the client gets of it, what is asked again, and what is recorded."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from decklog.gateway.options import GatewayOptions
from gateway.odd_heads import get, post
from gateway.running_gateway import Running, Setting, gateway_to, run, until
from gateway.scenes import BOTH, GET_POD, MB, PANICKED, POD, WATCH, complete, lasting, play
from gateway.scripted_upstream import Call, ScriptedUpstream, ok
from gateway.transports import TLS, Transport

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.raw_client import RawClient

pytestmark = pytest.mark.journey

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
