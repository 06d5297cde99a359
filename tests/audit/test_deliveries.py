import asyncio
from collections import Counter

import pytest

from decklog.audit.deliveries import Deliveries, cause_of
from decklog.audit.sink import DeliveryError

LOST = DeliveryError("webhook", 2, "no answer")


def test_a_delivery_outlives_who_waited_for_it() -> None:
    """Its caller is cancelled; it goes on, and `settle` waits for it."""

    async def scene() -> None:
        deliveries, done = Deliveries(Counter()), asyncio.Event()
        go = asyncio.Event()

        async def sending() -> None:
            await go.wait()
            done.set()

        waiting = asyncio.create_task(deliveries.wait_for(sending(), 1))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not done.is_set()
        go.set()
        await deliveries.settle(5)
        assert done.is_set()

    asyncio.run(scene())


@pytest.mark.parametrize(("error", "counted"), [(LOST, 0), (ValueError("a body"), 2)])
def test_a_fault_is_counted_once_and_a_delivery_error_by_its_backend(error: Exception, counted: int) -> None:
    """A DeliveryError was counted where it was raised."""

    async def failing() -> None:
        raise error

    async def scene() -> None:
        errors: Counter[str] = Counter()
        deliveries = Deliveries(errors)
        with pytest.raises(type(error)):
            await deliveries.wait_for(failing(), 2)
        deliveries.failed(error, 2)
        assert errors["backend"] == 2 * counted

    asyncio.run(scene())


def test_a_cause_quotes_no_event() -> None:
    """Of a fault only the kind is told."""
    assert cause_of(LOST) == "audit backend webhook: 2 events not stored: no answer"
    assert cause_of(ValueError('{"secret": 1}')) == "audit backend failed: ValueError"
