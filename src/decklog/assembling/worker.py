"""What one worker of the gateway serves with: its backends, its way to the upstream, and the engine between them.

What differs between workers (`share`): the spool's folder and its size, the file of intents, the journal in a store,
and the webhook's throttle, of which each has its part. The log is one file for all: every line is one write, and one of
them rotates.

Messages of the supervisor: `reopen` (the log), `policy` (its bytes: it takes the old one's place), `told` (the event
that says so is written by this worker), `tls` (the certificates are read again).
"""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import time
import uuid
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from decklog import access
from decklog.assembling.listener_certificates import CLIENT_CA, FRONT_PROXY_CA
from decklog.assembling.reloading import RefusedError, reload_event, understood
from decklog.assembly import Auditing
from decklog.audit.sink import DeliveryError
from decklog.errors import DecklogError
from decklog.gateway.certificate import Certificates
from decklog.gateway.front_proxy import RemoteHeaders
from decklog.gateway.identity import Identification
from decklog.gateway.identity_options import listed
from decklog.gateway.permissions import Permissions
from decklog.gateway.questions import Questions
from decklog.gateway.server import Gateway
from decklog.gateway.tokens import SelfSubjectReviews, TokenReviews, Tokens
from decklog.gateway.towards import Onward, is_identity_header
from decklog.health import Readiness
from decklog.metrics import bequeathed, snapshot
from decklog.policy.evaluator import Evaluator
from decklog.policy.rules import Policy
from decklog.recorder.recording import Recorder
from decklog.store.writers import writer_name

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from decklog.assembling.reloading import InForce
    from decklog.audit.event import Event
    from decklog.audit.sink import Sink
    from decklog.config import AuditOptions, GatewaySettings
    from decklog.gateway.tokens import Poster
    from decklog.listener_tls import Files, Material
    from decklog.metrics import AuditCounters
    from decklog.worker import Message, Worker

GRACE_S: Final = 1.5
"""How long requests may go on after a stop; with what backends take to drain, the end comes within ten seconds."""

logger = logging.getLogger(__name__)


class NoSink:
    """Where events go when auditing is off: nowhere."""

    def process(self, events: Sequence[Event]) -> None:
        """Let them go."""


def _in_groups(options: AuditOptions) -> bool:
    """Whether events of several requests may be stored in one call: not where one could spoil a POST for all."""
    return not options.webhook.enabled or options.webhook.mode == "batch"


