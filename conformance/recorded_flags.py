"""Recorded flags: what a recorded server was started with, as our options."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from decklog.audit.times import parse_duration
from decklog.backends.log_options import LogOptions
from decklog.backends.webhook_options import WebhookOptions
from decklog.config import AuditOptions
from decklog.options import Seconds, flags

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def audit_options(given: Sequence[str], *, log_path: str = "", webhook_config: str = "") -> AuditOptions:
    """Read ``--name=value`` (or ``--name``) as kube-apiserver does. Raises ValueError for a flag that we do not have.

    The two paths are of the machine that recorded, so that they come as arguments; empty: that backend is off.
    """
    options = AuditOptions(log=LogOptions(path=log_path), webhook=WebhookOptions(config_file=webhook_config))
    for word in given:
        name, _, text = word.partition("=")
        if name in {"--audit-log-path", "--audit-webhook-config-file", "--audit-policy-file"}:
            continue
        options = _with(options, name, text)
    options.check()
    return options


def _with(options: AuditOptions, name: str, text: str) -> AuditOptions:
    for group in ("log", "webhook", "backends", "recorder"):
        part = getattr(options, group)
        for flag in flags(type(part)):
            if flag.name == name:
                changed = replace(part, **{flag.field: _value(flag.type, text)})
                return replace(options, **{group: changed})
    raise ValueError(f"{name} is no flag of ours")


def _value(kind: type[Any], text: str) -> Any:
    if kind is bool:
        return text.lower() not in {"false", "f", "0"}
    if kind is Seconds:
        return Seconds(parse_duration(text) / 1e9)
    return kind(text)


def plumbing(nest: object) -> str:
    """Print a nest of ours as kube-apiserver prints its own (``Using audit backend: …``)."""
    words = str(nest).replace(", ", ",")
    return words.replace("batch<", "buffered<").replace("blocking<", "ignoreErrors<")


def recorded_plumbing(log: Sequence[str]) -> str:
    """Find how the recorded server printed its backends; empty where it did not."""
    marker = "Using audit backend: "
    return next((line.partition(marker)[2].strip() for line in log if marker in line), "")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what our backends tell of the faults that are replayed out of the report."""
    logger = logging.getLogger("decklog")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)
