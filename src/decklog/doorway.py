"""A doorway: the sockets that a door listens on, and who is connected through them. Lives in the cellar."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Iterator

_BACKLOG: Final = 4096
_LINGER_S: Final = 1.0
"""How long a connection that is given up is still read, so that its last answer is not lost in a reset."""


class Guest(Protocol):
    """A connection."""

    @property
    def peer(self) -> str:
        """The address at its other end."""
        ...


G = TypeVar("G", bound=Guest)


class Sockets:
    """Sockets that are listened on; `protocol` makes what a connection is given to."""

    def __init__(self, protocol: Callable[[], asyncio.BaseProtocol], *, handshake_timeout_s: float) -> None:
        self._protocol = protocol
        self._handshake_timeout_s = handshake_timeout_s
        self._servers: list[tuple[socket.socket, asyncio.Server]] = []

    async def listen(self, sock: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Take connections from a bound socket, which belongs to these from here on."""
        self._servers.append((sock, await self._serve(sock, tls)))

    async def relisten(self, tls: ssl.SSLContext | None) -> None:
        """Take new connections with another TLS context; those that are open go on as they are."""
        for place, (sock, server) in enumerate(self._servers):
            self._servers[place] = (sock, await self._serve(sock, tls))
            server.close()

    def close(self) -> None:
        """Take no more connections."""
        for sock, server in self._servers:
            server.close()
            sock.close()
        self._servers.clear()

    async def _serve(self, sock: socket.socket, tls: ssl.SSLContext | None) -> asyncio.Server:
        return await asyncio.get_running_loop().create_server(
            self._protocol,
            sock=sock.dup(),  # closing the server must not close the socket that the next one listens on
            ssl=tls,
            backlog=_BACKLOG,
            # Nothing of a door looks at a connection before its handshake is over.
            ssl_handshake_timeout=self._handshake_timeout_s if tls is not None else None,
        )


class Guests(Generic[G]):
    """Who is connected: `most` at a time, `most_of_one` of one address (0: no limit)."""

    def __init__(self, most: int, most_of_one: int) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._all: set[G] = set()
        self._by_address: Counter[str] = Counter()
        self._empty: asyncio.Event | None = None

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[G]:
        """Go through those who are here now, whoever comes or leaves meanwhile."""
        return iter(list(self._all))

    @property
    def is_full(self) -> bool:
        """Whether there is no room for one more."""
        return len(self._all) >= self._most

    def has_share(self, guest: G) -> bool:
        """Whether the address of a guest has all the connections that it may have."""
        return bool(self._most_of_one) and self._by_address[guest.peer] >= self._most_of_one

    def add(self, guest: G) -> None:
        """Count one in."""
        self._all.add(guest)
        self._by_address[guest.peer] += 1

    def discard(self, guest: G) -> None:
        """Count one out; one who was not let in changes nothing."""
        if guest not in self._all:
            return
        self._all.discard(guest)
        self._by_address[guest.peer] -= 1
        if self._by_address[guest.peer] <= 0:
            del self._by_address[guest.peer]
        if not self._all and self._empty is not None:
            self._empty.set()

    async def gone(self, grace_s: float) -> None:
        """Wait until all have left, `grace_s` at most."""
        if self._all:
            self._empty = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), grace_s)


def close(transport: asyncio.Transport, *, linger: bool) -> bool:
    """Close; with `linger`, a client that is still sending gets a moment to read the answer first.

    Gives whether it does: then what it sends is still to be read, and thrown away.
    """
    if not linger or transport.is_closing():
        transport.close()
        return False
    asyncio.get_running_loop().call_later(_LINGER_S, transport.close)
    return True
