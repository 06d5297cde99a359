"""Assembly: the only place where parts meet.

Options become a policy, a backend and a door; nothing else knows more than one of them.
"""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from decklog import certificates, kubeconfig, listen
from decklog.asgi import AuditMiddleware
from decklog.audit.event import Stage
from decklog.audit.legacy import legacy_line
from decklog.audit.wire import encode_item, encode_line, encode_list, join_items
from decklog.backends.batch import Batch
from decklog.backends.blocking import Blocking
from decklog.backends.books import Entered
from decklog.backends.failures import Failures, Notices
from decklog.backends.filtered import Filtered
from decklog.backends.intents import IntentLog
from decklog.backends.kept import PLUGIN, Kept
from decklog.backends.kept_options import KeptOptions
from decklog.backends.log import LogBackend, log_backend
from decklog.backends.log_options import LogOptions
from decklog.backends.spool import Spool
from decklog.backends.spool_files import SpoolFiles
from decklog.backends.truncate import Truncate
from decklog.backends.union import Union
from decklog.backends.webhook import HttpPoster, Webhook
from decklog.backends.webhook_options import WebhookOptions
from decklog.config import AuditOptions
from decklog.disk import Disk
from decklog.errors import DecklogError
from decklog.health import Health, HealthOptions, Readiness
from decklog.metrics import AuditCounters
from decklog.policy.reader import load
from decklog.sandbox.app import NOTICE, Sandbox
from decklog.sandbox.identities import accounts, issue
from decklog.store.journal import Item, Journal, identity_of
from decklog.store.writer_files import JOURNAL
from decklog.store.writers import OUTLIVED_S, turning, writer_name

if TYPE_CHECKING:
    import signal
    from collections.abc import AsyncIterator, Callable, Sequence
    from types import TracebackType

    from decklog.asgi import Application, Identify, Receive, Scope, Send
    from decklog.audit.event import Event
    from decklog.audit.sink import Backend
    from decklog.backends.kept import Keep
    from decklog.metrics import Account
    from decklog.policy.rules import Policy
    from decklog.sandbox.identities import Credentials
    from decklog.sandbox.options import SandboxOptions

logger = logging.getLogger(__name__)


def log_to(path: str, *, counters: AuditCounters | None = None, **tuning: Any) -> Backend:
    """Make a blocking log backend for `path`; `tuning` are the fields of LogOptions (``max_size_mib=10`` …)."""
    options = AuditOptions(log=replace(LogOptions(path=path), **tuning))
    options.check()
    return _log_nest(options, counters if counters is not None else AuditCounters())[0]


def backend_of(options: AuditOptions, counters: AuditCounters) -> tuple[Backend | None, LogBackend | None]:
    """Make the backends that the options ask for: (their nest, the log itself, whose `reopen` SIGHUP calls).

    ``union[blocking<log>, truncate<batch<webhook>>, blocking<store>]``: truncation is outermost, as in kube-apiserver,
    then the mode.
    """
    nests: list[Backend] = []
    log = None
    if options.log.enabled:
        nest, log = _log_nest(options, counters)
        nests.append(nest)
    if options.webhook.enabled:
        nests.append(_webhook_nest(options, counters))
    if options.kept.enabled:
        nests.append(_kept_nest(options.kept, counters))
    if not nests:
        return None, None
    return (nests[0] if len(nests) == 1 else Union(nests)), log


def _log_nest(options: AuditOptions, counters: AuditCounters) -> tuple[Backend, LogBackend]:
    chosen, account = options.log, counters.account("log")
    encode = legacy_line if chosen.format == "legacy" else encode_line
    log = log_backend(chosen, encode, counters, account=account)
    return _wrapped(log, options, chosen, encode, counters, account), log


