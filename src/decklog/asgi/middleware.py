"""The middleware itself: decides, opens the recording, hands events on, and lives as long as the application."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
import uuid
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final

import msgspec

from decklog.asgi.exchange import Exchange
from decklog.asgi.messages import Scope, failing, has_certificate, refuse, request_target
from decklog.audit.attributes import ResolveError, deadline_problem, resolve
from decklog.audit.deliveries import Deliveries, cause_of
from decklog.audit.event import User
from decklog.audit.headers import authentication_attempts, origin
from decklog.audit.impersonation import ANONYMOUS
from decklog.errors import DecklogError
from decklog.metrics import AuditCounters
from decklog.policy.evaluator import Evaluator
from decklog.policy.reader import load
from decklog.recorder.options import RecorderOptions
from decklog.recorder.recording import Recorder
from decklog.recorder.witness import Witness

if TYPE_CHECKING:
    from decklog.asgi.messages import Application, Headers, Message, Receive, Send
    from decklog.audit.event import Event
    from decklog.audit.intent import Intents
    from decklog.audit.sink import Backend
    from decklog.policy.rules import Policy

Identify = Callable[[Scope], User | None]

_OPTIONS: Final = RecorderOptions()
_DRAIN_S: Final = 30.0

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
        self._deliveries = Deliveries(self.counters.error_total)

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
        await self._deliveries.settle(_DRAIN_S)
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
        early = deadline_problem(attributes, target) if self._deadlines else None
        user, failure = (None, None) if early else self._who(scope)
        headers: Headers = scope["headers"]
        client = scope.get("client")
        identity, addresses, agent = origin(headers, client[0] if client else "", self._new_id)
        recording = self._recorder.open(attributes, self._decide(attributes, user), user, identity, addresses, agent)
        scope["decklog"] = recording
        exchange = Exchange(Witness(recording, self._fault, headers), self._deliver, receive, send, identity)
        if user is None:
            attempted = early or authentication_attempts(headers, target, certificate=has_certificate(scope))
            await exchange.refused(self._app if failure is None else failing(failure), scope, attempted)
            return
        intent = recording.intent() if self._intents is not None else None
        try:
            await self._deliver(recording.received())
            if self._intents is not None and intent is not None:
                self._intents.open(intent)
        except Exception as error:  # noqa: BLE001  # because: whatever failed, the request must not go on unrecorded
            self.counters.requests_rejected_total += 1
            logger.error("request refused, its audit event could not be stored: %s", cause_of(error))  # noqa: TRY400  # because: the cause is in the text; a traceback a request would flood
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
            except Exception as error:
                self._deliveries.failed(error, len(ready))
                raise
            if waiting is not None:
                await self._deliveries.wait_for(waiting, len(ready))

    def _fault(self, error: Exception) -> None:
        """Count and tell a fault of the recorder: its kind alone, as its text may quote a body."""
        self.counters.error_total["recorder"] += 1
        logger.error("audit event could not be made whole: %s", type(error).__name__)
