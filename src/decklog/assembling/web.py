"""The pages as a whole: their log or store, who may look, and where it is recorded who did."""

from __future__ import annotations

import contextlib
import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cryptography import x509

from decklog import certificates, listen
from decklog.disk import Disk
from decklog.errors import DecklogError
from decklog.store.journal import Item, Journal, identity_of
from decklog.store.view import READING
from decklog.store.writer_files import JOURNAL
from decklog.store.writers import turning
from decklog.web.app import Pages
from decklog.web.guard import LOCAL, Access, OneTime
from decklog.web.options import ADDRESS, WebListenerOptions, WebOptions, is_loopback
from decklog.web.readers import Readers
from decklog.web.reading import Readings
from decklog.web.scanned import Files
from decklog.web.stored import Stored

if TYPE_CHECKING:
    import signal
    import ssl
    from collections.abc import Callable, Sequence

    from decklog.web.data import Data
    from decklog.worker import Message, Worker

logger = logging.getLogger(__name__)

MOST_DOORS: Final = 8
"""Processes that serve pages of one store at once: each records readings in a journal of its own."""
MOST_CONNECTIONS: Final = 256
"""To one process that serves pages; browsers keep some six each."""


@dataclass(frozen=True, slots=True)
class WebSettings:
    """All that the pages are told."""

    address: str = ADDRESS
    files: tuple[str, ...] = ()
    rotated: bool = True
    store: str = ""
    web: WebOptions = field(default_factory=WebOptions)
    listener: WebListenerOptions = field(default_factory=WebListenerOptions)
    policy: str = ""

    def beside(self, metrics_url: str) -> WebSettings:
        """Give them with one more address of counters, those of the doors that are served beside the pages."""
        urls = ",".join(dict.fromkeys(filter(None, (metrics_url, *self.web.metrics))))
        return replace(self, web=replace(self.web, metrics_urls=urls))

    @property
    def stores(self) -> frozenset[str]:
        """Where events are kept: readings alone, in a store that somebody else keeps."""
        return frozenset()


