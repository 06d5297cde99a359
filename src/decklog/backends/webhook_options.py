"""The flags of the webhook backend, and what can be wrong with them (spec §7)."""

from __future__ import annotations

from dataclasses import dataclass

from decklog.backends.limits import MODES, VERSION, Limited, problems
from decklog.options import Seconds, option


@dataclass(frozen=True, slots=True)
class WebhookOptions(Limited):
    """The flags of the webhook backend: names, defaults and meaning are kube-apiserver's (spec §7), but the spool's."""

    config_file: str = option(
        "--audit-webhook-config-file",
        "",
        "Send audit events to the receiver that this kubeconfig names. Unset: no webhook.",
        metavar="FILE",
    )
    version: str = option(
        "--audit-webhook-version", VERSION, "API group and version that events are sent in.", metavar="VERSION"
    )
    initial_backoff: float = option(
        "--audit-webhook-initial-backoff",
        Seconds(10),
        "How long to wait before the first retry; a spool has pauses of its own, from 1s to 30s.",
        metavar="DURATION",
    )
    batch_initial_backoff: float | None = option(
        "--audit-webhook-batch-initial-backoff",
        None,
        "Deprecated, use --audit-webhook-initial-backoff, which it overrides.",
        type=Seconds,
        metavar="DURATION",
    )
    mode: str = option(
        "--audit-webhook-mode",
        "batch",
        "batch: events are gathered and sent later; a full buffer drops the newest. blocking: a request waits for its "
        "events to be taken, a failure is counted. blocking-strict: a request whose RequestReceived event is not taken "
        "is refused.",
        choices=MODES,
    )
    batch_buffer_size: int = option(
        "--audit-webhook-batch-buffer-size",
        10_000,
        "Mode batch: how many events may wait; more are dropped and counted.",
        metavar="EVENTS",
    )
    batch_max_size: int = option(
        "--audit-webhook-batch-max-size", 400, "Mode batch: how many events are sent together.", metavar="EVENTS"
    )
    batch_max_wait: float = option(
        "--audit-webhook-batch-max-wait",
        Seconds(30),
        "Mode batch: how long a batch that is not full may gather.",
        metavar="DURATION",
    )
    batch_throttle_enable: bool = option(
        "--audit-webhook-batch-throttle-enable",
        default=True,
        help="Mode batch: limit how many batches go a second.",
    )
    batch_throttle_qps: float = option(
        "--audit-webhook-batch-throttle-qps",
        10.0,
        "Mode batch, throttled: batches a second, on average.",
        metavar="RATE",
    )
    batch_throttle_burst: int = option(
        "--audit-webhook-batch-throttle-burst",
        15,
        "Mode batch, throttled: how many batches may go at once after a pause.",
        metavar="BATCHES",
    )
    truncate_enabled: bool = option(
        "--audit-webhook-truncate-enabled",
        default=False,
        help="Take the bodies out of events that are too large, and drop what is too large without them.",
    )
    truncate_max_batch_size: int = option(
        "--audit-webhook-truncate-max-batch-size",
        10_485_760,
        "Where truncation is on: bytes of events that are handed on together.",
        metavar="BYTES",
    )
    truncate_max_event_size: int = option(
        "--audit-webhook-truncate-max-event-size",
        102_400,
        "Where truncation is on: bytes of an event.",
        metavar="BYTES",
    )
    spool_dir: str = option(
        "--audit-webhook-spool-dir",
        "",
        "Keep what cannot be delivered in this directory, and send it in order when the receiver is back. Unset: "
        "what five attempts do not deliver is lost, and counted.",
        metavar="DIRECTORY",
    )
    spool_max_bytes: int = option(
        "--audit-webhook-spool-max-bytes",
        1 << 30,
        "How much the spool may hold; more is dropped and counted.",
        metavar="BYTES",
    )

    policy_file: str = option(
        "--audit-webhook-policy-file",
        "",
        "A policy, or an EventFilter, for this backend alone: applied to what --audit-policy-file records, it can only "
        "leave out and lower.",
        metavar="FILE",
    )

    @property
    def enabled(self) -> bool:
        """Tell whether there is a webhook at all."""
        return bool(self.config_file)

    @property
    def backoff_s(self) -> float:
        """How long to wait before the first retry, under either name of the flag."""
        return self.initial_backoff if self.batch_initial_backoff is None else self.batch_initial_backoff

    def problems(self) -> list[str]:
        """Say everything that is wrong, in kube-apiserver's words and order; nothing if there is no webhook."""
        if not self.enabled:
            return []
        found = problems("webhook", self.mode, self.batch, self.truncation(), self.version)
        if self.spool_dir and self.spool_max_bytes <= 0:
            found.append(f"--audit-webhook-spool-max-bytes {self.spool_max_bytes} must be a positive number")
        return [*found, *self.own_policy_problems("webhook")]
