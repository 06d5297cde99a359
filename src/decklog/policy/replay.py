"""Replay: what a candidate policy would make of recorded events: how many, how large, by rule, user and resource.

Sizes are those of the lines that an API server with the candidate would have written: the recorded line without what
the candidate leaves out. Whatever the recording policy left out already cannot be known; `Report.unknown` says what
that is in this log, so that nobody takes the figures for more than they are.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeVar

from msgspec import Struct

from decklog.audit.event import Stage
from decklog.policy.apply import RANK, Applier, rank_of
from decklog.policy.recorded import WireError, read

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from decklog.audit.decision import Decision
    from decklog.policy.deciding import Decide
    from decklog.policy.recorded import Recorded

DAY_S: Final = 86_400
MONTH_DAYS: Final = 30
SHORT_SPAN_S: Final = 3600
"""A shorter log says little of a day; the report says so."""
OTHERS: Final = "(others)"
"""Where users and resources past the first `KEPT_NAMES` are counted: senders choose names, and memory is bounded."""
KEPT_NAMES: Final = 20_000
KEPT_GROUPS: Final = 16_384


class Volume(Struct, frozen=True):
    """Events and the bytes of their lines, each with its line feed."""

    events: int = 0
    bytes: int = 0

    def __add__(self, other: Volume) -> Volume:
        return Volume(self.events + other.events, self.bytes + other.bytes)


class Rate(Struct, frozen=True, rename="camel"):
    """A volume, spread over time. GB are 10⁹ bytes, a month has 30 days."""

    events_a_day: float
    gb_a_day: float
    gb_a_month: float


class Share(Struct, frozen=True):
    """What a rule, a user or a resource has of the log, and keeps of it."""

    name: str
    before: Volume
    after: Volume


class RuleShare(Struct, frozen=True):
    """What one rule decided; `rule` is its index, None where no rule matched."""

    rule: int | None
    level: str
    before: Volume
    after: Volume


class Report(Struct, frozen=True, rename="camel"):
    """What a replay found."""

    before: Volume
    after: Volume
    first: str | None
    """The earliest stage time (MicroTime)."""
    last: str | None
    span_seconds: float
    rate_before: Rate | None
    """None where the log has no span: no time, or a single one."""
    rate_after: Rate | None
    rules: tuple[RuleShare, ...]
    """Every rule in order, also those that matched nothing; then what no rule matched, if there was anything."""
    users: tuple[Share, ...]
    """The largest first, by bytes before."""
    resources: tuple[Share, ...]
    stages: tuple[Share, ...]
    lowered: int
    """Events kept with something taken out."""
    below: int
    """Events kept that were recorded at a lower level than the candidate asks for."""
    unreadable: int
    unknown: tuple[str, ...]
    """What these figures cannot say, in sentences."""


class Replay:
    """Takes lines, gives a report at any time; memory does not grow with the log."""

    def __init__(self, decide: Decide, levels: Iterable[str]) -> None:
        """`levels`: of the candidate's rules, in order."""
        self._decide = decide
        self._levels = tuple(levels)
        self._size = Applier(decide, mark=False).size
        self._groups: dict[_Group, list[int]] = {}
        self._rules: dict[int | None, list[int]] = {}
        self._users: dict[str, list[int]] = {}
        self._resources: dict[str, list[int]] = {}
        self._stages: dict[str, list[int]] = {}
        self._first = _LATEST
        self._last = ""
        self._lowered = self._below = self._unreadable = self._starts_wanted = 0

    def extend(self, lines: Iterable[bytes]) -> None:
        """Take lines, each without its line feed; one in which no event is found is counted as that."""
        # One loop over locals: calls and attributes would cost a fifth of the whole.
        decide, measure, group_of, ranks = self._decide, self._size, self._group, RANK
        first, last = self._first, self._last
        try:
            for line in lines:
                try:
                    event = read(line)
                except WireError:
                    self._unreadable += 1
                    continue
                decision = decide(event)
                kept = measure(line, event, decision)
                group = group_of(event, decision)
                size = len(line)
                group[0] += 1
                group[1] += size
                if kept is not None:
                    group[2] += 1
                    group[3] += kept
                    if kept != size:
                        self._lowered += 1
                    elif ranks.get(event.level, 4) < rank_of(decision.level):
                        self._below += 1
                time = event.stage_timestamp
                if time:
                    if time > last:  # noqa: PLR1730  # because: max() and min() cost as much as the decision
                        last = time
                    if time < first:  # noqa: PLR1730  # because: the same
                        first = time
        finally:
            self._first, self._last = first, last

    def report(self) -> Report:
        """Give what was found so far."""
        self._fold()
        before, after = _sum(self._rules.values())
        span = _span(self._first, self._last)
        return Report(
            before=before,
            after=after,
            first=self._first if self._last else None,
            last=self._last or None,
            span_seconds=span,
            rate_before=rate(before, span),
            rate_after=rate(after, span),
            rules=tuple(self._rule_shares()),
            users=_shares(self._users),
            resources=_shares(self._resources),
            stages=_shares(self._stages),
            lowered=self._lowered,
            below=self._below,
            unreadable=self._unreadable,
            unknown=tuple(self._unknown(span)),
        )

    def _group(self, event: Recorded, decision: Decision) -> list[int]:
        """Give the counts of what is counted together; they are dealt out to users, rules and so on by `_fold`."""
        ref = event.object_ref
        what = ("", event.request_uri, "") if ref is None else (ref.api_group, ref.resource, ref.subresource)
        key = (decision.rule, event.stage, event.user.username, *what, _RECEIVED in decision.omit_stages)
        group = self._groups.get(key)
        if group is None:
            if len(self._groups) >= KEPT_GROUPS:
                self._fold()
            group = self._groups[key] = [0, 0, 0, 0]
        return group

    def _fold(self) -> None:
        for (rule, stage, user, api_group, resource, subresource, quiet), counts in self._groups.items():
            _add(self._rules, rule, counts)
            _add(self._stages, stage, counts)
            _add(self._users, _room(self._users, user), counts)
            _add(self._resources, _room(self._resources, resource_name(api_group, resource, subresource)), counts)
            if stage in _FINAL and not quiet:
                self._starts_wanted += counts[2]
        self._groups.clear()

    def _rule_shares(self) -> Iterator[RuleShare]:
        for index, level in enumerate(self._levels):
            yield RuleShare(index, level, *_volumes(self._rules.get(index, _NOTHING)))
        if None in self._rules:
            yield RuleShare(None, "None", *_volumes(self._rules[None]))

    def _unknown(self, span_s: float) -> Iterator[str]:
        yield (
            "requests that the recording policy left out (level None, or a stage that it omits) are not in the log: the"
            " candidate may record more than is counted here"
        )
        if self._below:
            yield (
                f"{self._below:,} of the kept events stand in the log at a lower level than the candidate asks for:"
                " the bodies that it would add are not in the log, so its bytes are counted too low"
            )
        started = self._stages.get(Stage.REQUEST_RECEIVED, _NOTHING)[0]
        if self._starts_wanted > started:
            yield (
                f"the candidate does not omit RequestReceived, and the log has {started:,} such events for"
                f" {self._starts_wanted:,} requests that it would keep: up to {self._starts_wanted - started:,} more"
                " events are to be expected"
            )
        if self._unreadable:
            yield f"could not be read and are counted nowhere: {self._unreadable:,} of the lines"
        if not span_s:
            yield "the log spans no time: nothing can be said of a day"
        elif span_s < SHORT_SPAN_S:
            yield f"the log spans only {span_s:,.0f} seconds: figures a day are extrapolated from that"


