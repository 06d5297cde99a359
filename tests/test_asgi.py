from __future__ import annotations

import asyncio
import contextlib
import functools
import gzip
from typing import TYPE_CHECKING, Any

import pytest

from decklog.asgi import AuditMiddleware
from decklog.audit.event import User
from decklog.audit.sink import DeliveryError
from decklog.errors import DecklogError
from decklog.policy.rules import Policy, Rule
from decklog.testing import FixedClock, MemoryBackend, sequential_ids

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from decklog.asgi import Message, Receive, Scope, Send
    from decklog.audit.event import Event
    from decklog.audit.intent import Intent

    Application = Callable[[Scope, Receive, Send], Awaitable[None]]

EVERYTHING = Policy(rules=(Rule("RequestResponse"),))
METADATA = Policy(rules=(Rule("Metadata"),))
POD = b'{"kind":"Pod","apiVersion":"v1","metadata":{"name":"web"}}'
PODS = "/api/v1/namespaces/shop/pods"
ALICE = User("alice")


def request(method: str = "GET", path: str = PODS, *headers: tuple[bytes, bytes], kind: str = "http") -> Scope:
    """Build the scope of a request."""
    path, _, query = path.partition("?")
    return {
        "type": kind,
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": list(headers),
        "client": ("192.0.2.7", 4711),
    }


def replies(code: int, *chunks: bytes, content_type: bytes = b"application/json", reads: bool = True) -> Application:
    """Make an application that reads the body and answers."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        while reads and (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": code, "headers": [(b"content-type", content_type)]})
        for chunk in chunks[:-1]:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": chunks[-1] if chunks else b""})

    return application


class Client:
    """Runs one request through an application and keeps what came back."""

    def __init__(self, *body: bytes) -> None:
        self.sent: list[Message] = []
        self._body = list(body) or [b""]

    async def receive(self) -> Message:
        if not self._body:
            return {"type": "http.disconnect"}
        chunk = self._body.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(self._body)}

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    @property
    def code(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent[1:])


def audited(
    application: Application, policy: Policy = EVERYTHING, **options: Any
) -> tuple[AuditMiddleware, MemoryBackend]:
    """Put the middleware round an application."""
    backend = MemoryBackend()
    tuning = {"identify": lambda _: ALICE, "clock": FixedClock(), "new_id": sequential_ids(), **options}
    return AuditMiddleware(application, policy=policy, backend=backend, **tuning), backend


def run(middleware: AuditMiddleware, scope: Scope, *body: bytes) -> Client:
    """Send one request."""
    client = Client(*body)
    asyncio.run(middleware(scope, client.receive, client.send))
    return client


def test_a_request_becomes_two_events_and_the_answer_is_unchanged() -> None:
    """Who, what, from where, and what came of it."""
    middleware, backend = audited(replies(201, POD[:20], POD[20:]))
    headers = (
        (b"content-type", b"application/json"),
        (b"user-agent", b"kubectl"),
        (b"x-forwarded-for", b"203.0.113.9"),
    )
    client = run(middleware, request("POST", PODS, *headers), POD[:10], POD[10:])
    assert (client.code, client.body) == (201, POD)
    assert backend.stages == ["RequestReceived", "ResponseComplete"]
    event = backend.events[-1]
    assert (event.verb, event.user, event.source_ips) == ("create", ALICE, ("203.0.113.9", "192.0.2.7"))
    assert event.object_ref is not None
    assert (event.object_ref.namespace, event.object_ref.name, event.user_agent) == ("shop", "web", "kubectl")
    assert (bytes(event.request_object), bytes(event.response_object)) == (POD, POD)
    assert event.response_status is not None
    assert event.response_status.code == 201


def test_the_audit_id_is_the_client_s_or_a_new_one_and_goes_back() -> None:
    """Also at level None; an application's own header is left alone."""
    middleware, backend = audited(replies(200), Policy(rules=(Rule("None"),)))
    assert run(middleware, request()).headers[b"audit-id"] == b"00000000-0000-4000-8000-000000000001"
    assert run(middleware, request("GET", PODS, (b"audit-id", b"mine"))).headers[b"audit-id"] == b"mine"
    assert backend.events == []


