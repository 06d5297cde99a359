"""Webhook scenarios: what a recorded server posted to its webhook, how it was answered, and what was asked of it.

Everything is taken from what a file holds (flags, kubeconfig, posts and their answers, the server's log): never from
its name. Answers' headers are not recorded, so a Retry-After is concluded from the wait that followed: whole seconds,
where the backoff would have been another time.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from conformance.receiver import Items, Reply, items_of
from conformance.recorded import raw

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Row = dict[str, Any]
Key = tuple[str, str]
"""(audit ID, stage)."""

ATTEMPTS: Final = 5
CALL_LIMIT_S: Final = 30.0
_GROWTH, _JITTER = 1.5, 0.2  # spec §6.6
_SLACK_S: Final = 0.1
"""How much later than it meant to the recorded server, on its busy machine, did what it did: at most 50 ms are seen."""
REFUSED: Final = "failed to store audit event"


@dataclass(frozen=True)
class Post:
    """One recorded request of the server to its webhook."""

    row: Row

    @property
    def at(self) -> float:
        """When it came, in seconds since the scenario's begin."""
        return float(self.row["t"])

    @property
    def line(self) -> str:
        """Its request line."""
        return str(self.row["request_line"])

    @cached_property
    def body(self) -> bytes:
        """What was posted."""
        return raw(self.row.get("body") or "")

    @cached_property
    def items(self) -> Items:
        """Name its events."""
        return items_of(self.body)

    @property
    def status(self) -> int | None:
        """What was answered; None: nothing."""
        answer = self.row.get("answer")
        return answer if isinstance(answer, int) else None

    @property
    def after_s(self) -> float:
        """How long the answer took, as long as somebody waits for it."""
        return float(self.row.get("answered_after") or 0)

    def reply(self, retry_after_s: int | None) -> Reply:
        """Answer as the recorded receiver did."""
        answer = self.row.get("answer")
        hangs = self.status is None and not re.search("clos|reset", str(answer))
        return Reply(self.status, self.after_s, retry_after_s, hangs)


@dataclass(frozen=True)
class Wait:
    """How long after an answer the next attempt has to come."""

    low_s: float
    high_s: float
    base_s: float = 0.0
    """How long the answer was waited for."""
    retry_after_s: int | None = None


@dataclass
class Chain:
    """One batch, and the attempts at it."""

    items: Items
    posts: list[Post] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)
    least: int = 1
    """How many attempts there have to be."""
    most: int = 1
    during_stop: bool = False
    trouble: str = ""
    """Why the recording is not understood."""

    @property
    def first_at(self) -> float | None:
        """When the first attempt came; None: the recorded server made none."""
        return self.posts[0].at if self.posts else None

    @property
    def succeeded(self) -> bool:
        """Whether the last recorded answer was a success."""
        return bool(self.posts) and _success(self.posts[-1].status)

    def reply(self, number: int) -> Reply:
        """Answer attempt `number` (from 0) as the recorded receiver did; past the last one, as the last one."""
        place = min(number, len(self.posts) - 1)
        pairs = zip(self.posts, self.waits, strict=False)
        asked = {post.status: wait.retry_after_s for post, wait in pairs if wait.retry_after_s is not None}
        return self.posts[place].reply(asked.get(self.posts[place].status))

    def following(self, number: int, backoff_s: float) -> Wait:
        """Say how long the wait after attempt `number` (from 0) takes; past the recorded ones, the backoff."""
        if number < len(self.waits):
            return self.waits[number]
        base = min(self.posts[-1].after_s, CALL_LIMIT_S) if self.posts else 0.0
        return Wait(*_backoff(backoff_s, number), base)


@dataclass(frozen=True)
class Loss:
    """Events that the recorded server says it lost."""

    plugin: str
    why: str
    lines: tuple[str, ...]

    @property
    def keys(self) -> list[Key]:
        """Name them."""
        return [(found[1], found[2]) for line in self.lines if (found := re.search(_LEGACY, line))]


