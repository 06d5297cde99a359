"""Bodies through the gateway: none, early, late, slow and large ones, and many on one connection."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import random
from typing import TYPE_CHECKING

import pytest

from decklog.audit.event import Stage
from gateway.odd_heads import get, post
from gateway.running_gateway import WHOLE, Running, until
from gateway.scenes import BOTH, EXEC, GET_POD, MB, POD, RECEIVED, WATCH, complete, in_chunks, play, switch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.raw_client import RawClient
    from gateway.scripted_upstream import Call
    from gateway.transports import Transport

pytestmark = pytest.mark.journey

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


@BOTH
def test_slow_upstream_is_not_buffered_for(transport: Transport) -> None:
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

    play(script, scene, transport)


@BOTH
def test_pipelined_answers_that_nobody_reads(transport: Transport) -> None:
    """A client that asks on and on and reads nothing is not answered on and on; when it reads, it gets everything."""
    body, count = b"x" * (2 * MB), 40

    async def script(call: Call) -> None:
        await (call.answer() if call.request.target == b"/version" else call.answer(200, body))

    async def scene(gateway: Running, client: RawClient) -> None:
        del client
        async with await gateway.client(window=256 * 1024) as reader:
            await reader.send(GET_POD * count)
            await until(lambda: gateway.upstream.requests)
            asked = await _stalled(gateway, lambda: sum(request.target == POD for request in gateway.upstream.requests))
            assert asked < count // 2
            for _ in range(count):
                assert len((await reader.answer()).body) == len(body)

    play(script, scene, transport)


@BOTH
def test_tunnel_that_nobody_reads(transport: Transport) -> None:
    """While a client does not read its tunnel, the upstream is not read either; when it does, all of it arrives."""
    total, written = 48 * MB, 0

    async def script(call: Call) -> None:
        nonlocal written
        if call.request.target == b"/version":
            await call.answer()
            return
        await switch(call)
        while written < total:
            await call.write(b"x" * 65536)
            written += 65536

    async def scene(gateway: Running, client: RawClient) -> None:
        del client
        async with await gateway.client(window=256 * 1024) as reader:
            await reader.send(EXEC)
            await until(lambda: written)
            assert await _stalled(gateway, lambda: written) < total // 2
            assert (await reader.head()).code == 101
            assert len(await reader.until_closed()) == total

    play(script, scene, transport)


@BOTH
def test_client_that_does_not_read_holds_up_nobody_else(transport: Transport) -> None:
    """However many of its answers wait, the connections to the upstream serve other clients at once."""
    body = b"x" * 60_000

    async def script(call: Call) -> None:
        await (call.answer() if call.request.target == b"/version" else call.answer(200, body))

    async def scene(gateway: Running, client: RawClient) -> None:
        async with await gateway.client(window=64 * 1024) as reader:
            for count in range(1, 151):
                await reader.send(GET_POD)
                await client.send(get(line=b"GET /version HTTP/1.1"))
                assert (await client.answer()).code == 200, count
            for _ in range(150):
                assert (await reader.answer()).body == body

    play(script, scene, transport)


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
