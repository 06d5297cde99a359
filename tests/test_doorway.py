from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from decklog import listen
from decklog.doorway import Guests, Sockets

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(eq=False)
class Caller:
    peer: str


def test_an_address_has_its_share_and_all_have_theirs() -> None:
    """Whoever leaves makes room; one who was never let in changes nothing."""
    guests: Guests[Caller] = Guests(3, 2)
    first, second, other = Caller("a"), Caller("a"), Caller("b")
    guests.add(first)
    assert not guests.has_share(second)
    guests.add(second)
    assert [guests.has_share(Caller("a")), guests.has_share(other), guests.is_full] == [True, False, False]
    guests.add(other)
    assert guests.is_full
    guests.discard(Caller("a"))
    assert guests.has_share(Caller("a"))
    for guest in guests:
        guests.discard(guest)
    assert (len(guests), guests.has_share(first), guests.is_full) == (0, False, False)
    assert not Guests[Caller](1, 0).has_share(first)


def test_the_end_is_waited_for_until_all_have_left() -> None:
    """And no longer than told."""

    async def main() -> None:
        guests: Guests[Caller] = Guests(9, 0)
        caller = Caller("a")
        await guests.gone(60)
        guests.add(caller)
        await guests.gone(0.001)
        assert len(guests) == 1
        waiting = asyncio.create_task(guests.gone(60))
        await asyncio.sleep(0)
        guests.discard(caller)
        await waiting

    asyncio.run(main())


def test_sockets_take_connections_again_and_then_no_more() -> None:
    """Listening with other certificates keeps the address; closing gives it up."""

    class Answering(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            transport.write(b"here")
            transport.close()

    async def call(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        said = await reader.read()
        writer.close()
        return said

    async def main() -> None:
        sockets = Sockets(Answering, handshake_timeout_s=5)
        sock = listen.bind("127.0.0.1", 0)
        port = sock.getsockname()[1]
        await sockets.listen(sock, None)
        assert await call(port) == b"here"
        await sockets.relisten(None)
        assert await call(port) == b"here"
        sockets.close()
        await _refused(lambda: socket.create_connection(("127.0.0.1", port), 5).close())

    asyncio.run(main())


async def _refused(connect: Callable[[], None]) -> None:
    """Wait until nobody takes connections any more."""
    while True:
        try:
            connect()
        except ConnectionRefusedError:
            return
        await asyncio.sleep(0)
