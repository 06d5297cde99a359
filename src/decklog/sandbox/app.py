"""The sandbox as an ASGI application: one request from its head to its answer.

Lives here: `Sandbox` with the chain of a real server (deadline, authentication, impersonation, authorization, handler),
the paths that are no resources, and the rendering of answers. Who audits (`scope["decklog"]`, a `Notes`) is told of the
authorization and of an impersonation; nobody has to.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from decklog.audit import impersonation
from decklog.audit.attributes import ResolveError, deadline_problem
from decklog.audit.quoting import internal_error
from decklog.sandbox import discovery, negotiation, openapi
from decklog.sandbox import status as errors
from decklog.sandbox.authentication import Authenticator
from decklog.sandbox.authorization import Authorizer, Question
from decklog.sandbox.cluster import Cluster
from decklog.sandbox.documents import to_json, to_yaml
from decklog.sandbox.grants import Grants
from decklog.sandbox.http import Answer, Request, Stream, send_stream, send_whole
from decklog.sandbox.reads import Reads
from decklog.sandbox.resources import BINDINGS, Resource
from decklog.sandbox.reviews import REVIEWS, Reviews
from decklog.sandbox.routing import Route, parts_of, route
from decklog.sandbox.seed import seed
from decklog.sandbox.store import Store
from decklog.sandbox.subresources import LOG_INTERVAL_S, Subresources
from decklog.sandbox.table import partial, table
from decklog.sandbox.writes import Writes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping, Sequence

    from decklog.audit.event import User
    from decklog.sandbox.http import Receive, Send
    from decklog.sandbox.identities import Account
    from decklog.sandbox.negotiation import Accepted
    from decklog.sandbox.times import Clock

NOTICE: Final = (
    "the sandbox is no cluster: it keeps objects in memory and forgets them at exit; "
    "pods, their states and logs are invented"
)
"""What whoever starts a sandbox should be told."""

logger = logging.getLogger(__name__)


class SandboxPanic(Exception):  # noqa: N818  # because: a panic, as the audit stage calls it
    """What ``/debug/panic`` raises: the application ends without an answer, so that a Panic can be seen in a log."""


class Sandbox:
    """A small in-memory Kubernetes API server, an ASGI 3 application."""

    def __init__(
        self,
        accounts: Sequence[Account],
        tokens: Mapping[str, User],
        *,
        clock: Clock = lambda: datetime.now(UTC),
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
        new_token: Callable[[], str] = secrets.token_urlsafe,
        log_interval_s: float = LOG_INTERVAL_S,
    ) -> None:
        self._clock = clock
        self._stopping = asyncio.Event()
        store = Store()
        cluster = Cluster(store, clock, new_id)
        seed(cluster, accounts)
        self._authenticator = Authenticator(tokens, clock)
        self._authorizer = Authorizer(store)
        self._reads = Reads(store, clock)
        self._writes = Writes(cluster, self._reads, Grants(self._authorizer))
        self._reviews = Reviews(self._authenticator, self._authorizer, clock)
        self._below = Subresources(
            cluster,
            self._reads,
            self._writes,
            self._authenticator,
            clock=clock,
            new_id=new_id,
            new_token=new_token,
            log_interval_s=log_interval_s,
        )

    def identify(self, scope: MutableMapping[str, Any]) -> User | None:
        """Tell who sends a request, from its certificate or token; None for credentials that nobody knows."""
        return self._authenticator.identify(scope)

    def stop(self) -> None:
        """End every watch and followed log in good order; for the moment before the server stops."""
        self._stopping.set()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            await self._serve(Request(scope, receive), send)

    async def _serve(self, request: Request, send: Send) -> None:
        try:
            answer = await self._answer(request)
        except errors.ApiError as error:
            answer = _error_answer(request, error)
        except SandboxPanic:
            raise
        except Exception as error:
            # A fault of ours is told as a real server tells its own, and the trace goes to our diagnostics.
            logger.exception("the sandbox failed to answer a request")
            answer = _error_answer(request, errors.internal_error(type(error).__name__))
        if isinstance(answer, Stream):
            await send_stream(answer, request.receive, send, self._stopping)
        else:
            code, content_type, body = self._rendered(request, answer)
            await send_whole(send, code, content_type, body, _headers(request, answer))

    # -- the chain

    async def _answer(self, request: Request) -> Answer | Stream:
        try:
            attributes = request.attributes
        except ResolveError as error:
            return _unresolved(request, error)
        problem = deadline_problem(attributes, request.target)
        if problem is not None:
            raise errors.bad_request(problem)
        request.user = self.identify(request.scope)
        if request.user is None:
            raise errors.unauthorized()
        self._impersonate(request, request.user)
        self._authorize(request)
        return await self._handle(request)

    def _impersonate(self, request: Request, user: User) -> None:
        try:
            wanted = impersonation.requested(request.scope["headers"])
        except impersonation.NoUserError as error:
            raise errors.bad_request(str(error)) from None
        if wanted is None:
            return
        for part in impersonation.parts(wanted):
            question = Question("impersonate", part.group, part.resource, part.subresource, part.namespace, part.name)
            if not self._authorizer.decide(user, question).allowed:
                raise _denied(user, question, "")
        request.user = impersonation.effective(wanted)
        if request.notes is not None:
            request.notes.impersonated(request.user)

    def _authorize(self, request: Request) -> None:
        user, question = request.user, Question.of(request.attributes)
        if user is None:
            raise errors.unauthorized()
        verdict = self._authorizer.decide(user, question)
        if request.notes is not None:
            request.notes.annotate("authorization.k8s.io/decision", "allow" if verdict.allowed else "forbid")
            request.notes.annotate("authorization.k8s.io/reason", verdict.reason)
        if not verdict.allowed:
            raise _denied(user, question, verdict.reason)

    # -- handlers

    async def _handle(self, request: Request) -> Answer | Stream:
        parts = parts_of(request.attributes.path)
        match parts:
            case ["api", _, _, *_] | ["apis", _, _, _, *_]:
                return await self._resource(request, route(parts))
            case ["api" | "apis", *_]:
                _only(request, "GET")
                return discovery.answer(request, parts)
            case ["openapi", *_]:
                _only(request, "GET")
                return openapi.answer(request, parts)
            case ["healthz" | "livez" | "readyz" as name]:
                told = f"[+]ping ok\n{name} check passed\n" if "verbose" in request.query else "ok"
                return Answer(200, told.encode())
            case ["version"]:
                _only(request, "GET")
                return Answer(200, to_json(discovery.VERSION, pretty=True), content_type=negotiation.JSON)
            case [""]:
                return Answer(200, to_json(discovery.paths(), pretty=True), content_type=negotiation.JSON)
            case ["debug", "panic"]:
                raise SandboxPanic("somebody asked for it")
            case _:
                raise errors.no_such_path()

    async def _resource(self, request: Request, found: Route) -> Answer | Stream:
        watch = found.watch or request.attributes.verb == "watch"
        if found.subresource != "log" and not watch:
            # A client that accepts nothing we write is told before anything is done.
            negotiation.negotiate(request.header(b"accept"))
        _check_verb(request, found)
        if found.subresource:
            return await self._below.answer(request, found)
        if found.resource in REVIEWS:
            return await self._reviews.create(request, found)
        if found.resource is BINDINGS:
            return await self._below.bind(request, found)
        match request.method:
            case "GET" if watch and (found.watch or not found.name):
                return self._reads.watch(request, found)
            case "GET":
                return self._reads.get(request, found) if found.name else self._reads.collection(request, found)
            case "POST":
                return await self._writes.create(request, found)
            case "PUT":
                return await self._writes.update(request, found)
            case "PATCH":
                return await self._writes.patch(request, found)
            case _ if found.name:
                return await self._writes.delete(request, found)
            case _:
                return await self._writes.delete_collection(request, found)

    # -- rendering

    def _rendered(self, request: Request, answer: Answer) -> tuple[int, str, bytes]:
        if isinstance(answer.value, bytes):
            return answer.code, answer.content_type, answer.value
        try:
            accepted = negotiation.negotiate(request.header(b"accept"))
        except errors.ApiError as error:
            # Nothing was done yet: discovery, and errors, are all that comes here with such an Accept.
            return error.code, negotiation.JSON, to_json(error.status(), pretty=True)
        value = answer.value
        if answer.resource is not None and accepted.convert:
            value = self._converted(request, answer.resource, value, accepted)
        if accepted.yaml:
            return answer.code, negotiation.YAML, to_yaml(value)
        pretty = request.flag("pretty") if "pretty" in request.query else False
        return answer.code, negotiation.JSON, to_json(value, pretty=pretty)

    def _converted(self, request: Request, resource: Resource, value: Any, accepted: Accepted) -> Any:
        if accepted.convert == "Table":
            include = request.first("includeObject", "Metadata")
            return table(resource, value, now=self._clock(), include=include, version=accepted.version)
        return partial(value, accepted.version)


_METHODS: Final = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def _check_verb(request: Request, found: Route) -> None:
    verb = _METHODS.get(request.method, "")
    sub = found.sub
    if sub is not None:
        allowed = verb in sub.verbs
    elif found.name:
        allowed = verb in found.resource.verbs and verb != "create"
    else:
        collection = {"get": "list", "create": "create", "delete": "deletecollection"}.get(verb, "")
        everywhere = found.resource.namespaced and not found.namespace
        allowed = collection in found.resource.verbs and not (everywhere and collection != "list")
    if not allowed:
        raise errors.method_not_allowed()


def _only(request: Request, method: str) -> None:
    if request.method != method:
        raise errors.method_not_allowed()


def _denied(user: User, question: Question, reason: str) -> errors.ApiError:
    name = errors.quoted(user.username)
    because = f": {reason}" if reason else ""
    if question.path:
        message = f'forbidden: User {name} cannot {question.verb} path "{question.path}"{because}'
        return errors.ApiError(403, "Forbidden", message, {})
    where = f'in the namespace "{question.namespace}"' if question.namespace else "at the cluster scope"
    what = f'resource "{question.full_resource}" in API group "{question.group}"'
    if not question.resource:
        told = f"forbidden: User {name} cannot {question.verb} {what} {where}"
        return errors.ApiError(403, "Forbidden", told, {"name": question.name} if question.name else {})
    about = Resource(question.group, "", question.resource, "", "")
    return errors.forbidden(about, question.name, f"User {name} cannot {question.verb} {what} {where}{because}")


def _unresolved(request: Request, error: ResolveError) -> Answer:
    target = request.target.decode("utf-8", "replace")
    if error.status == 500:
        return Answer(500, (internal_error(target, f"failed to create RequestInfo: {error}") + "\n").encode())
    return Answer(400, b"400 Bad Request")


def _error_answer(request: Request, error: errors.ApiError) -> Answer:
    if error.plain is not None:
        return Answer(error.code, error.plain.encode())
    if error.code == 406:
        return Answer(406, to_json(error.status(), pretty=True), content_type=negotiation.JSON)
    request.warnings.clear()
    return Answer(error.code, error.status())


def _headers(request: Request, answer: Answer) -> list[tuple[str, str]]:
    own = {name for name, _ in answer.headers}
    fields = list(answer.headers)
    if "cache-control" not in own:
        fields.append(("cache-control", "no-cache, private"))
    if answer.code == 403:
        fields.append(("x-content-type-options", "nosniff"))
    return fields + [("warning", _warning(text)) for text in request.warnings]


def _warning(text: str) -> str:
    # ASCII without controls: a server refuses anything else in a header.
    return "299 - " + json.dumps(text).replace("\x7f", "\\u007f")


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
