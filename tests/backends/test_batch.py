from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from backends.batch_nest import FREE, Nest, drained, events
from backends.delegates import Leaf, turns
from decklog.audit.sink import Backend, DeliveryError
from decklog.backends.batch import Batch
from decklog.backends.limits import BatchLimits
from decklog.metrics import Account, AuditCounters

if TYPE_CHECKING:
    from collections.abc import Sequence

    from decklog.audit.event import Event


def test_it_is_a_backend_and_prints_the_nest() -> None:
    """``batch<…>`` shows what it sends to."""
    nest = Nest(FREE)
    assert isinstance(nest.batch, Backend)
    assert str(nest.batch) == "batch<leaf>"


def test_a_full_batch_goes_at_once() -> None:
    """The size is reached: no waiting for the timer; the rest waits on."""
    nest = Nest(replace(FREE, max_size=4, max_wait_s=30))

    async def scenario() -> None:
        async with nest.backend:
            await turns()
            nest.give(1, 2)
            await turns()
            assert nest.sizes == []
            nest.give(3)
            await turns()
            assert nest.sizes == [4]
            assert (nest.account.queued, nest.account.delivered) == (2, 4)

    asyncio.run(scenario())
    assert nest.sizes == [4, 2]
    assert nest.order == list(range(6))


def test_a_batch_leaves_at_most_the_wait_after_its_collection_began() -> None:
    """The timer runs from the start of the collection, not from the first event; empty batches are not sent."""
    nest = Nest(replace(FREE, max_size=4, max_wait_s=30))

    async def scenario() -> None:
        async with nest.backend:
            await nest.time.pass_by(29)
            nest.give(1)
            assert nest.time.waits == [1]
            await nest.time.pass_by(1)
            assert nest.sizes == [1]
            await nest.time.pass_by(60)
            assert nest.sizes == [1]
            nest.give(4)
            await turns()
            assert nest.sizes == [1, 4]
            assert nest.time.waits == [30]

    asyncio.run(scenario())


@pytest.mark.parametrize(("max_size", "sizes"), [(1, [1, 1, 1, 1, 1]), (3, [3, 2]), (400, [5])])
@pytest.mark.parametrize("max_wait_s", [0, -1])
def test_without_a_wait_whatever_is_there_goes(max_size: int, sizes: list[int], max_wait_s: float) -> None:
    """No timer, and no spinning: the collector sleeps until an event comes."""
    nest = Nest(replace(FREE, max_size=max_size, max_wait_s=max_wait_s))

    async def scenario() -> None:
        async with nest.backend:
            await turns()
            nest.give(2, 3)
            await turns()
            assert nest.sizes == sizes
            assert nest.time.sleepers == []

    asyncio.run(scenario())


def test_a_batch_of_one_waits_for_nobody() -> None:
    """Max size 1: each event goes alone, whatever the wait is."""
    nest = Nest(replace(FREE, max_size=1, max_wait_s=30))

    async def scenario() -> None:
        async with nest.backend:
            nest.give(3)
            await turns()
            assert nest.sizes == [1, 1, 1]

    asyncio.run(scenario())
    assert nest.time.waits == []


def test_a_full_buffer_drops_the_newest_and_tells_the_caller_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Reason ``buffer-full``: this and all remaining events of the call, plugin ``buffered``."""
    nest = Nest(replace(FREE, buffer_size=5, max_size=1, max_wait_s=0), slow=True)

    async def scenario() -> None:
        async with nest.backend:
            nest.give(1)
            await turns()  # it is with the leaf, which does not come back
            nest.give(4, 3, 1)
            assert nest.account.queued == 5
            assert nest.account.dropped == {"buffer-full": 3}
            assert nest.counters.error_total == {"buffered": 3}
            leaving = asyncio.create_task(drained(nest))
            await leaving

    asyncio.run(scenario())
    assert nest.order == [0, 1, 2, 3, 4, 5]
    assert "audit buffer queue blocked" in caplog.text
    assert (nest.account.delivered, nest.account.balanced) == (6, True)


def test_a_full_buffer_goes_to_whoever_keeps_it() -> None:
    """All that waits and what comes, in order, but for the batch that is about to be sent; nothing is dropped."""
    kept: list[int] = []

    def keep(left: Sequence[Event]) -> None:
        kept.extend(int(event.audit_id) for event in left)
        nest.account.in_flight -= len(left)
        nest.account.spooled += len(left)

    nest = Nest(
        replace(FREE, buffer_size=5, max_size=2, max_wait_s=0), slow=True, asynchronous=True, concurrency=1, keep=keep
    )

    async def scenario() -> None:
        async with nest.backend:
            nest.give(2)
            await turns()  # they are with the leaf, which does not come back
            nest.give(2)
            await turns()  # these go next
            nest.give(5)
            assert kept == []
            nest.give(3, 1)
            assert kept == [4, 5, 6, 7, 8, 9, 10, 11]
            await drained(nest)

    asyncio.run(scenario())
    assert nest.order == [0, 1, 2, 3, 12]
    assert (nest.account.delivered, nest.account.spooled, nest.account.dropped) == (5, 8, {})
    assert nest.account.balanced


def test_the_batch_that_forms_counts_beside_the_buffer() -> None:
    """As the server's collector, which takes events out while it gathers."""
    nest = Nest(replace(FREE, buffer_size=5, max_size=3, max_wait_s=30))

    async def scenario() -> None:
        async with nest.backend:
            await turns()
            nest.give(9)
            assert nest.account.queued == 8
            assert nest.account.dropped == {"buffer-full": 1}

    asyncio.run(scenario())
    assert nest.sizes == [3, 3, 2]


