"""The receiver as a whole: what its supervisor holds and does once, and what each worker serves with.

Each worker has a journal and a quarantine of its own below the store's directory. The supervisor writes the file that
sends kube-apiserver here; what every door's supervisor does stands in `decklog.assembling.doors`.
"""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from decklog import listen
from decklog.assembling.doors import Doors
from decklog.assembling.listener_certificates import CLIENT_CA, Certificates
from decklog.assembling.upkeep import make_store
from decklog.disk import Disk
from decklog.errors import DecklogError
from decklog.listener_tls import Files
from decklog.metrics import bequeathed, snapshot
from decklog.receiving import handing_out
from decklog.receiving.behind import Behind
from decklog.receiving.bodies import Space
from decklog.receiving.senders import Senders, Tokens
from decklog.receiving.server import Receiver
from decklog.store.journal import Item, Journal, identity_of
from decklog.store.quarantine import BODY, QUARANTINE, Quarantine
from decklog.store.writer_files import JOURNAL
from decklog.store.writers import OUTLIVED_S, turning, writer_name

if TYPE_CHECKING:
    import signal
    import ssl
    from collections.abc import Callable, Sequence

    from decklog.config import ReceiverSettings
    from decklog.crew import Crew
    from decklog.listener_tls import Material
    from decklog.receiving.server import Keep
    from decklog.store.items import Appended
    from decklog.worker import Message, Worker

GRACE_S: Final = 3.0
"""How long bodies may go on coming after a stop."""

logger = logging.getLogger(__name__)


class StoreReceiver:
    """The receiver, as its settings ask. What can be wrong with them is raised before anything is served."""

    name = "receive"

    def __init__(self, settings: ReceiverSettings, announce: Callable[[str], None]) -> None:
        settings.check(listen.parse_address(settings.address)[0])
        self._settings = settings
        self._announce = announce
        self.address = settings.address
        self.workers = settings.workers
        self.certificates = Certificates(Files(settings.tls, {CLIENT_CA: settings.listener.client_ca_file}))
        senders(settings)  # what cannot be used is told before anybody starts
        make_store(Path(settings.receiver.store))

    def run(self) -> signal.Signals:
        """Serve until SIGTERM or SIGINT, which is returned."""
        return Doors([self], self._settings.health, self._announce).run()

    async def work(self, worker: Worker) -> None:
        """Serve in one worker."""
        await ReceiverWorker(self._settings, self.certificates.files, self.certificates.material, worker).serve()

    async def begin(self) -> None:
        """Nothing is done once for all workers."""

    def ready(self, url: str) -> list[str]:
        """Write the file for kube-apiserver, and tell."""
        handing_out.write(self._settings.receiver, url, self.certificates.pem)
        count = self.workers
        return [
            f"store: {self._settings.receiver.store}, {count} worker{'s' * (count != 1)}",
            f"listening on {url}",
        ]

    def hung_up(self, crew: Crew) -> None:
        """Nothing is read again but certificates, and tokens by the workers themselves."""


