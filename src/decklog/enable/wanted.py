"""What is wanted: kube-apiserver's audit flags, as somebody gave them to ``decklog enable``.

Every audit flag of kube-apiserver is here (spec §7) and passes through; None means that it was not given, and what the
manifest says of it stays. Here are no defaults: kube-apiserver's own differ from release to release.
"""

from __future__ import annotations

import math
import posixpath
import re
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from decklog.audit.times import DurationError, format_duration, parse_duration
from decklog.errors import DecklogError
from decklog.options import Seconds, flags, option

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_LOG: Final = "/var/log/kubernetes/audit/audit.log"
"""Where the log goes if nobody says where events go."""
STDOUT: Final = "-"

_MODES: Final = ("batch", "blocking", "blocking-strict")
_GO_TRUE: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_GO_FALSE: Final = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_GO_INT: Final = re.compile(r"([-+]?)(?:0[xX]([0-9a-fA-F_]+)|0[oO]?([0-7_]+)|0[bB]([01_]+)|([0-9][0-9_]*))", re.ASCII)
_GO_FLOAT: Final = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?", re.ASCII)
"""Without Go's ``inf``, ``nan`` and hexadecimal ones: nobody means these for a rate."""
_INT_END: Final = 1 << 63
_UNFIT: Final = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff\ufeff]")


class Takes(Enum):
    """What a flag takes, as its library reads it."""

    TEXT = "a text"
    PATH = "a path"
    NUMBER = "a number"
    DECIMAL = "a number with decimals"
    SWITCH = "true or false"
    DURATION = "a duration"


