"""How what is under way ends when a backend is left: waited for, then cancelled, all within a bounded time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    Sleep = Callable[[float], Awaitable[None]]

DRAIN_S: Final = 6.0
"""With the three seconds that a door may need before it, a process is gone within ten."""
GRACE_S: Final = 0.5
"""How long a task that was cancelled may take to put its events somewhere."""
SHUT_DOWN: Final = "audit backend shut down"


async def first(wanted: asyncio.Future[Any], timer: Awaitable[None]) -> None:
    """Wait for either."""
    clock = asyncio.ensure_future(timer)
    try:
        await asyncio.wait((wanted, clock), return_when=asyncio.FIRST_COMPLETED)
    finally:
        clock.cancel()


async def break_off(tasks: Iterable[asyncio.Task[None]], sleep: Sleep) -> bool:
    """Cancel what is not done, and see it end; tell whether there was any."""
    late = [task for task in tasks if not task.done()]
    for task in late:
        task.cancel()
    if late:
        await first(asyncio.ensure_future(asyncio.wait(late)), sleep(GRACE_S))
    return bool(late)
