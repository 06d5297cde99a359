"""What our webhook nest did in a replay, held against what the recorded server did."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from msgspec import structs

from conformance.recorded_flags import recorded_plumbing
from conformance.webhook_feed import TRUNCATED
from conformance.webhook_scenario import errors_of
from decklog.audit.wire import decode_event, encode_event

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conformance.lag import Lag
    from conformance.receiver import Got, Items
    from conformance.webhook_scenario import Chain, Key, Scenario
    from decklog.config import AuditOptions
    from decklog.metrics import AuditCounters

TOLERANCE_S: Final = 0.1
_RACE_S: Final = 0.05
"""Posts that came closer together may change places: each is sent on its own (spec §6.4)."""


@dataclass
class Outcome:
    """What happened in a replay. Times are the loop's."""

    scenario: Scenario
    options: AuditOptions
    chains: list[Chain]
    lag: Lag
    log_file: Path
    counters: AuditCounters
    refused: list[bool]
    """Of each request."""
    plumbing: str = ""
    port: int = 0
    got: list[Got] = field(default_factory=list)
    called: dict[Key, float] = field(default_factory=dict)
    """When each event was handed over."""
    fed: int = 0
    begin: float = 0.0
    left_at: float = 0.0
    """When the backend was told to stop."""
    metrics: dict[str, int] = field(default_factory=dict)
    """Lost events by plugin, before the stop."""


