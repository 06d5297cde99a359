"""Feed: the events of a recorded webhook scenario, request by request, and when each was made.

An event is the recorded one, byte for byte, wherever it stands in a post or in the log; what was lost is made anew by
the Recorder from the request and its answer. What truncation took away, it is given again, so that it can be taken.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from msgspec import Raw, structs

from conformance.recorded import raw
from conformance.webhook_scenario import legacy_groups
from decklog.audit.attributes import resolve
from decklog.audit.event import NO_OBJECT, Event, Stage, User
from decklog.audit.times import nanoseconds
from decklog.audit.wire import WireError, decode_event, split_list
from decklog.metrics import AuditCounters
from decklog.policy.evaluator import Evaluator
from decklog.policy.reader import load
from decklog.recorder.answers import Answer
from decklog.recorder.recording import Recorder

if TYPE_CHECKING:
    from pathlib import Path

    from conformance.webhook_scenario import Key, Scenario
    from decklog.config import AuditOptions

Row = dict[str, Any]
TRUNCATED: Final = "audit.k8s.io/truncated"
_ORDER: Final = {stage: place for place, stage in enumerate(Stage)}
_WRITES: Final = ("create", "update", "patch")


@dataclass
class Turn:
    """One request: its events, in order."""

    row: Row
    events: list[Event] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    """Seconds between the moment when an event's predecessor was dealt with and the event itself."""
    after: int | None = None
    """The turn whose end this one waited for; None: it came by the clock."""
    delay_s: float = 0.0
    """How long after that."""

    @property
    def at(self) -> float:
        """When it began."""
        return float(self.row["t"])

    @property
    def ended_at(self) -> float:
        """When its client had the answer."""
        return self.at + float(self.row.get("took") or 0)