class WebDoor:
    """The pages, as their settings ask. What can be wrong with them is raised before anything is served."""

    def __init__(self, settings: WebSettings, announce: Callable[[str], None]) -> None:
        self._host = listen.parse_address(settings.address)[0]
        settings.listener.check(self._host)
        self._settings = settings
        self._announce = announce
        self._disk = Disk()
        self.data: Data = (
            Stored(settings.store, self._disk) if settings.store else Files(settings.files, rotated=settings.rotated)
        )
        listener = settings.listener
        self._readers = Readers(listener.token_file) if listener.token_file or listener.client_ca_file else None
        self._tls = self._tls_now = self._context()
        if self._tls is not None:
            self._tls.sni_callback = self._take_present

    def _context(self) -> ssl.SSLContext | None:
        listener = self._settings.listener
        if not listener.certificate_file:
            return None
        pair = certificates.read(listener.certificate_file, listener.key_file)
        trusted = certificates.read_pem(listener.client_ca_file) if listener.client_ca_file else None
        context = certificates.server_context(pair, trusted)
        context.num_tickets = 0  # whoever came by an authority that has gone must not come back by a ticket
        return context

    def _take_present(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        """Let a new connection go by what was read last; OpenSSL asks whether a name was sent or not."""
        del name, context
        if self._tls_now is not None:
            connection.context = self._tls_now

    async def until_stopped(self) -> signal.Signals:
        """Serve until SIGTERM or SIGINT, which is returned."""
        async with AsyncExitStack() as stack:
            pages = await self._pages(stack)
            app, ready = self._guarded(pages)
            return await listen.until_stopped(
                app,
                self._settings.address,
                tls=self._tls,
                on_stop=pages.stop,
                announce=lambda line: ready(line.rpartition(" ")[2]),
                most_connections=MOST_CONNECTIONS,
            )

    async def work(self, worker: Worker) -> None:
        """Serve in a worker of a supervisor, until it is stopped."""
        async with AsyncExitStack() as stack:
            pages = await self._pages(stack)
            app, ready = self._guarded(pages)
            address, sock = self._settings.address, worker.listener
            async with listen.serve(
                app,
                address,
                tls=self._tls,
                on_stop=pages.stop,
                listener=sock,
                most_connections=MOST_CONNECTIONS,
            ) as served:
                ready(served.url)
                worker.on_message = self._read_again
                worker.ready()
                await worker.stopped()

    def _read_again(self, message: Message) -> None:
        """Take the certificates that are there now; connections that are open go on as they are."""
        del message
        try:
            self._tls_now = self._context()
        except DecklogError as error:
            logger.warning("the pages' certificates stay as they were: %s", error)

    async def _pages(self, stack: AsyncExitStack) -> Pages:
        stack.callback(self.data.close)
        if self.data.advice:
            self._announce(self.data.advice)
        readings = Readings(await self._keeper(stack))
        return Pages(self.data, readings, settings=self._told())

    def _told(self) -> dict[str, Any]:
        """Give what pages may show besides the data."""
        listener = self._settings.listener
        files = (("the certificate", listener.certificate_file), ("the clients' authority", listener.client_ca_file))
        return {
            "policy": self._settings.policy,
            "store": self._settings.store,
            "metrics": self._settings.web.metrics,
            "certificates": tuple((name, path) for name, path in files if path),
        }

    def _guarded(self, pages: Pages) -> tuple[Any, Callable[[str], None]]:
        """Give the application behind its guard, and what is to be called with its address once it serves."""
        one_time = OneTime(self._tell_token) if self._readers is None else None
        port = listen.parse_address(self._settings.address)[1]
        access = Access(
            self._hosts(),
            one_time,
            self._readers,
            bool(self._settings.listener.client_ca_file),
            self._tls is not None,
            f"decklog-{port}",
        )
        self._url = ""

        def ready(url: str) -> None:
            self._url = url
            if one_time is not None:
                one_time.renew()
            else:
                self._announce(f"listening on {url}")

        return pages.guarded(access), ready

    def _tell_token(self, token: str) -> None:
        self._announce(f"listening on {self._url}/?token={token}")

    def _hosts(self) -> frozenset[str]:
        own = {self._host.lower()} - {"0.0.0.0", "::"}  # noqa: S104  # because: these are no names to be reached under
        own |= _names(self._settings.listener.certificate_file)
        return frozenset(own | self._settings.web.hosts | (LOCAL if is_loopback(self._host) else set()))

    async def _keeper(self, stack: AsyncExitStack) -> Callable[[Sequence[bytes]], Any] | None:
        """Open the journal of readings; None: there is no store, or nobody wants it."""
        if not self._settings.store or not self._settings.web.record_reading:
            return None
        folder = Path(self._settings.store) / JOURNAL
        journal: Journal | None = None
        for number in range(1, MOST_DOORS + 1):
            with contextlib.suppress(DecklogError):
                journal = await stack.enter_async_context(
                    Journal(folder / f"reading-{number}", self._disk, cluster=READING, lock_wait_s=0)
                )
                break
        if journal is None:
            raise DecklogError(
                f"who reads cannot be recorded in {folder}: run as a user who may write there, or give "
                "--record-reading=false"
            )
        opened = journal
        await stack.enter_async_context(turning(opened))

        async def keep(lines: Sequence[bytes]) -> object:
            return await opened.append([Item(line, identity_of(READING, line)) for line in lines])

        return keep


def _names(certificate_file: str) -> set[str]:
    """Give the names and addresses that the pages' certificate is for, in lower case; wildcards are none."""
    if not certificate_file:
        return set()
    parsed = x509.load_pem_x509_certificate(certificates.read_pem(certificate_file))
    try:
        found = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    names = [*found.get_values_for_type(x509.DNSName), *map(str, found.get_values_for_type(x509.IPAddress))]
    return {name.lower() for name in names if "*" not in name}
