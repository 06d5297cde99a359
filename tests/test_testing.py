from __future__ import annotations

import asyncio

import pytest

from decklog.audit.attributes import resolve
from decklog.audit.sink import DeliveryError
from decklog.audit.wire import decode_event, encode_event
from decklog.testing import START, FixedClock, MemoryBackend, attributes, event, sequential_ids


def test_a_built_event_is_valid_and_takes_other_fields() -> None:
    """It survives the wire, and only what is named differs."""
    assert decode_event(encode_event(event())) == event()
    assert event(verb="delete").verb == "delete"
    assert event(verb="delete") != event()
    with pytest.raises(TypeError, match="nonsense"):
        event(nonsense=1)


def test_built_attributes_are_resolved() -> None:
    """They are those of a request, with other fields put in."""
    assert attributes() == resolve("GET", "/api/v1/namespaces/shop/pods/web-0")
    assert attributes("DELETE", "/api/v1/nodes/n").verb == "delete"
    assert attributes(namespace="other").namespace == "other"


def test_a_fixed_clock_moves_only_when_told() -> None:
    """It gives nanoseconds since the epoch."""
    clock = FixedClock()
    assert clock() == clock() == 1_767_323_045_000_000_000
    clock.advance(1.5)
    assert str(clock) == "2026-01-02T03:04:06.500000Z"
    clock.advance(-1.5)
    assert str(clock) == START
    assert FixedClock("1970-01-01T00:00:00.000001Z")() == 1000


def test_ids_count_up() -> None:
    """Each source begins anew."""
    new_id = sequential_ids()
    assert [new_id(), new_id()] == ["00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"]
    assert sequential_ids()() == "00000000-0000-4000-8000-000000000001"


def test_a_memory_backend_keeps_what_it_is_given() -> None:
    """In order, while it lives, unless it is told to fail."""

    async def scene() -> None:
        backend = MemoryBackend()
        with pytest.raises(RuntimeError, match="async with"):
            backend.process([event()])
        async with backend as entered:
            assert entered is backend
            backend.process([event(audit_id="1"), event(audit_id="2", stage="Panic")])
            backend.failing = True
            with pytest.raises(DeliveryError, match="2 events not stored: told to fail"):
                backend.process([event(), event()])
        assert not backend.open
        assert [each.audit_id for each in backend.events] == ["1", "2"]
        assert backend.stages == ["ResponseComplete", "Panic"]
        assert (str(backend), backend.entered) == ("memory", 1)

    asyncio.run(scene())
