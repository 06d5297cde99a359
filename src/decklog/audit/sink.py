"""Sink and Backend: the two contracts that everything downstream of the recorder obeys.

A *sink* takes events. Ownership: events are frozen, so nobody copies them. Order: events of one call, and calls of one
caller, arrive in the order given. Errors: a sink that cannot keep its promise raises `DeliveryError`; it never drops in
silence: what is lost is counted with its reason before anything else happens.

A *backend* is a sink with a life: entering starts it, leaving drains it; nothing is processed before or after.
`str(backend)` shows the nest, so that one log line tells the plumbing: ``union[blocking<log>,webhook]``.

Modes are wrappings, not flags: strict is the bare backend, blocking is ``blocking<…>`` (a failure is counted, not
raised), batch is ``batch<…>``. Whether a failure may refuse a request, the door knows: only RequestReceived may.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence
    from types import TracebackType

    from decklog.audit.event import Event


class DeliveryError(Exception):
    """A sink could not keep its promise for some events.

    `backend` is the plugin's name as kube-apiserver's metrics spell it (``log``, ``webhook``, ``buffered``,
    ``truncate``), `lost` the number of events, `cause` why. The text never holds an event.
    """

    def __init__(self, backend: str, lost: int, cause: BaseException | str) -> None:
        super().__init__(backend, lost, cause)
        self.backend = backend
        self.lost = lost
        self.cause = cause

    def __str__(self) -> str:
        return f"audit backend {self.backend}: {self.lost} event{'s' * (self.lost != 1)} not stored: {self.cause}"


@runtime_checkable
class Sink(Protocol):
    """Takes events."""

    def process(self, events: Sequence[Event]) -> Awaitable[None] | None:
        """Take `events`, in order.

        None: the promise is met now (log: written). An awaitable: the caller waits for it (blocking webhook).
        Raises DeliveryError, now or when awaited.
        """
        ...


@runtime_checkable
class Backend(Sink, Protocol):
    """A sink with a life. `str()` shows the nest."""

    async def __aenter__(self) -> Self:
        """Start; raises DecklogError when it cannot (an unwritable path)."""
        ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Drain: everything taken is delivered or accounted for."""
        ...