class Comparison:
    """Finds what differs, and collects the reasons of what differs on purpose."""

    def __init__(self, outcome: Outcome) -> None:
        self._of = outcome
        reason = outcome.scenario.reason()
        self.reasons = [reason] if reason else []

    def faults(self) -> list[str]:
        """Say everything that differs without a reason."""
        return [fault for check in CHECKS for fault in check(self)]

    def _seen(self) -> list[Got]:
        """Give our posts, but for those past the recording's end."""
        horizon = self._of.scenario.horizon
        if horizon is None:
            return self._of.got
        return [got for got in self._of.got if got.at <= self._of.left_at]

    def _attempts(self, items: Items) -> list[Got]:
        return [got for got in self._seen() if got.items == items]

    def compare_plumbing(self) -> Iterator[str]:
        """See that the nest is the server's."""
        expected = recorded_plumbing(self._of.scenario.log)
        if expected and expected != self._of.plumbing:
            yield f"the nest is {self._of.plumbing}, the server's {expected}"

    def compare_numbers(self) -> Iterator[str]:
        """See as many posts, of the same batches, in the same order."""
        ours = list(dict.fromkeys(got.items for got in self._seen()))
        theirs = [chain.items for chain in self._of.chains]
        if self._overflowed(ours, theirs):
            yield from self._compare_overflow(ours)
            return
        for items in ours:
            if items not in theirs:
                yield f"posted {_named(items)}, which the server did not"
        for chain in self._of.chains:
            count = len(self._attempts(chain.items))
            if not chain.least <= count <= chain.most:
                yield f"{_named(chain.items)} posted {count} times, by the server {len(chain.posts)} times"
        yield from self._disorder(ours)

    def _overflowed(self, ours: list[Items], theirs: list[Items]) -> bool:
        """Whether the buffer was too small there, and other events found it full here."""
        return errors_of(self._of.scenario.metrics).get("buffered", 0) > 0 and sorted(ours) != sorted(theirs)

    def _compare_overflow(self, ours: list[Items]) -> Iterator[str]:
        dropped, there = self._of.metrics.get("buffered", 0), errors_of(self._of.scenario.metrics)["buffered"]
        posted = sum(map(len, ours))
        if posted + dropped != self._of.fed:
            yield f"of {self._of.fed} events {posted} were posted and {dropped} dropped"
        self.reasons.append(
            f"which events find the buffer full is a matter of threads: {there} there, {dropped} here; every one is "
            "accounted for"
        )

    def _disorder(self, ours: list[Items]) -> Iterator[str]:
        dated = [(chain.first_at, chain.items) for chain in self._of.chains if chain.first_at is not None]
        for place, (at, items) in enumerate(dated):
            for later_at, later in dated[place + 1 :]:
                if (
                    later_at - at > _RACE_S + self._lag(at, later_at)
                    and items in ours
                    and later in ours
                    and ours.index(items) > ours.index(later)
                ):
                    yield f"{_named(later)} posted before {_named(items)}"

    def compare_bodies(self) -> Iterator[str]:
        """See that each attempt is the server's, byte for byte."""
        for chain in self._of.chains:
            for got in self._attempts(chain.items):
                if chain.posts and got.body != chain.posts[0].body:
                    yield f"{_named(chain.items)}: body {_parting(got.body, chain.posts[0].body)}"
                    break
                if not got.body.startswith(_LIST_HEAD) or b'{"kind":"Event",' in got.body:
                    yield f"{_named(chain.items)}: body begins {got.body[:90]!r}"

    def compare_heads(self) -> Iterator[str]:
        """See the server's request line and headers; the host's port is ours, the length our body's."""
        expected = [chain.posts[0] for chain in self._of.chains if chain.posts]
        for got in self._seen():
            post = next((post for post in expected if post.items == got.items), expected[0] if expected else None)
            if post is None:
                continue
            if got.line != post.line:
                yield f"{got.line}, the server's {post.line}"
                return
            theirs = {name: value for name, value in post.row["headers"] if name != "Content-Length"}
            theirs["Host"] = theirs["Host"].partition(":")[0] + f":{self._of.port}"
            ours = {name: value for name, value in got.headers if name != "Content-Length"}
            if ours != theirs or len(got.headers) != len(post.row["headers"]):
                yield f"headers {sorted(ours.items() ^ theirs.items())}"
                return
            if got.client_certificate != bool(post.row.get("client_cert")):
                yield f"client certificate: {got.client_certificate}"
                return

    def compare_times(self) -> Iterator[str]:
        """See that posts came when they should."""
        for chain in self._of.chains:
            if chain.trouble:
                yield f"{_named(chain.items)}: {chain.trouble}"
            attempts = self._attempts(chain.items)
            for number, (before, after) in enumerate(pairwise(attempts)):
                wait = chain.following(number, self._of.options.webhook.backoff_s)
                gap, tolerance = after.at - before.at - wait.base_s, self._tolerance(before.at, after.at)
                if not wait.low_s - tolerance <= gap <= wait.high_s + tolerance:
                    yield (
                        f"{_named(chain.items)}: attempt {number + 2} after {gap:.3f} s, not {wait.low_s:g} to "
                        f"{wait.high_s:g} s (± {tolerance:.3f})"
                    )
            if attempts:
                yield from self._first(chain, attempts[0])

    def _first(self, chain: Chain, got: Got) -> Iterator[str]:
        called = max(self._of.called.get(key, 0.0) for key in chain.items)
        tolerance = self._tolerance(min(called, got.at), got.at)
        if chain.during_stop:
            if got.at - self._of.left_at > tolerance:
                yield f"{_named(chain.items)}: posted {got.at - self._of.left_at:.3f} s after the stop"
        elif self._of.options.webhook.mode != "batch":
            if got.at - called > tolerance:
                yield f"{_named(chain.items)}: posted {got.at - called:.3f} s after its event"
        elif chain.first_at is not None:
            ours, theirs = got.at - self._of.begin, chain.first_at - self._of.scenario.origin
            if abs(ours - theirs) > tolerance:
                yield f"{_named(chain.items)}: posted after {ours:.3f} s, by the server after {theirs:.3f} s"

    def compare_answers(self) -> Iterator[str]:
        """See that the same requests were refused."""
        for row, refused in zip(self._of.scenario.requests, self._of.refused, strict=True):
            if self._of.scenario.refused(row) != refused:
                yield f"{row['method']} {row['path'][:80]}: {'' if refused else 'not '}refused"

    def compare_metrics(self) -> Iterator[str]:
        """See as many events made, refused and lost, by the same plugins; and that our books balance."""
        theirs = self._of.scenario.metrics
        if self._of.fed != theirs.get("event_total", self._of.fed):
            yield f"event_total {self._of.fed}, the server's {theirs['event_total']}"
        if sum(self._of.refused) != theirs.get("requests_rejected_total", sum(self._of.refused)):
            yield f"requests_rejected_total {sum(self._of.refused)}, the server's {theirs['requests_rejected_total']}"
        yield from self._compare_losses(errors_of(theirs))
        for name, account in self._of.counters.accounts.items():
            if not account.balanced or account.queued or account.in_flight:
                yield f"the book of {name} does not balance: {account}"

    def _compare_losses(self, theirs: dict[str, int]) -> Iterator[str]:
        ours = dict(self._of.metrics)
        expected = self._losses_on_purpose(theirs)
        if ours == expected:
            return
        if any("buffer full" in reason for reason in self.reasons):
            ours.pop("buffered", None)
            expected.pop("buffered", None)
            if ours == expected:
                return
        yield f"error_total {ours}, the server's {theirs}"

    def _losses_on_purpose(self, theirs: dict[str, int]) -> dict[str, int]:
        """Give what the server lost, changed by what differs on purpose."""
        expected = dict(theirs)
        spoiled = [chain for chain in self._of.chains if not chain.posts]
        redirected = [chain for chain in self._of.chains if 0 < len(chain.posts) < chain.least]
        change = sum(len(chain.items) for chain in redirected) - sum(len(chain.items) for chain in spoiled)
        if change:
            expected["webhook"] = expected.get("webhook", 0) + change
        return {plugin: count for plugin, count in expected.items() if count}

    def compare_log(self) -> Iterator[str]:
        """See that a log beside the webhook holds the server's lines."""
        if self._of.scenario.audit_log is None:
            return
        ours = self._of.log_file.read_text("utf-8", "surrogateescape").splitlines()
        theirs = self._of.scenario.audit_log.splitlines()
        if sorted(ours) == sorted(theirs):
            return
        if sorted(ours) == sorted(map(_unmarked, theirs)):
            self.reasons.append("the mark of truncation does not leak into the log, whose events are whole")
            return
        yield f"{len(ours)} lines in the log, {len(set(ours) & set(theirs))} of the server's {len(theirs)}"

    def _lag(self, begin: float, end: float) -> float:
        """Say how late we were between two moments of the recording."""
        shift = self._of.begin - self._of.scenario.origin
        return self._of.lag.between(begin + shift, end + shift)

    def _tolerance(self, begin: float, end: float) -> float:
        return TOLERANCE_S + self._of.lag.between(begin, end)


