from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

import pytest

from decklog.audit.sink import Backend, DeliveryError
from decklog.backends.union import Union
from decklog.errors import DecklogError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from decklog.audit.event import Event

EVENTS: list[Event] = [object(), object(), object()]  # type: ignore[list-item]  # because: nobody looks into them


class Member:
    """A member that notes what happens to it, and fails where it is told to."""

    def __init__(self, name: str, diary: list[str], error: Exception | None = None, fails: str = "process") -> None:
        self.name = name
        self.diary = diary
        self.error = error
        self.fails = fails

    def __str__(self) -> str:
        return self.name

    def _note(self, what: str) -> None:
        self.diary.append(f"{self.name} {what}")
        if self.error is not None and self.fails == what:
            raise self.error

    def process(self, events: Sequence[Event]) -> Awaitable[None] | None:
        del events
        if self.fails == "later":
            return self._later()
        self._note("process")
        return None

    async def _later(self) -> None:
        await asyncio.sleep(0)
        self._note("later")

    async def __aenter__(self) -> Self:
        self._note("enter")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._note("leave")


def lost(name: str) -> DeliveryError:
    return DeliveryError(name, 3, f"{name} is down")


def test_it_is_a_backend_and_prints_the_nest() -> None:
    """The union shows its members."""
    made = Union([Member("blocking<log>", []), Member("webhook", [])])
    assert isinstance(made, Backend)
    assert str(made) == "union[blocking<log>, webhook]"


@pytest.mark.parametrize("later", ["process", "later"])
@pytest.mark.parametrize(
    ("failing", "said"),
    [
        ((), ""),
        (("a",), "audit backend a: 3 events not stored: a is down"),
        (("c",), "audit backend c: 3 events not stored: c is down"),
        (("a", "c"), "audit backend a,c: 3 events not stored: a: a is down; c: c is down"),
    ],
)
def test_every_member_is_tried_before_anything_is_raised(failing: tuple[str, ...], said: str, later: str) -> None:
    """Whoever fails, all get the events; then one error tells of all, at once or when awaited."""
    diary: list[str] = []
    members = [Member(name, diary, lost(name) if name in failing else None, later) for name in "abc"]
    members[1].fails = "process"

    async def scenario() -> None:
        promise = Union(members).process(EVENTS)
        if promise is not None:
            await promise

    if said:
        with pytest.raises(DeliveryError) as caught:
            asyncio.run(scenario())
        assert str(caught.value) == said
    else:
        asyncio.run(scenario())
    assert sorted(note.split()[0] for note in diary) == ["a", "b", "c"]


def test_an_error_now_waits_for_those_who_answer_later() -> None:
    """A member that fails at once does not keep another's promise from being awaited."""
    diary: list[str] = []
    union = Union([Member("a", diary, lost("a")), Member("b", diary, fails="later")])

    async def scenario() -> None:
        promise = union.process(EVENTS)
        assert promise is not None
        await promise

    with pytest.raises(DeliveryError):
        asyncio.run(scenario())
    assert diary == ["a process", "b later"]


def test_a_fault_is_not_hidden_behind_lost_events() -> None:
    """An error that is no DeliveryError is raised as it is, after all were tried."""
    diary: list[str] = []
    union = Union([Member("a", diary, lost("a")), Member("b", diary, ValueError("a fault")), Member("c", diary)])
    with pytest.raises(ValueError, match="a fault"):
        union.process(EVENTS)
    assert len(diary) == 3


def test_starting_starts_all_and_leaving_drains_all() -> None:
    """All are entered in order, and left side by side."""
    diary: list[str] = []

    async def scenario() -> None:
        async with Union([Member(name, diary) for name in "ab"]):
            diary.append("-")

    asyncio.run(scenario())
    assert diary == ["a enter", "b enter", "-", "a leave", "b leave"]


def test_a_failing_start_closes_the_started() -> None:
    """If the third cannot start, the first two are drained again and the error is raised."""
    diary: list[str] = []
    members = [Member("a", diary), Member("b", diary), Member("c", diary, DecklogError("no"), "enter")]

    async def scenario() -> None:
        async with Union(members):
            diary.append("never")

    with pytest.raises(DecklogError):
        asyncio.run(scenario())
    assert diary == ["a enter", "b enter", "c enter", "b leave", "a leave"]


def test_a_failing_drain_keeps_no_other_from_draining() -> None:
    """All are drained, then the failure is raised."""
    diary: list[str] = []
    members = [Member("a", diary), Member("b", diary, ValueError("stuck"), "leave"), Member("c", diary)]

    async def scenario() -> None:
        async with Union(members):
            pass

    with pytest.raises(ValueError, match="stuck"):
        asyncio.run(scenario())
    assert [note for note in diary if "leave" in note] == ["a leave", "b leave", "c leave"]


def test_the_slowest_member_alone_decides_how_long_the_end_takes() -> None:
    """A member that drains for long keeps no other waiting: all have begun before one is over."""
    diary: list[str] = []
    over = asyncio.Event()

    class Slow(Member):
        async def __aexit__(self, *_: object) -> None:
            await over.wait()
            await super().__aexit__()

    class Last(Member):
        async def __aexit__(self, *_: object) -> None:
            await super().__aexit__()
            over.set()

    async def scenario() -> None:
        async with Union([Slow("a", diary), Last("b", diary)]):
            pass

    asyncio.run(scenario())
    assert diary[2:] == ["b leave", "a leave"]