def test_a_stream_is_not_held_back() -> None:
    """Each chunk of a watch reaches the client before the application goes on, and ResponseStarted is out by then."""
    seen: list[tuple[int, list[str]]] = []
    client = Client()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(3):
            await send({"type": "http.response.body", "body": b"{}\n", "more_body": True})
            seen.append((len(client.sent), list(backend.stages)))
        await send({"type": "http.response.body"})

    middleware, backend = audited(application)
    asyncio.run(middleware(request("GET", f"{PODS}?watch=1"), client.receive, client.send))
    assert seen == [(count, ["RequestReceived", "ResponseStarted"]) for count in (2, 3, 4)]
    assert backend.stages == ["RequestReceived", "ResponseStarted", "ResponseComplete"]
    assert not backend.events[-1].response_object


def test_an_exception_is_a_panic_and_goes_on() -> None:
    """The server still hears of it."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        raise LookupError("no such deck")

    middleware, backend = audited(application)
    with pytest.raises(LookupError):
        run(middleware, request())
    assert backend.stages == ["RequestReceived", "Panic"]
    status = backend.events[-1].response_status
    assert status is not None
    assert status.message == "APIServer panic'd: no such deck"


@pytest.mark.parametrize(
    ("target", "code", "stages"),
    [
        ("/api/v1/pods?watch=1", 404, ["RequestReceived", "ResponseStarted", "Panic"]),
        ("/api/v1/pods?watch=1", 200, ["RequestReceived", "ResponseStarted", "Panic"]),
        ("/api/v1/pods", 404, ["RequestReceived", "Panic"]),
    ],
)
def test_a_panic_after_the_answer_began(target: str, code: int, stages: list[str]) -> None:
    """A long-running request that had begun to answer, be it with an error, has started."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": code, "headers": []})
        raise LookupError("no such deck")

    middleware, backend = audited(application)
    with pytest.raises(LookupError):
        run(middleware, request("GET", target))
    assert backend.stages == stages


def test_a_cancelled_request_has_a_last_event() -> None:
    """What had been answered by then is told."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.Event().wait()

    middleware, backend = audited(application)

    async def cancelled() -> None:
        client = Client()
        task = asyncio.ensure_future(middleware(request("GET", f"{PODS}?watch=1"), client.receive, client.send))
        while len(backend.events) < 2:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(asyncio.wait_for(cancelled(), 10))
    assert backend.stages == ["RequestReceived", "ResponseStarted", "ResponseComplete"]


def test_nobody_recognised_is_one_event() -> None:
    """A failed login has no RequestReceived and no user."""
    body = b'{"kind":"Status","apiVersion":"v1","message":"Unauthorized","reason":"Unauthorized","code":401}'
    middleware, backend = audited(replies(401, body), identify=lambda _: None)
    assert run(middleware, request()).code == 401
    assert backend.stages == ["ResponseStarted"]
    assert backend.events[0].user == User()
    assert backend.events[0].response_status is not None
    assert backend.events[0].response_status.message == "Unauthorized"


def test_what_was_attempted_is_told_when_the_answer_is_plain() -> None:
    """The credentials themselves never are."""
    middleware, backend = audited(replies(401, b"no", content_type=b"text/plain"), identify=lambda _: None)
    run(middleware, request("GET", PODS, (b"authorization", b"Bearer secret")))
    assert backend.events[0].response_status is not None
    assert backend.events[0].response_status.message == "Authentication failed, attempted: bearer"


@pytest.mark.parametrize(
    ("accept", "message"), [(b"text/html", "Authentication failed, attempted: bearer"), (b"*/*", "no")]
)
def test_what_was_attempted_is_told_when_the_client_accepts_no_object(accept: bytes, message: str) -> None:
    """The Status is written all the same, outside the negotiation that records."""
    middleware, backend = audited(replies(401, b'{"kind":"Status","message":"no"}'), identify=lambda _: None)
    run(middleware, request("GET", PODS, (b"authorization", b"Bearer secret"), (b"accept", accept)))
    assert backend.events[0].response_status is not None
    assert backend.events[0].response_status.message == message


def test_a_strict_backend_that_fails_refuses_the_request() -> None:
    """The application never sees it; the answer is kube-apiserver's."""
    called: list[Scope] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        called.append(scope)

    middleware, backend = audited(application)
    backend.failing = True
    client = run(middleware, request("GET", f"{PODS}?a=1&b=<x>"))
    assert (client.code, called) == (500, [])
    assert (
        client.body
        == b'Internal Server Error: "/api/v1/namespaces/shop/pods?a=1&amp;b=&lt;x&gt;": failed to store audit event\n'
    )
    assert client.headers[b"audit-id"]
    assert middleware.counters.requests_rejected_total == 1


