"""What the gateway waits for, and for how long: clients that do not go on, uploads, questions under way at a stop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest

from decklog.audit.sink import DeliveryError
from decklog.gateway.caller import Caller, Means
from decklog.gateway.options import GatewayOptions
from decklog.testing import MemoryBackend
from gateway.running_gateway import ALICE, Running, Setting, gateway_to, run, through, until
from gateway.scenes import GET_POD, PODS, RECEIVED, WATCH, complete, lasting, play
from gateway.scripted_upstream import Call, ScriptedUpstream, ok
from gateway.transports import TLS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from decklog.audit.event import Event
    from decklog.gateway.client import ClientConnection
    from gateway.raw_client import RawClient

pytestmark = pytest.mark.journey


class Asked:
    """Answers nothing until it is told to."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer
        self.begun = 0

    def __call__(self, *_: Any) -> Awaitable[Any]:
        async def answer() -> Any:
            self.begun += 1
            await asyncio.Event().wait()

        return answer()

    def forget(self, head: Any) -> None:
        """Nothing is kept."""


QUESTIONS: dict[str, tuple[str, Any, list[tuple[str, int | None]]]] = {
    "whose the token is": ("identify", Caller(ALICE, Means.TOKEN), [("ResponseStarted", 503)]),
    "whether the caller may": ("towards", through, [RECEIVED, ("ResponseComplete", 503)]),
}


@pytest.mark.parametrize("gone", [False, True], ids=["client waits", "client gone"])
@pytest.mark.parametrize(("part", "answer", "told"), QUESTIONS.values(), ids=QUESTIONS)
def test_drain_records_what_waits_for_an_answer(
    part: str, answer: Any, told: list[tuple[str, int | None]], *, gone: bool
) -> None:
    """A request that is held up by a question to the upstream has its last event when a drain returns."""
    asked = Asked(answer)

    async def scene(gateway: Running, client: RawClient) -> None:
        await client.send(GET_POD)
        await until(lambda: asked.begun)
        if gone:
            client.writer.close()
            await until(lambda: not gateway.gateway.connections)
        await gateway.gateway.drain(0.0)
        stages = [stage for stage, _ in told]
        assert [stage for stage, _ in gateway.told] == stages
        assert not gateway.gateway.waiting
        assert gateway.upstream.requests == []

    given: Any = {part: asked}
    play(ok, scene, **given)


def test_drain_records_what_waits_for_a_connection() -> None:
    """A request whose connection to the upstream is still being made has its last event when a drain returns."""

    async def scene() -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            upstream = ScriptedUpstream()
            upstream.port = silent.getsockname()[1]
            context = ssl.create_default_context()
            async with gateway_to(upstream, upstream_tls=context) as gateway, await gateway.client() as client:
                await client.send(GET_POD)
                await gateway.until_told(1)
                await until(lambda: gateway.gateway.waiting)
                await gateway.gateway.drain(0.0)
                assert [stage for stage, _ in gateway.told] == ["RequestReceived", "ResponseComplete"]

    run(scene())


def test_slow_upload_leaves_the_upstream_its_time() -> None:
    """The time for an answer begins when the upload is over, not when it begins."""

    async def script(call: Call) -> None:
        await call.body()
        uploaded.set()
        await swept.wait()
        await call.answer()

    uploaded, swept = asyncio.Event(), asyncio.Event()

    async def scene(gateway: Running, client: RawClient) -> None:
        await client.send(b"POST " + PODS + b" HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n\r\n")
        await until(lambda: gateway.upstream.requests)
        (connection,) = gateway.gateway._clients  # because: deadlines are looked at by hand
        taken, now = 0, gateway.gateway.now
        for _ in range(4):
            await client.send(b"x" * 50_000)
            taken += 50_000
            await until(lambda wanted=taken: _taken(connection) >= wanted)  # type: ignore[misc]  # because: mypy knows no lambda with a default
            gateway.gateway.now = now = now + 9.0
        await uploaded.wait()
        connection.sweep(now)
        swept.set()
        assert (await client.answer()).code == 200
        assert await gateway.until_told(2) == complete(200)

    play(script, scene, options=GatewayOptions(response_timeout_s=20.0, body_grace_s=60.0))


