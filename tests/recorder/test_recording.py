from __future__ import annotations

import json

import pytest

from decklog.audit.decision import Decision
from decklog.audit.event import Event, Level, Stage, User
from decklog.metrics import AuditCounters
from decklog.recorder.answers import Answer
from decklog.recorder.options import RecorderOptions
from decklog.recorder.recording import Recorder, Recording
from decklog.recorder.status_probe import STATUS_LIMIT
from decklog.recorder.submitted import Submitted
from decklog.testing import FixedClock, attributes

ALICE = User("alice", groups=("dev",))
WATCH = ("GET", "/api/v1/namespaces/shop/pods?watch=1")
GET = ("GET", "/api/v1/namespaces/shop/pods/web")
CREATE = ("POST", "/api/v1/namespaces/shop/pods")
DELETE = ("DELETE", "/api/v1/namespaces/shop/pods/web")
POD = b'{"kind":"Pod","apiVersion":"v1","metadata":{"name":"web","uid":"u-1","resourceVersion":"7"}}'
NOT_FOUND = (
    b'{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"pods \\"web\\" not found",'
    b'"reason":"NotFound","details":{"name":"web","kind":"pods"},"code":404}'
)


def recording(
    request: tuple[str, str] = GET,
    level: Level = Level.REQUEST_RESPONSE,
    *,
    omit: frozenset[str] = frozenset(),
    user: User | None = ALICE,
    clock: FixedClock | None = None,
    counters: AuditCounters | None = None,
    options: RecorderOptions | None = None,
    omit_managed_fields: bool = False,
) -> Recording:
    """Open a recording of `request`."""
    recorder = Recorder(clock or FixedClock(), counters or AuditCounters(), options or RecorderOptions())
    decision = Decision(level, omit, omit_managed_fields, rule=2)
    return recorder.open(attributes(*request), decision, user, "id-1", ("192.0.2.7",), "kubectl")


def life(record: Recording, answer: Answer | None, submitted: Submitted | None = None) -> list[Event]:
    """Tell an ordinary life: received, answered, over."""
    events = [record.received()]
    if answer is not None:
        events.append(record.started(answer.code))
    events.extend(record.completed(answer, submitted))
    return [event for event in events if event is not None]


OK = Answer(200, "application/json", POD)
STAGES = {
    "an ordinary request": (GET, OK, ["RequestReceived", "ResponseComplete"]),
    "a watch": (WATCH, Answer(200, "application/json"), ["RequestReceived", "ResponseStarted", "ResponseComplete"]),
    "a watch that is refused": (
        WATCH,
        Answer(403, "application/json", NOT_FOUND),
        ["RequestReceived", "ResponseStarted", "ResponseComplete"],
    ),
    "pod logs": (
        ("GET", "/api/v1/namespaces/shop/pods/web/log"),
        Answer(200, "text/plain", b"hello"),
        ["RequestReceived", "ResponseStarted", "ResponseComplete"],
    ),
    "nothing was ever written": (GET, None, ["RequestReceived", "ResponseComplete"]),
    "a watch of which nothing was ever written": (
        WATCH,
        None,
        ["RequestReceived", "ResponseStarted", "ResponseComplete"],
    ),
}


@pytest.mark.parametrize("name", STAGES)
def test_each_request_has_its_stages(name: str) -> None:
    """Ordinary requests have two events, long-running ones three."""
    request, answer, expected = STAGES[name]
    assert [event.stage for event in life(recording(request), answer)] == expected


@pytest.mark.parametrize("omitted", list(Stage))
def test_an_omitted_stage_is_no_event_and_is_not_counted(omitted: Stage) -> None:
    """The others are written as ever."""
    counters = AuditCounters()
    events = life(recording(WATCH, omit=frozenset({omitted}), counters=counters), Answer(200))
    expected = [Stage.REQUEST_RECEIVED, Stage.RESPONSE_STARTED, Stage.RESPONSE_COMPLETE]
    assert [event.stage for event in events] == [stage for stage in expected if stage != omitted]
    assert counters.event_total == len(events)


