"""A worker of a supervisor: what its work is given, and the channel between the two. Lives in the cellar.

The messages of the channel stand in a table in `decklog.supervisor`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    import socket

Message = dict[str, Any]
"""What goes through a channel: plain values, with the kind under ``kind``."""

REPORT_EVERY_S: Final = 1.0
"""How often a worker tells what it counts unasked: so much is not counted, at most, of one that is killed."""
LINE_LIMIT: Final = 8 << 20
"""Bytes of a message at most: a policy of 1 MiB fits."""

logger = logging.getLogger(__name__)


class Worker:
    """What the work is given: which worker it is, its socket, and the way to its supervisor.

    The work sets `stats`, `problems` and `on_message` as it has something to say or to hear, calls `ready` once it
    serves (what was said before is heard then), and ends when `stopped` returns.
    """

    def __init__(
        self, number: int, count: int, listener: socket.socket, inherited: Message, say: Callable[[Message], None]
    ) -> None:
        self.number = number
        """From 1."""
        self.count = count
        self.listener = listener
        """Bound, not listening yet."""
        self.inherited = inherited
        """The last `stats` of the worker whose place this one takes; empty for the first."""
        self.stats: Callable[[], Message] = dict
        self.problems: Callable[[], list[str]] = list
        self.on_message: Callable[[Message], None] = ignore
        self._say = say
        self._early: list[Message] | None = []
        """What came before the work was ready for it."""
        self._stopping = asyncio.Event()

    def ready(self) -> None:
        """Say that this worker serves; what was made until now will live as long as the process."""
        gc.collect()
        gc.freeze()
        self._say({"kind": "ready"})
        self.report()
        early, self._early = self._early or [], None
        for message in early:
            self.on_message(message)

    async def stopped(self) -> None:
        """Return when this worker is to stop."""
        await self._stopping.wait()

    def stop(self) -> None:
        """Begin to stop."""
        self._stopping.set()

    def report(self, turn: int = 0) -> None:
        """Tell what is counted now."""
        self._say({"kind": "stats", "turn": turn, "stats": self.stats(), "problems": self.problems()})

    def told(self, message: Message) -> None:
        """Take a message of the supervisor."""
        match message["kind"]:
            case "stop":
                self.stop()
            case "count":
                self.report(message["turn"])
            case _ if self._early is not None:
                self._early.append(message)
            case _:
                self.on_message(message)

    async def live(self, work: Work) -> None:
        """Do the work to its end, and report meanwhile."""
        reporting = asyncio.create_task(self._report_on())
        try:
            await work(self)
        finally:
            reporting.cancel()
            self.report()

    async def _report_on(self) -> None:
        while True:
            await asyncio.sleep(REPORT_EVERY_S)
            self.report()


Work = Callable[[Worker], Coroutine[Any, Any, None]]
"""What a worker does, from its start to its end."""


async def obey(reader: asyncio.StreamReader, worker: Worker) -> None:
    """Hand a worker what its supervisor says, until the supervisor is gone; then stop it."""
    with contextlib.suppress(OSError):
        async for line in reader:
            if not line.endswith(b"\n"):
                break
            try:
                worker.told(msgspec.json.decode(line))
            except Exception:
                logger.exception("worker %d: a message of the supervisor could not be followed", worker.number)
    worker.stop()


def sender(writer: asyncio.StreamWriter) -> Callable[[Message], None]:
    """Make the way of messages into a channel."""
    return lambda message: writer.write(msgspec.json.encode(message) + b"\n")


def ignore(message: Message) -> None:
    """Take a message that nobody listens to."""
