"""``union[…, …]``: every event to every backend.

| what | kube-apiserver | here | why |
|---|---|---|---|
| printed | ``union[a,b]`` | ``union[a, b]`` | nests read better with a space |
| backends that make the caller wait | one after another | side by side | a slow webhook delays no other |
| a backend that fails to start | the others stay up | the others are closed again | no half-started server |
| the end | one after another | side by side | the slowest alone decides how long a stop takes |
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self

from decklog.audit.sink import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence
    from types import TracebackType

    from decklog.audit.event import Event
    from decklog.audit.sink import Backend


class Union:
    """Tries every member before it raises, so that one that fails takes no event from the others."""

    def __init__(self, backends: Sequence[Backend]) -> None:
        self._backends = tuple(backends)

    def __str__(self) -> str:
        return f"union[{', '.join(map(str, self._backends))}]"

    def process(self, events: Sequence[Event]) -> Awaitable[None] | None:
        """Give `events` to every member, in order. Raises once all were tried: now, or when awaited."""
        promises: list[Awaitable[None]] = []
        errors: list[Exception] = []
        for backend in self._backends:
            try:
                promise = backend.process(events)
            except Exception as error:  # noqa: BLE001  # because: raised below, once every member was tried
                errors.append(error)
            else:
                if promise is not None:
                    promises.append(promise)
        if promises:
            return _wait_for_all(promises, errors)
        _raise_one(errors)
        return None

    async def __aenter__(self) -> Self:
        """Start all; if one cannot, the started ones are drained again and its error is raised."""
        async with AsyncExitStack() as stack:
            for backend in self._backends:
                await stack.enter_async_context(backend)
            stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Drain all side by side, also if one fails; the first failure is raised in the end."""
        ends = (backend.__aexit__(kind, error, traceback) for backend in self._backends)
        results = await asyncio.gather(*ends, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result


async def _wait_for_all(promises: Sequence[Awaitable[None]], errors: list[Exception]) -> None:
    results = await asyncio.gather(*promises, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            errors.append(result)
        elif result is not None:
            raise result
    _raise_one(errors)


def _raise_one(errors: Sequence[Exception]) -> None:
    """Raise what happened as one error; something else than a DeliveryError is a fault and goes first."""
    if not errors:
        return
    lost = [error for error in errors if isinstance(error, DeliveryError)]
    if len(errors) == 1 or len(lost) < len(errors):
        raise next((error for error in errors if not isinstance(error, DeliveryError)), errors[0])
    raise DeliveryError(
        ",".join(error.backend for error in lost),
        max(error.lost for error in lost),
        "; ".join(f"{error.backend}: {error.cause}" for error in lost),
    ) from ExceptionGroup("every backend was tried", lost)