def share(options: AuditOptions, number: int, count: int) -> AuditOptions:
    """Give what is one worker's own of what all are told to use together."""
    webhook = options.webhook
    webhook = replace(
        webhook,
        spool_dir=str(Path(webhook.spool_dir, f"worker-{number}")) if webhook.spool_dir else "",
        spool_max_bytes=max(1, webhook.spool_max_bytes // count) if webhook.spool_max_bytes > 0 else 0,
        batch_throttle_qps=webhook.batch_throttle_qps / count,
        batch_throttle_burst=max(1, webhook.batch_throttle_burst // count) if webhook.batch_throttle_burst > 0 else 0,
    )
    intents = f"{options.intent_path}.worker-{number}" if options.intent_path else ""
    writer = f"{writer_name('gateway', options.kept.cluster)}-{number}" if options.kept.enabled else ""
    return replace(
        options,
        webhook=webhook,
        backends=replace(options.backends, intent_path=intents),
        kept=replace(options.kept, writer=writer),
    )


class GatewayWorker:
    """Serves in one worker, from its start to its end."""

    def __init__(
        self,
        settings: GatewaySettings,
        in_force: InForce | None,
        files: Files,
        material: Material | None,
        worker: Worker,
    ) -> None:
        self._settings = settings
        self._in_force = in_force
        self._files = files
        self._material = material
        self._worker = worker
        self._counters = bequeathed(worker.inherited)
        self._auditing = Auditing(
            share(settings.audit, worker.number, worker.count),
            in_force.policy if in_force is not None else None,
            counters=self._counters,
            reloads=True,
        )
        self._sink: Sink = NoSink()
        if in_force is not None and self._auditing.backend is not None:
            self._sink = self._auditing.backend
        self._tasks: set[asyncio.Future[Any]] = set()

    async def serve(self) -> None:
        """Serve until the worker is stopped; then everything is recorded and delivered, or accounted for."""
        async with AsyncExitStack() as stack:
            upstream = await stack.enter_async_context(access.from_options(self._settings.upstream, environ=os.environ))
            questions = await stack.enter_async_context(Questions(upstream))
            self._tokens = _tokens(self._settings, questions)
            await self._auditing.start(stack)
            _take_over(self._counters, bequeathed(self._worker.inherited))
            self._gateway = Gateway(
                self._settings.gateway,
                access=upstream,
                decide=Evaluator(self._policy).decide,
                recorder=Recorder(time.time_ns, self._counters, self._settings.audit.recorder),
                sink=self._sink,
                identify=self._identification(),
                towards=Onward(self._settings.identity.towards, upstream, Permissions(questions)),
                counters=self._counters,
                intents=self._auditing.intents,
                is_identity=self._is_identity,
                grouped=_in_groups(self._settings.audit),
            )
            await self._gateway.start()
            await self._gateway.listen(self._worker.listener, self._context())
            self._worker.stats = lambda: snapshot(self._counters)
            self._worker.problems = Readiness(self._counters)
            self._worker.on_message = self._told
            self._worker.ready()
            await self._worker.stopped()
            await self._gateway.drain(GRACE_S)
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=GRACE_S)

    @property
    def _policy(self) -> Policy:
        """What decides; without a policy, or anywhere to write, nothing is recorded."""
        return self._in_force.policy if self._in_force is not None and self._auditing.backend is not None else Policy()

    def _context(self) -> ssl.SSLContext | None:
        return self._material.context() if self._material is not None else None

    def _identification(self) -> Identification:
        options = self._settings.identity
        authorities = self._material.authorities if self._material is not None else {}
        return Identification(
            self._tokens,
            certificates=Certificates(
                authorities.get(CLIENT_CA), authorities.get(FRONT_PROXY_CA), listed(options.front_proxy_names)
            ),
            remote_headers=RemoteHeaders(options),
            anonymous=options.anonymous,
        )

    def _is_identity(self, name: bytes) -> bool:
        """Whether a header tells an identity: by its usual names, or by those that the flags give it."""
        return is_identity_header(name) or RemoteHeaders(self._settings.identity).names(name)

    # What the supervisor tells.

    def _told(self, message: Message) -> None:
        match message["kind"]:
            case "reopen":
                self._auditing.reopen()
            case "policy":
                self._take(base64.b64decode(message["text"]))
            case "told":
                refused = RefusedError(message["problem"], message["refused"]) if message["problem"] else None
                self._write(reload_event(str(uuid.uuid4()), time.time_ns(), message["in_force"], refused))
            case "tls":
                self._keep(asyncio.ensure_future(self._renew()))

    def _take(self, text: bytes) -> None:
        self._in_force = understood(text, self._settings.audit.policy)
        self._gateway.decide = Evaluator(self._policy).decide

    def _write(self, event: Event) -> None:
        """Write an event of our own; a failure is counted by the backend and told here."""
        self._counters.event_total += 1
        try:
            waiting = self._sink.process((event,))
        except DeliveryError as error:
            logger.error("%s", error)  # noqa: TRY400  # because: the cause is in the text
            return
        if waiting is not None:
            self._keep(asyncio.ensure_future(waiting))

    def _keep(self, task: asyncio.Future[Any]) -> None:
        self._tasks.add(task)

        def over(done: asyncio.Future[Any]) -> None:
            self._tasks.discard(done)
            if not done.cancelled() and (error := done.exception()) is not None:
                logger.error("%s", error)

        task.add_done_callback(over)

    async def _renew(self) -> None:
        try:
            material = self._files.read()
        except DecklogError as error:
            logger.warning("worker %d: the old certificates stay in use: %s", self._worker.number, error)
            return
        self._material = material
        identification = self._identification()
        self._gateway.identify, self._gateway.forget = identification, identification.forget
        await self._gateway.relisten(self._context())


def _tokens(settings: GatewaySettings, questions: Poster) -> Tokens:
    options = settings.identity
    ask = SelfSubjectReviews if options.token_identity == "selfsubjectreview" else TokenReviews  # noqa: S105  # because: the name of a way to ask
    return Tokens(ask(questions), ttl_s=options.token_cache_ttl_s)


def _take_over(counters: AuditCounters, before: AuditCounters) -> None:
    """Book what a predecessor still delivered from its spool after it was last heard of."""
    for name, old in before.accounts.items():
        book = counters.account(name)
        if (delivered := old.spooled - book.spooled) > 0:
            book.processed += delivered
            book.delivered += delivered
