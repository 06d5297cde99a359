from __future__ import annotations

import asyncio

from backends.delegates import StandingTime, turns
from decklog.backends.drain import break_off, first


def test_the_first_of_two_ends_the_wait_and_the_timer() -> None:
    """No timer is left behind when what was wanted came."""
    time = StandingTime()

    async def scenario() -> None:
        wanted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = asyncio.create_task(first(wanted, time.sleep(5)))
        await turns()
        assert time.waits == [5]
        wanted.set_result(None)
        await waiting
        await turns()
        assert time.waits == []
        late: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = asyncio.create_task(first(late, time.sleep(5)))
        await time.pass_by(5)
        await waiting
        assert not late.done()

    asyncio.run(scenario())


def test_what_is_broken_off_has_ended() -> None:
    """Done tasks are left alone; the others are cancelled, and have tidied up when it returns."""
    time = StandingTime()
    tidied: list[str] = []

    async def work() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(0)
            tidied.append("up")

    async def done() -> None:
        pass

    async def scenario() -> None:
        tasks = [asyncio.create_task(work()), asyncio.create_task(done())]
        await turns()
        assert await break_off(tasks, time.sleep)
        assert tidied == ["up"]
        assert not await break_off(tasks, time.sleep)

    asyncio.run(scenario())
