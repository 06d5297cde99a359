from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from backends.delegates import Leaf, turns
from decklog.audit.event import NO_OBJECT, Level
from decklog.audit.sink import Backend, DeliveryError
from decklog.audit.wire import encode_line
from decklog.backends.books import Entered
from decklog.backends.limits import TruncateLimits
from decklog.backends.truncate import MARKER, Truncate
from decklog.backends.union import Union
from decklog.metrics import Account, AuditCounters
from decklog.testing import event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from decklog.audit.event import Event

from msgspec import Raw

BODY = Raw(b'{"data":"' + b"x" * 2000 + b'"}')
LIMIT = 1000


def encode(event: Event) -> bytes:
    if event.verb == "poison":
        raise ValueError("the password is hunter2")
    return encode_line(event)


def sized(size: int, **overrides: object) -> Event:
    """An event that is exactly `size` bytes as a line."""
    short = event(user_agent="", **overrides)
    pad = size - len(encode_line(short)) - len(',"userAgent":""')
    made = event(user_agent="x" * pad, **overrides)
    assert len(encode_line(made)) == size
    return made


class Nest:
    def __init__(self, limits: TruncateLimits, *, slow: bool = False) -> None:
        self.account = Account()
        self.counters = AuditCounters()
        self.leaf = Leaf(self.account, slow=slow)
        self.truncate = Truncate(self.leaf, limits, encode, account=self.account, counters=self.counters)
        self.backend = Entered(self.truncate, self.account)

    def give(self, *events: Event) -> Sequence[Event]:
        self.backend.process(events)
        assert self.account.balanced
        assert self.account.in_flight == 0
        return self.leaf.arrived


def test_it_is_a_backend_that_lives_with_what_it_holds() -> None:
    """``truncate<…>`` prints the nest, starts and drains it."""
    nest = Nest(TruncateLimits())

    async def scenario() -> None:
        async with nest.backend:
            assert nest.leaf.life == ["enter"]

    asyncio.run(scenario())
    assert isinstance(nest.truncate, Backend)
    assert str(nest.truncate) == "truncate<leaf>"
    assert nest.leaf.life == ["enter", "leave"]


@pytest.mark.parametrize("company", [0, 1], ids=["alone", "with another"])
@pytest.mark.parametrize(("size", "passes"), [(LIMIT - 1, True), (LIMIT, True), (LIMIT + 1, False)])
def test_exactly_the_limit_passes(size: int, passes: bool, company: int) -> None:
    """Sizes count the newline; what passes is the very same event."""
    nest = Nest(TruncateLimits(LIMIT, 10 * LIMIT))
    made = sized(size)
    arrived = nest.give(made, *[event()] * company)
    assert (len(arrived) - company == 1) is passes
    if passes:
        assert arrived[0] is made
        assert not nest.counters.error_total


@pytest.mark.parametrize("level", [Level.REQUEST, Level.REQUEST_RESPONSE])
def test_bodies_go_both_at_once_and_a_marker_tells(level: Level) -> None:
    """From level Request on, an event that is too large loses them and is kept."""
    nest = Nest(TruncateLimits(LIMIT, LIMIT))
    small = Raw(b"{}")
    whole = event(level=level, request_object=BODY, response_object=small)
    (kept,) = nest.give(whole)
    assert (kept.request_object, kept.response_object) == (NO_OBJECT, NO_OBJECT)
    assert kept.annotations[MARKER] == "true"
    assert list(kept.annotations) == sorted(kept.annotations)


def test_the_marker_does_not_leak() -> None:
    """The live event, and what another backend gets of it, stay whole and unmarked."""
    nest = Nest(TruncateLimits(LIMIT, LIMIT))
    other = Leaf(Account())
    notes = {"authorization.k8s.io/decision": "allow"}
    whole = event(level=Level.REQUEST, request_object=BODY, annotations=notes)
    Union([nest.backend, other]).process([whole])
    assert other.arrived == [whole]
    assert notes == {"authorization.k8s.io/decision": "allow"}
    assert whole.annotations is notes
    assert MARKER in nest.leaf.arrived[0].annotations


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("metadata, level Metadata", sized(LIMIT + 1)),
        ("metadata, level Request", sized(LIMIT + 1, level=Level.REQUEST)),
        ("bodies that level Metadata should not have", event(request_object=BODY)),
    ],
)
def test_what_is_too_large_even_so_is_dropped_and_told(
    name: str, made: Event, caplog: pytest.LogCaptureFixture
) -> None:
    """Reason ``too-large``, plugin ``truncate``; the caller is told nothing, in strict mode neither."""
    nest = Nest(TruncateLimits(LIMIT, LIMIT))
    assert nest.give(made, event()) == [event()], name
    assert nest.account.dropped == {"too-large": 1}
    assert nest.counters.error_total == {"truncate": 1}
    assert "event is too large even after truncating" in caplog.text


