from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from decklog.audit.decision import Decision
from decklog.audit.event import Level, User
from decklog.metrics import AuditCounters
from decklog.recorder.recording import Recorder
from decklog.recorder.witness import FAULT, Witness
from decklog.testing import FixedClock, attributes

if TYPE_CHECKING:
    from collections.abc import Callable

    from decklog.audit.event import Event
    from decklog.recorder.recording import Recording

ALICE = User("alice", groups=("dev",))
GET = ("GET", "/api/v1/namespaces/shop/pods/web")
WATCH = ("GET", "/api/v1/namespaces/shop/pods?watch=1")
CREATE = ("POST", "/api/v1/namespaces/shop/pods")
JSON = "application/json"
POD = b'{"kind":"Pod","apiVersion":"v1","metadata":{"name":"web"}}'
GONE = b'{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"not here","code":404}'
DONE = b'{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success","message":"done","code":200}'
NO_TEXT: Any = None
"""A header that a door failed to read."""


class Clock(FixedClock):
    """A clock that can stop working."""

    broken = False

    def __call__(self) -> int:
        if self.broken:
            raise OverflowError
        return super().__call__()


class Scene:
    """One exchange, with what it told."""

    def __init__(
        self,
        request: tuple[str, str] = GET,
        level: Level = Level.REQUEST_RESPONSE,
        *headers: tuple[bytes, bytes],
        user: User | None = ALICE,
    ) -> None:
        self.clock = Clock()
        self.counters = AuditCounters()
        self.faults: list[str] = []
        recorder = Recorder(self.clock, self.counters)
        decision = Decision(level, frozenset(), omit_managed_fields=False)
        self.recording: Recording = recorder.open(attributes(*request), decision, user, "id-1")
        self.witness = Witness(self.recording, lambda error: self.faults.append(type(error).__name__), headers)

    def submit(self, *pieces: bytes, content_type: str = JSON, ended: bool = True) -> None:
        """Show a request's body."""
        self.witness.submitting(content_type, "")
        for piece in pieces:
            self.witness.submitted(piece)
        self.witness.request_ended = ended

    def answer(self, code: int, *pieces: bytes, content_type: str = JSON, encoding: str = "") -> list[Event]:
        """Show an answer, its first piece with the head, and let the request be over."""
        witness = self.witness
        events = list(witness.answering(code, content_type, encoding, b"".join(pieces[:1])))
        if witness.keeps_response:
            for piece in pieces:
                witness.answered(piece)
        return [*events, *witness.completed()]


def told(event: Event) -> tuple[str, int, str]:
    """Give stage, code and message."""
    status = event.response_status
    return str(event.stage), status.code if status else 0, status.message if status else ""


ANSWERS: dict[str, tuple[tuple[str, str], tuple[Any, ...], list[tuple[str, int, str]]]] = {
    "an object": (GET, (200, POD), [("ResponseComplete", 200, "")]),
    "a Status of a success": (GET, (200, DONE), [("ResponseComplete", 200, "done")]),
    "an error": (GET, (404, GONE), [("ResponseComplete", 404, "not here")]),
    "an error in pieces": (GET, (404, GONE[:9], GONE[9:]), [("ResponseComplete", 404, "not here")]),
    "nothing but a code": (GET, (204,), [("ResponseComplete", 204, "")]),
    "a watch": (WATCH, (200,), [("ResponseStarted", 200, ""), ("ResponseComplete", 200, "")]),
    "a watch that fails": (
        WATCH,
        (404, GONE),
        [("ResponseStarted", 404, "not here"), ("ResponseComplete", 404, "not here")],
    ),
}


@pytest.mark.parametrize("level", [Level.METADATA, Level.REQUEST, Level.REQUEST_RESPONSE])
@pytest.mark.parametrize("name", ANSWERS)
def test_what_passed_becomes_the_last_events(name: str, level: Level) -> None:
    """A Status is told at every level, those of errors and those of successes."""
    request, answer, expected = ANSWERS[name]
    scene = Scene(request, level)
    assert [told(event) for event in scene.answer(*answer)] == expected
    assert (scene.faults, scene.witness.lost) == ([], False)