def test_level_none_is_counted_and_nothing_is_recorded() -> None:
    """Whatever is told, nothing comes out; no body is asked for."""
    counters = AuditCounters()
    record = recording(CREATE, Level.NONE, counters=counters)
    record.annotate("k", "v")
    record.impersonated(ALICE)
    assert life(record, OK, Submitted("application/json", POD)) == []
    assert record.panicked("boom") is None
    assert record.unauthenticated(Answer(401)) is None
    assert (record.request_limit(), record.response_limit(500)) == (0, 0)
    assert counters == AuditCounters(level_total=counters.level_total)
    assert counters.level_total == {"None": 1}


LEVELS = {
    Level.METADATA: (False, False),
    Level.REQUEST: (True, False),
    Level.REQUEST_RESPONSE: (True, True),
}


@pytest.mark.parametrize("level", LEVELS)
def test_bodies_are_kept_by_level(level: Level) -> None:
    """Request keeps the request's object, RequestResponse both; the reference is filled at every level."""
    request_kept, response_kept = LEVELS[level]
    event = life(recording(CREATE, level), Answer(201, "application/json", POD), Submitted("application/json", POD))[-1]
    assert bool(event.request_object) is request_kept
    assert bool(event.response_object) is response_kept
    assert event.object_ref is not None
    assert (event.object_ref.name, event.object_ref.uid, event.object_ref.resource_version) == ("web", "u-1", "7")


@pytest.mark.parametrize("level", LEVELS)
def test_a_status_is_told_at_every_level(level: Level) -> None:
    """message, reason and details of an error are metadata."""
    event = life(recording(GET, level), Answer(404, "application/json", NOT_FOUND))[-1]
    assert event.response_status is not None
    assert (event.response_status.code, event.response_status.reason) == (404, "NotFound")
    assert event.response_status.message == 'pods "web" not found'
    assert event.response_status.details is not None
    assert event.response_status.details.name == "web"


def test_a_deletion_s_answer_may_be_a_status() -> None:
    """Then, and only then, a success says Success."""
    body = b'{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success"}'
    event = life(recording(DELETE, Level.METADATA), Answer(200, "application/json", body))[-1]
    assert event.response_status is not None
    assert (event.response_status.status, event.response_status.code) == ("Success", 200)


def test_without_an_answer_the_connection_was_closed_early() -> None:
    """A handler that returns without a word is recorded as kube-apiserver does."""
    status = life(recording(), None)[-1].response_status
    assert status is not None
    assert (status.status, status.message, status.code) == ("Success", "Connection closed early", 200)


def test_a_panic_is_the_last_event() -> None:
    """Its status says what happened; the submitted body is told where it can be read."""
    record = recording(CREATE)
    record.received()
    event = record.panicked("boom", Submitted("application/json", POD))
    assert event is not None
    assert event.stage == Stage.PANIC
    assert event.response_status is not None
    assert event.response_status.message == "APIServer panic'd: boom"
    assert (event.response_status.reason, event.response_status.code) == ("InternalError", 500)
    assert bytes(event.request_object) == POD


def test_a_failed_login_is_one_event() -> None:
    """ResponseStarted, for any kind of request, without a user."""
    body = (
        b'{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Unauthorized",'
        b'"reason":"Unauthorized","code":401}'
    )
    event = recording(user=None).unauthenticated(Answer(401, "application/json", body), "Authentication failed, …")
    assert event is not None
    assert (event.stage, event.user) == (Stage.RESPONSE_STARTED, User())
    assert event.response_status is not None
    assert event.response_status.message == "Unauthorized"


def test_what_was_attempted_stands_where_the_answer_is_no_status() -> None:
    """A 401 in plain text leaves the message of the authenticator."""
    event = recording(user=None).unauthenticated(
        Answer(401, "text/plain", b"no"), "Authentication failed, attempted: bearer"
    )
    assert event is not None
    assert event.response_status is not None
    assert event.response_status.message == "Authentication failed, attempted: bearer"


def test_impersonation_shows_from_the_next_stage_on() -> None:
    """RequestReceived has the authenticated user alone."""
    record = recording(WATCH)
    first = record.received()
    record.impersonated(User("bob"), "impersonate:user-info")
    last = record.completed(Answer(200))[-1]
    assert first is not None
    assert first.impersonated_user is None
    assert last.impersonated_user == User("bob")
    assert last.authentication_metadata is not None
    assert last.authentication_metadata.impersonation_constraint == "impersonate:user-info"