def _webhook_nest(options: AuditOptions, counters: AuditCounters) -> Backend:
    chosen, account = options.webhook, counters.account("webhook")
    notices = Notices()
    failures = Failures("webhook", counters, notices)
    poster = HttpPoster(kubeconfig.load(chosen.config_file))
    leaf: Spool | Webhook
    if chosen.spool_dir:
        files = SpoolFiles(chosen.spool_dir, Disk(), max_bytes=chosen.spool_max_bytes)
        leaf = Spool(
            poster,
            files,
            encode_item=encode_item,
            join=join_items,
            account=account,
            failures=failures,
            notices=notices,
        )
    else:
        leaf = Webhook(poster, encode_list, account=account, failures=failures, initial_backoff_s=chosen.backoff_s)
    return _wrapped(leaf, options, chosen, encode_line, counters, account)


def _kept_nest(options: KeptOptions, counters: AuditCounters) -> Backend:
    account = counters.account(PLUGIN)
    failures = Failures(PLUGIN, counters, Notices())
    leaf = Kept(lambda: _journal(options), encode_line, account=account, failures=failures)
    nest = leaf if options.mode == "blocking-strict" else Blocking(leaf, counters, account=account)
    return Entered(nest, account, failures=failures)


@asynccontextmanager
async def _journal(options: KeptOptions) -> AsyncIterator[Keep]:
    """Open the journal of one writer, and hand out what stores lines in it."""
    cluster = options.cluster
    folder = Path(options.store) / JOURNAL / (options.writer or writer_name("gateway", cluster))
    async with Journal(folder, Disk(), cluster=cluster, lock_wait_s=OUTLIVED_S) as journal, turning(journal):

        async def keep(lines: Sequence[bytes]) -> object:
            return await journal.append([Item(line, identity_of(cluster, line)) for line in lines])

        yield keep


def _wrapped(
    leaf: LogBackend | Spool | Webhook,
    options: AuditOptions,
    chosen: LogOptions | WebhookOptions,
    encode: Callable[[Event], bytes],
    counters: AuditCounters,
    account: Account,
) -> Backend:
    """Put the mode round a leaf, truncation round that, and the book's entry round all."""
    nest: Backend = leaf
    plugin = str(leaf)
    if chosen.mode == "batch":
        plugin = "buffered"
        keep = leaf.keep if isinstance(leaf, Spool) else None
        asynchronous = not isinstance(leaf, LogBackend)
        nest = Batch(leaf, chosen.batch, account=account, counters=counters, asynchronous=asynchronous, keep=keep)
    elif chosen.mode == "blocking":
        nest = Blocking(leaf, counters, account=account)
    if chosen.truncate_enabled:
        limits = chosen.truncation(fields=options.backends.truncate_fields)
        nest = Truncate(nest, limits, encode, account=account, counters=counters)
    entered = Entered(nest, account, failures=Failures(plugin, counters, Notices()))
    return entered if not chosen.policy_file else Filtered(entered, _own_policy(chosen.policy_file, options), account)


def _own_policy(path: str, options: AuditOptions) -> Callable[[Event], Event | None]:
    """Give what a backend's own policy makes of an event."""
    from decklog.policy import apply, event_filter  # noqa: PLC0415  # because: 20 ms of the workbench, for who asks

    loaded = event_filter.load(path, lenient=options.policy.lenient, kubernetes=options.policy.kubernetes)
    for finding in loaded.warnings:
        logger.warning("%s", finding)
    return apply.Applier(loaded.decide).event


def policy_of(options: AuditOptions) -> Policy | None:
    """Load the policy; warnings of a lenient load are logged. None: no policy, auditing is off (spec §6.8)."""
    chosen = options.policy
    if not chosen.file:
        return None
    loaded = load(chosen.file, lenient=chosen.lenient, kubernetes=chosen.kubernetes)
    for finding in loaded.warnings:
        logger.warning("%s", finding)
    return loaded.policy


