"""A door: middleware that audits any ASGI application the way kube-apiserver audits itself.

    app = AuditMiddleware(app, policy="audit-policy.yaml", backend=log_to("audit.log"), identify=user_of)

`log_to` is `decklog.assembly.log_to`. Bodies are relayed first and teed; nothing is buffered that the policy does not
ask for, and streaming answers stream.
The record of the request in hand lies in ``scope["decklog"]`` (see `decklog.audit.notes`): an application may add
annotations to it, or say whom the request acts for.

| where | kube-apiserver | here | why |
|---|---|---|---|
| a failed authentication | its own 401 handler answers | `identify` gave None: the application answers | its login |
| a panic's answer | the connection drops | the exception goes on to the server | ASGI has no other way |
| a WebSocket | code 101 at the hijack | 101 when accepted, 403 when closed before | ASGI's words for it |
| ``/api/v1/watch`` | 500, no event | 500, no event | it fails before any audit filter there, too |
| ``/%zz`` | 400, no event | 400, no event | Go's HTTP server refuses the request itself |
| an aborted request | the handler returns | recorded with what had been answered | nothing ends without a last event |
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import msgspec

from decklog.audit import jsontext
from decklog.audit.attributes import ResolveError, deadline_problem, resolve
from decklog.audit.event import User
from decklog.audit.headers import authentication_attempts, origin
from decklog.audit.quoting import internal_error
from decklog.audit.sink import Backend, DeliveryError
from decklog.errors import DecklogError
from decklog.metrics import AuditCounters
from decklog.policy.evaluator import Evaluator
from decklog.policy.reader import load
from decklog.recorder.answers import Answer, may_be_status
from decklog.recorder.options import RecorderOptions
from decklog.recorder.recording import Recorder
from decklog.recorder.submitted import Submitted

if TYPE_CHECKING:
    from decklog.audit.event import Event
    from decklog.audit.intent import Intents
    from decklog.policy.rules import Policy
    from decklog.recorder.recording import Recording

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
Identify = Callable[[Scope], User | None]

ANONYMOUS: Final = User("system:anonymous", groups=("system:unauthenticated",))
"""Who a request is by when nobody says otherwise."""

_OPTIONS: Final = RecorderOptions()
_PATH: Final = "/$&+,:;=@"
_DRAIN_S: Final = 30.0
_ERROR: Final = "decklog/recording-error"
"""Annotation: the kind of the fault for which an event has no bodies."""

logger = logging.getLogger(__name__)


def anonymous(scope: Scope) -> User:
    """Identify nobody: every request is by system:anonymous."""
    del scope
    return ANONYMOUS


def random_id() -> str:
    """Make an audit ID as kube-apiserver does: a random UUID."""
    return str(uuid.uuid4())


class AuditMiddleware:
    """Audits `app`.

    `policy`: a Policy, or the path of its file. `backend`: where the events go; unless `own_backend` is False it is
    started and drained with the application's lifespan (or at the first request, where a server has no lifespan).
    `identify`: who sends a request; None means that nobody was recognised: then, as for a failed login, one
    ResponseStarted event is written (spec §5.7).

    `deadlines`: the application refuses a ``?timeout=`` that is no Go duration before it asks who sent it, as
    kube-apiserver does; such a request is one event without a user, too.

    `intents`: where a strict door keeps its intents, for requests whose RequestReceived the policy omits.

    A backend that raises (blocking-strict) refuses the request at RequestReceived with 500; later failures never do.
    """

    def __init__(
        self,
        app: Application,
        *,
        policy: Policy | str,
        backend: Backend,
        identify: Identify = anonymous,
        options: RecorderOptions = _OPTIONS,
        counters: AuditCounters | None = None,
        clock: Callable[[], int] = time.time_ns,
        new_id: Callable[[], str] = random_id,
        own_backend: bool = True,
        deadlines: bool = False,
        intents: Intents | None = None,
    ) -> None:
        if inspect.iscoroutinefunction(identify) or inspect.iscoroutinefunction(getattr(identify, "__call__", None)):  # noqa: B004  # because: an object may be callable by an async method
            raise DecklogError("identify is a coroutine function: give a plain one that returns a User or None")
        self._app = app
        self._decide = Evaluator(load(policy).policy if isinstance(policy, str) else policy).decide
        self._backend = backend
        self._identify = identify
        self.counters = counters if counters is not None else AuditCounters()
        self._recorder = Recorder(clock, self.counters, options)
        self._new_id = new_id
        self._stack = AsyncExitStack()
        self._started = not own_backend
        self._deadlines = deadlines
        self._intents = intents
        self._starting = asyncio.Lock()
        self._sends: set[asyncio.Future[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        elif scope["type"] in {"http", "websocket"}:
            await self._start()
            await self._audited(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _start(self) -> None:
        if self._started:
            return
        async with self._starting:
            if not self._started:
                await self._stack.enter_async_context(self._backend)
                self._started = True

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Start the backend before the application and drain it after, also round one that has no lifespan."""
        first = await receive()
        try:
            await self._start()
        except Exception as error:  # noqa: BLE001  # because: whatever it was, the server must hear that we cannot serve
            text = str(error) if isinstance(error, DecklogError | OSError) else type(error).__name__
            await send({"type": "lifespan.startup.failed", "message": f"audit backend cannot start: {text}"})
            return
        waiting = [first]
        said = ""
        asked = False

        async def hearing() -> Message:
            nonlocal asked
            message = waiting.pop() if waiting else await receive()
            asked = asked or message["type"] == "lifespan.shutdown"
            return message

        async def telling(message: Message) -> None:
            nonlocal said
            said = message["type"]
            if said.startswith("lifespan.shutdown"):
                await self._close()
            await send(message)

        try:
            try:
                await self._app(scope, hearing, telling)
            except Exception:
                if said:
                    raise
                logger.debug("the application has no lifespan; the backend has one")
            if not said:
                await send({"type": "lifespan.startup.complete"})
            if said in {"", "lifespan.startup.complete"}:
                while not asked:
                    asked = (await receive())["type"] == "lifespan.shutdown"
                await self._close()
                await send({"type": "lifespan.shutdown.complete"})
        finally:
            await self._close()

    async def _close(self) -> None:
        """Wait for what nobody waits for any more, and drain the backend."""
        if self._sends:
            await asyncio.wait(self._sends, timeout=_DRAIN_S)
        await self._stack.aclose()

    async def _audited(self, scope: Scope, receive: Receive, send: Send) -> None:
        target = request_target(scope)
        method = scope.get("method", "GET")
        try:
            attributes = resolve(method, target)
        except ResolveError as error:
            await refuse(scope, send, f"failed to create RequestInfo: {error}", target, code=error.status)
            return
        if scope["type"] == "websocket":
            attributes = msgspec.structs.replace(attributes, long_running=True)
        early = self._deadlines and deadline_problem(attributes, target) is not None
        user, failure = (None, None) if early else self._who(scope)
        headers: Headers = scope["headers"]
        client = scope.get("client")
        identity, addresses, agent = origin(headers, client[0] if client else "", self._new_id)
        recording = self._recorder.open(attributes, self._decide(attributes, user), user, identity, addresses, agent)
        scope["decklog"] = recording
        exchange = _Exchange(recording, self._deliver, receive, send, identity, self._fault)
        if user is None:
            attempted = "" if early else authentication_attempts(headers, target, certificate=_certificate(scope))
            await exchange.refused(self._app if failure is None else failing(failure), scope, attempted)
            return
        intent = recording.intent() if self._intents is not None else None
        try:
            await self._deliver(recording.received())
            if self._intents is not None and intent is not None:
                self._intents.open(intent)
        except Exception as error:  # noqa: BLE001  # because: whatever failed, the request must not go on unrecorded
            self.counters.requests_rejected_total += 1
            logger.error("request refused, its audit event could not be stored: %s", _cause(error))  # noqa: TRY400  # because: the cause is in the text; a traceback a request would flood
            await refuse(scope, send, "failed to store audit event", target, identity)
            return
        try:
            await exchange.run(self._app, scope)
        finally:
            if self._intents is not None and intent is not None and exchange.stored:
                self._intents.close(intent)

    def _who(self, scope: Scope) -> tuple[User | None, Exception | None]:
        """Identify the sender; what fails in it is nobody, and the error goes on once the event is written."""
        try:
            user: Any = self._identify(scope)
        except Exception as error:  # noqa: BLE001  # because: raised again by `failing`, behind its event
            return None, error
        if user is None or isinstance(user, User):
            return user, None
        if inspect.iscoroutine(user):
            user.close()
        return None, DecklogError(f"identify must give a User or None, not {type(user).__name__}")

    async def _deliver(self, *events: Event | None) -> None:
        ready = [event for event in events if event is not None]
        if ready:
            try:
                waiting = self._backend.process(ready)
            except DeliveryError:
                raise
            except Exception:
                self.counters.error_total["backend"] += len(ready)
                raise
            if waiting is not None:
                await self._shielded(waiting, len(ready))

    async def _shielded(self, waiting: Awaitable[None], count: int) -> None:
        """Wait for a delivery; it goes on when the request is cancelled, and is counted when it fails then."""

        def over(sending: asyncio.Future[None]) -> None:
            self._sends.discard(sending)
            error = None if sending.cancelled() else sending.exception()
            if sending.cancelled() or (error is not None and not isinstance(error, DeliveryError)):
                self.counters.error_total["backend"] += count

        sending = asyncio.ensure_future(waiting)
        self._sends.add(sending)
        sending.add_done_callback(over)
        await asyncio.shield(sending)

    def _fault(self, error: Exception) -> None:
        """Count and tell a fault of the recorder: its kind alone, as its text may quote a body."""
        self.counters.error_total["recorder"] += 1
        logger.error("audit event could not be made whole: %s", type(error).__name__)


