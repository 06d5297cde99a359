"""Testing: builders and fakes for decklog's own tests, and for those of its users.

`event()` and `attributes()` give valid values of which a test names only what it is about. `MemoryBackend` keeps what
it is given, and fails when told to. `FixedClock` and `sequential_ids` stand in for time and chance. What never lives
here: anything that tests only one room.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, Final, Self

from msgspec import structs

from decklog.audit.attributes import Attributes, resolve
from decklog.audit.event import Event, Level, ObjectReference, Stage, Status, User
from decklog.audit.sink import DeliveryError
from decklog.audit.times import microtime, nanoseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

START: Final = "2026-01-02T03:04:05.000000Z"
"""When test time begins."""

_EVENT: Final = Event(
    level=Level.METADATA,
    audit_id="00000000-0000-4000-8000-000000000001",
    stage=Stage.RESPONSE_COMPLETE,
    request_uri="/api/v1/namespaces/shop/pods/web-0",
    verb="get",
    user=User("alice", groups=("dev", "system:authenticated")),
    source_ips=("192.0.2.7",),
    user_agent="kubectl/v1.36.2",
    object_ref=ObjectReference("pods", "shop", "web-0", api_version="v1"),
    response_status=Status(code=200),
    request_received_timestamp=START,
    stage_timestamp="2026-01-02T03:04:05.004000Z",
    annotations={"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": ""},
)


def event(**overrides: Any) -> Event:
    """Build an event: alice got pod web-0 in namespace shop; name the fields that a test is about."""
    return structs.replace(_EVENT, **overrides)


def attributes(method: str = "GET", target: str = "/api/v1/namespaces/shop/pods/web-0", **overrides: Any) -> Attributes:
    """Build the attributes of a request, then put other fields in."""
    return structs.replace(resolve(method, target), **overrides)


class FixedClock:
    """A clock that stands until it is moved. Calling it gives nanoseconds since the epoch."""

    def __init__(self, start: str = START) -> None:
        """Start at a MicroTime in UTC."""
        self._now = nanoseconds(start)

    def __call__(self) -> int:
        """Give the time in nanoseconds since the epoch."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move on, or back, to the microsecond."""
        self._now += round(seconds * 1_000_000) * 1000

    def __str__(self) -> str:
        return microtime(self._now)


def sequential_ids() -> Callable[[], str]:
    """Give a source of audit IDs that count up from 1, in the form of a UUID."""
    numbers = count(1)
    return lambda: f"00000000-0000-4000-8000-{next(numbers):012d}"


class MemoryBackend:
    """A backend that keeps its events in a list.

    `failing` makes every call raise DeliveryError, for all of its events. Events outside of the backend's life raise
    RuntimeError: a test that forgets to enter its backend shall hear of it.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        """All that were taken, in order."""
        self.failing = False
        self.entered = 0
        """How often the backend was started."""
        self.open = False

    def process(self, events: Sequence[Event]) -> None:
        """Keep `events`."""
        if not self.open:
            raise RuntimeError("MemoryBackend: process() outside of `async with`")
        if self.failing:
            raise DeliveryError(str(self), len(events), "told to fail")
        self.events.extend(events)

    @property
    def stages(self) -> list[str]:
        """The stages of what was taken."""
        return [str(event.stage) for event in self.events]

    async def __aenter__(self) -> Self:
        self.open = True
        self.entered += 1
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.open = False

    def __str__(self) -> str:
        return "memory"
