"""Callers whom nobody knows, who take their time, or who are too many; and requests that wait for word about them."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from decklog.audit.event import User
from decklog.audit.sink import DeliveryError
from decklog.gateway.identity import Caller, Means
from decklog.gateway.options import GatewayOptions
from decklog.gateway.towards import Refusal
from gateway.odd_heads import get, post
from gateway.running_gateway import ALICE, METADATA, Running, until
from gateway.scenes import EXEC, GET_POD, POD, WATCH, complete, play
from gateway.scripted_upstream import Call, ok

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from gateway.raw_client import RawClient

pytestmark = pytest.mark.journey

NO_POLICY = METADATA.replace("Metadata", "None")
WITHOUT_RECEIVED = METADATA + "omitStages: [RequestReceived]\n"


class Says:
    """Identifies everybody as it is told."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self.forgotten = 0

    def __call__(self, head: Any, certificate: bytes | None) -> Caller:
        del head, certificate
        return self._caller

    def forget(self, head: Any) -> None:
        del head
        self.forgotten += 1


class Waits(Says):
    """Identifies nobody before it is told to go on."""

    def __init__(self) -> None:
        super().__init__(Caller(ALICE, Means.TOKEN))
        self.go_on = asyncio.Event()
        self.asked = 0

    def __call__(self, head: Any, certificate: bytes | None) -> Awaitable[Caller]:  # type: ignore[override]  # because: both are allowed
        del head, certificate
        self.asked += 1
        return self._later()

    async def _later(self) -> Caller:
        await self.go_on.wait()
        return self._caller


UNKNOWN = {
    "refused": (Caller(None, Means.NONE), 401),
    "the upstream could not be asked": (Caller(None, Means.NONE, "the upstream is down", 503), 503),
    "the upstream did not answer": (Caller(None, Means.NONE, "the upstream does not answer", 504), 504),
}


@pytest.mark.parametrize("sent", [GET_POD, WATCH, EXEC], ids=["get", "watch", "exec"])
@pytest.mark.parametrize(("caller", "code"), UNKNOWN.values(), ids=UNKNOWN)
def test_caller_whom_nobody_knows(caller: Caller, code: int, sent: bytes) -> None:
    """A Status with its code, nothing forwarded, and one ResponseStarted event without a user, whatever was asked."""

    async def scene(gateway: Running, client: RawClient) -> None:
        await client.send(sent)
        answer = await client.answer()
        assert (answer.code, json.loads(answer.body)["kind"]) == (code, "Status")
        assert await gateway.until_told(1) == [("ResponseStarted", code)]
        assert (gateway.events[0].user, gateway.upstream.total) == (User(), 0)

    play(ok, scene, identify=Says(caller))


def test_caller_whom_the_upstream_does_not_know_any_more() -> None:
    """A 401 of the upstream's is relayed and recorded, and what was kept of the credential is dropped."""
    identify = Says(Caller(ALICE, Means.TOKEN))

    async def script(call: Call) -> None:
        await call.answer(401, b'{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Unauthorized"}')

    async def scene(gateway: Running, client: RawClient) -> None:
        await client.send(GET_POD)
        assert (await client.answer()).code == 401
        assert await gateway.until_told(2) == complete(401)
        assert identify.forgotten == 1

    play(script, scene, identify=identify)


def test_requests_wait_for_who_sent_them() -> None:
    """Pipelined behind one that waits, requests are neither lost nor reordered; nothing is forwarded meanwhile."""
    identify = Waits()

    async def scene(gateway: Running, client: RawClient) -> None:
        await client.send(post(b"Content-Length: 5\r\n", body=b"abcde") + GET_POD)
        await until(lambda: identify.asked)
        assert (gateway.upstream.total, gateway.told) == (0, [])
        identify.go_on.set()
        assert [(await client.answer()).code for _ in range(2)] == [200, 200]
        assert [request.body for request in gateway.upstream.requests] == [b"abcde", b""]
        assert await gateway.until_told(4) == complete(200) * 2

    play(ok, scene, identify=identify)


def test_large_body_waits_at_the_client() -> None:
    """While nobody knows whose it is, a body is not read past a small buffer; afterwards all of it arrives."""
    identify = Waits()
    body = b"x" * (32 * 1024 * 1024)

    async def scene(gateway: Running, client: RawClient) -> None:
        sending = asyncio.ensure_future(client.send(post(b"Content-Length: %d\r\n" % len(body)), *_cut(body)))
        await until(lambda: identify.asked)
        await until(client.writer.transport.get_write_buffer_size)
        assert not sending.done()
        identify.go_on.set()
        assert (await client.answer()).code == 200
        await sending
        assert gateway.upstream.requests[0].body == body

    play(ok, scene, identify=identify)


def _cut(body: bytes) -> list[bytes]:
    return [body[at : at + 65536] for at in range(0, len(body), 65536)]


