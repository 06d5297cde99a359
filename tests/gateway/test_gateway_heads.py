"""One reading of every request: what two servers could read differently is refused, recorded, and never forwarded."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from decklog.audit.event import Stage, User
from decklog.gateway.options import GatewayOptions
from gateway import strict_http
from gateway.head_mutations import SPLITS, mutated, split
from gateway.odd_heads import FRAMING_TRAILERS, LEGAL, REFUSED, REFUSED_CHUNKS, get, post
from gateway.raw_client import Answer, RawClient
from gateway.running_gateway import Running, gateway_to, run, until
from gateway.scripted_upstream import Call, ScriptedUpstream

if TYPE_CHECKING:
    from decklog.audit.event import Event

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: cluster\r\n\r\n"
CHUNKED_POST = post(b"Transfer-Encoding: chunked\r\n")
HASTY = replace(GatewayOptions(), head_timeout_s=0.2, idle_timeout_s=0.2, body_grace_s=0.2)


@pytest.fixture(autouse=True)
def _without_lingering(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that is refused gets a second to read why; hundreds of them would make the tests minutes long."""
    monkeypatch.setattr("decklog.doorway._LINGER_S", 0.02)


@pytest.mark.parametrize(("sent", "code"), REFUSED.values(), ids=REFUSED)
def test_ambiguous_head_is_refused(sent: bytes, code: int) -> None:
    """It is answered with its code, the connection is closed, the upstream sees nothing, and there is one event."""

    async def scene() -> None:
        async with ScriptedUpstream() as upstream, gateway_to(upstream) as gateway, await gateway.client() as client:
            await client.send(sent + SMUGGLED)
            answer = await client.answer()
            rest = await client.until_closed()
            assert (answer.code, answer.complete, rest) == (code, True, b"")
            assert upstream.total == 0
            assert await gateway.until_told(1) == [("ResponseStarted", code)]
            (event,) = gateway.events
            assert (event.user, bool(event.annotations["decklog/refused"])) == (User(), True)

    run(scene())


@pytest.mark.parametrize("sent", [sent for sent, _ in REFUSED.values()], ids=REFUSED)
def test_ambiguous_head_behind_a_good_one_is_refused(sent: bytes) -> None:
    """The pipelined request before it is served, the upstream sees that one alone, and nothing after it."""

    async def scene() -> None:
        async with ScriptedUpstream() as upstream, gateway_to(upstream) as gateway, await gateway.client() as client:
            await client.send(get(line=b"GET /version HTTP/1.1") + sent + SMUGGLED)
            first, second = await client.answer(), await client.answer()
            assert (first.code, second.code >= 400, await client.until_closed()) == (200, True, b"")
            assert [request.target for request in upstream.requests] == [b"/version"]
            assert all(not connection.received.endswith(SMUGGLED) for connection in upstream.connections)

    run(scene())


@pytest.mark.parametrize("sent", [sent for sent, _ in REFUSED.values()], ids=REFUSED)
def test_ambiguous_head_that_comes_byte_by_byte_is_refused(sent: bytes) -> None:
    """How the bytes are cut into segments changes nothing."""

    async def scene() -> None:
        async with ScriptedUpstream() as upstream, gateway_to(upstream) as gateway, await gateway.client() as client:
            data = sent + SMUGGLED
            for at in range(len(data)):
                client.writer.write(data[at : at + 1])
            answer = await client.answer()
            await client.until_closed()
            assert (answer.code >= 400, upstream.total) == (True, 0)

    run(scene())


@pytest.mark.parametrize("body", REFUSED_CHUNKS.values(), ids=REFUSED_CHUNKS)
def test_ambiguous_chunks_are_refused(body: bytes) -> None:
    """No upstream ever holds a whole request of it, nor anything behind it; client and upstream are closed."""

    async def scene() -> None:
        async with ScriptedUpstream() as upstream, gateway_to(upstream) as gateway, await gateway.client() as client:
            await client.send(CHUNKED_POST + body + SMUGGLED)
            answer = await client.answer()
            rest = await client.until_closed()
            assert (answer.code, rest) == (400, b"")
            await until(lambda: all(connection.ended for connection in upstream.connections))
            assert upstream.complete == []
            assert all(b"smuggled" not in connection.received for connection in upstream.connections)
            assert await gateway.until_told(2) == [("RequestReceived", None), ("ResponseComplete", 400)]

    run(scene())