def test_upload_that_the_upstream_holds_up_is_not_stalled() -> None:
    """The time in which the upstream takes nothing is not counted against the client's body."""

    async def scene(gateway: Running, client: RawClient) -> None:
        await client.send(b"POST " + PODS + b" HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nx")
        await until(lambda: gateway.upstream.requests)
        (connection,) = gateway.gateway._clients  # because: deadlines are looked at by hand
        await until(lambda: _taken(connection) == 1)
        connection.hold(paused=True)
        gateway.gateway.now += 60.0
        connection.sweep(gateway.gateway.now)
        connection.hold(paused=False)
        connection.sweep(gateway.gateway.now)
        await client.send(b"y")
        assert (await client.answer()).code == 200

    play(ok, scene)


def _taken(connection: ClientConnection) -> int:
    return connection.exchange.request_bytes if connection.exchange is not None else 0


def test_client_that_takes_nothing_of_its_last_answer_is_given_up() -> None:
    """A connection that is closed ends even if its client never reads what was written to it."""

    async def script(call: Call) -> None:
        with contextlib.suppress(OSError):
            await call.answer(200, b"x" * 3_000_000)

    async def scene() -> None:
        async with ScriptedUpstream(script) as upstream, gateway_to(upstream) as gateway:
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(("127.0.0.1", gateway.port))
            sock.setblocking(False)  # noqa: FBT003  # because: the socket module's own signature
            sock.sendall(GET_POD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            await until(lambda: gateway.gateway.connections)
            (connection,) = gateway.gateway._clients  # because: deadlines are looked at by hand
            while not connection.transport.is_closing():
                with contextlib.suppress(BlockingIOError):
                    sock.recv(65536)  # by hand, until all that is left is in the gateway's own buffer
                await asyncio.sleep(0.001)
            assert gateway.gateway.connections == 1
            idle_s = gateway.gateway.options.idle_timeout_s
            connection.sweep(gateway.gateway.now)
            connection.sweep(gateway.gateway.now + idle_s + 1)
            await until(lambda: not gateway.gateway.connections)
            sock.close()

    run(scene())


def test_handshake_has_to_come_in_time() -> None:
    """A connection that never begins its TLS is closed after the time for a head."""

    async def scene() -> None:
        setting = TLS.setting(Setting(options=GatewayOptions(head_timeout_s=0.2)))
        async with TLS.upstream(ok) as upstream, gateway_to(upstream, setting) as gateway:
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()

    run(scene())


OFFERS = {
    "h2c": b"h2c",
    "in a list": b"websocket, h2c",
    "spelled otherwise": b"H2C",
    "TLS": b"TLS/1.0, HTTP/1.1",
    "HTTP/2": b"HTTP/2.0",
}


@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)
def test_no_protocol_that_carries_requests(offer: bytes) -> None:
    """An offer to go on with HTTP of another kind is not passed on: its requests would be nobody's to see."""

    async def scene(gateway: Running, client: RawClient) -> None:
        lines = b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nUpgrade: " + offer
        await client.send(b"GET /version HTTP/1.1\r\nHost: h\r\n" + lines + b"\r\n\r\n")
        assert (await client.answer()).code == 200
        (request,) = gateway.upstream.requests
        assert request.value(b"upgrade") is None
        assert request.value(b"connection") is None
        assert await gateway.until_told(2) == complete(200)

    play(ok, scene)


def test_storm_of_informational_heads_ends() -> None:
    """An upstream that sends nothing but informational heads is given up."""

    async def script(call: Call) -> None:
        with contextlib.suppress(OSError):
            await call.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000)
            await call.answer()

    async def scene(gateway: Running, client: RawClient) -> None:
        await client.send(GET_POD)
        assert (await client.answer()).code == 502
        assert [stage for stage, _ in await gateway.until_told(2)] == ["RequestReceived", "Panic"]

    play(script, scene)