_LEGACY: Final = r' AUDIT: id="([^"]*)" stage="(\w+)"'
_LOST: Final = re.compile(r"Error in audit plugin '(\w+)' affecting (\d+) audit events: (.*)")


class Scenario:
    """One recorded scenario."""

    def __init__(self, path: Path) -> None:
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line]
        self.name = path.stem
        self.meta: Row = next(row for row in rows if row["type"] == "meta")
        self.requests: list[Row] = [row for row in rows if row["type"] == "request"]
        self.rows = [Post(row) for row in rows if row["type"] == "post"]
        self.log = [str(row["line"]) for row in rows if row["type"] == "apiserver_log"]
        self.metrics = metrics_of("\n".join(str(row["text"]) for row in rows if row["type"] == "metrics"))
        self.audit_log = next((str(row["text"]) for row in rows if row["type"] == "audit_log"), None)
        self.posts_during_stop = sum(int(row.get("posts_during_stop") or 0) for row in rows if row["type"] == "stop")

    @property
    def target(self) -> str:
        """The request line of every attempt."""
        return self.rows[0].line if self.rows else ""

    @cached_property
    def posts(self) -> list[Post]:
        """The posts that the server made of its own; what it did to follow a redirect is left out."""
        return [post for post in self.rows if post.line == self.target]

    @property
    def redirected(self) -> int:
        """How many requests the server made to follow redirects."""
        return len(self.rows) - len(self.posts)

    @property
    def origin(self) -> float:
        """When the first request was sent."""
        return min((float(row["t"]) for row in self.requests), default=0.0)

    @property
    def horizon(self) -> float | None:
        """When the client of an unanswered request gave up: nothing was recorded past it. None: all were answered."""
        ends = [float(row["t"]) + float(row.get("took") or 0) for row in self.requests if row.get("status") is None]
        return max(ends, default=None)

    def refused(self, row: Row) -> bool:
        """Whether a request was refused because its event was not stored."""
        return row.get("status") == 500 and REFUSED in str(row.get("body"))

    @cached_property
    def losses(self) -> list[Loss]:
        """What the server's log says of lost events."""
        found = []
        for number, line in enumerate(self.log):
            if lost := _LOST.search(line):
                told = self.log[number + 1 : number + 1 + int(lost[2])]
                found.append(Loss(lost[1], lost[3], tuple(told)))
        return found

    @cached_property
    def poison(self) -> set[Key]:
        """The events that the server could not encode; in a batch they are told by being patches that ended."""
        found: set[Key] = set()
        for loss in self._unencodable:
            patches = [line for line in loss.lines if 'method="patch"' in line and 'stage="ResponseComplete"' in line]
            lines = loss.lines if len(loss.lines) == 1 else tuple(patches)
            found.update(Loss(loss.plugin, loss.why, lines).keys)
        return found

    @property
    def _unencodable(self) -> list[Loss]:
        return [loss for loss in self.losses if "MarshalJSON" in loss.why]

    def chains(self, backoff_s: float) -> list[Chain]:
        """Group the posts by their batches, in the order of their first attempts, and find out the waits between."""
        found: dict[Items, Chain] = {}
        stop = self.posts[len(self.posts) - self.posts_during_stop :]
        for post in self.posts:
            chain = found.setdefault(post.items, Chain(post.items, during_stop=post in stop))
            chain.posts.append(post)
        for chain in found.values():
            _understand(chain, backoff_s)
            self._bound(chain, backoff_s)
        return [*found.values(), *self._spoiled()]

    def _spoiled(self) -> list[Chain]:
        """Give the batches that the server lost to an event in them: here the others of each are sent."""
        batches = (tuple(key for key in loss.keys if key not in self.poison) for loss in self._unencodable)
        return [Chain(batch) for batch in batches if batch]

    def _bound(self, chain: Chain, backoff_s: float) -> None:
        """Say how many attempts there have to be: as many as recorded, but for two reasons."""
        chain.least = chain.most = len(chain.posts)
        status = chain.posts[-1].status
        if self.redirected and status is not None and 300 <= status < 400:
            chain.least = chain.most = ATTEMPTS  # the redirect led to a success there, and is a failure here
        elif self.horizon is not None and not chain.succeeded:
            chain.least, chain.most = _within(chain, backoff_s, self.horizon)

    def reason(self) -> str:
        """Say what differs on purpose; empty where nothing does."""
        reasons = []
        if self.redirected:
            reasons.append(f"redirects are not followed: {self.redirected} requests are not made")
        if self.poison:
            told = "only itself" if self._spoiled() else "nothing but itself, and is not tried five times"
            reasons.append(f"an event that cannot be encoded costs {told}")
        return "; ".join(reasons)


