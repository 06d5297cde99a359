from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

import pytest

from decklog.audit.sink import Backend, DeliveryError
from decklog.backends.blocking import Blocking
from decklog.errors import DecklogError
from decklog.metrics import Account, AuditCounters

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from decklog.audit.event import Event

EVENTS: list[Event] = [object(), object()]  # type: ignore[list-item]  # because: nobody here looks into them


class Failing:
    """A backend that fails as it is told: now, or when awaited."""

    def __init__(self, error: Exception | None = None, *, later: bool = False) -> None:
        self.error = error
        self.later = later
        self.calls: list[str] = []

    def __str__(self) -> str:
        return "webhook"

    def process(self, events: Sequence[Event]) -> Awaitable[None] | None:
        self.calls.append(f"process {len(events)}")
        if self.later:
            return self._fail()
        if self.error is not None:
            raise self.error
        return None

    async def _fail(self) -> None:
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error

    async def __aenter__(self) -> Self:
        self.calls.append("enter")
        return self

    async def __aexit__(self, *_: object) -> None:
        self.calls.append("leave")


def test_it_is_a_backend_and_prints_the_nest() -> None:
    """The wrapping shows what it wraps."""
    made = Blocking(Failing(), AuditCounters())
    assert isinstance(made, Backend)
    assert str(made) == "blocking<webhook>"


@pytest.mark.parametrize("later", [False, True], ids=["now", "when awaited"])
@pytest.mark.parametrize(
    ("error", "counted"),
    [
        (None, {}),
        (DeliveryError("webhook", 2, "no route to host"), {}),
        (ValueError("a fault of the plugin"), {"webhook": 2}),
    ],
    ids=["success", "lost events, counted by the plugin", "a fault, counted here"],
)
def test_no_failure_gets_through(error: Exception | None, counted: dict[str, int], later: bool) -> None:
    """Whatever the plugin raises ends here, and each lost event is counted exactly once."""
    counters = AuditCounters()
    inner = Failing(error, later=later)

    async def scenario() -> None:
        async with Blocking(inner, counters) as made:
            promise = made.process(EVENTS)
            assert (promise is not None) == later
            if promise is not None:
                await promise

    asyncio.run(scenario())
    assert counters.error_total == counted
    assert inner.calls == ["enter", "process 2", "leave"]


def test_a_failing_start_is_not_swallowed() -> None:
    """A backend that cannot start is the user's error, whatever the mode."""

    class Unstartable(Failing):
        async def __aenter__(self) -> Self:
            raise DecklogError("no such directory")

    async def scenario() -> None:
        with pytest.raises(DecklogError):
            async with Blocking(Unstartable(), AuditCounters()):
                pass

    asyncio.run(scenario())


def test_a_cancelled_wait_is_cancelled() -> None:
    """A caller that is gone ends its waiting: cancellation is no failure of the backend."""
    counters = AuditCounters()

    class Hanging(Failing):
        async def _fail(self) -> None:
            await asyncio.Event().wait()

    async def scenario() -> None:
        promise = Blocking(Hanging(later=True), counters).process(EVENTS)
        assert promise is not None
        waiting = asyncio.ensure_future(promise)
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(scenario())
    assert not counters.error_total


@pytest.mark.parametrize("later", [False, True], ids=["now", "later"])
@pytest.mark.parametrize(
    ("error", "booked"), [(DeliveryError("log", 2, "full"), {}), (ValueError("a fault"), {"failed": 2})]
)
def test_a_crash_is_booked_for_the_plugin(error: Exception, booked: dict[str, int], later: bool) -> None:
    """Whoever raises DeliveryError has booked; whoever crashes has not."""
    account = Account(processed=2, in_flight=2)

    async def scenario() -> None:
        promise = Blocking(Failing(error, later=later), AuditCounters(), account=account).process(EVENTS)
        if promise is not None:
            await promise

    asyncio.run(scenario())
    assert account.dropped == booked
    assert account.balanced