def test_a_backend_that_fails_later_refuses_nothing() -> None:
    """The work is done; the answer goes out."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        backend.failing = True
        await replies(200, POD)(scope, receive, send)

    middleware, backend = audited(application)
    client = run(middleware, request())
    assert (client.code, client.body) == (200, POD)
    assert backend.stages == ["RequestReceived"]


def test_an_application_may_add_annotations_and_say_whom_it_acts_for() -> None:
    """The record lies in the scope."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        scope["decklog"].annotate("authorization.k8s.io/decision", "allow")
        scope["decklog"].impersonated(User("bob"))
        await replies(200)(scope, receive, send)

    middleware, backend = audited(application)
    run(middleware, request())
    assert backend.events[-1].annotations == {"authorization.k8s.io/decision": "allow"}
    assert backend.events[-1].impersonated_user == User("bob")


def test_a_request_that_cannot_be_resolved_is_refused_unaudited() -> None:
    """As by kube-apiserver, before any audit filter."""
    middleware, backend = audited(replies(200))
    client = run(middleware, request("GET", "/api/v1/watch"))
    assert client.code == 500
    assert b"failed to create RequestInfo" in client.body
    assert backend.events == []


def test_at_metadata_a_big_answer_is_not_kept() -> None:
    """Its code is all that is told."""
    middleware, backend = audited(replies(200, b'{"kind":"PodList"', b"x" * 100_000), METADATA)
    client = run(middleware, request())
    assert len(client.body) == 100_017
    assert not backend.events[-1].response_object


STATUS = b'{"apiVersion":"v1","kind":"Status","status":"Success","details":{"name":"web"}}'


