"""The store as a backend: events are handed to somebody who keeps them, and count as delivered once he has.

He is given lines, and returns when they are on the device; assembly hands in the journal of a store. kube-apiserver has
no such backend: what its webhook does for a receiver on another machine, this does on one machine without HTTP.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final, Self

from decklog.backends.books import give_up

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from decklog.audit.event import Event
    from decklog.backends.failures import Failures
    from decklog.metrics import Account

    Keep = Callable[[Sequence[bytes]], Awaitable[object]]
    """Stores lines; they are synced when it returns. Raises OSError or DecklogError: then none of them counts."""

PLUGIN: Final = "store"


class Kept:
    """Hands events on and waits until they are kept; `process` gives an awaitable.

    `keeping()` is entered for as long as the backend runs. Raises DeliveryError, counted and booked, for what cannot be
    kept; an event that nobody can encode is lost alone.
    """

    def __init__(
        self,
        keeping: Callable[[], AbstractAsyncContextManager[Keep]],
        encode: Callable[[Event], bytes],
        *,
        account: Account,
        failures: Failures,
    ) -> None:
        self._keeping = keeping
        self._encode = encode
        self._account = account
        self._failures = failures
        self._stack = AsyncExitStack()

    def __str__(self) -> str:
        return PLUGIN

    def process(self, events: Sequence[Event]) -> Awaitable[None]:
        """Encode now, and keep; the awaitable returns when they are kept."""
        lines = []
        bad: Exception | None = None
        for event in events:
            try:
                lines.append(self._encode(event).rstrip(b"\n"))
            except Exception as error:  # noqa: BLE001  # because: an event that nobody can encode hurts only itself
                bad = error
        return self._store(lines, len(events) - len(lines), bad)

    async def _store(self, lines: Sequence[bytes], unencodable: int, bad: Exception | None) -> None:
        give_up(self._account, unencodable, "unencodable")
        if lines:
            try:
                await self._keep(lines)
            except Exception as error:
                give_up(self._account, len(lines), "failed")
                raise self._failures.lost(len(lines) + unencodable, error) from error
            self._account.in_flight -= len(lines)
            self._account.delivered += len(lines)
        if bad is not None:
            raise self._failures.lost(unencodable, bad) from bad

    async def __aenter__(self) -> Self:
        """Start. Raises DecklogError when nothing can be kept."""
        self._keep: Keep = await self._stack.enter_async_context(self._keeping())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End; what was handed on is kept by then."""
        await self._stack.aclose()
