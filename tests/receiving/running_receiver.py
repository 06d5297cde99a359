"""A receiver for tests: `decklog.receiving.server.Receiver` in this process, on loopback, over a journal on disk."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from decklog.disk import Disk
from decklog.metrics import ReceiverCounters
from decklog.receiving.bodies import Space
from decklog.receiving.options import ReceiverOptions
from decklog.receiving.senders import Senders
from decklog.receiving.server import Receiver
from decklog.store.journal import Item, Journal, identity_of
from decklog.store.quarantine import Quarantine, held
from gateway.raw_client import RawClient
from gateway.running_gateway import until

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from decklog.store.items import Appended
    from gateway.raw_client import Answer


@dataclass
class Setting:
    """What a test's receiver is made of."""

    options: ReceiverOptions = field(default_factory=ReceiverOptions)
    senders: Senders = field(default_factory=lambda: Senders(None, None))
    disk: Disk = field(default_factory=Disk)
    tls: ssl.SSLContext | None = None
    client_tls: ssl.SSLContext | None = None
    is_low: Callable[[], bool] = lambda: False


class Running:
    """A receiver that is up."""

    def __init__(self, receiver: Receiver, setting: Setting, folder: Path, port: int) -> None:
        self.receiver = receiver
        self.setting = setting
        self.folder = folder
        self.port = port

    @property
    def counters(self) -> ReceiverCounters:
        return self.receiver.counters

    async def client(self, tls: ssl.SSLContext | None = None) -> RawClient:
        return await RawClient.open(self.port, tls or self.setting.client_tls)

    async def post(self, body: bytes, *headers: bytes) -> Answer:
        """Post on a connection of its own."""
        client = await self.client()
        with contextlib.closing(client.writer):
            await client.send(posted(body, *headers))
            return await client.answer("POST")

    def lines(self) -> list[bytes]:
        """Give what is in the journal."""
        files = sorted((self.folder / "journal").glob("*.ndjson"))
        return [line for file in files for line in file.read_bytes().splitlines()]

    def held(self) -> list[bytes]:
        """Give the items that stay in quarantine."""
        files = sorted((self.folder / "quarantine").glob("*.held"))
        return [content() for file in files for _, content in held(file, Disk())]

    async def apart(self) -> None:
        """Wait until no body waits in quarantine."""
        await until(lambda: not list((self.folder / "quarantine").glob("*.body*")), 20)


def posted(body: bytes, *headers: bytes) -> bytes:
    """Make a request as kube-apiserver does."""
    lines = [
        b"POST /?timeout=30s HTTP/1.1",
        b"Host: localhost",
        b"Content-Type: application/json",
        b"Content-Length: %d" % len(body),
        *headers,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@contextlib.asynccontextmanager
async def receiving(folder: Path, setting: Setting | None = None) -> AsyncIterator[Running]:
    """Receive until the block ends."""
    setting = setting or Setting()
    options = setting.options
    quarantine = Quarantine(folder / "quarantine", setting.disk)
    quarantine.open()
    space = Space(
        quarantine.folder,
        setting.disk,
        limit_bytes=options.body_limit_bytes,
        memory_bytes=options.memory_bytes,
        spill_bytes=options.spill_bytes,
        is_low=setting.is_low,
    )
    space.clear()
    async with Journal(folder / "journal", setting.disk, cluster="") as journal:

        async def keep(lines: Sequence[bytes]) -> Appended:
            return await journal.append([Item(line, identity_of("", line)) for line in lines])

        receiver = Receiver(
            options,
            keep=keep,
            quarantine=quarantine,
            space=space,
            senders=setting.senders,
            counters=ReceiverCounters(),
            is_low=setting.is_low,
        )
        await receiver.start()
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        await receiver.listen(listener, setting.tls)
        try:
            yield Running(receiver, setting, folder, listener.getsockname()[1])
        finally:
            await receiver.drain(0.2)
            assert space.used_bytes == 0, "a body was not given back"
            await asyncio.sleep(0)