def test_an_impersonation_that_was_refused_is_not_shown() -> None:
    """The answer tells that nobody was ever impersonated."""
    record = recording()
    record.impersonated(User("bob"))
    message = (
        'users \\"bob\\" is forbidden: User \\"alice\\" cannot impersonate resource \\"users\\" in API group \\"\\"'
    )
    body = f'{{"kind":"Status","apiVersion":"v1","message":"{message}","reason":"Forbidden","code":403}}'
    event = record.completed(Answer(403, "application/json", body.encode()))[-1]
    assert event.impersonated_user is None


def test_the_first_annotation_of_a_key_wins_and_keys_are_sorted() -> None:
    """Events already given out do not change."""
    record = recording(WATCH)
    record.annotate("b", "1")
    first = record.received()
    record.annotate("a", "2")
    record.annotate("b", "3")
    last = record.completed(Answer(200))[-1]
    assert first is not None
    assert first.annotations == {"b": "1"}
    assert list(last.annotations.items()) == [("a", "2"), ("b", "1")]


def test_the_rule_is_written_on_request() -> None:
    """decklog/rule is off by default, for byte parity."""
    event = recording(options=RecorderOptions(annotate_rule=True)).received()
    assert event is not None
    assert event.annotations == {"decklog/rule": "2"}


def test_past_500_ms_an_event_says_where_the_time_went() -> None:
    """At 500 ms exactly it does not."""
    clock = FixedClock()
    record = recording(clock=clock)
    record.latency("authorization", 1_500_000)
    clock.advance(0.5)
    assert record.completed(OK)[-1].annotations == {}
    clock.advance(0.25)
    assert record.completed(OK)[-1].annotations == {
        "apiserver.latency.k8s.io/authorization": "1.5ms",
        "apiserver.latency.k8s.io/total": "750ms",
    }


def test_a_watch_has_no_latencies() -> None:
    """However long it lasts."""
    clock = FixedClock()
    record = recording(WATCH, clock=clock)
    clock.advance(60)
    assert record.completed(Answer(200))[-1].annotations == {}


def test_times_are_the_request_s_and_the_stage_s() -> None:
    """RequestReceived has one time, the others two."""
    clock = FixedClock("2026-01-02T03:04:05.999999Z")
    record = recording(clock=clock)
    first = record.received()
    clock.advance(0.000002)
    last = record.completed(OK)[-1]
    assert first is not None
    assert first.request_received_timestamp == first.stage_timestamp == "2026-01-02T03:04:05.999999Z"
    assert last.request_received_timestamp == "2026-01-02T03:04:05.999999Z"
    assert last.stage_timestamp == "2026-01-02T03:04:06.000001Z"


def test_managed_fields_are_omitted_from_both_bodies_but_not_from_a_patch() -> None:
    """A patch is what was sent."""
    body = b'{"kind":"Pod","apiVersion":"v1","metadata":{"managedFields":[{"manager":"x"}]}}'
    submitted = Submitted("application/json", body)
    event = life(recording(CREATE, omit_managed_fields=True), Answer(201, "application/json", body), submitted)[-1]
    assert b"managedFields" not in bytes(event.request_object) + bytes(event.response_object)
    patch = ("PATCH", "/api/v1/namespaces/shop/pods/web")
    merge = Submitted("application/merge-patch+json", body)
    event = life(recording(patch, omit_managed_fields=True), Answer(200, "application/json", body), merge)[-1]
    assert b"managedFields" in bytes(event.request_object)
    assert b"managedFields" not in bytes(event.response_object)


LIMITS = {
    "get, Metadata": (GET, Level.METADATA, 200, 0, STATUS_LIMIT),
    "create, Metadata: for the reference": (CREATE, Level.METADATA, 201, 1000, STATUS_LIMIT),
    "delete, Metadata": (DELETE, Level.METADATA, 200, 0, STATUS_LIMIT),
    "delete, Request": (DELETE, Level.REQUEST, 200, 1000, STATUS_LIMIT),
    "get, RequestResponse": (GET, Level.REQUEST_RESPONSE, 200, 0, 1000),
    "a watch's stream": (WATCH, Level.REQUEST_RESPONSE, 200, 0, 0),
    "a watch's error": (WATCH, Level.REQUEST_RESPONSE, 403, 0, 1000),
}