class _Exchange:
    """One request on its way through the application: relays, tees, and tells the recording."""

    def __init__(
        self,
        recording: Recording,
        deliver: Callable[..., Awaitable[None]],
        receive: Receive,
        send: Send,
        identity: str,
        fault: Callable[[Exception], None],
    ) -> None:
        self._fault = fault
        self._gone: OSError | None = None
        self._recording = recording
        self._deliver = deliver
        self._receive = receive
        self._send = send
        self._identity = jsontext.raw(identity)
        self._request = _Tee(recording.request_limit())
        self._response = _Tee(0)
        self._submitted = Submitted()
        self._code = 0
        self._headers: Headers = []
        self._request_ended = False
        self.stored = True
        """Whether every event of the request was taken by the backend."""

    async def run(self, app: Application, scope: Scope) -> None:
        """Let the application answer; whatever happens, the last event is written."""
        self._submitted = _declared(scope["headers"])
        try:
            await app(scope, self.receive, self.send)
        except Exception as error:
            gone = self._gone is not None and self._gone in {error, error.__cause__}
            await self._late(*self._last(None if gone else _words(error)))  # a write error is no panic
            raise
        except SystemExit as error:
            await self._late(*self._last(None if self._code else _words(error)))
            raise
        except BaseException:  # cancelled, or the process is ending: what had been answered by then is told
            await self._late(*self._last())
            raise
        await self._late(*self._last())

    def _last(self, panic: str | None = None) -> tuple[Event | None, ...]:
        """Make the last events; what cannot be made with the bodies is made without."""
        try:
            return self._recorded(panic, self._answer(), self._body())
        except Exception as error:  # noqa: BLE001  # because: the answer is out, and no fault of ours may break it
            self._fault(error)
            kind = type(error).__name__
        try:
            self._recording.annotate(_ERROR, kind)
            return self._recorded(panic, Answer(self._code) if self._code else None, None)
        except Exception as error:  # noqa: BLE001  # because: see above
            self.stored = False
            self._fault(error)
            return ()

    def _recorded(self, panic: str | None, answer: Answer | None, body: Submitted | None) -> tuple[Event | None, ...]:
        if panic is None:
            return self._recording.completed(answer, body)
        return (self._recording.owed(answer), self._recording.panicked(panic, body))

    async def refused(self, app: Application, scope: Scope, attempted: str) -> None:
        """Let the application answer somebody whom nobody knows."""
        try:
            await app(scope, self.receive, self._send_head)
        finally:
            try:
                event = self._recording.unauthenticated(self._answer() or Answer(500), attempted)
            except Exception as error:  # noqa: BLE001  # because: see `_last`
                self._fault(error)
                self._recording.annotate(_ERROR, type(error).__name__)
                event = self._recording.unauthenticated(Answer(self._code or 500), attempted)
            await self._late(event)

    async def receive(self) -> Message:
        """Relay a message to the application, teeing the body."""
        message = await self._receive()
        if message["type"] == "http.request":
            self._request.feed(message.get("body", b""))
            self._request_ended = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """Relay a message to the client first, then tell the recording."""
        await self._send_head(message)
        kind = message["type"]
        if kind in {"http.response.start", "websocket.accept", "websocket.http.response.start"} or (
            kind == "websocket.close" and self._code == 403
        ):
            await self._late(self._recording.started(self._code))

    async def _send_head(self, message: Message) -> None:
        kind = message["type"]
        if kind in {"http.response.start", "websocket.http.response.start"}:
            message = self._begin(message, message["status"])
        elif kind == "websocket.accept":
            message = self._begin(message, 101)
        elif kind == "websocket.close" and not self._code:
            self._code = 403
        try:
            await self._send(message)
        except OSError as error:
            self._gone = error
            raise
        if kind in {"http.response.body", "websocket.http.response.body"}:
            self._tee(message.get("body", b""))

    def _begin(self, message: Message, code: int) -> Message:
        """Note code and headers, and add Audit-Id unless the application has set one (spec §5.5)."""
        self._code = code
        self._headers = list(message.get("headers") or ())
        self._response = _Tee(self._recording.response_limit(code))
        if any(name.lower() == b"audit-id" for name, _ in self._headers):
            return message
        return {**message, "headers": [*self._headers, (b"audit-id", self._identity)]}

    def _tee(self, chunk: bytes) -> None:
        """Keep the body; below RequestResponse only one that may be a Status."""
        self._response.feed(chunk)
        if not self._recording.keeps_response and self._code < 400 and not may_be_status(self._response.beginning(64)):
            self._response.stop()

    def _answer(self) -> Answer | None:
        if not self._code:
            return None
        headers = {name.lower(): value for name, value in reversed(self._headers)}  # the first line counts
        return Answer(
            self._code,
            headers.get(b"content-type", b"").decode("latin-1"),
            self._response.body(),
            headers.get(b"content-encoding", b"").decode("latin-1"),
            self._response.length if self._response.kept else None,
        )

    def _body(self) -> Submitted | None:
        if not self._request.limit:
            return None
        return msgspec.structs.replace(
            self._submitted,
            body=self._request.body(),
            length=self._request.length,
            whole=self._request_ended,
        )

    async def _late(self, *events: Event | None) -> None:
        """Deliver what can no longer refuse the request: a failure is counted where it happens, and told here."""
        try:
            await self._deliver(*events)
        except Exception as error:  # noqa: BLE001  # because: the answer is on its way, and no backend may break it
            self.stored = False
            logger.error("%s", _cause(error))  # noqa: TRY400  # because: the cause is in the text; a traceback a request would flood