class Auditing:
    """What the options ask for, whatever door it is for: a policy, the backends, and intents where they are needed.

    `policy`: the one that is in force, None where auditing is off. `reloads`: whether another policy may take its place
    later, which may omit RequestReceived where this one does not.
    """

    def __init__(
        self,
        options: AuditOptions,
        policy: Policy | None,
        *,
        counters: AuditCounters | None = None,
        reloads: bool = False,
    ) -> None:
        options.check()
        self.counters = counters if counters is not None else AuditCounters()
        self.policy = policy
        self.backend, self.log = backend_of(
            options if policy else replace(options, webhook=WebhookOptions(), kept=KeptOptions()), self.counters
        )
        self.intents: IntentLog | None = None
        omits = policy is not None and (_omits_received(policy) or (reloads and bool(options.intent_path)))
        if omits and self.backend is not None and options.strict:
            if not options.intent_path:
                raise DecklogError("strict mode needs --audit-intent-path FILE with this policy and no log in a file")
            self.intents = IntentLog(options.intent_path, Disk())

    @property
    def plumbing(self) -> str:
        """The nest of backends in one line, or why nothing is recorded."""
        if self.backend is None:
            return "auditing is off: no --audit-log-path, no --audit-webhook-config-file, no --store"
        return str(self.backend) if self.policy is not None else "auditing is off: no --audit-policy-file"

    async def start(self, stack: AsyncExitStack) -> None:
        """Start backend and intents for as long as `stack` lives. Raises DecklogError when they cannot."""
        if self.intents is not None:  # left last: what the backend still stores while it drains closes its intent
            await stack.enter_async_context(self.intents)
        if self.backend is not None:
            await stack.enter_async_context(self.backend)

    def reopen(self) -> None:
        """Follow a log that was renamed (SIGHUP, logrotate)."""
        if self.log is not None:
            self.log.reopen()


class Audited(Auditing):
    """An application with auditing round it, as its options ask; `app` is what a door serves."""

    def __init__(self, app: Application, options: AuditOptions, *, identify: Identify, deadlines: bool = False) -> None:
        options.check()
        super().__init__(options, policy_of(options))
        self.app: Application = app
        if self.policy is not None and self.backend is not None:
            middleware = AuditMiddleware(
                app,
                policy=self.policy,
                backend=self.backend,
                identify=identify,
                options=options.recorder,
                counters=self.counters,
                own_backend=False,
                deadlines=deadlines,
                intents=self.intents,
            )
            self.app = _lifespan_apart(app, middleware)


class AuditedSandbox:
    """The sandbox API server with auditing round it, on an address.

    Entering starts the audit backend, leaving drains it. Everything that can be wrong with the options is raised by the
    constructor or when entering, before anything is served.
    """

    def __init__(
        self, options: AuditOptions, sandbox: SandboxOptions, address: str, health: HealthOptions | None = None
    ) -> None:
        self._health = health or HealthOptions()
        self.metrics_url = ""
        """Where metrics are served, once entered; empty: nowhere."""
        people = accounts(sandbox)
        host = listen.parse_address(address)[0]
        self.credentials: Credentials = issue(people, sorted({host, "localhost", "127.0.0.1"}), clock=_now)
        self.sandbox = Sandbox(people, self.credentials.tokens)
        self.audited = Audited(self.sandbox, options, identify=self.sandbox.identify, deadlines=True)
        self._kubeconfig_out = sandbox.kubeconfig_out
        self._address = address
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            await self.audited.start(self._stack)
            if self._health.address:
                health = Health(self.audited.counters, Readiness(self.audited.counters))
                served = await self._stack.enter_async_context(listen.serve(health, self._health.address))
                self.metrics_url = f"{served.url}/metrics"
        except BaseException:
            await self._stack.aclose()
            raise
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
            if self.metrics_url:
                announce(f"metrics on {self.metrics_url}")
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


def _lifespan_apart(app: Application, audited: Application) -> Application:
    """Hand the lifespan to the application itself: the door's end must not wait for what `Audited` drains after it."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        await (app if scope["type"] == "lifespan" else audited)(scope, receive, send)

    return serve


def _omits_received(policy: Policy) -> bool:
    """Whether any request is let through without a RequestReceived event."""
    received = Stage.REQUEST_RECEIVED
    return received in policy.omit_stages or any(received in rule.omit_stages for rule in policy.rules)


def _now() -> datetime:
    return datetime.now(UTC)
