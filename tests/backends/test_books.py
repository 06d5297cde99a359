from __future__ import annotations

import asyncio

import pytest

from backends.delegates import Leaf, StandingTime, turns
from decklog.audit.sink import Backend, DeliveryError
from decklog.backends.books import Entered, give_up
from decklog.backends.failures import Failures, Notices
from decklog.metrics import Account, AuditCounters
from decklog.testing import event

EVENTS = [event(), event()]


def test_it_is_a_backend_that_nobody_sees() -> None:
    """The outermost part of a nest prints what it holds and shares its life."""
    account = Account()
    leaf = Leaf(account, name="blocking<log>")
    entered = Entered(leaf, account)

    async def scenario() -> None:
        async with entered:
            pass

    asyncio.run(scenario())
    assert isinstance(entered, Backend)
    assert str(entered) == "blocking<log>"
    assert leaf.life == ["enter", "leave"]


@pytest.mark.parametrize("slow", [False, True], ids=["now", "later"])
@pytest.mark.parametrize(
    ("error", "book"),
    [
        (None, Account(processed=2, delivered=2)),
        (DeliveryError("leaf", 2, "disk full"), Account(processed=2)),
        (ValueError("a fault"), Account(processed=2)),
    ],
    ids=["goes well", "is lost", "crashes"],
)
def test_every_event_is_in_a_column_whatever_becomes_of_it(error: Exception | None, book: Account, slow: bool) -> None:
    """What a leaf booked is not booked again; what it could not book, because it crashed, is booked for it."""
    account = Account()
    leaf = Leaf(account, slow=slow)
    leaf.fate = [error]
    if error is not None:
        book.dropped["failed"] = 2

    async def scenario() -> None:
        promise = Entered(leaf, account).process(EVENTS)
        if promise is not None:
            assert (account.in_flight, account.balanced) == (2, True)
            waiting = asyncio.ensure_future(promise)
            await asyncio.sleep(0)
            leaf.release()
            await waiting

    if error is None:
        asyncio.run(scenario())
    else:
        with pytest.raises(type(error)):
            asyncio.run(scenario())
    assert account == book
    assert account.balanced


def test_nothing_that_is_given_up_leaves_no_reason() -> None:
    """A reason appears in the metrics with its first event."""
    account = Account()
    give_up(account, 0, "failed")
    assert account == Account()


@pytest.mark.parametrize("error", [None, DeliveryError("leaf", 2, "down"), ValueError("a fault")])
def test_a_caller_that_is_gone_does_not_take_its_events_with_it(error: Exception | None) -> None:
    """The send goes on, is accounted for, and is waited for at the end."""
    account = Account()
    leaf = Leaf(account, slow=True)
    leaf.fate = [error]
    time = StandingTime()

    async def scenario() -> None:
        async with Entered(leaf, account, sleep=time.sleep) as entered:
            promise = entered.process(EVENTS)
            assert promise is not None
            waiting = asyncio.ensure_future(promise)
            await turns()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert account.in_flight == 2
            asyncio.get_running_loop().call_later(0, leaf.release)

    asyncio.run(scenario())
    assert account.delivered == (0 if error else 2)
    assert account.dropped == ({"failed": 2} if error else {})
    assert account.balanced


def test_what_does_not_arrive_in_time_is_given_up() -> None:
    """Reason ``shut-down``; a process that is told to stop does."""
    account, counters, time = Account(), AuditCounters(), StandingTime()
    leaf = Leaf(account, slow=True)
    entered = Entered(leaf, account, failures=Failures("webhook", counters, Notices()), sleep=time.sleep)

    async def leave() -> None:
        await entered.__aexit__(None, None, None)

    async def scenario() -> None:
        await entered.__aenter__()
        promise = entered.process(EVENTS)
        assert promise is not None
        leaving = asyncio.create_task(leave())
        await time.pass_by(5.9)
        assert not leaving.done()
        await time.pass_by(0.1)
        await leaving
        with pytest.raises(DeliveryError, match="shut down"):  # no cancellation of the waiter's own task
            await promise

    asyncio.run(scenario())
    assert leaf.life == ["enter", "leave"]
    assert account.dropped == {"shut-down": 2}
    assert account.balanced
    assert counters.error_total == {"webhook": 2}


def test_nothing_is_sent_after_the_end() -> None:
    """What comes late is refused and accounted for, and not given to a leaf that is gone."""
    account = Account()
    leaf = Leaf(account, slow=True)
    entered = Entered(leaf, account)

    async def scenario() -> None:
        async with entered:
            pass
        with pytest.raises(DeliveryError, match="audit backend shut down"):
            entered.process(EVENTS)
        await turns()

    asyncio.run(scenario())
    assert leaf.gates == []
    assert account.dropped == {"shut-down": 2}
    assert account.balanced