@pytest.mark.parametrize(
    ("level", "kept"),
    {
        Level.METADATA: (b"", b""),
        Level.REQUEST: (POD, b""),
        Level.REQUEST_RESPONSE: (POD, POD),
    }.items(),
)
def test_bodies_are_kept_as_far_as_the_level_asks(level: Level, kept: tuple[bytes, bytes]) -> None:
    """The request's from Request on, the answer's at RequestResponse alone."""
    scene = Scene(CREATE, level)
    scene.submit(POD[:7], POD[7:])
    (event,) = scene.answer(201, POD[:20], POD[20:])
    assert (bytes(event.request_object), bytes(event.response_object)) == kept


def test_pieces_are_wanted_only_as_long_as_they_can_tell_something() -> None:
    """Below RequestResponse an object is not kept, whether it is known by its beginning or by a later piece."""
    scene = Scene(GET, Level.METADATA)
    assert not scene.witness.keeps_request
    scene.witness.answering(200, JSON, "", POD)
    assert not scene.witness.keeps_response
    scene = Scene(GET, Level.METADATA)
    scene.witness.answering(200, JSON)
    assert scene.witness.keeps_response
    scene.witness.answered(POD)
    assert not scene.witness.keeps_response


def test_at_level_none_nothing_is_kept_and_nothing_told() -> None:
    """Whatever passes, and however it ends."""
    scene = Scene(CREATE, Level.NONE)
    scene.submit(POD)
    assert not scene.witness.keeps_request
    assert scene.answer(500, GONE) == []
    assert scene.witness.panicked("boom") == ()
    assert scene.witness.unauthenticated("nothing") == ()


def test_a_body_that_never_came_whole_is_said_to_be_so() -> None:
    """The door says whether it came to its end."""
    scene = Scene(CREATE)
    scene.submit(POD[:9], ended=False)
    (event,) = scene.answer(201, POD)
    assert event.annotations == {"decklog/request-object": "omitted: 9 bytes were read, the rest never came"}


def test_an_answer_that_never_began_has_its_last_event() -> None:
    """As kube-apiserver writes it when a handler returns without a word."""
    assert [told(event) for event in Scene().witness.completed()] == [
        ("ResponseComplete", 200, "Connection closed early")
    ]


def test_of_two_heads_the_second_counts() -> None:
    """Its code, and the body that follows it."""
    scene = Scene(GET, Level.METADATA)
    scene.witness.begun(200, JSON, "")
    scene.witness.answered(POD)
    assert [told(event) for event in scene.answer(404, GONE)] == [("ResponseComplete", 404, "not here")]


PANICS: dict[str, tuple[tuple[str, str], int, list[str]]] = {
    "before the answer": (GET, 0, ["Panic"]),
    "of a watch before its answer": (WATCH, 0, ["Panic"]),
    "of a watch whose start is told": (WATCH, 200, ["ResponseStarted", "Panic"]),
    "of a watch that was being refused": (WATCH, 403, ["ResponseStarted", "Panic"]),
}


@pytest.mark.parametrize("name", PANICS)
def test_a_panic_is_told_after_what_is_owed(name: str) -> None:
    """A ResponseStarted that waited for its Status comes first."""
    request, code, stages = PANICS[name]
    scene = Scene(request)
    events = scene.witness.answering(code, JSON) if code else ()
    events += scene.witness.panicked("boom")
    assert [str(event.stage) for event in events] == stages
    assert told(events[-1]) == ("Panic", 500, "APIServer panic'd: boom")
    assert scene.counters.event_total == len(events)


REFUSALS: dict[str, tuple[bytes, int, bytes, tuple[str, int, str]]] = {
    "in plain text": (b"", 401, b"no", ("ResponseStarted", 401, "it tried")),
    "with a Status": (b"", 404, GONE, ("ResponseStarted", 404, "not here")),
    "with a Status, to a client that takes none": (b"text/html", 404, GONE, ("ResponseStarted", 404, "it tried")),
    "without a word": (b"", 0, b"", ("ResponseStarted", 500, "it tried")),
}


@pytest.mark.parametrize("request_line", [GET, WATCH], ids=["get", "watch"])
@pytest.mark.parametrize("name", REFUSALS)
def test_somebody_unknown_is_one_event(name: str, request_line: tuple[str, str]) -> None:
    """ResponseStarted, whatever the request; what was tried is told where the answer tells nothing."""
    accept, code, body, expected = REFUSALS[name]
    scene = Scene(request_line, Level.METADATA, (b"accept", accept), user=None)
    if code:
        scene.witness.begun(code, JSON, "")
        scene.witness.answered(body)
    assert [told(event) for event in scene.witness.unauthenticated("it tried")] == [expected]


