"""``truncate<…>``: keeps events and calls within a size (spec §6.5).

An event that is too large loses its request and response objects, both at once, and says so: ``audit.k8s.io/truncated:
"true"``. One whose metadata alone is too large is cut field by field (`cut`) if the limits ask for it, else dropped.
Sizes are bytes of the encoded event with its newline; exactly the limit passes.

| what | kube-apiserver | here | why |
|---|---|---|---|
| the annotation | leaks into later stages, other backends | stands in a copy | beside complete bodies it is a lie |
| metadata too large | dropped | dropped, or cut with ``--audit-truncate-fields`` | padding must hide no event |
| bodies at level Metadata | dropped with the event | cut as well, where fields are | nothing is too large to keep |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

from msgspec import structs

from decklog.audit.event import NO_OBJECT, Level
from decklog.audit.sink import DeliveryError
from decklog.backends.books import Crashes, give_up
from decklog.backends.cut import cut
from decklog.backends.failures import Failures, Notices, reason_of
from decklog.backends.limits import TruncateLimits

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from types import TracebackType

    from decklog.audit.event import Event
    from decklog.audit.sink import Backend
    from decklog.metrics import Account, AuditCounters

__all__ = ["Truncate", "TruncateLimits"]

PLUGIN: Final = "truncate"
TOO_LARGE: Final = "event is too large even after truncating"
MARKER: Final = "audit.k8s.io/truncated"
_WITH_BODIES: Final = (Level.REQUEST, Level.REQUEST_RESPONSE)


class Truncate:
    """Hands on events of the sizes that `limits` allow, in order, in as many calls as that takes.

    What has to be given up is booked as ``too-large`` or ``unencodable``, counted under ``truncate`` and told, but not
    raised: as in kube-apiserver, strict mode does not notice. Only what the backend itself raises is raised.
    `encode_line` gives an event as the backend will write it, with its newline.
    """

    def __init__(
        self,
        backend: Backend,
        limits: TruncateLimits,
        encode_line: Callable[[Event], bytes],
        *,
        account: Account,
        counters: AuditCounters,
        notices: Notices | None = None,
    ) -> None:
        self._backend = backend
        self._process = backend.process
        self._max_event_size = limits.max_event_size
        self._max_batch_size = limits.max_batch_size
        self._fields = limits.fields
        self._encode = encode_line
        self._account = account
        self._notices = notices or Notices()
        self._failures = Failures(PLUGIN, counters, self._notices)
        self._crashes = Crashes(Failures(str(backend), counters, self._notices), account)

    def __str__(self) -> str:
        return f"truncate<{self._backend}>"

    def process(self, events: Sequence[Event]) -> Awaitable[None] | None:
        """Hand on `events`, each as large as it may be."""
        if len(events) == 1:  # nearly always, and nearly always small enough
            try:
                fits = len(self._encode(events[0])) <= self._max_event_size
            except Exception:  # noqa: BLE001  # because: it is tried again, and accounted for, below
                fits = False
            if fits:
                return self._process(events)
        return self._in_turn(self._calls(events), [])

    async def __aenter__(self) -> Self:
        """Start the backend."""
        await self._backend.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Drain the backend."""
        try:
            await self._backend.__aexit__(kind, error, traceback)
        finally:
            self._notices.flush(everything=True)

    def _calls(self, events: Sequence[Event]) -> list[list[Event]]:
        """Make the events fit, and split them into calls that are not too large."""
        calls: list[list[Event]] = []
        room = 0
        for event, size in self._fitting(events):
            if not calls or size > room:
                calls.append([])
                room = self._max_batch_size
            calls[-1].append(event)
            room -= size
        return calls

    def _fitting(self, events: Sequence[Event]) -> Iterator[tuple[Event, int]]:
        """Yield each event that can be kept, as it can be kept, with its size."""
        lost: dict[str, int] = {}
        for event in events:
            try:
                fitted, size = self._fit(event)
            except Exception as error:  # noqa: BLE001  # because: an event that nobody can encode hurts only itself
                give_up(self._account, 1, "unencodable")
                lost[reason_of(error)] = lost.get(reason_of(error), 0) + 1
                continue
            if size > self._max_event_size:
                give_up(self._account, 1, "too-large")
                lost[TOO_LARGE] = lost.get(TOO_LARGE, 0) + 1
                continue
            yield fitted, size
        for reason, count in lost.items():
            self._failures.lost(count, reason)

    def _fit(self, event: Event) -> tuple[Event, int]:
        size = len(self._encode(event))
        if size > self._max_event_size and event.level in _WITH_BODIES:
            event = without_bodies(event)
            size = len(self._encode(event))
        if size > self._max_event_size and self._fields:
            return cut(event, self._max_event_size, self._encode)
        return event, size

    def _in_turn(self, calls: list[list[Event]], errors: list[DeliveryError]) -> Awaitable[None] | None:
        """Make the calls one after another, so that order is kept; all of them, whatever becomes of some."""
        while calls:
            call = calls.pop(0)
            try:
                promise = self._process(call)
            except Exception as error:  # noqa: BLE001  # because: raised below, once every call was made
                errors.append(self._crashes.settle(len(call), error))
            else:
                if promise is not None:
                    return self._wait(promise, len(call), calls, errors)
        _raise_one(errors)
        return None

    async def _wait(
        self, promise: Awaitable[None], count: int, calls: list[list[Event]], errors: list[DeliveryError]
    ) -> None:
        try:
            await promise
        except Exception as error:  # noqa: BLE001  # because: as above
            errors.append(self._crashes.settle(count, error))
        rest = self._in_turn(calls, errors)
        if rest is not None:
            await rest


def without_bodies(event: Event) -> Event:
    """Give a copy without request and response object, which says that it lacks them."""
    return structs.replace(
        event,
        request_object=NO_OBJECT,
        response_object=NO_OBJECT,
        annotations=dict(sorted({**event.annotations, MARKER: "true"}.items())),
    )


def _raise_one(errors: Sequence[DeliveryError]) -> None:
    if not errors:
        return
    causes = dict.fromkeys(str(error.cause) for error in errors)
    raise DeliveryError(errors[0].backend, sum(error.lost for error in errors), "; ".join(causes)) from errors[0]