class ReceiverWorker:
    """Serves in one worker, from its start to its end."""

    DOOR: Final = "receive"

    def __init__(
        self,
        settings: ReceiverSettings,
        files: Files,
        material: Material | None,
        worker: Worker,
        disk: Disk | None = None,
    ) -> None:
        self._settings = settings
        self._files = files
        self._material = material
        self._worker = worker
        self._disk = disk if disk is not None else Disk()
        self._counters = bequeathed(worker.inherited)
        self._store = Path(settings.receiver.store)
        self._cluster = settings.receiver.cluster
        self._tasks: set[asyncio.Task[Any]] = set()

    async def serve(self) -> None:
        """Serve until the worker is stopped; then everything that was acknowledged is on the disk, as before."""
        options, cluster = self._settings.receiver, self._cluster
        name = f"{writer_name(self.DOOR, cluster)}-{self._worker.number}"
        journal = Journal(self._store / JOURNAL / name, self._disk, cluster=cluster, lock_wait_s=OUTLIVED_S)
        quarantine = Quarantine(self._store / QUARANTINE / name, self._disk)
        space = Space(
            quarantine.folder,
            self._disk,
            limit_bytes=options.body_limit_bytes,
            memory_bytes=options.memory_bytes,
            spill_bytes=options.spill_bytes,
            is_low=self._is_low,
        )

        async with AsyncExitStack() as stack:
            await stack.enter_async_context(journal)
            _open(quarantine, space)  # not before: the lock of the journal is also that of the quarantine
            self._receiver = Receiver(
                options,
                keep=self._keeper(journal),
                quarantine=quarantine,
                space=space,
                senders=senders(self._settings),
                counters=self._counters.receiver,
                cluster=cluster,
                is_low=self._is_low,
            )
            await self._receiver.start()
            await self._receiver.listen(self._worker.listener, self._context())
            await stack.enter_async_context(turning(journal))
            adopting = asyncio.create_task(self._adopt()) if self._worker.number == 1 else None
            self._worker.stats = lambda: snapshot(self._counters)
            self._worker.problems = self._receiver.problems
            self._worker.on_message = self._told
            self._worker.ready()
            await self._worker.stopped()
            await self._receiver.drain(GRACE_S)
            if adopting is not None:
                adopting.cancel()
                await asyncio.wait([adopting])

    def _context(self) -> ssl.SSLContext | None:
        return self._material.context() if self._material is not None else None

    def _is_low(self) -> bool:
        try:
            found = os.statvfs(self._store)
        except OSError:
            return False  # whatever is wrong, writing will tell
        return found.f_bavail * found.f_frsize < self._settings.receiver.free_bytes

    async def _adopt(self) -> None:
        """Take apart what workers have left in quarantine that there were more of at an earlier start."""
        prefix = f"{writer_name(self.DOOR, self._cluster)}-"
        for name in _left_by_others(self._store / QUARANTINE, prefix, self._worker.count):
            try:
                async with Journal(self._store / JOURNAL / name, self._disk, cluster=self._cluster) as journal:
                    quarantine = Quarantine(self._store / QUARANTINE / name, self._disk)
                    quarantine.open()
                    await Behind(quarantine, self._keeper(journal), self._receiver.taken_apart).once()
            except (OSError, DecklogError) as error:
                logger.warning("what an earlier run has left in quarantine stays there: %s", error)

    def _keeper(self, journal: Journal) -> Keep:
        cluster = self._cluster

        async def keep(lines: Sequence[bytes]) -> Appended:
            return await journal.append([Item(line, identity_of(cluster, line)) for line in lines])

        return keep

    def _told(self, message: Message) -> None:
        if message["kind"] == "tls":
            task = asyncio.ensure_future(self._renew())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _renew(self) -> None:
        try:
            self._material = self._files.read()
        except DecklogError as error:
            logger.warning("worker %d: the old certificates stay in use: %s", self._worker.number, error)
            return
        await self._receiver.relisten(self._context())


def _open(quarantine: Quarantine, space: Space) -> None:
    try:
        quarantine.open()
        space.clear()
    except OSError as error:
        raise DecklogError(f"{quarantine.folder}: {error.strerror}: give --store a directory of your own") from error


def senders(settings: ReceiverSettings) -> Senders:
    """Make what tells who may send. Raises DecklogError for tokens that cannot be read."""
    options = settings.receiver
    tokens = Tokens(options.token_file) if options.token_file else None
    return Senders(options.allowed if settings.listener.client_ca_file else None, tokens)


def _left_by_others(folder: Path, prefix: str, count: int) -> list[str]:
    """Find the folders of workers with a number above `count` that hold bodies."""
    found = []
    for path in sorted(folder.iterdir()):
        number = path.name.removeprefix(prefix)
        if path.name.startswith(prefix) and number.isdecimal() and int(number) > count and any(path.glob(f"*{BODY}")):
            found.append(path.name)
    return found