@dataclass(frozen=True, slots=True)
class AuditWanted:
    """The flags that were given. Paths are those that kube-apiserver sees, within its container."""

    policy_file: str | None = option(
        "--audit-policy-file", None, "The policy; a relative path is made absolute.", type=str, metavar="FILE"
    )
    log_path: str | None = option(
        "--audit-log-path",
        None,
        f"Where the log goes; - is the container's output. Default, where neither manifest nor command name a log or a "
        f"webhook: {DEFAULT_LOG}, with maxage 30, maxbackup 10 and maxsize 100.",
        type=str,
        metavar="FILE",
    )
    log_maxage: int | None = option(
        "--audit-log-maxage", None, "Days to keep rotated logs; 0: no limit.", type=int, metavar="DAYS"
    )
    log_maxbackup: int | None = option(
        "--audit-log-maxbackup", None, "How many rotated logs to keep; 0: all.", type=int, metavar="COUNT"
    )
    log_maxsize: int | None = option(
        "--audit-log-maxsize", None, "MiB of a log before it is rotated; 0: never.", type=int, metavar="MIB"
    )
    log_compress: bool | None = option("--audit-log-compress", None, "Compress rotated logs.", type=bool)
    log_mode: str | None = option("--audit-log-mode", None, "How the log is written.", type=str, choices=_MODES)
    log_format: str | None = option(
        "--audit-log-format", None, "How events are written.", type=str, choices=("json", "legacy")
    )
    log_version: str | None = option(
        "--audit-log-version", None, "The version that events are written in.", type=str, metavar="VERSION"
    )
    log_batch_buffer_size: int | None = option(
        "--audit-log-batch-buffer-size", None, "Mode batch: how many events may wait.", type=int, metavar="EVENTS"
    )
    log_batch_max_size: int | None = option(
        "--audit-log-batch-max-size", None, "Mode batch: events of a batch.", type=int, metavar="EVENTS"
    )
    log_batch_max_wait: float | None = option(
        "--audit-log-batch-max-wait", None, "Mode batch: how long a batch gathers.", type=Seconds, metavar="DURATION"
    )
    log_batch_throttle_enable: bool | None = option(
        "--audit-log-batch-throttle-enable", None, "Mode batch: limit the batches.", type=bool
    )
    log_batch_throttle_qps: float | None = option(
        "--audit-log-batch-throttle-qps", None, "Mode batch: batches a second.", type=float, metavar="RATE"
    )
    log_batch_throttle_burst: int | None = option(
        "--audit-log-batch-throttle-burst", None, "Mode batch: batches at once.", type=int, metavar="BATCHES"
    )
    log_truncate_enabled: bool | None = option(
        "--audit-log-truncate-enabled", None, "Cut events that are too large.", type=bool
    )
    log_truncate_max_batch_size: int | None = option(
        "--audit-log-truncate-max-batch-size",
        None,
        "Where events are cut: bytes of a batch.",
        type=int,
        metavar="BYTES",
    )
    log_truncate_max_event_size: int | None = option(
        "--audit-log-truncate-max-event-size", None, "Where events are cut: bytes of one.", type=int, metavar="BYTES"
    )
    webhook_config_file: str | None = option(
        "--audit-webhook-config-file",
        None,
        "The kubeconfig of who receives events; its certificates are mounted, too.",
        type=str,
        metavar="FILE",
    )
    webhook_mode: str | None = option("--audit-webhook-mode", None, "How events are sent.", type=str, choices=_MODES)
    webhook_version: str | None = option(
        "--audit-webhook-version", None, "The version that events are sent in.", type=str, metavar="VERSION"
    )
    webhook_initial_backoff: float | None = option(
        "--audit-webhook-initial-backoff", None, "The wait before the first retry.", type=Seconds, metavar="DURATION"
    )
    webhook_batch_initial_backoff: float | None = option(
        "--audit-webhook-batch-initial-backoff",
        None,
        "Deprecated: the flag above under its old name.",
        type=Seconds,
        metavar="DURATION",
    )
    webhook_batch_buffer_size: int | None = option(
        "--audit-webhook-batch-buffer-size", None, "Mode batch: how many events may wait.", type=int, metavar="EVENTS"
    )
    webhook_batch_max_size: int | None = option(
        "--audit-webhook-batch-max-size", None, "Mode batch: events of a batch.", type=int, metavar="EVENTS"
    )
    webhook_batch_max_wait: float | None = option(
        "--audit-webhook-batch-max-wait", None, "Mode batch: how long one gathers.", type=Seconds, metavar="DURATION"
    )
    webhook_batch_throttle_enable: bool | None = option(
        "--audit-webhook-batch-throttle-enable", None, "Mode batch: limit the batches.", type=bool
    )
    webhook_batch_throttle_qps: float | None = option(
        "--audit-webhook-batch-throttle-qps", None, "Mode batch: batches a second.", type=float, metavar="RATE"
    )
    webhook_batch_throttle_burst: int | None = option(
        "--audit-webhook-batch-throttle-burst", None, "Mode batch: batches at once.", type=int, metavar="BATCHES"
    )
    webhook_truncate_enabled: bool | None = option(
        "--audit-webhook-truncate-enabled", None, "Cut events that are too large.", type=bool
    )
    webhook_truncate_max_batch_size: int | None = option(
        "--audit-webhook-truncate-max-batch-size",
        None,
        "Where events are cut: bytes of a batch.",
        type=int,
        metavar="BYTES",
    )
    webhook_truncate_max_event_size: int | None = option(
        "--audit-webhook-truncate-max-event-size",
        None,
        "Where events are cut: bytes of one.",
        type=int,
        metavar="BYTES",
    )
    webhook_files: tuple[str, ...] = field(default=())
    """No flag: the files that the webhook's kubeconfig names (`kubeconfig.named_files`), to be mounted as well."""

    def check_paths(self) -> None:
        """Raise DecklogError for a path that kube-apiserver could not find, or to which no mount can lead."""
        for name, value in self.given().items():
            if FLAGS[name] is Takes.PATH:
                _check_path(name, value)
        for path in self.webhook_files:
            _check_path("the webhook's kubeconfig names", path)

    def given(self) -> dict[str, str]:
        """Give the flags that were given, with their dashes, each with its value as it is to stand in the manifest."""
        texts = {flag.name: _spelled(getattr(self, flag.field), flag.type) for flag in flags(AuditWanted)}
        return {name: text for name, text in texts.items() if text is not None}

    def over(self, manifest: Mapping[str, str]) -> dict[str, str]:
        """Give the audit flags as they will be: these over those of a manifest (`StaticPod.values`)."""
        kept = {name: value for name, value in manifest.items() if name in FLAGS}
        return {**kept, **self.given()}

    def with_destination(self, manifest: Mapping[str, str]) -> AuditWanted:
        """Add the log where nobody says where events go: neither these flags nor the manifest's."""
        told = self.over(manifest)
        if told.get("--audit-log-path") or told.get("--audit-webhook-config-file"):
            return self
        added: dict[str, Any] = {"log_path": DEFAULT_LOG}
        kept = {"log_maxage": 30, "log_maxbackup": 10, "log_maxsize": 100}  # what CIS 1.2.17 to 1.2.19 ask for
        added |= {name: value for name, value in kept.items() if f"--audit-{name.replace('_', '-')}" not in told}
        return replace(self, **added)


