"""A gateway for tests: `decklog.gateway.server.Gateway` in this process, on loopback, in front of a scripted upstream.

Everything that tests want to replace comes in as an argument; what they look at afterwards is here: the events, the
counters, and whatever the event loop had to complain of.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import uvloop

from decklog.audit.event import Event, User
from decklog.gateway.identity import Caller, Means
from decklog.gateway.options import GatewayOptions
from decklog.gateway.server import Gateway
from decklog.gateway.towards import Passage
from decklog.metrics import AuditCounters
from decklog.policy.evaluator import Evaluator
from decklog.policy.reader import parse
from decklog.recorder.recording import Recorder
from decklog.testing import MemoryBackend, sequential_ids
from gateway.raw_client import RawClient

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Coroutine

    from decklog.audit.sink import Backend
    from gateway.scripted_upstream import ScriptedUpstream

T = TypeVar("T")

METADATA = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n"
WHOLE = METADATA.replace("Metadata", "RequestResponse")
ALICE = User("alice", groups=("dev", "system:authenticated"))
DEADLINE_S = 5.0


def run(scene: Coroutine[Any, Any, T], limit_s: float = 12.0) -> T:
    """Play a scene on a loop of its own; what nobody caught on it is the scene's failure."""
    complaints: list[dict[str, Any]] = []

    async def main() -> T:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        return await asyncio.wait_for(scene, limit_s)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(main())
    assert not complaints, complaints
    return result


async def until(condition: Callable[[], object], limit_s: float = DEADLINE_S) -> None:
    """Wait until `condition` holds; TimeoutError past the limit."""
    async with asyncio.timeout(limit_s):
        while not condition():
            await asyncio.sleep(0.001)


class Loopback:
    """Access to a scripted upstream: what `decklog.access.Access` tells of a real one."""

    base_path = b""
    host = "127.0.0.1"
    server_name = "127.0.0.1"
    has_certificate = False

    def __init__(self, upstream: ScriptedUpstream, tls: ssl.SSLContext | None, authorization: bytes | None) -> None:
        self._upstream = upstream
        self._context = tls
        self._authorization = authorization
        self.tls = tls is not None

    @property
    def server(self) -> str:
        return self._upstream.url

    @property
    def port(self) -> int:
        return self._upstream.port

    def ssl_context(self, *, own_certificate: bool) -> ssl.SSLContext | None:
        del own_certificate
        return self._context

    def authorization(self) -> bytes | None:
        return self._authorization

    def expired(self) -> None:
        """Nothing is renewed."""


class Alice:
    """Identifies everybody as alice."""

    def __call__(self, head: Any, certificate: bytes | None) -> Caller:
        del head, certificate
        return Caller(ALICE, Means.TOKEN)

    def forget(self, head: Any) -> None:
        """Nothing is kept."""


def through(head: Any, caller: Caller) -> Passage:
    """Pass everything on with the caller's own token."""
    del head, caller
    return Passage(b"", own_certificate=False, keep_authorization=True, keep_impersonation=False, impersonated=None)


@dataclass
class Setting:
    """What a test's gateway is made of."""

    options: GatewayOptions = field(default_factory=GatewayOptions)
    policy: str = METADATA
    identify: Any = field(default_factory=Alice)
    towards: Any = through
    sink: Backend = field(default_factory=MemoryBackend)
    intents: Any = None
    tls: ssl.SSLContext | None = None
    """Towards clients."""
    upstream_tls: ssl.SSLContext | None = None
    """Towards the upstream."""
    client_tls: ssl.SSLContext | None = None
    """The test's own client."""
    authorization: bytes | None = None
    clock: Callable[[], int] = time.time_ns


class Running:
    """A gateway that is up."""

    def __init__(self, gateway: Gateway, port: int, setting: Setting, upstream: ScriptedUpstream) -> None:
        self.gateway = gateway
        self.port = port
        self.setting = setting
        self.upstream = upstream
        self.sink = setting.sink
        self.counters = gateway.counters

    @property
    def events(self) -> list[Event]:
        assert isinstance(self.sink, MemoryBackend)
        return self.sink.events

    @property
    def told(self) -> list[tuple[str, int | None]]:
        """(stage, code) of every event, in order."""
        return [(str(event.stage), status.code if (status := event.response_status) else None) for event in self.events]

    async def client(self, *, window: int | None = None) -> RawClient:
        return await RawClient.open(self.port, self.setting.client_tls, window=window)

    async def until_told(self, count: int) -> list[tuple[str, int | None]]:
        """Wait for so many events; answers all of them as `told`."""
        await until(lambda: len(self.events) >= count)
        return self.told


@contextlib.asynccontextmanager
async def gateway_to(
    upstream: ScriptedUpstream, setting: Setting | None = None, **given: Any
) -> AsyncIterator[Running]:
    """Run a gateway in front of `upstream` until the block ends; `given` are fields of Setting."""
    chosen = setting or Setting(**given)
    counters = AuditCounters()
    gateway = Gateway(
        chosen.options,
        access=Loopback(upstream, chosen.upstream_tls, chosen.authorization),
        decide=Evaluator(parse(chosen.policy.encode(), source="test").policy).decide,
        recorder=Recorder(chosen.clock, counters),
        sink=chosen.sink,
        identify=chosen.identify,
        towards=chosen.towards,
        counters=counters,
        intents=chosen.intents,
        new_id=sequential_ids(),
        grouped=type(chosen.sink) is MemoryBackend,  # others wait, or fail, for one request alone
    )
    sock = socket.create_server(("127.0.0.1", 0))
    async with chosen.sink:
        await gateway.start()
        await gateway.listen(sock, chosen.tls)
        try:
            yield Running(gateway, sock.getsockname()[1], chosen, upstream)
        finally:
            await gateway.drain(0.0)
