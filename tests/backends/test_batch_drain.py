from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from backends.batch_nest import FREE, Nest, drained, events
from backends.delegates import Leaf, turns
from decklog.audit.sink import DeliveryError
from decklog.backends.limits import BatchLimits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from decklog.audit.event import Event


@pytest.mark.parametrize("door", ["the nest", "the batch itself"])
def test_after_the_end_events_are_refused(door: str) -> None:
    """Reason ``shut-down``, as an error of the plugin ``buffered`` that strict doors notice."""
    nest = Nest(FREE)
    process = nest.backend.process
    if door == "the batch itself":
        process = nest.batch.process

    async def scenario() -> None:
        async with nest.backend:
            pass
        if door == "the batch itself":
            nest.account.processed = nest.account.in_flight = 2
        with pytest.raises(DeliveryError, match="2 events not stored: audit backend shut down") as caught:
            process(events(2))
        assert caught.value.backend == "buffered"

    asyncio.run(scenario())
    assert nest.account.balanced
    assert nest.account.dropped == {"shut-down": 2}
    assert nest.counters.error_total == {"buffered": 2}


def test_it_may_be_started_again() -> None:
    """A second life takes events as the first did."""
    nest = Nest(FREE)

    async def scenario() -> None:
        for _ in range(2):
            async with nest.backend:
                nest.give(1)

    asyncio.run(scenario())
    assert nest.account.delivered == 2
    assert nest.leaf.life == ["enter", "leave"] * 2


def test_the_drain_is_throttled_too() -> None:
    """What is left goes in batches of the size, each with its token."""
    nest = Nest(BatchLimits(max_size=2, max_wait_s=30, qps=1, burst=1))
    arrivals: list[float] = []

    async def scenario() -> None:
        async with nest.backend:
            nest.give(5)
            leaving = asyncio.create_task(leave())
            for _ in range(3):
                await nest.time.pass_by(1)
                arrivals.append(sum(nest.sizes))
            await leaving

    async def leave() -> None:
        await nest.batch.__aexit__(None, None, None)

    asyncio.run(scenario())
    assert arrivals == [4, 5, 5]
    assert nest.account.delivered == 5


def test_the_drain_waits_for_sends_that_are_on_their_way() -> None:
    """Then, and only then, the delegate is left."""
    nest = Nest(replace(FREE, max_size=1, max_wait_s=0), slow=True, asynchronous=True)

    async def scenario() -> None:
        await nest.backend.__aenter__()
        nest.give(3)
        await turns()
        leaving = asyncio.create_task(leave())
        await turns()
        assert nest.leaf.life == ["enter"]
        await drained(nest)
        await leaving

    async def leave() -> None:
        await nest.backend.__aexit__(None, None, None)

    asyncio.run(scenario())
    assert nest.leaf.life == ["enter", "leave"]
    assert nest.account.delivered == 3
    assert nest.time.waits == []


@pytest.mark.parametrize("asynchronous", [False, True], ids=["log", "webhook"])
@pytest.mark.parametrize("keeping", ["nobody", "a spool", "a full spool"])
def test_a_drain_ends_in_time_and_what_is_left_is_accounted_for(
    keeping: str, asynchronous: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """After six seconds sends are cancelled, the buffer goes to whoever keeps it, and the rest is ``shut-down``."""

    def keep(left: Sequence[Event]) -> None:
        if keeping == "a full spool":
            nest.account.in_flight -= len(left)
            nest.account.dropped["spool-full"] += len(left)
            raise DeliveryError("webhook", len(left), "spool is full")
        nest.account.in_flight -= len(left)
        nest.account.spooled += len(left)

    nest = Nest(
        replace(FREE, max_size=1, max_wait_s=0),
        slow=True,
        asynchronous=asynchronous,
        keep=None if keeping == "nobody" else keep,
    )
    sent = 2 if asynchronous else 1

    async def scenario() -> None:
        await nest.backend.__aenter__()
        nest.give(5)
        await turns()
        leaving = asyncio.create_task(leave())
        await nest.time.pass_by(5.9)
        assert not leaving.done()
        await nest.time.pass_by(0.1)
        await leaving

    async def leave() -> None:
        await nest.backend.__aexit__(None, None, None)

    asyncio.run(scenario())
    waiting = 5 - sent
    assert nest.account.balanced
    assert (nest.account.queued, nest.account.in_flight) == (0, 0)
    assert nest.leaf.life == ["enter", "leave"]
    expected = {
        "nobody": ({"shut-down": 5}, 0, 5),
        "a spool": ({"shut-down": sent}, waiting, sent),
        "a full spool": ({"shut-down": sent, "spool-full": waiting}, 0, sent),
    }
    dropped, spooled, counted = expected[keeping]
    assert (nest.account.dropped, nest.account.spooled) == (dropped, spooled)
    assert nest.counters.error_total == {"buffered": counted}
    assert "audit backend shut down" in caplog.text


def test_a_delegate_that_clings_to_its_send_does_not_hold_up_the_end() -> None:
    """A send that ignores its cancellation is given another second, then left alone."""
    nest = Nest(replace(FREE, max_size=1, max_wait_s=0), asynchronous=True)
    clinging = asyncio.Event()

    class Clinging(Leaf):
        async def _later(self, events: Sequence[Event], error: Exception | None) -> None:
            del events, error
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                await clinging.wait()
                raise

    nest.batch._backend = Clinging(nest.account, slow=True)

    async def scenario() -> None:
        await nest.backend.__aenter__()
        nest.give(1)
        await turns()
        leaving = asyncio.create_task(leave())
        await nest.time.pass_by(6.4)
        assert not leaving.done()
        await nest.time.pass_by(0.1)
        await leaving
        clinging.set()
        await turns()

    async def leave() -> None:
        await nest.backend.__aexit__(None, None, None)

    asyncio.run(scenario())
    assert nest.account.dropped == {"shut-down": 1}


def test_a_drain_that_is_cancelled_leaves_nothing_open() -> None:
    """Impatience costs the events that wait, which are accounted for, but neither tasks nor the delegate's end."""
    nest = Nest(replace(FREE, max_size=1, max_wait_s=0), slow=True, asynchronous=True)

    async def scenario() -> None:
        await nest.backend.__aenter__()
        nest.give(5)
        await turns()
        leaving = asyncio.create_task(leave())
        await turns()
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert asyncio.all_tasks() == {asyncio.current_task()}

    async def leave() -> None:
        await nest.backend.__aexit__(None, None, None)

    asyncio.run(scenario())
    assert nest.leaf.life == ["enter", "leave"]
    assert nest.account.dropped == {"shut-down": 5}
    assert nest.account.balanced
