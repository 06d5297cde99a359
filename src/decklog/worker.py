"""A worker of a supervisor: what its work is given, and the channel between the two. Lives in the cellar.

The messages of the channel stand in a table in `decklog.supervisor`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

if TYPE_CHECKING:
    import socket

Message = dict[str, Any]
"""What goes through a channel: plain values, with the kind under ``kind``."""

REPORT_EVERY_S: Final = 1.0
"""How often a worker tells what it counts unasked: so much is not counted, at most, of one that is killed."""
_YOUNG: Final = 50_000
"""Objects after which the garbage collector looks at the youngest ones; Python's 700 are made for small programs."""
_CLOSE_S: Final = 1.0
_PIECE: Final = 1 << 16

logger = logging.getLogger(__name__)


class Worker:
    """What the work is given: which worker it is, its socket, and the way to its supervisor.

    The work sets `stats`, `problems` and `on_message` as it has something to say or to hear, calls `ready` once it
    serves (what was said before is heard then), and ends when `stopped` returns.
    """

    def __init__(
        self,
        number: int,
        count: int,
        listener: socket.socket | None,
        inherited: Message,
        say: Callable[[Message], None],
    ) -> None:
        self.number = number
        """From 1."""
        self.count = count
        self._listener = listener
        self.inherited = inherited
        """The last `stats` of the worker whose place this one takes; empty for the first."""
        self.stats: Callable[[], Message] = dict
        self.problems: Callable[[], list[str]] = list
        self.on_message: Callable[[Message], None] = ignore
        self._say = say
        self._early: list[Message] | None = []
        """What came before the work was ready for it."""
        self._stopping = asyncio.Event()

    @property
    def listener(self) -> socket.socket:
        """Its socket: bound, not listening yet."""
        if self._listener is None:
            raise RuntimeError("this worker's crew listens nowhere")
        return self._listener

    def ready(self) -> None:
        """Say that this worker serves; what was made until now will live as long as the process."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(_YOUNG)  # little of what requests leave behind is a circle: looking costs all of them
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

    def obey(self, message: Message) -> None:
        """Take a message of the supervisor; one that cannot be followed is told, and the next one is heard."""
        try:
            self.told(message)
        except Exception:
            logger.exception("worker %d: a message of the supervisor could not be followed", self.number)

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


class Lines(asyncio.Protocol):
    """One end of a channel: takes its lines apart, and tells of its end.

    Not a stream reader: a process that is killed leaves a reset behind, for which a reader forgets what came before.
    """

    def __init__(self) -> None:
        self._heard: Callable[[Message], None] = ignore
        self._ended: Callable[[], None] = lambda: None
        self._rest = bytearray()
        self._transport: asyncio.WriteTransport | None = None
        self._spare: socket.socket | None = None
        self.over = asyncio.Event()

    async def open(
        self, channel: socket.socket, heard: Callable[[Message], None], ended: Callable[[], None] | None = None
    ) -> None:
        """Begin to read from a socket, which belongs to this end from here on."""
        self._heard = heard
        self._ended = ended or self._ended
        self._spare = channel.dup()
        await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=channel)

    def say(self, message: Message) -> None:
        """Send a message; nothing happens if the other end is gone."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(msgspec.json.encode(message) + b"\n")

    async def close(self) -> None:
        """Send what is to be sent, as long as somebody takes it, and close."""
        if self._transport is not None:
            self._transport.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.over.wait(), _CLOSE_S)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the way out."""
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        """Take what came; a line may come in pieces."""
        self._rest += data
        if b"\n" in data:
            *lines, rest = bytes(self._rest).split(b"\n")
            self._rest = bytearray(rest)
            for line in lines:
                self._heard(msgspec.json.decode(line))

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell that the other end is gone, after its last words.

        What failed may have been a write: then nobody has read yet what came before.
        """
        del exc
        if self._spare is not None:
            with self._spare as spare, contextlib.suppress(OSError):
                spare.settimeout(0)
                while data := spare.recv(_PIECE):
                    self.data_received(data)
        self.over.set()
        self._ended()


def ignore(message: Message) -> None:
    """Take a message that nobody listens to."""