CHECKS: Final = (
    Comparison.compare_plumbing,
    Comparison.compare_numbers,
    Comparison.compare_bodies,
    Comparison.compare_heads,
    Comparison.compare_times,
    Comparison.compare_answers,
    Comparison.compare_metrics,
    Comparison.compare_log,
)
_LIST_HEAD: Final = b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":['


def _named(items: Items) -> str:
    if not items:
        return "a post without events"
    more = f" and {len(items) - 1} more" if len(items) > 1 else ""
    return f"{items[0][1]} of {items[0][0][:8]}{more}"


def _parting(ours: bytes, theirs: bytes) -> str:
    """Show where two texts part."""
    place = next((at for at, (one, other) in enumerate(zip(ours, theirs, strict=False)) if one != other), -1)
    place = place if place >= 0 else min(len(ours), len(theirs))
    begin = max(0, place - 40)
    return f"{ours[begin : place + 40]!r}, the server's {theirs[begin : place + 40]!r}"


def _unmarked(line: str) -> str:
    """Take the mark of truncation out of a line."""
    if TRUNCATED not in line:
        return line
    event = decode_event(line.encode("utf-8", "surrogateescape"))
    notes = {key: value for key, value in event.annotations.items() if key != TRUNCATED}
    return encode_event(structs.replace(event, annotations=notes)).decode("utf-8", "surrogateescape")
