"""Assembly: the only place where parts meet.

Options become a policy, a backend and a door; nothing else knows more than one of them.
"""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from decklog import certificates, listen
from decklog.asgi import AuditMiddleware
from decklog.audit.legacy import legacy_line
from decklog.audit.wire import encode_line
from decklog.backends.batch import Batch
from decklog.backends.blocking import Blocking
from decklog.backends.books import Entered
from decklog.backends.failures import Failures, Notices
from decklog.backends.log import LogOptions, log_backend
from decklog.backends.truncate import Truncate
from decklog.config import AuditOptions
from decklog.errors import DecklogError
from decklog.metrics import AuditCounters
from decklog.policy.reader import load
from decklog.sandbox.app import NOTICE, Sandbox
from decklog.sandbox.identities import accounts, issue

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from types import TracebackType

    from decklog.asgi import Application, Identify
    from decklog.audit.sink import Backend
    from decklog.backends.log import LogBackend
    from decklog.policy.rules import Policy
    from decklog.sandbox.identities import Credentials
    from decklog.sandbox.options import SandboxOptions

logger = logging.getLogger(__name__)


def log_to(path: str, *, counters: AuditCounters | None = None, **tuning: Any) -> Backend:
    """Make a blocking log backend for `path`; `tuning` are the fields of LogOptions (``max_size_mib=10`` …)."""
    options = replace(LogOptions(path=path), **tuning)
    AuditOptions(log=options).check()
    return backend_of(options, counters if counters is not None else AuditCounters())[0]


def backend_of(options: LogOptions, counters: AuditCounters) -> tuple[Backend, LogBackend]:
    """Make the log backend in its mode: (the nest, the log itself, whose `reopen` SIGHUP calls)."""
    encode = legacy_line if options.format == "legacy" else encode_line
    account = counters.account("log")
    log = log_backend(options, encode, counters, account=account)
    nest: Backend = log
    plugin = str(log)
    if options.mode == "batch":
        plugin = "buffered"
        nest = Batch(log, options.batch, account=account, counters=counters, asynchronous=False)
    elif options.mode == "blocking":
        nest = Blocking(log, counters, account=account)
    if options.truncate_enabled:
        nest = Truncate(nest, options.truncation(), encode, account=account, counters=counters)
    return Entered(nest, account, failures=Failures(plugin, counters, Notices())), log


def policy_of(options: AuditOptions) -> Policy | None:
    """Load the policy; warnings of a lenient load are logged. None: no policy, auditing is off (spec §6.8)."""
    chosen = options.policy
    if not chosen.file:
        return None
    loaded = load(chosen.file, lenient=chosen.lenient, kubernetes=chosen.kubernetes)
    for finding in loaded.warnings:
        logger.warning("%s", finding)
    return loaded.policy


class Audited:
    """An application with auditing round it, as its options ask; `app` is what a door serves."""

    def __init__(self, app: Application, options: AuditOptions, *, identify: Identify, deadlines: bool = False) -> None:
        options.check()
        self.counters = AuditCounters()
        self.policy = policy_of(options)
        self.backend: Backend | None = None
        self.log: LogBackend | None = None
        if options.log.enabled:
            self.backend, self.log = backend_of(options.log, self.counters)
        self.app: Application = app
        if self.policy is not None and self.backend is not None:
            self.app = AuditMiddleware(
                app,
                policy=self.policy,
                backend=self.backend,
                identify=identify,
                options=options.recorder,
                counters=self.counters,
                own_backend=False,
                deadlines=deadlines,
            )

    @property
    def plumbing(self) -> str:
        """The nest of backends in one line, or why nothing is recorded."""
        if self.backend is None:
            return "auditing is off: no --audit-log-path"
        return str(self.backend) if self.policy is not None else "auditing is off: no --audit-policy-file"

    def reopen(self) -> None:
        """Follow a log that was renamed (SIGHUP, logrotate)."""
        if self.log is not None:
            self.log.reopen()


class AuditedSandbox:
    """The sandbox API server with auditing round it, on an address.

    Entering starts the audit backend, leaving drains it. Everything that can be wrong with the options is raised by the
    constructor or when entering, before anything is served.
    """

    def __init__(self, options: AuditOptions, sandbox: SandboxOptions, address: str) -> None:
        people = accounts(sandbox)
        host = listen.parse_address(address)[0]
        self.credentials: Credentials = issue(people, sorted({host, "localhost", "127.0.0.1"}), clock=_now)
        self.sandbox = Sandbox(people, self.credentials.tokens)
        self.audited = Audited(self.sandbox, options, identify=self.sandbox.identify, deadlines=True)
        self._kubeconfig_out = sandbox.kubeconfig_out
        self._address = address
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        if self.audited.backend is not None:
            await self._stack.enter_async_context(self.audited.backend)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def serving(self) -> Any:
        """Serve for as long as the block runs: an async context manager that gives the `listen.Served`."""
        return listen.serve(self.audited.app, self._address, tls=self._tls(), on_stop=self.sandbox.stop)

    async def until_stopped(self, announce: Callable[[str], None]) -> signal.Signals:
        """Serve until SIGTERM or SIGINT, which is returned; SIGHUP reopens the log."""

        def ready(line: str) -> None:
            url = line.rpartition(" ")[2]
            if self._kubeconfig_out:
                self.write_kubeconfig(self._kubeconfig_out, url)
            announce(NOTICE)
            announce(f"audit: {self.audited.plumbing}")
            announce(line)

        async with self:
            return await listen.until_stopped(
                self.audited.app,
                self._address,
                tls=self._tls(),
                on_stop=self.sandbox.stop,
                on_hangup=self.audited.reopen,
                announce=ready,
            )

    def write_kubeconfig(self, path: str, url: str) -> None:
        """Write the kubeconfig for `url`, readable by its owner only."""
        try:
            certificates.write_private(self.credentials.kubeconfig(url).encode(), path)
        except OSError as error:
            raise DecklogError(f"cannot write the kubeconfig {path!r}: {error.strerror}: give another path") from error

    def _tls(self) -> Any:
        authority = self.credentials.authority.certificate_pem
        return certificates.server_context(self.credentials.server, authority)


def _now() -> datetime:
    return datetime.now(UTC)