def _spelled(value: Any, kind: type[Any]) -> str | None:
    if value is None:
        return None
    if kind is bool:
        return str(bool(value)).lower()
    if kind is Seconds:
        return format_duration(round(value * 1e9))
    return str(value).removesuffix(".0")


def _check_path(name: str, path: str) -> None:
    if name == "--audit-log-path" and path == STDOUT:
        return
    if not path.startswith("/"):
        raise DecklogError(f"{name} {path!r} is no absolute path: give it as the container sees it, from / on")
    if path.endswith("/") or posixpath.normpath(path) in {"/", "//"}:
        raise DecklogError(f"{name} {path!r} names a directory: name the file in it")
    if ".." in path.split("/"):
        raise DecklogError(f"{name} {path!r} goes back by '..', which no hostPath may: write the path that it leads to")
    if _UNFIT.search(path) or ":" in path:
        raise DecklogError(f"{name} {path!r} has a character that no mountPath can have: rename the file")


_TAKEN: Final = {int: Takes.NUMBER, float: Takes.DECIMAL, bool: Takes.SWITCH, Seconds: Takes.DURATION, str: Takes.TEXT}
_PATHS: Final = frozenset({"policy_file", "log_path", "webhook_config_file"})
FLAGS: Final[dict[str, Takes]] = {
    flag.name: Takes.PATH if flag.field in _PATHS else _TAKEN[flag.type] for flag in flags(AuditWanted)
}
"""Every audit flag of kube-apiserver, and what it takes."""
FIELDS: Final[frozenset[str]] = frozenset(known.name for known in fields(AuditWanted))


def same(name: str, one: str, other: str) -> bool:
    """Whether two values of a flag mean the same to kube-apiserver: ``0x1e`` is 30, ``T`` is true."""
    takes = FLAGS.get(name, Takes.TEXT)
    return one == other or (meaning(takes, one) == meaning(takes, other) is not None)


def meaning(takes: Takes, text: str) -> object:
    """Read a flag's value as Go's flag library does; None: it could not."""
    match takes:
        case Takes.SWITCH:
            return True if text in _GO_TRUE else False if text in _GO_FALSE else None
        case Takes.NUMBER:
            return _go_int(text)
        case Takes.DECIMAL:
            return _go_float(text)
        case Takes.DURATION:
            try:
                return parse_duration(text)
            except DurationError:
                return None
        case Takes.PATH:
            return text if text in {"", STDOUT} else posixpath.normpath(text)
        case Takes.TEXT:
            return text


def _go_int(text: str) -> int | None:
    found = _GO_INT.fullmatch(text)
    if found is None:
        return None
    sign, *digits = found.groups()
    base, shown = next((base, shown) for base, shown in zip((16, 8, 2, 10), digits, strict=True) if shown)
    try:
        number = int(f"{sign}{shown}", base)
    except ValueError:
        return None
    return number if -_INT_END <= number < _INT_END else None


def _go_float(text: str) -> float | None:
    number = float(text) if _GO_FLOAT.fullmatch(text) else math.inf
    return number if math.isfinite(number) else None