@pytest.mark.parametrize("name", LIMITS)
def test_a_door_is_told_how_much_of_the_bodies_to_keep(name: str) -> None:
    """Nothing is teed that no event will hold."""
    request, level, code, request_limit, response_limit = LIMITS[name]
    record = recording(request, level, options=RecorderOptions(body_limit=1000))
    assert (record.request_limit(), record.response_limit(code)) == (request_limit, response_limit)


def test_a_body_past_the_cap_is_named_by_its_length() -> None:
    """The event stays, without the body, and says so."""
    submitted = Submitted("application/json", POD[:10], length=5000)
    event = life(recording(CREATE), Answer(201, "application/json", POD[:10], length=6000), submitted)[-1]
    assert not event.request_object
    assert not event.response_object
    assert event.annotations == {
        "decklog/request-object": "omitted: 5000 bytes, limit 10",
        "decklog/response-object": "omitted: 6000 bytes, limit 10",
    }


def test_of_an_aggregated_api_only_metadata_is_recorded() -> None:
    """Its own server writes its own events; the filters before it speak for themselves."""
    options = RecorderOptions(aggregated_groups=frozenset({"agg.example.com"}))
    request = ("GET", "/apis/agg.example.com/v1/namespaces/shop/things/one")
    event = life(recording(request, options=options), Answer(404, "application/json", NOT_FOUND))[-1]
    assert event.response_status is not None
    assert (event.response_status.code, event.response_status.message) == (404, "")
    message = 'things \\"one\\" is forbidden: User \\"alice\\" cannot get resource \\"things\\"'
    body = f'{{"kind":"Status","apiVersion":"v1","message":"{message}","code":403}}'.encode()
    event = life(recording(request, options=options), Answer(403, "application/json", body))[-1]
    assert event.response_status is not None
    assert "is forbidden" in event.response_status.message
    discovery = ("GET", "/apis/agg.example.com/v1")
    event = life(recording(discovery, options=options), OK)[-1]
    assert not event.response_object


def test_an_application_of_its_own_has_objects_without_kind() -> None:
    """With typed=False any JSON body is an object."""
    options = RecorderOptions(typed=False)
    body = b'{"item": "anchor"}'
    submitted = Submitted("application/json", body)
    event = life(recording(("POST", "/orders"), options=options), Answer(201, "application/json", body), submitted)[-1]
    assert json.loads(bytes(event.request_object)) == json.loads(bytes(event.response_object)) == {"item": "anchor"}
    event = life(recording(("POST", "/orders")), Answer(201, "application/json", body), submitted)[-1]
    assert not event.request_object
    assert not event.response_object


FAILED = {
    "a rule of its own": (422, b'{"item":"anchor"}', b'{"detail":"sold out"}', True),
    "forbidden by the handler": (403, b'{"item":"anchor"}', b'{"detail":"not yours"}', True),
    "an error in plain text": (500, b'{"item":"anchor"}', b"oops", True),
    "nobody knows the sender": (401, b'{"item":"anchor"}', b"{}", False),
    "too large": (413, b'{"item":"anchor"}', b"{}", False),
    "a body that cannot be read": (400, b'{"item":', b'{"detail":"broken JSON"}', False),
}


@pytest.mark.parametrize("name", FAILED)
def test_an_application_s_failed_request_has_its_body(name: str) -> None:
    """With typed=False no Status is needed to know what somebody tried; refused or illegible bodies stay out."""
    code, body, answer, recorded = FAILED[name]
    options = RecorderOptions(typed=False)
    submitted = Submitted("application/json", body)
    kind = "text/plain" if answer == b"oops" else "application/json"
    event = life(recording(("POST", "/orders"), options=options), Answer(code, kind, answer), submitted)[-1]
    assert bytes(event.request_object) == (body if recorded else b"")


def test_of_some_parts_the_longest_counts_and_none_that_took_no_time() -> None:
    """Authorization is a maximum, etcd a sum; zero is not written."""
    clock = FixedClock()
    record = recording(clock=clock)
    for part, took in (("authorization", 5), ("authorization", 7), ("etcd", 5), ("etcd", 7), ("response-write", 0)):
        record.latency(part, took)
    clock.advance(1)
    told = {key.rpartition("/")[2]: value for key, value in record.completed(OK)[-1].annotations.items()}
    assert told == {"authorization": "7ns", "etcd": "12ns", "total": "1s"}
