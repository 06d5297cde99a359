"""``filtered<…>``: a backend that is given only what a function makes of the events: a policy of its own.

The function says of each event what is to be handed on: the event itself, another in its place (lowered), or None. What
it leaves out is no loss: it is counted in `Account.left_out`, and in no column of the backend's book, which begins
behind the filter (this wrapper stands outside of `books.Entered`, so that the books balance without knowing of it).

A RequestReceived that is left out cannot refuse its request: strict modes and a policy of one's own exclude each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from types import TracebackType

    from decklog.audit.event import Event
    from decklog.audit.sink import Backend
    from decklog.metrics import Account


class Filtered:
    """Hands on what `keep` gives, in order; a call of which nothing is left is not made.

    `keep` is pure and does not raise; should it, nothing of the call was handed on, and the error goes up.
    """

    def __init__(self, backend: Backend, keep: Callable[[Event], Event | None], account: Account) -> None:
        self._backend = backend
        self._account = account
        self._process = backend.process
        self._keep = keep

    def __str__(self) -> str:
        return f"filtered<{self._backend}>"

    def process(self, events: Sequence[Event]) -> Awaitable[None] | None:
        """Take `events`; the promise is the backend's, for those that it was given."""
        made = [self._keep(event) for event in events]
        kept = [event for event in made if event is not None]
        self._account.left_out += len(events) - len(kept)
        return self._process(kept) if kept else None

    async def __aenter__(self) -> Self:
        """Start the backend."""
        await self._backend.__aenter__()
        self._process = self._backend.process  # some parts hand out another one once they run
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Drain the backend."""
        await self._backend.__aexit__(kind, error, traceback)
