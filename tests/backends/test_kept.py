from __future__ import annotations

import asyncio
import contextlib
import errno
from typing import TYPE_CHECKING

import pytest

from decklog.audit.sink import Backend, DeliveryError
from decklog.audit.wire import encode_line
from decklog.backends.failures import Failures, Notices
from decklog.backends.kept import Kept
from decklog.metrics import Account, AuditCounters
from decklog.testing import event

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from decklog.audit.event import Event


class Keeper:
    """Keeps lines in memory; fails as it is told."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.error: OSError | None = None
        self.is_open = False

    @contextlib.asynccontextmanager
    async def __call__(self) -> AsyncIterator[Callable[[Sequence[bytes]], object]]:
        self.is_open = True
        yield self.keep
        self.is_open = False

    async def keep(self, lines: Sequence[bytes]) -> None:
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        self.lines += lines


class Nest:
    """A backend with its keeper and its books."""

    def __init__(self, encode: Callable[[Event], bytes] = encode_line) -> None:
        self.keeper = Keeper()
        self.counters = AuditCounters()
        self.account = Account()
        failures = Failures("store", self.counters, Notices())
        self.backend = Kept(self.keeper, encode, account=self.account, failures=failures)  # type: ignore[arg-type]  # because: a method is as good

    async def give(self, *events: Event) -> None:
        self.account.processed += len(events)
        self.account.in_flight += len(events)
        await self.backend.process(events)


def test_events_are_delivered_once_they_are_kept() -> None:
    """As lines without an end, in order; the keeper is open for as long as the backend."""

    async def main() -> None:
        nest = Nest()
        first, second = event(verb="get"), event(verb="delete")
        async with nest.backend:
            assert isinstance(nest.backend, Backend)
            opened = nest.keeper.is_open
            await nest.give(first, second)
        assert (opened, nest.keeper.is_open) == (True, False)
        assert nest.keeper.lines == [encode_line(each).rstrip(b"\n") for each in (first, second)]
        assert (nest.account.delivered, nest.account.in_flight, nest.account.balanced) == (2, 0, True)
        assert str(nest.backend) == "store"

    asyncio.run(main())


def test_a_failure_is_counted_and_raised_and_the_next_call_is_tried() -> None:
    """What cannot be kept is booked as failed."""

    async def main() -> None:
        nest = Nest()
        async with nest.backend:
            nest.keeper.error = OSError(errno.ENOSPC, "No space left on device")
            with pytest.raises(DeliveryError, match="store: 2 events not stored: No space left on device"):
                await nest.give(event(), event())
            nest.keeper.error = None
            await nest.give(event())
        assert nest.counters.error_total == {"store": 2}
        assert nest.account.dropped == {"failed": 2}
        assert (nest.account.delivered, nest.account.balanced) == (1, True)

    asyncio.run(main())


def test_an_event_that_cannot_be_encoded_is_lost_alone() -> None:
    """The others of its call are kept."""

    def encode(each: Event) -> bytes:
        if each.verb == "odd":
            raise ValueError
        return encode_line(each)

    async def main() -> None:
        nest = Nest(encode)
        async with nest.backend:
            with pytest.raises(DeliveryError, match="1 event not stored"):
                await nest.give(event(verb="odd"), event(verb="get"))
        assert len(nest.keeper.lines) == 1
        assert nest.account.dropped == {"unencodable": 1}
        assert (nest.account.delivered, nest.account.balanced) == (1, True)

    asyncio.run(main())