_Group = tuple[int | None, str, str, str, str, str, bool]
_Name = TypeVar("_Name", str, int | None)
_RECEIVED: Final = Stage.REQUEST_RECEIVED.value
_LATEST: Final = "\U0010ffff"
_NOTHING: Final = [0, 0, 0, 0]
_FINAL: Final = (Stage.RESPONSE_COMPLETE.value, Stage.PANIC.value)


def replay(lines: Iterable[bytes], decide: Decide, levels: Iterable[str]) -> Report:
    """Replay `lines` (each an event, without its line feed) through a candidate; `levels` are those of its rules."""
    run = Replay(decide, levels)
    run.extend(lines)
    return run.report()


def rate(volume: Volume, span_s: float) -> Rate | None:
    """Spread a volume over the days of a span; None without a span."""
    if span_s <= 0:
        return None
    days = span_s / DAY_S
    gb_a_day = volume.bytes / days / 1e9
    return Rate(volume.events / days, gb_a_day, gb_a_day * MONTH_DAYS)


def resource_name(api_group: str, resource: str, subresource: str) -> str:
    """Name a resource as people do, ``deployments.apps/scale``; of a URI its path."""
    if resource.startswith("/"):
        return resource.partition("?")[0]
    group = f".{api_group}" if api_group else ""
    return f"{resource}{group}{'/' + subresource if subresource else ''}"


def _add(tally: dict[_Name, list[int]], name: _Name, counts: list[int]) -> None:
    total = tally.setdefault(name, [0, 0, 0, 0])
    for place, count in enumerate(counts):
        total[place] += count


def _room(tally: dict[str, list[int]], name: str) -> str:
    return name if name in tally or len(tally) < KEPT_NAMES else OTHERS


def _volumes(counts: list[int]) -> tuple[Volume, Volume]:
    """Give both volumes; counted are the lines' own bytes, and each has a line feed besides."""
    return Volume(counts[0], counts[1] + counts[0]), Volume(counts[2], counts[3] + counts[2])


def _sum(tallies: Iterable[list[int]]) -> tuple[Volume, Volume]:
    return _volumes([sum(column) for column in zip(*tallies, strict=True)] or _NOTHING)


def _shares(tally: dict[str, list[int]]) -> tuple[Share, ...]:
    ordered = sorted(tally.items(), key=lambda item: (-item[1][1], item[0]))
    return tuple(Share(name, *_volumes(counts)) for name, counts in ordered)


def _span(first: str, last: str) -> float:
    try:
        return (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds()
    except (ValueError, TypeError):
        return 0.0