ACCEPTS = {
    "none": ((), "not here"),
    "one that takes objects": (((b"accept", b"application/json, */*"),), "not here"),
    "one that takes none": (((b"accept", b"text/html"),), ""),
    "two, of which the first counts": (((b"accept", b"text/html"), (b"accept", b"*/*")), ""),
}


@pytest.mark.parametrize("name", ACCEPTS)
def test_an_error_is_told_to_whom_it_was_rendered_for(name: str) -> None:
    """A client that accepts no object gets a raw error, of which the code alone is recorded."""
    headers, message = ACCEPTS[name]
    (event,) = Scene(GET, Level.REQUEST_RESPONSE, *headers).answer(404, GONE)
    assert told(event) == ("ResponseComplete", 404, message)
    assert bool(event.response_object) is bool(message)


def test_the_accept_line_of_what_went_well_is_not_looked_at() -> None:
    """An object was rendered, whatever the client asked for."""
    (event,) = Scene(GET, Level.REQUEST_RESPONSE, (b"accept", b"text/html")).answer(200, POD)
    assert bytes(event.response_object) == POD


# Faults of our own

ENDS: dict[str, tuple[Callable[[Witness], tuple[Event, ...]], list[str]]] = {
    "over": (lambda witness: witness.completed(), ["ResponseComplete"]),
    "a panic": (lambda witness: witness.panicked("boom"), ["Panic"]),
    "nobody known": (lambda witness: witness.unauthenticated(), ["ResponseStarted"]),
}


@pytest.mark.parametrize("name", ENDS)
def test_a_body_that_cannot_be_read_costs_the_bodies_and_not_the_event(name: str) -> None:
    """The fault is told once, by its kind, and the event says so."""
    end, stages = ENDS[name]
    scene = Scene(CREATE)
    scene.submit(POD, content_type=NO_TEXT)
    scene.witness.begun(201, NO_TEXT, "")
    scene.witness.answered(POD)
    events = end(scene.witness)
    assert [str(event.stage) for event in events] == stages
    assert events[-1].annotations == {FAULT: "AttributeError"}
    assert (bytes(events[-1].request_object), bytes(events[-1].response_object)) == (b"", b"")
    assert (scene.faults, scene.witness.lost) == (["AttributeError"], False)


def test_a_body_that_cannot_be_read_does_not_cost_the_start_that_was_owed() -> None:
    """Each event of a panic is made for itself."""
    scene = Scene(WATCH)
    scene.witness.begun(403, NO_TEXT, "")
    scene.witness.answered(GONE)
    events = scene.witness.panicked("boom")
    assert [told(event)[:2] for event in events] == [("ResponseStarted", 403), ("Panic", 500)]
    assert scene.counters.event_total == 2


def test_a_door_that_cannot_read_a_head_says_so() -> None:
    """From there on no event has bodies, and none is kept."""
    scene = Scene(CREATE)
    scene.submit(POD)
    scene.witness.begun(201, JSON, "")
    scene.witness.faulted(TypeError("a secret"))
    assert (scene.witness.keeps_request, scene.witness.keeps_response) == (False, False)
    (event,) = scene.witness.completed()
    assert (told(event), event.annotations) == (("ResponseComplete", 201, ""), {FAULT: "TypeError"})
    assert scene.faults == ["TypeError"]


@pytest.mark.parametrize("name", ENDS)
def test_an_event_that_cannot_be_made_at_all_is_lost_and_known_to_be(name: str) -> None:
    """Nothing is raised: the door asks whether an event was lost, and keeps its intent then."""
    end, _ = ENDS[name]
    scene = Scene()
    scene.witness.begun(200, JSON, "")
    scene.clock.broken = True
    assert end(scene.witness) == ()
    assert (scene.faults, scene.witness.lost) == (["OverflowError"] * 2, True)


def test_a_start_that_cannot_be_told_is_no_loss() -> None:
    """The answer goes on, and the last event tells of the request."""
    scene = Scene(WATCH)
    scene.clock.broken = True
    assert scene.witness.answering(200, JSON) == ()
    scene.clock.broken = False
    assert [told(event)[:2] for event in scene.witness.completed()] == [("ResponseComplete", 200)]
    assert (scene.faults, scene.witness.lost) == (["OverflowError"], False)