class _Tee:
    """The first `limit` bytes of what flows past, and how many there were."""

    __slots__ = ("_chunks", "_room", "kept", "length", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.length = 0
        self.kept = limit > 0
        self._room = limit
        self._chunks: list[bytes] = []

    def feed(self, chunk: bytes) -> None:
        self.length += len(chunk)
        if self._room > 0 and chunk:
            self._chunks.append(bytes(chunk[: self._room]))
            self._room -= min(len(chunk), self._room)

    def stop(self) -> None:
        """Keep nothing of it."""
        self._chunks.clear()
        self._room = 0
        self.kept = False

    def beginning(self, size: int) -> bytes:
        return self._chunks[0][:size] if self._chunks else b""

    def body(self) -> bytes:
        return b"".join(self._chunks)


def failing(error: Exception) -> Application:
    """Make an application that raises `error`."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive, send
        raise error

    return application


def _words(error: BaseException) -> str:
    """Give an exception's text, or its kind where it has none or cannot say it."""
    try:
        return str(error) or type(error).__name__
    except Exception:  # noqa: BLE001  # because: the text is the application's, and so is its fault
        return type(error).__name__


def _cause(error: Exception) -> str:
    """Say why a delivery failed; of a fault the type alone, as its text may quote an event."""
    return str(error) if isinstance(error, DeliveryError) else f"audit backend failed: {type(error).__name__}"


def request_target(scope: Scope) -> bytes:
    """Give the request target as it was sent, as far as the server tells."""
    target = scope.get("decklog.target")
    if isinstance(target, bytes):
        return target
    path: bytes = scope.get("raw_path") or quote(scope["path"].encode("utf-8", "surrogateescape"), _PATH).encode()
    query: bytes = scope.get("query_string", b"")
    return path + b"?" + query if query else path


def _declared(headers: Headers) -> Submitted:
    found = dict(reversed(headers))  # the first line counts
    return Submitted(
        found.get(b"content-type", b"").decode("latin-1"),
        encoding=found.get(b"content-encoding", b"").decode("latin-1"),
    )


def _certificate(scope: Scope) -> bool:
    return bool(((scope.get("extensions") or {}).get("tls") or {}).get("client_cert_chain"))


async def refuse(scope: Scope, send: Send, why: str, target: bytes, identity: str = "", code: int = 500) -> None:
    """Answer as kube-apiserver does when it cannot audit a request (500, spec §5.3), or does not take it (400)."""
    text = internal_error(jsontext.text(target), why) if code == 500 else "400 Bad Request"
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"x-content-type-options", b"nosniff")]
    if identity:
        headers.append((b"audit-id", jsontext.raw(identity)))
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1011, "reason": why[:120]})
        return
    await send({"type": "http.response.start", "status": code, "headers": headers})
    await send({"type": "http.response.body", "body": jsontext.raw(text) + b"\n"})
