"""A client of the sandbox without sockets: requests go in as ASGI scopes, answers come out as values."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from decklog.audit.event import User
from decklog.sandbox.app import Sandbox
from decklog.sandbox.identities import DEMO

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, MutableMapping

T = TypeVar("T")
DEADLINE_S = 10.0
BEGIN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
JSON = "application/json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
PROTOBUF = "application/vnd.kubernetes.protobuf"
APPLY = "application/apply-patch+yaml"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


@dataclass
class Clock:
    """A clock that stands still until it is moved."""

    now: datetime = BEGIN

    def __call__(self) -> datetime:
        return self.now

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class Ids:
    """Uids that count up."""

    last: int = 0

    def __call__(self) -> str:
        self.last += 1
        return f"00000000-0000-4000-8000-{self.last:012d}"


@dataclass
class Notes:
    """What the sandbox tells whoever audits."""

    annotations: dict[str, str] = field(default_factory=dict)
    user: User | None = None

    def annotate(self, key: str, value: str) -> None:
        self.annotations.setdefault(key, value)

    def impersonated(self, user: User, constraint: str = "") -> None:
        assert constraint == ""
        self.user = user


@dataclass(frozen=True)
class Reply:
    """A whole answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        return str(self.json["message"])


class Client:
    """Sends requests to one sandbox; `user` is an account of the demo, who comes with a token."""

    def __init__(self, *, log_interval_s: float = 0.0) -> None:
        self.clock = Clock()
        tokens = {account.name: User(account.name, groups=account.groups) for account in DEMO}
        self.box = Sandbox(
            DEMO,
            tokens,
            clock=self.clock,
            new_id=Ids(),
            new_token=lambda: "issued",
            log_interval_s=log_interval_s,
        )
        self._runner = asyncio.Runner()

    def close(self) -> None:
        self._runner.close()

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the client's loop, with a deadline."""
        return self._runner.run(asyncio.wait_for(main, DEADLINE_S))

    def call(
        self,
        method: str,
        target: str,
        body: Any = None,
        *,
        user: str = "admin",
        kind: str = JSON,
        headers: dict[str, str] | None = None,
        notes: Notes | None = None,
    ) -> Reply:
        """Send one request and wait for its whole answer; `body` is bytes, or a value to be sent as JSON."""
        return self.run(self._call(method, target, body, user, kind, headers or {}, notes))

    async def call_soon(self, method: str, target: str, body: Any = None, kind: str = JSON) -> Reply:
        """Send a request as the administrator from within a coroutine, beside streams."""
        return await self._call(method, target, body, "admin", kind, {}, None)

    async def _call(
        self,
        method: str,
        target: str,
        body: Any,
        user: str,
        kind: str,
        headers: dict[str, str],
        notes: Notes | None,
    ) -> Reply:
        sent = [body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()]

        async def receive() -> MutableMapping[str, Any]:
            if sent:
                return {"type": "http.request", "body": sent.pop(), "more_body": False}
            await asyncio.Event().wait()
            raise AssertionError

        messages: list[MutableMapping[str, Any]] = []

        async def send(message: MutableMapping[str, Any]) -> None:
            messages.append(message)

        await self.box(scope(method, target, user, {"content-type": kind, **headers}, notes), receive, send)
        answered = {name.decode(): value.decode("ascii") for name, value in messages[0]["headers"]}
        return Reply(messages[0]["status"], answered, b"".join(message.get("body", b"") for message in messages[1:]))

    def get(self, target: str, **options: Any) -> Reply:
        return self.call("GET", target, **options)

    def post(self, target: str, body: Any, **options: Any) -> Reply:
        return self.call("POST", target, body, **options)

    def put(self, target: str, body: Any, **options: Any) -> Reply:
        return self.call("PUT", target, body, **options)

    def patch(self, target: str, body: Any, kind: str = MERGE, **options: Any) -> Reply:
        return self.call("PATCH", target, body, kind=kind, **options)

    def delete(self, target: str, body: Any = None, **options: Any) -> Reply:
        return self.call("DELETE", target, body, **options)


class Stream:
    """A watch or a followed log: lines as they come."""

    def __init__(self, messages: asyncio.Queue[MutableMapping[str, Any]]) -> None:
        self._messages = messages
        self.ended = False

    async def event(self) -> Any:
        """Wait for the next line, as JSON; None at the end."""
        message = await self._messages.get()
        self.ended = not message.get("more_body", False)
        return json.loads(message["body"]) if message["body"] else None


@contextlib.asynccontextmanager
async def streaming(client: Client, target: str, user: str = "admin", **headers: str) -> AsyncIterator[Stream]:
    """Open a stream; leaving the block is the client going away."""
    messages: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
    gone = asyncio.Event()
    begun = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> MutableMapping[str, Any]:
        if begun:
            return dict(begun.pop())
        await gone.wait()
        return {"type": "http.disconnect"}

    task = asyncio.ensure_future(client.box(scope("GET", target, user, headers, None), receive, messages.put))
    start = await messages.get()
    assert start["status"] == 200
    try:
        yield Stream(messages)
    finally:
        gone.set()
        await task


def scope(
    method: str,
    target: str,
    user: str,
    headers: dict[str, str],
    notes: Notes | None,
) -> MutableMapping[str, Any]:
    """Make the ASGI scope of a request; without a user it comes without credentials."""
    raw = target.encode()
    fields = {**({"authorization": f"Bearer {user}"} if user else {}), **headers}
    return {
        "type": "http",
        "method": method,
        "path": target.partition("?")[0],
        "raw_path": raw.partition(b"?")[0],
        "query_string": raw.partition(b"?")[2],
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in fields.items()],
        "client": ("127.0.0.1", 40000),
        **({"decklog": notes} if notes is not None else {}),
    }


def config_map(name: str, /, **data: str) -> dict[str, Any]:
    """Make a ConfigMap to submit."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def pod(name: str, image: str = "nginx:1.27") -> dict[str, Any]:
    """Make a Pod to submit."""
    spec = {"containers": [{"name": "c", "image": image}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def deployment(name: str, replicas: int = 2, image: str = "nginx:1.27") -> dict[str, Any]:
    """Make a Deployment to submit."""
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": image}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
SECRETS = "/api/v1/namespaces/default/secrets"
