"""``blocking<…>``: the mode in which a failing backend slows nobody down for ever and refuses nothing.

| what | kube-apiserver | here | why |
|---|---|---|---|
| printed | ``ignoreErrors<log>`` | ``blocking<log>`` | the mode has the flag's name |
| a plugin that panics | takes the request down | is counted and told | the mode's promise |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from decklog.backends.books import Crashes
from decklog.backends.failures import Failures, Notices
from decklog.metrics import Account

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence
    from types import TracebackType

    from decklog.audit.event import Event
    from decklog.audit.sink import Backend
    from decklog.metrics import AuditCounters


class Blocking:
    """Waits for its backend, and never raises from `process`.

    A DeliveryError was counted and told by the plugin that raised it; here it ends. Any other exception is a fault of
    the plugin, which has counted nothing: it is counted here, under the plugin's printed name, booked in `account` as
    ``failed``, and told.
    """

    def __init__(
        self,
        backend: Backend,
        counters: AuditCounters,
        *,
        account: Account | None = None,
        notices: Notices | None = None,
    ) -> None:
        self._backend = backend
        self._notices = notices or Notices()
        failures = Failures(str(backend), counters, self._notices)
        self._crashes = Crashes(failures, account if account is not None else Account())

    def __str__(self) -> str:
        return f"blocking<{self._backend}>"

    def process(self, events: Sequence[Event]) -> Awaitable[None] | None:
        """Take `events`, in order; the awaitable, if there is one, never raises either."""
        try:
            promise = self._backend.process(events)
        except Exception as error:  # noqa: BLE001  # because: this mode's promise is that no failure refuses a request
            self._crashes.settle(len(events), error)
            return None
        return promise if promise is None else self._wait(promise, len(events))

    async def __aenter__(self) -> Self:
        """Start the backend; its error at the start is not a lost event, and is raised."""
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

    async def _wait(self, promise: Awaitable[None], count: int) -> None:
        try:
            await promise
        except Exception as error:  # noqa: BLE001  # because: the same promise, kept later
            self._crashes.settle(count, error)
