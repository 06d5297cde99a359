"""Configuration: composes the option dataclasses of every floor below into what a door is started with.

Flags win over ``DECKLOG_*`` variables, these over the file (`decklog.config_file`), the file over the defaults.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from decklog.access import UpstreamOptions
from decklog.backends.kept_options import KeptOptions
from decklog.backends.log_options import LogOptions
from decklog.backends.options import BackendOptions
from decklog.backends.webhook_options import WebhookOptions
from decklog.errors import DecklogError
from decklog.gateway.identity_options import IdentityOptions
from decklog.gateway.options import GatewayOptions
from decklog.health import HealthOptions
from decklog.listener import ADDRESS, ListenerOptions, cores
from decklog.policy.options import PolicyOptions
from decklog.receiving.options import ADDRESS as RECEIVER_ADDRESS
from decklog.receiving.options import ReceiverListenerOptions, ReceiverOptions
from decklog.recorder.options import RecorderOptions


@dataclass(frozen=True, slots=True)
class AuditOptions:
    """All that auditing is told: what to record, how, and where it goes."""

    policy: PolicyOptions = field(default_factory=PolicyOptions)
    recorder: RecorderOptions = field(default_factory=RecorderOptions)
    log: LogOptions = field(default_factory=LogOptions)
    webhook: WebhookOptions = field(default_factory=WebhookOptions)
    backends: BackendOptions = field(default_factory=BackendOptions)
    kept: KeptOptions = field(default_factory=KeptOptions)

    def check(self) -> None:
        """Raise DecklogError with everything that cannot be, in kube-apiserver's words (spec §7)."""
        problems = [*self.log.problems(), *self.webhook.problems()]
        if self.webhook.enabled and self.policy.file and self.strict and not self.intent_path:
            problems.append("a strict webhook needs --audit-intent-path FILE where there is no --audit-log-path FILE")
        problems += self._intent_problems()
        if problems:
            raise DecklogError("; ".join(problems))

    def _intent_problems(self) -> list[str]:
        told = self.backends.intent_path
        if told == "-":
            return ["--audit-intent-path - is no file: intents are read again at the next start"]
        if told and self.log.enabled and Path(told).absolute() == Path(self.log.path).absolute():
            return [f"--audit-intent-path {told} is the log: give it a file of its own"]
        return []

    @property
    def strict(self) -> bool:
        """Whether a backend may refuse requests."""
        strict = "blocking-strict"
        return any(each.enabled and each.mode == strict for each in (self.log, self.webhook, self.kept))

    @property
    def intent_path(self) -> str:
        """Where intents are kept: as told, or beside the log, or in the store; empty where there is no place."""
        beside = f"{self.kept.store}/gateway.intents" if self.kept.enabled else ""
        if self.log.path not in {"", "-"}:
            beside = f"{self.log.path}.intents"
        return self.backends.intent_path or beside


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """All that the gateway is told."""

    address: str = ADDRESS
    audit: AuditOptions = field(default_factory=AuditOptions)
    gateway: GatewayOptions = field(default_factory=GatewayOptions)
    identity: IdentityOptions = field(default_factory=IdentityOptions)
    upstream: UpstreamOptions = field(default_factory=UpstreamOptions)
    listener: ListenerOptions = field(default_factory=ListenerOptions)
    health: HealthOptions = field(default_factory=HealthOptions)

    def check(self, host: str) -> None:
        """Raise DecklogError with everything that cannot be; `host` is that of the address."""
        problems = []
        listener = partial(self.listener.check, host, front_proxy_ca_file=self.identity.front_proxy_ca_file)
        for check in (listener, self.identity.check, self.gateway.check, self.audit.check):
            try:
                check()
            except DecklogError as error:
                problems.append(str(error))
        if self.listener.workers > 1 and self._logs_to_stdout:
            problems.append("--audit-log-path - needs --workers 1: lines of several workers would tear one another")
        if problems:
            raise DecklogError("; ".join(problems))

    @property
    def stores(self) -> frozenset[str]:
        """Where it keeps events."""
        return frozenset({self.audit.kept.store} - {""})

    @property
    def workers(self) -> int:
        """How many workers serve: as told, or one a core; one alone where they would share standard output."""
        return self.listener.workers or (1 if self._logs_to_stdout else cores())

    @property
    def _logs_to_stdout(self) -> bool:
        return self.audit.log.path == "-"


@dataclass(frozen=True, slots=True)
class ReceiverSettings:
    """All that the receiver is told."""

    address: str = RECEIVER_ADDRESS
    receiver: ReceiverOptions = field(default_factory=ReceiverOptions)
    listener: ReceiverListenerOptions = field(default_factory=ReceiverListenerOptions)
    health: HealthOptions = field(default_factory=HealthOptions)

    def check(self, host: str) -> None:
        """Raise DecklogError with everything that cannot be; `host` is that of the address."""
        self.receiver.check(self.listener, host)

    @property
    def tls(self) -> ListenerOptions:
        """The listener with what follows from who may send: a certificate, unless a token is as good."""
        by_certificate = bool(self.listener.client_ca_file) and not self.receiver.token_file
        required = by_certificate or self.listener.require_client_certificate
        return replace(self.listener, require_client_certificate=required)

    @property
    def stores(self) -> frozenset[str]:
        """Where it keeps events."""
        return frozenset({self.receiver.store})

    @property
    def workers(self) -> int:
        """How many workers serve: as told, or one a core."""
        return self.listener.workers or cores()