@pytest.mark.parametrize("line", FRAMING_TRAILERS.values(), ids=FRAMING_TRAILERS)
def test_trailers_that_would_be_headers_do_not_pass(line: bytes) -> None:
    """A trailer never tells the upstream of lengths, hosts or identities: the request is refused, or comes without."""

    async def scene() -> None:
        async with ScriptedUpstream() as upstream, gateway_to(upstream) as gateway, await gateway.client() as client:
            await client.send(CHUNKED_POST + b"5\r\nabcde\r\n0\r\n" + line + b"\r\n\r\n")
            answer = await client.answer()
            assert answer.code in {200, 400}
            name = line.partition(b":")[0]
            assert all(name not in connection.received.partition(b"abcde")[2] for connection in upstream.connections)
            assert (len(upstream.complete) == 1) is (answer.code == 200)

    run(scene())


@pytest.mark.parametrize("sent", LEGAL.values(), ids=LEGAL)
def test_odd_but_legal_request_passes(sent: bytes) -> None:
    """It is answered by the upstream, which read one request from it, with the same method, target (# as %23), body."""

    async def scene() -> None:
        async with ScriptedUpstream() as upstream, gateway_to(upstream) as gateway, await gateway.client() as client:
            await client.send(sent)
            answer = await client.answer()
            assert answer.code == 200
            (request,) = upstream.requests
            assert (request.complete, upstream.malformed) == (True, [])
            wanted = sent.split(b" ", 2)
            assert (request.method, request.target) == (wanted[0], wanted[1].replace(b"#", b"%23"))
            assert request.body == _content(sent)
            assert request.values(b"x")[:1] in ([], [b"a"], [b"a\tb"], [b""], ["grün".encode()], [b"gr\xfcn"])
            assert await gateway.until_told(2) == [("RequestReceived", None), ("ResponseComplete", 200)]

    run(scene())


def _content(sent: bytes) -> bytes:
    body = sent.partition(b"\r\n\r\n")[2]
    if b"chunked" not in sent.lower():
        return body
    chunked = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + body
    return strict_http.split_requests(chunked)[0][0].body


@pytest.mark.parametrize("cut", ["whole", "byte by byte"])
def test_legal_requests_in_one_stream_keep_their_bounds(cut: str) -> None:
    """All odd but legal requests pipelined on one connection: each is seen once, in order, and answered."""
    lasting = [sent for sent in LEGAL.values() if b"HTTP/1.0" not in sent and len(sent) < 10_000]

    async def scene() -> None:
        async with ScriptedUpstream() as upstream, gateway_to(upstream) as gateway, await gateway.client() as client:
            data = b"".join(lasting)
            step = len(data) if cut == "whole" else 1
            for at in range(0, len(data), step):
                client.writer.write(data[at : at + step])
            answers = [await client.answer() for _ in lasting]
            assert {answer.code for answer in answers} == {200}
            targets = [sent.split(b" ", 2)[1].replace(b"#", b"%23") for sent in lasting]
            assert [request.target for request in upstream.requests] == targets
            assert upstream.malformed == []

    run(scene())


@pytest.mark.parametrize("target", [b"cluster:443", b"/api", b"elsewhere:80"])
def test_connect_opens_nothing(target: bytes) -> None:
    """CONNECT is recorded and answered 405; nothing of it is forwarded, and the next request is one of its own."""

    async def scene() -> None:
        async with ScriptedUpstream() as upstream, gateway_to(upstream) as gateway, await gateway.client() as client:
            await client.send(get(line=b"CONNECT " + target + b" HTTP/1.1") + get(line=b"GET /version HTTP/1.1"))
            assert (await client.answer()).code == 405
            assert (await client.answer()).code == 200
            assert [request.target for request in upstream.requests] == [b"/version"]
            assert (await gateway.until_told(2))[:2] == [("RequestReceived", None), ("ResponseComplete", 405)]

    run(scene())