def test_client_gone_while_it_waits() -> None:
    """Nothing is forwarded for a client that went before anybody knew who it was; its request is recorded."""
    identify = Waits()

    async def scene(gateway: Running, client: RawClient) -> None:
        await client.send(GET_POD)
        await until(lambda: identify.asked)
        client.abort()
        await until(lambda: gateway.gateway.connections == 0)
        identify.go_on.set()
        assert await gateway.until_told(2) == complete(200)
        assert gateway.upstream.total == 0

    play(ok, scene, identify=identify)


def test_refusal_is_recorded() -> None:
    """Whom the upstream would not let impersonate gets the Status, and an ordinary pair of events."""
    status = b'{"kind":"Status","apiVersion":"v1","status":"Failure","message":"no","reason":"Forbidden","code":403}'

    async def refused(head: Any, caller: Caller) -> Refusal:
        del head, caller
        await asyncio.sleep(0)
        return Refusal(403, status)

    async def scene(gateway: Running, client: RawClient) -> None:
        await client.send(GET_POD)
        answer = await client.answer()
        assert (answer.code, answer.body) == (403, status)
        assert await gateway.until_told(2) == complete(403)
        last = gateway.events[-1].response_status
        assert last is not None
        assert (last.reason, gateway.upstream.total) == ("Forbidden", 0)

    play(ok, scene, towards=refused)


def test_level_none_is_passed_on_unrecorded() -> None:
    """What the policy does not want is relayed all the same, with an audit ID, and no event."""

    async def scene(gateway: Running, client: RawClient) -> None:
        await client.send(GET_POD + WATCH)
        answers = [await client.answer() for _ in range(2)]
        assert [answer.code for answer in answers] == [200, 200]
        assert all(answer.value(b"audit-id") for answer in answers)
        assert gateway.events == []

    play(ok, scene, policy=NO_POLICY)


IDS = {
    "kept": ("keep", b"my own id, of any form", True),
    "odd, replaced": ("replace-odd", b"my own id, of any form", False),
    "a UUID, kept": ("replace-odd", b"0f4e9d3a-95a1-4b0e-9b7d-2b2f6f7f1a11", True),
}


@pytest.mark.parametrize(("option", "sent", "kept"), IDS.values(), ids=IDS)
def test_audit_id_is_one_on_all_sides(option: str, sent: bytes, kept: bool) -> None:
    """Upstream, answer and every event bear the same audit ID."""

    async def scene(gateway: Running, client: RawClient) -> None:
        await client.send(get(b"Audit-ID: " + sent + b"\r\n", line=b"GET " + POD + b" HTTP/1.1"))
        answer = await client.answer()
        await gateway.until_told(2)
        found = {event.audit_id.encode() for event in gateway.events}
        assert found == {answer.value(b"audit-id")} == {gateway.upstream.requests[0].value(b"audit-id")}
        assert (found == {sent}) is kept

    play(ok, scene, options=replace(GatewayOptions(), audit_id=option))


class NoIntents:
    """Keeps no intent: its disk is full."""

    def open(self, intent: Any) -> None:
        del intent
        raise DeliveryError("intents", 1, "disk full")

    def close(self, intent: Any) -> None:
        """Nothing was opened."""


def test_intent_that_cannot_be_kept_refuses() -> None:
    """Strict, with RequestReceived omitted: what is not on disk does not go on."""

    async def scene(gateway: Running, client: RawClient) -> None:
        await client.send(GET_POD)
        answer = await client.answer()
        assert (answer.code, gateway.upstream.total, gateway.events) == (500, 0, [])
        assert b"failed to store audit event" in answer.body

    play(ok, scene, policy=WITHOUT_RECEIVED, intents=NoIntents())


def test_body_that_does_not_come() -> None:
    """Past its grace a request whose body stands still gets 408; the upstream never sees all of it."""

    async def scene(gateway: Running, client: RawClient) -> None:
        await client.send(post(b"Content-Length: 100\r\n", body=b"half"))
        answer = await client.answer()
        assert answer.code == 408
        await client.until_closed()
        await until(lambda: gateway.upstream.connections[0].ended)
        assert (gateway.upstream.complete, await gateway.until_told(2)) == ([], complete(408))

    play(ok, scene, options=replace(GatewayOptions(), body_grace_s=0.1))


def test_connections_of_one_address_are_bounded() -> None:
    """One too many is closed at once; when another goes, there is room again."""

    async def scene(gateway: Running, client: RawClient) -> None:
        async with await gateway.client() as second:
            for one in (client, second):
                await one.send(GET_POD)
                assert (await one.answer()).code == 200
            async with await gateway.client() as third:
                assert await third.until_closed() == b""
        await until(lambda: gateway.gateway.connections == 1)
        async with await gateway.client() as fourth:
            await fourth.send(GET_POD)
            assert (await fourth.answer()).code == 200

    play(ok, scene, options=replace(GatewayOptions(), max_connections_per_address=2))


def test_idle_connection_is_closed() -> None:
    """A client that asks nothing more is closed past the idle time, without a word and without an event."""

    async def scene(gateway: Running, client: RawClient) -> None:
        await client.send(GET_POD)
        assert (await client.answer()).code == 200
        assert await client.until_closed() == b""
        assert gateway.told == complete(200)

    play(ok, scene, options=replace(GatewayOptions(), idle_timeout_s=0.1))
