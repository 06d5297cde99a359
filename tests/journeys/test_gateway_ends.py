"""How a gateway ends, and what becomes of requests when a sink or the gateway itself fails."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from decklog.audit.event import Stage
from decklog.audit.sink import DeliveryError
from decklog.testing import MemoryBackend
from gateway.odd_heads import get, post
from gateway.running_gateway import Running, until
from gateway.scenes import (
    BOTH,
    EXEC,
    GET_POD,
    RECEIVED,
    WATCH,
    complete,
    echo,
    in_chunks,
    lasting,
    play,
    switch,
    watch,
)
from gateway.scripted_upstream import Call, ok

if TYPE_CHECKING:
    from collections.abc import Sequence

    from decklog.audit.event import Event
    from gateway.raw_client import RawClient
    from gateway.transports import Transport

pytestmark = pytest.mark.journey

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
        return self._store(events)

    async def _store(self, events: Sequence[Event]) -> None:
        await asyncio.sleep(0)
        super().process(events)


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
    """A policy that cannot be asked: 500 in kube-apiserver's words, a Panic event, and nothing is forwarded."""

    async def scene(gateway: Running, client: RawClient) -> None:
        gateway.gateway.decide = broken
        await client.send(GET_POD)
        answer = await client.answer()
        assert (answer.code, gateway.upstream.total) == (500, 0)
        assert answer.body.startswith(b'Internal Server Error: "/api/v1/namespaces/shop/pods/web-0": ')
        assert await gateway.until_told(1) == [("Panic", 500)]

    play(ok, scene)
