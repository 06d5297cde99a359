"""A turn of the event loop: what all connections have to store and to send is gathered while it reads, then done.

Sent at once, every piece wakes its receiver, who has gone to sleep since the piece before; stored at once, every line
is a call to the system: a third of the gateway's time went into that. Where only one connection has something, nothing
waits for anything: the turn is over at once. The order is that of evidence: what arrived is stored before anything of
it is sent on.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from decklog.audit.event import Event
    from decklog.gateway.ending import Ending
    from decklog.gateway.exchange import Exchange


class Turn:
    """What the present turn has gathered, for all connections of a loop.

    `store_arrived` is given the RequestReceived events, each with its request, before anything is sent; `store_ended`
    the later ones, each request's with the request that is over with them (None: it goes on).
    """

    __slots__ = ("_arrived", "_due", "_ended", "_pieces", "_store_arrived", "_store_ended")

    def __init__(
        self,
        store_arrived: Callable[[Sequence[tuple[Event, Exchange]]], None],
        store_ended: Callable[[Sequence[tuple[Sequence[Event], Ending | None]]], None],
    ) -> None:
        self._store_arrived = store_arrived
        self._store_ended = store_ended
        self._arrived: list[tuple[Event, Exchange]] = []
        self._ended: list[tuple[Sequence[Event], Ending | None]] = []
        self._pieces: list[tuple[asyncio.Transport, bytes]] = []
        self._due = False

    def arrived(self, event: Event, request: Exchange) -> None:
        """Store the first event of a request at the end of this turn, then let it go on."""
        self._arrived.append((event, request))
        self._call()

    def ended(self, events: Sequence[Event], request: Ending | None) -> None:
        """Store later events of a request at the end of this turn."""
        self._ended.append((events, request))
        self._call()

    def write(self, transport: asyncio.Transport, data: bytes) -> None:
        """Send `data` at the end of this turn, in the order of the calls."""
        self._pieces.append((transport, data))
        self._call()

    def _call(self) -> None:
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self.over)

    def over(self) -> None:
        """Do what was gathered."""
        self._due = False
        if self._arrived:
            arrived, self._arrived = self._arrived, []
            self._store_arrived(arrived)
        while self._ended:
            ended, self._ended = self._ended, []
            self._store_ended(ended)
        self.send()

    def send(self) -> None:
        """Send what waits: before a connection is closed, too."""
        pieces, self._pieces = self._pieces, []
        for transport, data in pieces:
            if not transport.is_closing():
                transport.write(data)