def test_batches_wait_for_tokens() -> None:
    """The burst goes at once, then one batch a token; what waits for one still counts as queued."""
    nest = Nest(BatchLimits(buffer_size=10, max_size=2, max_wait_s=0, qps=2, burst=2))

    async def scenario() -> None:
        async with nest.backend:
            nest.give(10)
            await turns()
            assert nest.sizes == [2, 2]
            assert (nest.account.queued, nest.account.in_flight) == (6, 0)
            await nest.time.pass_by(0.5)
            assert nest.sizes == [2, 2, 2]
            await nest.time.pass_by(1)
            assert nest.sizes == [2, 2, 2, 2, 2]

    asyncio.run(scenario())


def test_a_throttle_of_ones_own_is_asked_once_a_batch() -> None:
    """Whoever brings tokens decides when a batch goes."""
    asked: list[asyncio.Future[None]] = []

    class Strict:
        async def take(self) -> None:
            asked.append(asyncio.get_running_loop().create_future())
            await asked[-1]

    account = Account()
    leaf = Leaf(account)
    limits = replace(FREE, max_size=2, max_wait_s=0)
    batch = Batch(leaf, limits, account=account, counters=AuditCounters(), asynchronous=False, throttle=Strict())

    async def scenario() -> None:
        async with batch:
            batch.process(events(4))
            await turns()
            assert (len(asked), leaf.calls) == (1, [])
            asked[0].set_result(None)
            await turns()
            assert (len(asked), len(leaf.arrived)) == (2, 2)
            asked[1].set_result(None)

    asyncio.run(scenario())
    assert len(leaf.arrived) == 4


def test_an_asynchronous_backend_gets_batches_side_by_side_but_not_without_limit() -> None:
    """At most `concurrency` sends at once; the others wait in the buffer."""
    nest = Nest(replace(FREE, max_size=1, max_wait_s=0), slow=True, asynchronous=True, concurrency=3)

    async def scenario() -> None:
        async with nest.backend:
            nest.give(5)
            await turns()
            assert (nest.account.in_flight, nest.account.queued) == (3, 2)
            nest.leaf.release(1)
            await turns()
            assert nest.order == [0, 1, 2, 3]
            assert [event.audit_id for event in nest.leaf.arrived] == ["1"]
            await drained(nest)

    asyncio.run(scenario())
    assert nest.account.delivered == 5


def test_a_synchronous_backend_gets_one_batch_at_a_time() -> None:
    """The log: the next batch goes when the one before was taken."""
    nest = Nest(replace(FREE, max_size=1, max_wait_s=0), slow=True)

    async def scenario() -> None:
        async with nest.backend:
            nest.give(3)
            await turns()
            assert (nest.account.in_flight, nest.account.queued) == (1, 2)
            await drained(nest)

    asyncio.run(scenario())
    assert nest.order == [0, 1, 2]


@pytest.mark.parametrize("asynchronous", [False, True], ids=["log", "webhook"])
@pytest.mark.parametrize("slow", [False, True], ids=["now", "later"])
@pytest.mark.parametrize(
    ("error", "counted"),
    [(DeliveryError("leaf", 2, "down"), {}), (ZeroDivisionError("a fault"), {"leaf": 2})],
    ids=["fails", "crashes"],
)
def test_a_failing_delegate_loses_only_its_batch(
    error: Exception, counted: dict[str, int], slow: bool, asynchronous: bool
) -> None:
    """What it counted itself is not counted again; a crash is counted for it, under its name, as ``failed``."""
    nest = Nest(replace(FREE, max_size=2, max_wait_s=0), slow=slow, asynchronous=asynchronous)
    nest.leaf.fate = [None, error]

    async def scenario() -> None:
        async with nest.backend:
            nest.give(6)
            await turns()
            await drained(nest)

    asyncio.run(scenario())
    assert nest.sizes == [2, 2, 2]
    assert [event.audit_id for event in nest.leaf.arrived] == ["0", "1", "4", "5"]
    assert nest.account.dropped == {"failed": 2}
    assert nest.counters.error_total == counted


def test_the_loop_belongs_to_everybody() -> None:
    """While a long buffer is written by a backend that never waits, others run."""
    nest = Nest(replace(FREE, max_size=1, max_wait_s=0))
    seen: list[int] = []

    async def scenario() -> None:
        async with nest.backend:
            nest.give(1000)
            while nest.account.queued:
                await asyncio.sleep(0)
                seen.append(nest.account.delivered)

    asyncio.run(scenario())
    assert len(seen) > 5
