"""A crew: the workers of one door as their supervisor sees them, and the address they share. Lives in the cellar."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from decklog import listen
from decklog.worker import Message, Work, ignore

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable, Iterator

    from decklog.errors import DecklogError

SILENT_S: Final = 3.0
"""A worker that reports every second and was not heard for so long hangs."""


class Seat:
    """A worker's place, which outlives the workers that take it, as the supervisor sees it."""

    def __init__(self, crew: Crew, number: int) -> None:
        self.crew = crew
        self.number = number
        self.pid = 0
        self.channel: socket.socket | None = None
        self.send: Callable[[Message], None] = ignore
        self.exited: asyncio.Future[int] | None = None
        self.ready = False
        self.turn = 0
        self.stats: Message = {}
        self.problems: list[str] = []
        self.why_down = "it is starting"
        self.failure: DecklogError | None = None
        self.begun_s = 0.0
        self.heard_s = 0.0
        self.backlog: list[Message] = []
        """What is to be said as soon as the channel is open."""
        self.short_lives = 0

    def __str__(self) -> str:
        return f"{self.crew.name} worker {self.number}".lstrip()

    def vacate(self, why: str) -> None:
        """Take leave of a worker that is gone."""
        self.pid, self.ready, self.send, self.problems, self.why_down = 0, False, ignore, [], why

    def said(self) -> list[str]:
        """Say what keeps this worker from being ready."""
        if not self.ready:
            return [f"not serving: {self.why_down}"]
        silent_s = time.monotonic() - self.heard_s
        return [f"it has said nothing for {silent_s:.0f} s"] if silent_s > SILENT_S else self.problems


class Crew:
    """`count` workers that do `work` on `address` (empty: they listen nowhere).

    `name` stands in front of what is told of them, where a supervisor has several crews.
    """

    def __init__(self, work: Work, address: str, count: int, name: str = "") -> None:
        self.work = work
        self.name = name
        self.listens = bool(address)
        self.host, self.port = listen.parse_address(address) if address else ("", 0)
        self.seats = [Seat(self, number) for number in range(1, count + 1)]
        self._keeper: socket.socket | None = None

    def tell(self, message: Message) -> None:
        """Tell every worker."""
        for seat in self.seats:
            seat.send(message)

    def tell_one(self, message: Message) -> bool:
        """Tell one worker that serves; False: there is none just now."""
        seat = next((seat for seat in self.seats if seat.ready), None)
        if seat is not None:
            seat.send(message)
        return seat is not None

    def problems(self) -> Iterator[str]:
        """Say in words, a line each, what keeps which worker from being ready."""
        for seat in self.seats:
            yield from (f"{seat}: {problem}" for problem in seat.said())

    def take_alone(self) -> socket.socket | None:
        """Bind the address for the only worker. Raises DoorError."""
        if not self.listens:
            return None
        found = listen.bind(self.host, self.port)
        self.port = found.getsockname()[1]
        return found

    def take(self) -> None:
        """Take the address, and keep it while workers come and go. Raises DoorError."""
        if not self.listens:
            return
        listen.bind(self.host, self.port).close()  # whoever listens there already refuses this one, but not the next
        self._keeper = listen.bind(self.host, self.port, shared=True)
        self.port = self._keeper.getsockname()[1]

    def another(self) -> socket.socket | None:
        """Bind the address that was taken once more, for a worker."""
        return listen.bind(self.host, self.port, shared=True) if self.listens else None

    def release(self) -> None:
        """Give the address up."""
        if self._keeper is not None:
            self._keeper.close()
