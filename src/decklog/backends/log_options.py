"""The flags of the log backend, and what can be wrong with them (spec §7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from decklog.backends.limits import MODES, VERSION, Limited, problems
from decklog.options import Seconds, option

_FORMATS: Final = ("json", "legacy")


@dataclass(frozen=True, slots=True)
class LogOptions(Limited):
    """The flags of the log backend: names, defaults and meaning are kube-apiserver's (spec §7)."""

    path: str = option(
        "--audit-log-path", "", "Write audit events to this file; - is standard output. Unset: no log.", metavar="FILE"
    )
    format: str = option(
        "--audit-log-format",
        "json",
        "How events are written: json, one object a line, or legacy, one line of text.",
        choices=_FORMATS,
    )
    mode: str = option(
        "--audit-log-mode",
        "blocking",
        "batch: events are gathered and written later; a full buffer drops the newest. blocking: a request waits for "
        "its events to be written, a failure is counted. blocking-strict: a request whose RequestReceived event cannot "
        "be written is refused.",
        choices=MODES,
    )
    max_size_mib: int = option(
        "--audit-log-maxsize", 100, "Rotate the log before it grows past this many MiB; 0: never.", metavar="MIB"
    )
    max_age_days: int = option(
        "--audit-log-maxage", 366, "Remove rotated logs older than this many days; 0: keep them.", metavar="DAYS"
    )
    max_backups: int = option(
        "--audit-log-maxbackup", 100, "Keep this many rotated logs, the newest; 0: all.", metavar="COUNT"
    )
    compress: bool = option("--audit-log-compress", default=False, help="Compress rotated logs with gzip.")
    version: str = option(
        "--audit-log-version", VERSION, "API group and version that events are written in.", metavar="VERSION"
    )
    batch_buffer_size: int = option(
        "--audit-log-batch-buffer-size",
        10_000,
        "Mode batch: how many events may wait; more are dropped and counted.",
        metavar="EVENTS",
    )
    batch_max_size: int = option(
        "--audit-log-batch-max-size", 1, "Mode batch: how many events are written together.", metavar="EVENTS"
    )
    batch_max_wait: float = option(
        "--audit-log-batch-max-wait",
        Seconds(0),
        "Mode batch: how long a batch that is not full may gather; 0s: not at all.",
        metavar="DURATION",
    )
    batch_throttle_enable: bool = option(
        "--audit-log-batch-throttle-enable", default=False, help="Mode batch: limit how many batches go a second."
    )
    batch_throttle_qps: float = option(
        "--audit-log-batch-throttle-qps", 0.0, "Mode batch, throttled: batches a second, on average.", metavar="RATE"
    )
    batch_throttle_burst: int = option(
        "--audit-log-batch-throttle-burst",
        0,
        "Mode batch, throttled: how many batches may go at once after a pause.",
        metavar="BATCHES",
    )
    truncate_enabled: bool = option(
        "--audit-log-truncate-enabled",
        default=False,
        help="Take the bodies out of events that are too large, and drop what is too large without them.",
    )
    truncate_max_batch_size: int = option(
        "--audit-log-truncate-max-batch-size",
        10_485_760,
        "Where truncation is on: bytes of events that are handed on together.",
        metavar="BYTES",
    )
    truncate_max_event_size: int = option(
        "--audit-log-truncate-max-event-size", 102_400, "Where truncation is on: bytes of an event.", metavar="BYTES"
    )

    policy_file: str = option(
        "--audit-log-policy-file",
        "",
        "A policy, or an EventFilter, for this backend alone: applied to what --audit-policy-file records, it can only "
        "leave out and lower.",
        metavar="FILE",
    )

    @property
    def enabled(self) -> bool:
        """Tell whether there is a log at all."""
        return bool(self.path)

    def problems(self) -> list[str]:
        """Say everything that is wrong, in kube-apiserver's words and order (spec §7); nothing if there is no log."""
        if not self.enabled:
            return []
        common = problems("log", self.mode, self.batch, self.truncation(), self.version)
        return [*common, *self._format_problems(), *self._size_problems(), *self.own_policy_problems("log")]

    def _format_problems(self) -> list[str]:
        if self.format in _FORMATS:
            return []
        return [f'invalid audit log format {self.format}, allowed formats are "legacy,json"']

    def _size_problems(self) -> list[str]:
        numbers = (
            ("--audit-log-maxage", self.max_age_days),
            ("--audit-log-maxbackup", self.max_backups),
            ("--audit-log-maxsize", self.max_size_mib),
        )
        return [f"{flag} {number} can't be a negative number" for flag, number in numbers if number < 0]