def test_a_head_past_its_limit_is_refused() -> None:
    """More than the limit without an end: 431, closed, one event, nothing forwarded."""

    async def scene() -> None:
        options = replace(GatewayOptions(), head_limit_bytes=64 * 1024)
        async with (
            ScriptedUpstream() as upstream,
            gateway_to(upstream, options=options) as gateway,
            await gateway.client() as client,
        ):
            client.writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 70_000)
            answer = await client.answer()
            await client.until_closed()
            assert (answer.code, upstream.total) == (431, 0)
            assert len(await gateway.until_told(1)) == 1

    run(scene())


def test_a_head_that_never_ends_is_given_up() -> None:
    """Past the head's deadline a client that has begun a request gets 408 or nothing, and is closed."""

    async def scene() -> None:
        async with (
            ScriptedUpstream() as upstream,
            gateway_to(upstream, options=HASTY) as gateway,
            await gateway.client() as client,
        ):
            await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n")
            said = await client.until_closed()
            assert said == b"" or said.startswith(b"HTTP/1.1 408 ")
            assert upstream.total == 0

    run(scene())


def test_hop_by_hop_headers_stay_here() -> None:
    """What is about this connection alone, or named by Connection, is not what the upstream is told by the client."""
    own = (b"keep-alive", b"proxy-connection", b"te", b"upgrade", b"proxy-authorization", b"trailer")

    async def scene() -> None:
        async with ScriptedUpstream() as upstream, gateway_to(upstream) as gateway, await gateway.client() as client:
            lines = b"".join(name + b": x\r\n" for name in own)
            await client.send(get(lines, b"Connection: keep-alive\r\n"))
            assert (await client.answer()).code == 200
            names = {name.lower() for name, _ in upstream.requests[0].headers}
            assert names.isdisjoint(own)

    run(scene())


async def _play(gateway: Running, data: bytes, cuts: list[int]) -> list[Answer]:
    """Send `data` cut at `cuts`, then wait until the gateway closes; answers what came whole."""
    answers: list[Answer] = []
    async with await RawClient.open(gateway.port) as client:
        for piece in split(data, cuts):
            client.writer.write(piece)
        try:
            while (answer := await client.answer()).complete:
                answers.append(answer)
        except (EOFError, ConnectionError):
            pass
    return answers


async def _told(call: Call) -> None:
    """Answer as only the upstream does; with the audit ID, by which an API server shows that the answer is its own."""
    await call.body()
    await call.answer(299, b"{}", b"Audit-Id: " + (call.request.value(b"audit-id") or b""))


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(streams=st.lists(st.tuples(mutated(), SPLITS), min_size=20, max_size=40))
def test_upstream_and_gateway_count_the_same_requests(
    streams: list[tuple[bytes, list[int]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever bytes come, in whatever pieces: what the upstream reads is what was recorded, one for one."""
    monkeypatch.setattr("decklog.gateway.server._SWEEP_S", 0.02)  # streams that wait for more are ended by deadlines

    async def scene() -> None:
        async with ScriptedUpstream(_told) as upstream:
            async with gateway_to(upstream, options=HASTY) as gateway:
                found = await asyncio.gather(*(_play(gateway, data, cuts) for data, cuts in streams))
            answered = [answer for answers in found for answer in answers if answer.code == 299]
            passed = [event for event in gateway.events if _by_upstream(event)]
            assert upstream.malformed == []
            assert not any(event.stage is Stage.PANIC for event in gateway.events)
            assert len(upstream.complete) == len(passed) >= len(answered)
            seen = sorted(request.value(b"audit-id") or b"" for request in upstream.complete)
            assert seen == sorted(event.audit_id.encode() for event in passed)

    run(scene())


def _by_upstream(event: Event) -> bool:
    return (
        event.stage is Stage.RESPONSE_COMPLETE
        and event.response_status is not None
        and event.response_status.code == 299
    )