def test_renewed_credentials_end_old_connections() -> None:
    """What was made with credentials that have been renewed since is not used for another request."""

    async def scene(gateway: Running, client: RawClient) -> None:
        pool = gateway.gateway.pool(own_certificate=False)
        await client.send(GET_POD)
        assert (await client.answer()).code == 200
        pool.sweep()
        await client.send(GET_POD)
        assert (await client.answer()).code == 200
        assert len(gateway.upstream.connections) == 1
        pool._server._context = TLS.setting(Setting()).upstream_tls  # type: ignore[attr-defined]  # because: as when its files have changed
        pool.sweep()
        await until(lambda: gateway.upstream.connections[0].ended)

    play(ok, scene)


def test_both_ends_are_probed() -> None:
    """Connections have keep-alive probes: a peer that vanished from a silent stream does not hold it for ever."""

    async def scene(gateway: Running, client: RawClient) -> None:
        await client.send(GET_POD)
        assert (await client.answer()).code == 200
        (connection,) = gateway.gateway._clients  # because: its socket is not to be seen from outside
        (upstream,) = gateway.gateway.pool(own_certificate=False)._all  # because: the same
        for transport in (connection.transport, upstream.transport):
            sock = transport.get_extra_info("socket")
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)

    play(ok, scene)


def test_connection_that_ends_before_it_is_used() -> None:
    """A connection that the upstream closes before the request is sent is a 502, not a request without an end."""

    async def scene(gateway: Running, client: RawClient) -> None:
        pool = gateway.gateway.pool(own_certificate=False)
        loop = asyncio.get_running_loop()
        made = loop.create_connection

        async def lost_at_once(*given: Any, **named: Any) -> Any:
            transport, connection = await made(*given, **named)
            transport.abort()
            await until(lambda: not connection.usable)
            await asyncio.sleep(0)
            return transport, connection

        loop.create_connection = lost_at_once  # type: ignore[method-assign]  # because: the moment cannot be hit otherwise
        await client.send(WATCH)
        assert (await client.answer()).code == 502
        assert await gateway.until_told(3) == lasting(502)
        assert len(pool) == 0

    play(ok, scene)


def test_handshake_that_outlasts_a_stop() -> None:
    """A connection whose handshake is not over when the gateway stops carries no request: nobody would record it."""

    async def scene() -> None:
        async with TLS.upstream(ok) as upstream, gateway_to(upstream, TLS.setting(Setting())) as gateway:
            loop = asyncio.get_running_loop()
            sock = socket.create_connection(("127.0.0.1", gateway.port))
            sock.setblocking(False)  # noqa: FBT003  # because: the socket module's own signature
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            context = gateway.setting.client_tls
            assert context is not None
            tls = context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
            with pytest.raises(ssl.SSLWantReadError):
                tls.do_handshake()
            await loop.sock_sendall(sock, outgoing.read())
            incoming.write(await loop.sock_recv(sock, 65536))  # the gateway has taken the connection
            await gateway.gateway.drain(0.0)
            tls.do_handshake()
            tls.write(GET_POD)
            with contextlib.suppress(ConnectionError):
                await loop.sock_sendall(sock, outgoing.read())
                while await loop.sock_recv(sock, 65536):
                    pass
            assert upstream.requests == []
            assert gateway.events == []
            sock.close()

    run(scene())


class Full(MemoryBackend):
    """Stores nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.tried: list[str] = []

    def process(self, events: Sequence[Event]) -> None:
        self.tried += [str(event.stage) for event in events]
        raise DeliveryError("full", len(events), "no room")


def test_client_that_leaves_before_its_request_is_refused() -> None:
    """Of a request that cannot be stored nothing further is recorded, though its client has gone in the same turn."""
    sink = Full()

    async def scene(gateway: Running, client: RawClient) -> None:
        gateway.gateway.grouped = True
        store = gateway.gateway.turn._store_arrived

        def gone_first(arrived: Any) -> None:
            for connection in list(gateway.gateway._clients):
                connection.connection_lost(None)
            store(arrived)

        gateway.gateway.turn._store_arrived = gone_first
        await client.send(GET_POD)
        await until(lambda: sink.tried)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert sink.tried == ["RequestReceived"]
        assert gateway.upstream.requests == []

    play(ok, scene, sink=sink)
