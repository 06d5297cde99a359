"""The webhook backend: events go to a receiver as EventLists, over HTTP (spec §6.6).

A call gets at most five attempts; the waits between them are b, 1.5b, 2.25b and 3.375b, each up to a fifth longer by
chance. An answer 429 or ≥ 500 with a Retry-After is asked again inside the attempt, after that time.

| what | kube-apiserver | here | why |
|---|---|---|---|
| redirects | followed; a 2xx after a bodyless GET is success | a failure | the events went nowhere |
| Retry-After | any time, 10 times an attempt | ≤ 60 s, 10 times, ≤ 120 s in all | nobody stops us for ever |
| the answer's body | read whole; all is sent again if it breaks off | 64 KiB, one second | its status was success |
| an event that cannot be encoded | spoils its batch | is dropped alone | a poison event hurts itself |
| credentials over plain HTTP | silently not sent | not sent, and said once | the operator should know |
| proxies of the environment | used | not used | an audit trail takes no detours |
| HTTP/2 | where the receiver speaks it | HTTP/1.1 | one request at a time a connection is enough |
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import posixpath
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

from decklog.audit.sink import DeliveryError
from decklog.backends.books import give_up
from decklog.backends.delivery import PostError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from types import TracebackType

    from decklog.audit.event import Event
    from decklog.backends.delivery import Poster
    from decklog.backends.failures import Failures
    from decklog.kubeconfig import ClusterAccess
    from decklog.metrics import Account

PLUGIN: Final = "webhook"
ATTEMPTS: Final = 5
GROWTH: Final = 1.5
JITTER: Final = 0.2
CALL_LIMIT_S: Final = 30.0
REPLY_LIMIT: Final = 64 * 1024
REPLY_LIMIT_S: Final = 1.0
RETRY_AFTER_LIMIT_S: Final = 60.0
RETRY_AFTER_TIMES: Final = 10
RETRY_AFTER_TOTAL_S: Final = 120.0

_SUCCESS: Final = frozenset({101, *range(200, 207)})

logger = logging.getLogger(__name__)


class HttpPoster:
    """Posts bodies to the server of a kubeconfig; an async context manager that owns the connections."""

    def __init__(self, access: ClusterAccess, *, call_limit_s: float = CALL_LIMIT_S) -> None:
        self._access = access
        self._url = receiver_url(access.server)
        self._call_limit_s = call_limit_s
        self._session: Any = None
        self._token = (0, access.token)

    async def __aenter__(self) -> Self:
        """Prepare the connections. Raises DecklogError for certificates that cannot be used."""
        import aiohttp  # noqa: PLC0415  # because: 150 ms that only a webhook needs

        access = self._access
        if access.has_credentials and not access.tls:
            logger.warning("the webhook's credentials are not sent: %s is no https address", access.server)
        connector = aiohttp.TCPConnector(
            ssl=access.ssl_context() if access.tls else False,
            limit=0,
            keepalive_timeout=90,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=self._call_limit_s),
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self._session.close()

    async def post(self, body: bytes) -> None:
        """Make one attempt. Raises PostError."""
        import aiohttp  # noqa: PLC0415  # because: loaded already

        try:
            async with self._session.post(
                self._url,
                data=body,
                headers=self._headers(len(body)),
                allow_redirects=False,
                server_hostname=self._access.tls_server_name or None,
            ) as answer:
                status, retry_after = answer.status, answer.headers.get("Retry-After", "")
                with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                    # What it says does not matter, only its code: it is read so that the connection can be used again.
                    async with asyncio.timeout(REPLY_LIMIT_S):
                        await answer.content.read(REPLY_LIMIT)
        except TimeoutError as error:
            raise PostError(None, None, f"no answer within {self._call_limit_s:g} s") from error
        except aiohttp.ClientResponseError as error:  # its text quotes the answer, which may quote an event
            raise PostError(None, None, "the answer is no HTTP that can be read") from error
        except (aiohttp.ClientError, OSError) as error:
            raise PostError(None, None, _reason(error)) from error
        except ValueError as error:  # a token with a line break in it
            raise PostError(None, None, "the request cannot be made: look at the kubeconfig's credentials") from error
        if status not in _SUCCESS:
            raise PostError(status, _seconds(retry_after), f"the receiver answered {status}")

    def _headers(self, length: int) -> dict[str, str]:
        """Give the headers after Host, in Go's order."""
        authorization = self._authorization() if self._access.tls else ""
        return {
            "User-Agent": "Go-http-client/1.1",
            "Content-Length": str(length),
            "Accept": "application/json, */*",
            **({"Authorization": authorization} if authorization else {}),
            "Content-Type": "application/json",
            "Accept-Encoding": "gzip",
        }

    def _authorization(self) -> str:
        access = self._access
        if token := self._read_token():
            return f"Bearer {token}"
        if access.username:
            plain = f"{access.username}:{access.password}".encode()
            return f"Basic {base64.b64encode(plain).decode()}"
        return ""

    def _read_token(self) -> str:
        """Give the token; that of a file is read again when the file has changed, and kept while it is unreadable."""
        if not self._access.token_file:
            return self._access.token
        file = Path(self._access.token_file)
        with contextlib.suppress(OSError, UnicodeDecodeError):
            changed = file.stat().st_mtime_ns
            if changed != self._token[0] and (token := file.read_text("utf-8").strip()):
                self._token = (changed, token)
        return self._token[1]


