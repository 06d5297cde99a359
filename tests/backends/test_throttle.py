from __future__ import annotations

import asyncio

from backends.delegates import StandingTime
from decklog.backends.throttle import Throttle


def test_a_burst_goes_at_once_and_the_rest_at_the_rate() -> None:
    """The bucket is full in the beginning; then tokens come one after another."""
    time = StandingTime()
    taken: list[float] = []

    async def taker(throttle: Throttle) -> None:
        for _ in range(5):
            await throttle.take()
            taken.append(time())

    async def scenario() -> None:
        taking = asyncio.create_task(taker(Throttle(2, 3, clock=time, sleep=time.sleep)))
        await time.pass_by(10)
        await taking

    asyncio.run(scenario())
    assert taken == [0, 0, 0, 0.5, 1]


def test_a_bucket_never_holds_more_than_the_burst() -> None:
    """A long pause earns no more than a burst."""
    time = StandingTime()
    waits: list[float] = []

    async def no_time(seconds: float) -> None:
        waits.append(seconds)

    async def scenario() -> None:
        throttle = Throttle(4, 2, clock=time, sleep=no_time)
        time.now = 1000
        for _ in range(4):
            await throttle.take()

    asyncio.run(scenario())
    assert waits == [0.25, 0.5]
