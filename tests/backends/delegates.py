"""What the tests of the wrappings put inside: leaves that keep the books, and time that stands still."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from decklog.audit.sink import DeliveryError
from decklog.backends.books import give_up

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from decklog.audit.event import Event
    from decklog.metrics import Account


async def turns(count: int = 20) -> None:
    """Let every task of the loop run as far as it gets."""
    for _ in range(count):
        await asyncio.sleep(0)


class StandingTime:
    """A clock, and a sleep that ends when somebody moves the clock far enough."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        sleeper = asyncio.get_running_loop().create_future()
        self.sleepers.append((self.now + seconds, sleeper))
        await sleeper

    @property
    def waits(self) -> list[float]:
        """How much longer each sleeper sleeps, shortest first."""
        return sorted(round(at - self.now, 6) for at, sleeper in self.sleepers if not sleeper.done())

    async def pass_by(self, seconds: float) -> None:
        """Move on, sleeper by sleeper, each of whom does what it woke up for."""
        end = self.now + seconds
        await turns()
        while due := [pair for pair in self.sleepers if not pair[1].done() and pair[0] <= end]:
            at, sleeper = min(due, key=lambda pair: pair[0])
            self.now = max(self.now, at)
            sleeper.set_result(None)
            await turns()
        self.now = end


class Leaf:
    """Takes events as a log does, or as a webhook does when it is `slow`; fails as often as it is told to."""

    def __init__(self, account: Account, *, slow: bool = False, name: str = "leaf") -> None:
        self.account = account
        self.slow = slow
        self.name = name
        self.calls: list[tuple[Event, ...]] = []
        """What it was given, call by call."""
        self.arrived: list[Event] = []
        """What it took."""
        self.fate: list[Exception | None] = []
        """What becomes of the next calls; when there is nothing left, they go well."""
        self.gates: list[asyncio.Future[None]] = []
        """Slow calls that wait for `release`."""
        self.life: list[str] = []

    def __str__(self) -> str:
        return self.name

    def process(self, events: Sequence[Event]) -> Awaitable[None] | None:
        self.calls.append(tuple(events))
        error = self.fate.pop(0) if self.fate else None
        if self.slow:
            return self._later(events, error)
        self._settle(events, error)
        return None

    async def _later(self, events: Sequence[Event], error: Exception | None) -> None:
        gate = asyncio.get_running_loop().create_future()
        self.gates.append(gate)
        await gate
        self._settle(events, error)

    def release(self, number: int = 0) -> None:
        """Let a slow call end."""
        gate = self.gates.pop(number)
        if not gate.done():
            gate.set_result(None)

    def release_all(self) -> None:
        while self.gates:
            self.release()

    def _settle(self, events: Sequence[Event], error: Exception | None) -> None:
        if isinstance(error, DeliveryError):
            give_up(self.account, len(events), "failed")
        if error is not None:
            raise error
        self.account.in_flight -= len(events)
        self.account.delivered += len(events)
        self.arrived.extend(events)

    async def __aenter__(self) -> Self:
        self.life.append("enter")
        return self

    async def __aexit__(self, *_: object) -> None:
        self.life.append("leave")
