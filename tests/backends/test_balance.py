from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from backends.delegates import Leaf, StandingTime, turns
from decklog.audit.sink import DeliveryError
from decklog.audit.wire import encode_line
from decklog.backends.batch import Batch
from decklog.backends.blocking import Blocking
from decklog.backends.books import Entered
from decklog.backends.limits import BatchLimits, TruncateLimits
from decklog.backends.truncate import Truncate
from decklog.metrics import Account, AuditCounters
from decklog.testing import event

if TYPE_CHECKING:
    from decklog.audit.event import Event
    from decklog.audit.sink import Backend

SMALL = event()
LARGE = event(user_agent="x" * 2000)
BAD = event(user_agent="cannot be encoded")
LIMITS = TruncateLimits(max_event_size=1000, max_batch_size=2000)

steps = st.lists(
    st.one_of(
        st.tuples(st.just("process"), st.lists(st.sampled_from([SMALL, SMALL, SMALL, LARGE, BAD]), max_size=5)),
        st.tuples(st.just("turn"), st.integers(1, 5)),
        st.tuples(st.just("release"), st.just(0)),
        st.tuples(st.just("walk away"), st.just(0)),
        st.tuples(st.just("wait"), st.sampled_from([0.1, 1.0, 5.0])),
        st.tuples(st.just("shut down"), st.just(0)),
    ),
    max_size=25,
)
fates = st.lists(st.sampled_from([None, None, DeliveryError("leaf", 0, "down"), ValueError("a fault")]), max_size=8)
batches = st.builds(
    BatchLimits,
    buffer_size=st.integers(1, 6),
    max_size=st.integers(1, 4),
    max_wait_s=st.sampled_from([0.0, 1.0]),
    throttle=st.booleans(),
    qps=st.just(2.0),
    burst=st.integers(1, 2),
)


def encode(event: Event) -> bytes:
    if event is BAD:
        raise ValueError("cannot be encoded")
    return encode_line(event)


class Scenario:
    """A nest of a mode, truncated, and what is done to it."""

    def __init__(self, mode: str, slow: bool, limits: BatchLimits, fate: list[Exception | None]) -> None:
        self.account = Account()
        self.counters = AuditCounters()
        self.time = StandingTime()
        self.leaf = Leaf(self.account, slow=slow)
        self.leaf.fate = list(fate)
        books: dict[str, Any] = {"account": self.account, "counters": self.counters}
        mode_of: Backend = self.leaf
        if mode == "blocking":
            mode_of = Blocking(self.leaf, self.counters, account=self.account)
        elif mode != "strict":
            mode_of = Batch(
                self.leaf,
                limits,
                **books,
                asynchronous=mode == "batch, asynchronous",
                concurrency=2,
                clock=self.time,
                sleep=self.time.sleep,
            )
        self.nest = Entered(Truncate(mode_of, LIMITS, encode, **books), self.account, sleep=self.time.sleep)
        self.promises: list[asyncio.Task[None]] = []
        self.leaving: asyncio.Task[None] | None = None

    async def run(self, steps: list[tuple[str, Any]], *, hanging: bool) -> None:
        """Do the steps, then shut down; a leaf that is `hanging` lets nothing go any more."""
        watch = asyncio.create_task(self._watch())
        await self.nest.__aenter__()
        for step, value in steps:
            await self._do(step, value)
            assert self.account.balanced, step
        await self._do("shut down", 0)
        assert self.leaving is not None
        while self.promises or not self.leaving.done():
            if not hanging:
                self.leaf.release_all()
            await self.time.pass_by(0.25)
            self.promises = [promise for promise in self.promises if not promise.done()]
        await self.leaving
        watch.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watch

    async def _do(self, step: str, value: Any) -> None:
        if step == "process":
            with contextlib.suppress(DeliveryError, ValueError):
                promise = self.nest.process(value)
                if promise is not None:
                    self.promises.append(asyncio.ensure_future(self._quietly(promise)))
        elif step == "turn":
            await turns(value)
        elif step == "release" and self.leaf.gates:
            self.leaf.release()
        elif step == "walk away" and self.promises:
            self.promises.pop().cancel()
        elif step == "wait":
            await self.time.pass_by(value)
        elif step == "shut down" and self.leaving is None:
            self.leaving = asyncio.create_task(self._leave())

    async def _leave(self) -> None:
        await self.nest.__aexit__(None, None, None)

    async def _quietly(self, promise: Any) -> None:
        with contextlib.suppress(DeliveryError, ValueError, asyncio.CancelledError):
            await promise

    async def _watch(self) -> None:
        while True:
            assert self.account.balanced
            await asyncio.sleep(0)


@settings(max_examples=150, deadline=None)
@given(
    mode=st.sampled_from(["strict", "blocking", "batch", "batch, asynchronous"]),
    slow=st.booleans(),
    hanging=st.booleans(),
    early=st.booleans(),
    limits=batches,
    fate=fates,
    steps=steps,
)
def test_the_books_balance_at_every_step(
    mode: str,
    slow: bool,
    hanging: bool,
    early: bool,
    limits: BatchLimits,
    fate: list[Exception | None],
    steps: list[tuple[str, Any]],
) -> None:
    """Whatever comes in, fails, hangs or ends: no event without a column, and after the drain nothing is on its way."""
    if not early:
        steps = [step for step in steps if step[0] != "shut down"]
    scenario = Scenario(mode, slow, limits, fate)
    asyncio.run(scenario.run(steps, hanging=hanging))
    account = scenario.account
    given = sum(len(value) for step, value in steps if step == "process")
    assert account.balanced
    assert (account.processed, account.queued, account.in_flight) == (given, 0, 0)
    assert account.delivered == len(scenario.leaf.arrived)
    if not hanging and not early:
        assert account.dropped["shut-down"] == 0