@pytest.mark.parametrize("size", [7, 1000])
@pytest.mark.parametrize("encoding", [b"", b"gzip"])
def test_at_metadata_a_status_of_a_success_is_told(size: int, encoding: bytes) -> None:
    """Whatever the order of its members, however it is packed and cut into chunks."""
    sent = gzip.compress(STATUS) if encoding else STATUS

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-encoding", encoding)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for at in range(0, len(sent), size):
            await send({"type": "http.response.body", "body": sent[at : at + size], "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    middleware, backend = audited(application, METADATA)
    assert run(middleware, request("DELETE", f"{PODS}/web")).body == sent
    told = backend.events[-1].response_status
    assert told is not None
    assert (told.status, told.details.name if told.details else "") == ("Success", "web")


def test_at_metadata_an_error_is_told_in_words() -> None:
    """Also when it comes in pieces."""
    body = b'{"kind":"Status","apiVersion":"v1","message":"not here","reason":"NotFound","code":404}'
    middleware, backend = audited(replies(404, body[:5], body[5:]), METADATA)
    run(middleware, request())
    assert backend.events[-1].response_status is not None
    assert backend.events[-1].response_status.message == "not here"


def test_a_body_that_the_application_never_read_is_not_recorded() -> None:
    """Nobody can say what it was."""
    middleware, backend = audited(replies(201, POD, reads=False))
    run(middleware, request("POST", PODS, (b"content-type", b"application/json")), POD)
    assert not backend.events[-1].request_object
    assert backend.events[-1].annotations == {
        "decklog/request-object": "omitted: 0 bytes were read, the rest never came"
    }


@pytest.mark.parametrize(("accepted", "code"), [(True, 101), (False, 403)])
def test_a_websocket_is_a_long_running_request(accepted: bool, code: int) -> None:
    """Its code is 101 once it is accepted, 403 when it is closed before."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        if accepted:
            await send({"type": "websocket.accept"})
        await send({"type": "websocket.close"})

    middleware, backend = audited(application)
    scope = request("GET", "/chat", kind="websocket")
    del scope["method"]
    run(middleware, scope)
    assert backend.stages == ["RequestReceived", "ResponseStarted", "ResponseComplete"]
    statuses = [event.response_status for event in backend.events[1:]]
    assert [status.code for status in statuses if status is not None] == [code, code]


async def _with_lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "lifespan":
        await replies(200)(scope, receive, send)
        return
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def _without_lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        raise ValueError(scope["type"])  # as many applications answer a scope that they do not know
    await replies(200)(scope, receive, send)


@pytest.mark.parametrize("application", [_with_lifespan, _without_lifespan])
def test_the_backend_lives_as_long_as_the_application(application: Application) -> None:
    """Also round an application that has no lifespan."""
    middleware, backend = audited(application)

    async def serve() -> list[str]:
        messages: asyncio.Queue[Message] = asyncio.Queue()
        sent: list[str] = []

        async def send(message: Message) -> None:
            sent.append(message["type"])

        await messages.put({"type": "lifespan.startup"})
        task = asyncio.ensure_future(middleware({"type": "lifespan"}, messages.get, send))
        while not sent:
            await asyncio.sleep(0)
        assert backend.open
        client = Client()
        await middleware(request(), client.receive, client.send)
        await messages.put({"type": "lifespan.shutdown"})
        await task
        return sent

    assert asyncio.run(asyncio.wait_for(serve(), 10)) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert (backend.open, backend.entered, len(backend.events)) == (False, 1, 2)


def test_without_a_lifespan_the_first_request_starts_the_backend() -> None:
    """Two at once start it once."""
    middleware, backend = audited(replies(200))

    async def both() -> None:
        clients = [Client(), Client()]
        await asyncio.gather(*(middleware(request(), client.receive, client.send) for client in clients))

    asyncio.run(both())
    assert (backend.entered, len(backend.events)) == (1, 4)


OMITTING = Policy(rules=(Rule("Metadata"),), omit_stages=("RequestReceived",))


class Kept:
    """Keeps intents in a list."""

    def __init__(self) -> None:
        self.opened: list[Intent] = []
        self.closed: list[Intent] = []
        self.failing = False

    def open(self, intent: Intent) -> None:
        if self.failing:
            raise DeliveryError("intents", 1, "no space")
        self.opened.append(intent)

    def close(self, intent: Intent) -> None:
        self.closed.append(intent)


def test_where_request_received_is_omitted_a_strict_door_keeps_an_intent() -> None:
    """It is kept before the application sees the request, and forgotten once the last event is stored."""
    kept = Kept()
    seen: list[int] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(len(kept.opened))
        await replies(200)(scope, receive, send)

    middleware, backend = audited(application, OMITTING, intents=kept)
    run(middleware, request("DELETE", f"{PODS}/web"))
    assert (seen, backend.stages) == ([1], ["ResponseComplete"])
    assert kept.opened == kept.closed
    assert (kept.opened[0].verb, kept.opened[0].request_uri, kept.opened[0].user) == ("delete", f"{PODS}/web", ALICE)


def test_without_its_intent_a_request_is_refused() -> None:
    """As if RequestReceived could not be stored."""
    kept = Kept()
    kept.failing = True
    middleware, _ = audited(replies(200), OMITTING, intents=kept)
    assert run(middleware, request()).code == 500
    assert middleware.counters.requests_rejected_total == 1


def test_an_intent_stays_open_when_the_last_event_was_lost() -> None:
    """Then it is all that tells of the request."""
    kept = Kept()
    middleware, backend = audited(replies(200), OMITTING, intents=kept)
    backend.failing = True
    assert run(middleware, request()).code == 200
    assert (len(kept.opened), kept.closed) == (1, [])


UNAUTHORIZED = b'{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"no","code":400}'


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"raw", 'invalid timeout specified in the request URL - time: invalid duration "foo"'),
        (UNAUTHORIZED, "no"),
    ],
)
def test_a_timeout_that_is_no_duration_is_one_event_without_a_user(body: bytes, message: str) -> None:
    """Where the application looks at deadlines; its Status is told, or else what was wrong (spec §5.7)."""
    backend = MemoryBackend()
    middleware = AuditMiddleware(
        replies(400, body), policy=METADATA, backend=backend, identify=lambda _: ALICE, deadlines=True
    )
    run(middleware, request("GET", f"{PODS}?timeout=foo"))
    (event,) = backend.events
    assert (event.stage, event.user) == ("ResponseStarted", User())
    assert event.response_status is not None
    assert (event.response_status.code, event.response_status.message) == (400, message)


def test_a_panic_closes_its_intent() -> None:
    """Its event is in the log."""
    kept = Kept()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        raise LookupError

    middleware, backend = audited(application, OMITTING, intents=kept)
    with pytest.raises(LookupError):
        run(middleware, request())
    assert (backend.stages, kept.opened) == (["Panic"], kept.closed)


def test_no_intent_is_kept_where_request_received_is_written() -> None:
    """The event is there already."""
    kept = Kept()
    middleware, _ = audited(replies(200), METADATA, intents=kept)
    run(middleware, request())
    assert kept.opened == []


def test_an_identification_that_fails_is_told_and_goes_on() -> None:
    """Nobody was recognised; the server hears of the error."""

    def broken(scope: Scope) -> User:
        raise LookupError("no directory")

    middleware, backend = audited(replies(200), identify=broken)
    with pytest.raises(LookupError):
        run(middleware, request())
    assert backend.stages == ["ResponseStarted"]
    assert backend.events[0].response_status is not None
    assert backend.events[0].response_status.code == 500


@pytest.mark.parametrize(("error", "stage"), [(SystemExit, "Panic"), (GeneratorExit, "ResponseComplete")])
def test_nothing_ends_without_a_last_event(error: type[BaseException], stage: str) -> None:
    """Also when the process is ending."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    middleware, backend = audited(application)
    client = Client()
    with pytest.raises(error):
        middleware(request(), client.receive, client.send).__await__().send(None)
    assert backend.stages == ["RequestReceived", stage]


class Broken(MemoryBackend):
    """A backend with a fault of its own."""

    def process(self, events: Sequence[Event]) -> None:
        if self.failing:
            raise KeyError(events[0].user.username)
        super().process(events)


def test_a_fault_of_the_backend_refuses_the_request_and_shows_no_event(caplog: pytest.LogCaptureFixture) -> None:
    """Its text may quote what it choked on."""
    backend = Broken()
    backend.failing = True
    middleware = AuditMiddleware(replies(200), policy=METADATA, backend=backend, identify=lambda _: ALICE)
    assert run(middleware, request()).code == 500
    assert "KeyError" in caplog.text
    assert "alice" not in caplog.text


def test_a_fault_of_the_backend_does_not_break_an_answer() -> None:
    """It is on its way."""
    backend = Broken()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        backend.failing = True
        await replies(200, POD)(scope, receive, send)

    middleware = AuditMiddleware(application, policy=METADATA, backend=backend, identify=lambda _: ALICE)
    assert run(middleware, request()).body == POD


class MuteError(Exception):
    """An error that cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def raises(error: BaseException) -> Application:
    """Make an application that fails before it answers."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    return application


def test_an_error_without_words_is_a_panic() -> None:
    """Its kind is told."""
    middleware, backend = audited(raises(MuteError()))
    with pytest.raises(MuteError):
        run(middleware, request())
    status = backend.events[-1].response_status
    assert status is not None
    assert status.message == "APIServer panic'd: MuteError"


def test_a_fault_while_recording_costs_the_bodies_and_not_the_event() -> None:
    """An application whose headers are no bytes: it is counted, annotated, and nothing the server hears of."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 201, "headers": [(b"content-type", "secret")]})
        await send({"type": "http.response.body", "body": POD})

    middleware, backend = audited(application)
    assert run(middleware, request("POST", PODS), POD).body == POD
    assert backend.stages == ["RequestReceived", "ResponseComplete"]
    assert backend.events[-1].annotations == {"decklog/recording-error": "AttributeError"}
    assert middleware.counters.error_total == {"recorder": 1}


@pytest.mark.parametrize(("failing", "errors"), [(False, {}), (True, {"backend": 1})])
def test_a_cancelled_request_does_not_take_its_delivery_along(failing: bool, errors: dict[str, int]) -> None:
    """It goes on; what fails then is counted."""
    taken: list[Event] = []
    released = asyncio.Event()
    asked = asyncio.Event()

    class Slow(MemoryBackend):
        async def _later(self, events: Sequence[Event]) -> None:
            await released.wait()
            if failing:
                raise RuntimeError("late")
            taken.extend(events)

        def process(self, events: Sequence[Event]) -> Awaitable[None]:  # type: ignore[override]  # because: the memory backend's promise is met at once, this one's later
            asked.set()
            return self._later(list(events))

    middleware = AuditMiddleware(replies(200), policy=METADATA, backend=Slow(), identify=lambda _: ALICE)

    async def cancelled() -> None:
        client = Client()
        task = asyncio.ensure_future(middleware(request(), client.receive, client.send))
        async with asyncio.timeout(10):
            await asked.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            released.set()
            while not (taken or middleware.counters.error_total):
                await asyncio.sleep(0)

    asyncio.run(cancelled())
    assert (len(taken), dict(middleware.counters.error_total)) == (int(not failing), errors)


def _call(function: Callable[[Scope], object], scope: Scope) -> object:
    return function(scope)


def test_an_identification_must_be_a_plain_function_and_give_a_user() -> None:
    """Anything else is an error that says what to do."""

    async def later(scope: Scope) -> User:
        return ALICE

    with pytest.raises(DecklogError, match="coroutine function"):
        audited(replies(200), identify=later)
    for wrong in (lambda _: "alice", functools.partial(_call, later)):
        middleware, backend = audited(replies(200), identify=wrong)
        with pytest.raises(DecklogError, match="a User or None"):
            run(middleware, request())
        assert backend.stages == ["ResponseStarted"]


def test_a_client_that_went_away_is_no_panic() -> None:
    """A write error ends the request; what had been answered is told."""

    class Gone(Client):
        async def send(self, message: Message) -> None:
            if message["type"] == "http.response.body":
                raise OSError
            await super().send(message)

    middleware, backend = audited(replies(200, POD))
    client = Gone()
    with pytest.raises(OSError):  # noqa: PT011  # because: it has no text
        asyncio.run(middleware(request(), client.receive, client.send))
    assert backend.stages == ["RequestReceived", "ResponseComplete"]


@pytest.mark.parametrize(("path", "uri"), [("/100%", "/100%25"), ("/a?b", "/a%3Fb"), ("/a%41", "/a%2541")])
def test_without_a_raw_path_the_path_is_encoded(path: str, uri: str) -> None:
    """It decodes to what the server gave."""
    middleware, backend = audited(replies(200))
    scope = request()
    del scope["raw_path"]
    scope["path"] = path
    run(middleware, scope)
    assert backend.events[0].request_uri == uri


def test_the_first_content_type_counts() -> None:
    """As in Go's Header.Get."""
    middleware, backend = audited(replies(201, POD))
    lines = ((b"content-type", b"application/json"), (b"content-type", b"text/plain"))
    run(middleware, request("POST", PODS, *lines), POD)
    assert bytes(backend.events[-1].request_object) == POD


async def _returns_at_once(scope: Scope, receive: Receive, send: Send) -> None:
    del scope, receive, send


async def _fails_at_start(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no"})


async def _returns_after_start(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})


async def _fails_at_the_end(scope: Scope, receive: Receive, send: Send) -> None:
    await _returns_after_start(scope, receive, send)
    await receive()
    raise LookupError


class Unwritable(MemoryBackend):
    """A backend that cannot start."""

    async def __aenter__(self) -> Any:
        raise DecklogError("no such directory")


@pytest.mark.parametrize(
    ("application", "backend", "said"),
    [
        (_returns_at_once, MemoryBackend(), ["startup.complete", "shutdown.complete"]),
        (_fails_at_start, MemoryBackend(), ["startup.failed"]),
        (_returns_after_start, MemoryBackend(), ["startup.complete", "shutdown.complete"]),
        (_fails_at_the_end, MemoryBackend(), ["startup.complete"]),
        (_returns_at_once, Unwritable(), ["startup.failed"]),
    ],
)
def test_however_the_lifespan_ends_the_backend_is_drained(
    application: Application, backend: MemoryBackend, said: list[str]
) -> None:
    """A backend that cannot start is told as such."""
    messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent: list[str] = []

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        sent.append(message["type"].removeprefix("lifespan."))

    middleware = AuditMiddleware(application, policy=METADATA, backend=backend)
    with contextlib.suppress(LookupError):
        asyncio.run(middleware({"type": "lifespan"}, receive, send))
    assert (sent, backend.open) == (said, False)
