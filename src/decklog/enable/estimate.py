"""Estimate: what a manifest's policy and flags come to, given a log that was recorded: traffic, days kept, memory.

The log is replayed through the policy (`policy.replay`), which can only take away: what the log does not hold at all
is not in the estimate, and the report says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from decklog.amounts import binary_size
from decklog.enable.policy_of import policy_of
from decklog.enable.sizes import kept, span_in_words
from decklog.enable.wanted import Takes, meaning
from decklog.errors import DecklogError
from decklog.policy.deciding import decide_by
from decklog.policy.replay import DAY_S, replay

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from decklog.enable.manifest import StaticPod
    from decklog.policy.replay import Report
    from decklog.policy.rules import Policy

_IN_MEMORY: Final = 3
"""A queued event is Go values, not JSON: so many times its JSON is a guess, and on the safe side."""
_BACKENDS: Final = (("log", "--audit-log-path", "blocking"), ("webhook", "--audit-webhook-config-file", "batch"))
"""Name, the flag that switches it on, and its mode by default."""


class Estimate(Struct, frozen=True, rename="camel"):
    """What it comes to."""

    events_a_day: float
    bytes_a_day: float
    mean_event_bytes: float
    days_kept: float | None
    """Of the log, at that rate; None: there is no log, or it has no limit."""
    queue_bytes: int
    """What queues of mode batch take when they are full."""
    sentences: tuple[str, ...]
    """All of it in words, with what the log could not tell."""


def estimate(pod: StaticPod, root: Path, lines: Iterable[bytes], policy: Policy | None = None) -> Estimate:
    """Estimate from the lines of a log; `policy` where it is not in its place yet. Raises DecklogError."""
    if policy is None:
        loaded = policy_of(pod, root)
        if loaded is None:
            raise DecklogError("no policy is set (--audit-policy-file), so that nothing would be recorded")
        policy = loaded.policy
    report = replay(lines, decide_by(policy), [str(rule.level) for rule in policy.rules])
    if report.rate_after is None:
        raise DecklogError("the log spans no time: give one of some hours, better of a working day")
    days = report.span_seconds / DAY_S
    events, size = report.after.events / days, report.after.bytes / days
    mean = report.after.bytes / max(report.after.events, 1)
    limits = kept(pod)
    has_log = pod.value("--audit-log-path") not in {"", "-"}
    by_size = limits.max_bytes / size if limits.max_bytes is not None and size else None
    ends = [each for each in (by_size, limits.max_age_days) if each is not None]
    days_kept = min(ends, default=None) if has_log else None
    queue = sum(_queue(pod, *backend) for backend in _BACKENDS)
    told = (*_traffic(report, events, size), *_days(days_kept, limits.max_age_days), *_queues(pod, mean, events))
    return Estimate(events, size, mean, days_kept, round(queue * mean * _IN_MEMORY), (*told, *report.unknown))


def _traffic(report: Report, events: float, size: float) -> Iterator[str]:
    span = span_in_words(report.span_seconds / DAY_S)
    yield (
        f"of {report.before.events:,} events in {span} the policy keeps {report.after.events:,}: "
        f"{events:,.0f} events and {binary_size(size)} a day, {events / DAY_S:,.1f} events a second on average"
    )


def _days(days: float | None, max_age: int | None) -> Iterator[str]:
    if days is not None:
        why = " (the age limit)" if days == max_age else ""
        yield f"the log then holds {span_in_words(days)}{why}"


def _queues(pod: StaticPod, mean: float, events: float) -> Iterator[str]:
    for name, flag, mode in _BACKENDS:
        queue = _queue(pod, name, flag, mode)
        if not queue:
            continue
        size = binary_size(queue * mean * _IN_MEMORY)
        days = queue / max(events, 1e-9)
        yield (
            f"the {name}'s queue holds {queue:,} events, {span_in_words(days)} of such traffic without its receiver; "
            f"what comes then is dropped. Full, it takes perhaps {size} of memory: an event in the queue is guessed at "
            f"{_IN_MEMORY} times its JSON"
        )


def _queue(pod: StaticPod, name: str, flag: str, mode: str) -> int:
    if not pod.value(flag) or (pod.value(f"--audit-{name}-mode") or mode) != "batch":
        return 0
    size = meaning(Takes.NUMBER, pod.value(f"--audit-{name}-batch-buffer-size") or "10000")
    return size if isinstance(size, int) else 10_000