def _understand(chain: Chain, backoff_s: float) -> None:
    """Find out of each wait whether it was the backoff or a Retry-After."""
    attempt = 0
    for post, following in pairwise(chain.posts):
        base = min(post.after_s, CALL_LIMIT_S)
        gap = following.at - post.at - base
        low, high = _backoff(backoff_s, attempt)
        seconds = round(gap)
        if low - _SLACK_S / 4 <= gap <= high + _SLACK_S:
            attempt += 1
            chain.waits.append(Wait(low, high, base))
        elif seconds >= 1 and abs(gap - seconds) <= _SLACK_S and _may_be_asked_again(post.status):
            chain.waits.append(Wait(seconds, seconds, base, seconds))
        else:
            chain.trouble = f"the server waited {gap:.3f} s before attempt {attempt + 2}, not {low:g} to {high:g} s"
            chain.waits.append(Wait(gap, gap, base))


def _backoff(first_s: float, attempt: int) -> tuple[float, float]:
    low = first_s * _GROWTH**attempt
    return low, low * (1 + _JITTER)


def _within(chain: Chain, backoff_s: float, horizon: float) -> tuple[int, int]:
    """Count the attempts that must, and that can, have come by `horizon`, when nobody looked any more."""
    early = late = chain.posts[0].at
    least = most = 1
    for attempt in range(ATTEMPTS - 1):
        base = min(chain.posts[-1].after_s, CALL_LIMIT_S)
        low, high = _backoff(backoff_s, attempt)
        early, late = early + base + low, late + base + high
        least += late + _SLACK_S <= horizon
        most += early - _SLACK_S <= horizon
    return least, most


def _may_be_asked_again(status: int | None) -> bool:
    return status is not None and (status == 429 or status >= 500)


def _success(status: int | None) -> bool:
    return status == 101 or (status is not None and 200 <= status <= 206)


def metrics_of(text: str) -> dict[str, int]:
    """Read the audit metrics: ``error_total/webhook``, ``event_total``, ``requests_rejected_total``."""
    found: dict[str, int] = {}
    for line in text.splitlines():
        series = re.match(r'apiserver_audit_(\w+)(?:\{plugin="(\w+)"\})? (\d+)', line)
        if series:
            found[series[1] + (f"/{series[2]}" if series[2] else "")] = int(series[3])
    return found


def errors_of(metrics: dict[str, int]) -> dict[str, int]:
    """Give the lost events by plugin."""
    prefix = "error_total/"
    return {name.removeprefix(prefix): count for name, count in metrics.items() if name.startswith(prefix)}


def legacy_groups(lines: Sequence[str], user: str) -> tuple[str, ...]:
    """Read a user's groups from legacy lines of the server's log."""
    for line in lines:
        found = re.search(r' user="([^"]*)" groups="((?:\\.|[^"\\])*)"', line)
        if found and found[1] == user and found[2] != "<none>":
            return tuple(json.loads("[" + json.loads(f'"{found[2]}"') + "]"))
    return ()