class Feed:
    """All requests of a scenario."""

    def __init__(self, scenario: Scenario, options: AuditOptions, policy_file: Path) -> None:
        self._scenario = scenario
        self._options = options
        policy_file.write_text(scenario.meta["policy"], "utf-8")
        self._decide = Evaluator(load(str(policy_file), lenient=True).policy).decide
        self._recorded = _recorded(scenario)
        self._known = self._audit_ids()
        self.turns = [self._turn(row, number) for number, row in enumerate(scenario.requests)]
        self._chain_up()

    def _audit_ids(self) -> dict[int, str]:
        """Find the audit ID of every request; one that got no answer is found by what was asked."""
        found = {}
        for number, row in enumerate(self._scenario.requests):
            headers = row.get("headers") or ()
            found[number] = next((value for name, value in headers if name.lower() == "audit-id"), "")
        free = {key[0]: event for key, event in self._recorded.items() if key[0] not in found.values()}
        for number, row in enumerate(self._scenario.requests):
            if not found[number]:
                path = row["path"]
                found[number] = next(
                    (key for key, event in free.items() if event.request_uri == path), f"lost-{number}"
                )
                free.pop(found[number], None)
        return found

    def _turn(self, row: Row, number: int) -> Turn:
        turn = Turn(row)
        for event in self._life(row, self._known[number]):
            turn.pauses.append(self._pause(turn.events[-1], event) if turn.events else 0.0)
            turn.events.append(event)
        return turn

    def _life(self, row: Row, audit_id: str) -> list[Event]:
        """Give a request's events: what the Recorder makes of it, each replaced by the recorded one if there is one."""
        made = self._made(row, audit_id)
        events = []
        for event in made:
            key = (event.audit_id, str(event.stage))
            recorded = self._recorded.get(key)
            whole = self._whole(recorded, event) if recorded is not None else event
            events.append(structs.replace(whole, request_object=_no_json()) if key in self._scenario.poison else whole)
        return events

    def _made(self, row: Row, audit_id: str) -> list[Event]:
        attributes = resolve(row["method"], raw(row["path"]))
        user = self._user(row["who"])
        sample = next(iter(self._recorded.values()), None)
        agent, addresses = (sample.user_agent, sample.source_ips) if sample is not None else ("", ())
        recorder = Recorder(lambda: 0, AuditCounters(), self._options.recorder)
        recording = recorder.open(attributes, self._decide(attributes, user), user, audit_id, addresses, agent)
        received = recording.received()
        answer = _answer(row)
        started = recording.started(answer.code)
        completed = recording.completed(answer)
        return [event for event in (received, started, *completed) if event is not None]

    def _user(self, name: str) -> User:
        for event in self._recorded.values():
            if event.user.username == name:
                return event.user
        return User(name, groups=legacy_groups(self._scenario.log, name))

    def _whole(self, recorded: Event, made: Event) -> Event:
        """Give back the objects that truncation took; what only the recording's shortness hides is made up."""
        bodies = recorded.request_object is not NO_OBJECT or recorded.response_object is not NO_OBJECT
        if TRUNCATED not in recorded.annotations:
            return recorded
        notes = {key: value for key, value in recorded.annotations.items() if key != TRUNCATED}
        if bodies:
            return structs.replace(recorded, annotations=notes)  # the mark leaked from another backend
        limit = self._options.webhook.truncate_max_event_size
        body = made.response_object
        if len(bytes(body)) <= limit:
            body = Raw(json.dumps({"kind": "Large", "pad": "x" * limit}, separators=(",", ":")).encode())
        request = body if recorded.verb in _WRITES else NO_OBJECT
        return structs.replace(recorded, annotations=notes, request_object=request, response_object=body)

    def _pause(self, before: Event, event: Event) -> float:
        """Say how long the server's handler took between two stages; what the backend made it wait is left out."""
        earlier, later = ((one.audit_id, str(one.stage)) for one in (before, event))
        if self._options.webhook.mode == "batch":
            if earlier not in self._recorded or later not in self._recorded:
                return 0.0  # of an event that was made anew the time is not known
            return max(0.0, (_stage_ns(event) - _stage_ns(before)) / 1e9)
        ends = [post.at + post.after_s for post in self._scenario.posts if earlier in post.items]
        begins = [post.at for post in self._scenario.posts if later in post.items]
        return max(0.0, min(begins) - max(ends)) if ends and begins else 0.0

    def timetable(self) -> list[tuple[float, Event]]:
        """Give every event with its time in seconds since the first request, for a mode in which nobody waits.

        The order is that in which the server had them in its queue, which its batches show to the microsecond.
        """
        dated = sorted(self._dated(), key=lambda pair: pair[0])
        place = {(event.audit_id, str(event.stage)): number for number, (_, event) in enumerate(dated)}
        batches = {post.items: None for post in self._scenario.posts}
        known = [[key for key in batch if key in place] for batch in batches]
        in_order = sorted((batch for batch in known if batch), key=lambda batch: min(place[key] for key in batch))
        queue = [key for batch in in_order for key in batch]
        slots = sorted(place[key] for key in queue)
        events = [event for _, event in dated]
        for slot, key in zip(slots, queue, strict=True):
            events[slot] = dated[place[key]][1]
        return [(at, event) for (at, _), event in zip(dated, events, strict=True)]

    def _dated(self) -> list[tuple[float, Event]]:
        found = []
        for turn in self.turns:
            at = turn.at - self._scenario.origin
            for event, pause_s in zip(turn.events, turn.pauses, strict=True):
                at += pause_s
                found.append((at, event))
        return found

    def _chain_up(self) -> None:
        """Find out which request waited for which: where events are waited for, delays add up as they did there."""
        for turn in self.turns:
            turn.delay_s = turn.at - self._scenario.origin
            over = [place for place, other in enumerate(self.turns) if other.ended_at <= turn.at + 0.002]
            if over:
                turn.after = max(over, key=lambda place: self.turns[place].ended_at)
                turn.delay_s = max(0.0, turn.at - self.turns[turn.after].ended_at)


def _no_json() -> Any:
    """Make a request object that no encoder takes, as bytes that are no JSON were none to the recorded server."""
    return object()


def _recorded(scenario: Scenario) -> dict[Key, Event]:
    """Collect every event that was written or posted; the log's, which nothing has truncated, go first."""
    items = [item for post in scenario.posts for item in _items(post.body)]
    lines = [raw(line) for line in (scenario.audit_log or "").splitlines() if line]
    found: dict[Key, Event] = {}
    for data in (*lines, *items):
        event = decode_event(data)
        found.setdefault((event.audit_id, str(event.stage)), event)
    return dict(sorted(found.items(), key=lambda pair: _ORDER.get(Stage(pair[0][1]), 9)))


def _items(body: bytes) -> tuple[bytes, ...]:
    try:
        return split_list(body)
    except WireError:
        return ()


def _answer(row: Row) -> Answer:
    headers = {name.lower(): value for name, value in row.get("headers") or ()}
    return Answer(row.get("status") or 200, headers.get("content-type", ""), raw(row.get("body") or ""))


def _stage_ns(event: Event) -> int:
    return nanoseconds(event.stage_timestamp) if event.stage_timestamp else 0