def receiver_url(server: str) -> str:
    """Give the address that is posted to: the server's path, cleaned, its query dropped (spec §6.6)."""
    parts = urlsplit(server)
    path = posixpath.normpath(f"/{parts.path.lstrip('/')}")  # no last slash, no double ones: as Go's path.Join
    return f"{parts.scheme}://{parts.netloc}{path}?timeout=30s"


class Webhook:
    """Sends events and waits until they are taken; `process` gives an awaitable. Drained when nothing is awaited."""

    def __init__(
        self,
        poster: Poster,
        encode_list: Callable[[Sequence[Event]], bytes],
        *,
        account: Account,
        failures: Failures,
        initial_backoff_s: float = 10.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._poster = poster
        self._encode_list = encode_list
        self._account = account
        self._failures = failures
        self._backoff_s = initial_backoff_s
        self._sleep = sleep
        self._chance = chance

    def __str__(self) -> str:
        return PLUGIN

    async def __aenter__(self) -> Self:
        """Prepare the connections."""
        if isinstance(self._poster, contextlib.AbstractAsyncContextManager):
            await self._poster.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the connections."""
        if isinstance(self._poster, contextlib.AbstractAsyncContextManager):
            await self._poster.__aexit__(kind, error, traceback)

    def process(self, events: Sequence[Event]) -> Awaitable[None]:
        """Send `events`; the awaitable ends when they are taken, or raises DeliveryError when all attempts failed."""
        return self._process(events)

    async def _process(self, events: Sequence[Event]) -> None:
        body, count = self._encode(events)
        unencodable = len(events) - count
        error: DeliveryError | None = None
        if unencodable:
            give_up(self._account, unencodable, "unencodable")
            error = self._failures.lost(unencodable, "an event cannot be encoded")
        try:
            if count:
                await self._send(body)
        except PostError as failure:
            give_up(self._account, count, "failed")
            lost = self._failures.lost(count, failure.cause)
            raise DeliveryError(PLUGIN, len(events), lost.cause) from failure
        self._account.in_flight -= count
        self._account.delivered += count
        if error is not None:
            raise error

    def _encode(self, events: Sequence[Event]) -> tuple[bytes, int]:
        """Make the body, and say how many events it holds: those that can be encoded."""
        body = self._body(events)
        if body is not None:
            return body, len(events)
        whole = [event for event in events if self._body([event]) is not None]
        return self._encode_list(whole), len(whole)

    def _body(self, events: Sequence[Event]) -> bytes | None:
        try:
            return self._encode_list(events)
        except Exception:  # noqa: BLE001  # because: whatever the reason, it is that event's own
            return None

    async def _send(self, body: bytes) -> None:
        """Send with all attempts. Raises PostError with the last attempt's reason."""
        wait_s = self._backoff_s
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await self._attempt(body)
            except PostError:
                if attempt == ATTEMPTS:
                    raise
            else:
                return
            await self._sleep(wait_s * (1 + JITTER * self._chance()))
            wait_s *= GROWTH

    async def _attempt(self, body: bytes) -> None:
        """Post once, and again when the receiver says after how long (429 or ≥ 500 with Retry-After)."""
        left_s = RETRY_AFTER_TOTAL_S
        for _ in range(RETRY_AFTER_TIMES):
            try:
                await self._poster.post(body)
            except PostError as error:
                wait_s = error.retry_after_s
                if wait_s is None or not (error.status == 429 or (error.status or 0) >= 500) or left_s <= 0:
                    raise
                wait_s = min(wait_s, RETRY_AFTER_LIMIT_S, left_s)
                left_s -= wait_s
                await self._sleep(wait_s)
            else:
                return
        await self._poster.post(body)


def _seconds(retry_after: str) -> float | None:
    """Read a Retry-After in whole seconds; a date is none, as for client-go."""
    return float(retry_after) if retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 16 else None


def _reason(error: Exception) -> str:
    """Say why a connection failed: the system's words where there are some."""
    cause = getattr(error, "os_error", None) or error
    words = getattr(cause, "strerror", None) or str(cause) or type(error).__name__
    return f"{type(error).__name__}: {words}"[:200]
