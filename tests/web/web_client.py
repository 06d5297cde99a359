"""A client of the pages that speaks ASGI to them, without sockets: what tests of the web need."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from decklog.web.app import Pages
from decklog.web.guard import LOCAL, Access, OneTime, Sessions
from decklog.web.reading import Readings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from decklog.web.data import Data


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def ask(
    app: Any,
    target: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = b"",
    tls: dict[str, Any] | None = None,
    gone: bool = False,
    leaving: asyncio.Event | None = None,
) -> Answer:
    """Send one request, with a Host of this machine unless told otherwise. `gone`: its sender has hung up.

    `leaving`: it hangs up when that is set. A `body` of None never comes.
    """
    path, _, query = target.partition("?")
    sent = {"host": "127.0.0.1:8080", **{name.lower(): value for name, value in (headers or {}).items()}}
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in sent.items() if value],
        "client": ("127.0.0.1", 4711),
        "server": ("127.0.0.1", 8080),
        "extensions": {"tls": tls} if tls else {},
    }
    inbox = [] if body is None else [{"type": "http.request", "body": body, "more_body": False}]
    outbox: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if gone:
            return {"type": "http.disconnect"}
        if inbox:
            return inbox.pop()
        await (leaving or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        outbox.append(message)

    await app(scope, receive, send)
    found = {name.decode(): value.decode() for name, value in outbox[0]["headers"]}
    return Answer(outbox[0]["status"], found, b"".join(part.get("body", b"") for part in outbox[1:]))


class Door:
    """Pages behind a guard, with a session for whoever asks through `get`."""

    def __init__(self, data: Data, **settings: Any) -> None:
        self.tokens: list[str] = []
        self.pages = Pages(data, settings.pop("readings", None) or Readings(None), **settings)
        self.one_time = OneTime(self.tokens.append)
        self.one_time.renew()
        sessions = Sessions()
        self.app = self.pages.guarded(Access(LOCAL, self.one_time, cookie="decklog-8080"), sessions)
        self.cookie = f"decklog-8080={sessions.begin('local')}"

    async def get(self, target: str, **more: Any) -> Answer:
        headers = {"cookie": self.cookie, **more.pop("headers", {})}
        return await ask(self.app, target, headers=headers, **more)

    def look(self, target: str, **more: Any) -> Answer:
        return asyncio.run(self.get(target, **more))


@asynccontextmanager
async def running(door: Door) -> AsyncIterator[Door]:
    """Run the application's life round a block."""
    async with door.pages.life():
        yield door
