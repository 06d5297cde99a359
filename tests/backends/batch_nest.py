"""A batch round a leaf, for its tests: with everything that one may look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from backends.delegates import Leaf, StandingTime, turns
from decklog.backends.batch import Batch
from decklog.backends.books import Entered
from decklog.backends.failures import Failures, Notices
from decklog.backends.limits import BatchLimits
from decklog.metrics import Account, AuditCounters
from decklog.testing import event

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from decklog.audit.event import Event

FREE: Final = BatchLimits(throttle=False)
"""The webhook's limits without their throttle."""


def events(count: int, start: int = 0) -> list[Event]:
    return [event(audit_id=str(number)) for number in range(start, start + count)]


@dataclass
class Nest:
    """A batch round a leaf, with everything that a test may look at."""

    limits: BatchLimits
    slow: bool = False
    asynchronous: bool = False
    concurrency: int = 2
    keep: Callable[[Sequence[Event]], None] | None = None
    time: StandingTime = field(default_factory=StandingTime)
    account: Account = field(default_factory=Account)
    counters: AuditCounters = field(default_factory=AuditCounters)

    def __post_init__(self) -> None:
        self.leaf = Leaf(self.account, slow=self.slow)
        self.batch = Batch(
            self.leaf,
            self.limits,
            account=self.account,
            counters=self.counters,
            asynchronous=self.asynchronous,
            concurrency=self.concurrency,
            keep=self.keep,
            clock=self.time,
            sleep=self.time.sleep,
        )
        failures = Failures("buffered", self.counters, Notices())
        self.backend = Entered(self.batch, self.account, failures=failures)

    def give(self, *sizes: int) -> None:
        for size in sizes:
            assert self.backend.process(events(size, self.account.processed)) is None
            assert self.account.balanced

    @property
    def sizes(self) -> list[int]:
        return [len(call) for call in self.leaf.calls]

    @property
    def order(self) -> list[int]:
        return [int(event.audit_id) for call in self.leaf.calls for event in call]


async def drained(nest: Nest) -> None:
    """Let the slow leaf take everything that waits."""
    while nest.account.queued or nest.account.in_flight:
        nest.leaf.release_all()
        await turns()