@pytest.mark.parametrize("company", [0, 2], ids=["alone", "among others"])
def test_an_event_that_cannot_be_encoded_hurts_only_itself(company: int, caplog: pytest.LogCaptureFixture) -> None:
    """Reason ``unencodable``; nothing that it holds is told."""
    nest = Nest(TruncateLimits())
    others = [event()] * company
    assert nest.give(*others[:1], event(verb="poison"), *others[1:]) == others
    assert nest.account.dropped == {"unencodable": 1}
    assert nest.counters.error_total == {"truncate": 1}
    assert "ValueError at test_truncate.py" in caplog.text
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize(
    ("sizes", "calls"),
    [
        ([800, 800, 800], [[800], [800], [800]]),
        ([800, 700, 800], [[800, 700], [800]]),
        ([800, 701, 800], [[800], [701], [800]]),
        ([700, 700, 1200, 700], [[700, 700], [700]]),
    ],
)
def test_calls_are_not_too_large_either(sizes: list[int], calls: list[list[int]]) -> None:
    """A call that would grow past the limit is made first; order is kept."""
    nest = Nest(TruncateLimits(LIMIT, 1500))
    nest.give(*map(sized, sizes))
    assert [[len(encode(event)) for event in call] for call in nest.leaf.calls] == calls


def test_no_events_make_no_call() -> None:
    """Nothing in, nothing out; nor if all were dropped."""
    nest = Nest(TruncateLimits(LIMIT, LIMIT))
    nest.give()
    nest.give(sized(LIMIT + 1))
    assert nest.leaf.calls == []


@pytest.mark.parametrize("slow", [False, True], ids=["now", "later"])
@pytest.mark.parametrize(
    ("fate", "lost", "counted"),
    [
        ([None, None, None], 0, {}),
        ([DeliveryError("leaf", 1, "down")], 1, {}),
        ([None, DeliveryError("leaf", 1, "down"), ValueError("a fault")], 2, {"leaf": 1}),
    ],
)
def test_every_call_is_made_in_order_whatever_becomes_of_one(
    fate: list[Exception | None], lost: int, counted: dict[str, int], slow: bool
) -> None:
    """A failure of the backend is raised, once all were tried; later calls wait for earlier ones."""
    nest = Nest(TruncateLimits(LIMIT, LIMIT), slow=slow)
    nest.leaf.fate = list(fate)
    raised: list[DeliveryError] = []

    async def scenario() -> None:
        try:
            promise = nest.backend.process([sized(900, audit_id=str(number)) for number in range(3)])
            if promise is not None:
                waiting = asyncio.ensure_future(promise)
                for number in range(3):
                    await turns()
                    assert len(nest.leaf.calls) == number + 1
                    nest.leaf.release()
                await waiting
        except DeliveryError as error:
            raised.append(error)

    asyncio.run(scenario())
    assert [call[0].audit_id for call in nest.leaf.calls] == ["0", "1", "2"]
    assert sum(error.lost for error in raised) == lost
    assert nest.account.dropped.total() == lost
    assert (nest.account.in_flight, nest.account.balanced) == (0, True)
    assert nest.counters.error_total == counted


def test_with_fields_nothing_is_too_large() -> None:
    """--audit-truncate-fields: metadata is cut instead of dropped, and bodies at any level."""
    nest = Nest(TruncateLimits(LIMIT, LIMIT, fields=True))
    arrived = nest.give(
        event(user_agent="x" * 2000),
        event(level=Level.REQUEST, request_object=BODY, user_agent="x" * 2000),
        event(request_object=BODY),
        event(level=Level.REQUEST, request_object=BODY),
    )
    cuts = [{key for key in event.annotations if not key.startswith("authorization")} for event in arrived]
    assert cuts == [
        {"decklog/cut-userAgent"},
        {MARKER, "decklog/cut-userAgent"},
        {"decklog/cut-requestObject"},
        {MARKER},
    ]
    assert all(len(encode(event)) <= LIMIT for event in arrived)
    assert not nest.account.dropped


def test_with_fields_and_no_room_for_anything_an_event_is_dropped_in_the_end() -> None:
    """A limit below a line's skeleton leaves no choice: counted as ``too-large``."""
    nest = Nest(TruncateLimits(100, 100, fields=True))
    assert nest.give(event()) == []
    assert nest.account.dropped == {"too-large": 1}
