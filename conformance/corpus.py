"""The recorded corpus: each request of a run goes through resolve → decide → Recording with its recorded answer.

What comes out is held against the lines that the real server wrote: stages, their number and order, and every field but
timestamps and annotations. A field that no recorder can derive is excepted by the (case, field) pairs that stand in
identities.json beside the runs; everything else of such an event still has to be equal.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw

from conformance.recorded import Row, Run, headers, raw, response_header
from conformance.tally import Tally
from decklog.audit.attributes import Attributes, ResolveError, deadline_problem, resolve
from decklog.audit.event import Stage, User
from decklog.audit.headers import origin
from decklog.audit.impersonation import NoUserError, effective, requested
from decklog.audit.legacy import legacy_line
from decklog.audit.wire import encode_event
from decklog.metrics import AuditCounters
from decklog.policy.evaluator import Evaluator
from decklog.policy.reader import load
from decklog.recorder.answers import Answer, hijacked
from decklog.recorder.impersonation import constrained
from decklog.recorder.options import RecorderOptions
from decklog.recorder.recording import Recorder, Recording
from decklog.recorder.submitted import Submitted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from decklog.audit.decision import Decision
    from decklog.audit.event import Event

_LEFT_OUT = frozenset({"requestReceivedTimestamp", "stageTimestamp", "annotations"})


def run(folder: Path) -> Tally:
    """Replay one run through the recorder."""
    recorded = Run(folder)
    decide = policy_of(recorded)
    options = options_of(recorded)
    replay = Replay(recorded, Tally(folder.name, unit="events"))
    for row in recorded.rows:
        replay.hold(row, _Door(recorded, row, options).events(decide))
    return replay.tally


def policy_of(run: Run) -> Callable[[Attributes, User | None], Decision]:
    """Give what decides as the run's server did."""
    return Evaluator(load(str(run.folder / "policy.yaml"), lenient=True, kubernetes="1.36").policy).decide


def options_of(run: Run) -> RecorderOptions:
    """Give what the recorder has to know of the run's server."""
    return RecorderOptions(aggregated_groups=frozenset(run.identities.get("aggregated_groups", ())))


@dataclass
class Replay:
    """Holds events against the lines that a run's server wrote, row by row in their order."""

    run: Run
    tally: Tally
    used: dict[str, int] = field(default_factory=dict)
    """Requests seen under an audit ID: clients reuse them."""
    unseen: dict[str, str] = field(default_factory=dict)
    """Fields that this replay cannot know, and why, besides what the run excepts."""

    def hold(self, row: Row, events: list[Event]) -> None:
        """Hold the events of one row against the server's."""
        self._compare(self.tally, row, events, self._expected(row))

    def except_row(self, row: Row, why: str) -> None:
        """Leave a row out that this replay cannot send."""
        for line in self._expected(row):
            del line
            self.tally.excused(f"{row['seq']} {row['case']}", why)

    def _expected(self, row: Row) -> list[bytes]:
        """Give the server's lines for a row; where an audit ID was reused, those of this request."""
        lines = [self.run.lines[number] for number in row["event_lines"]]
        if not lines:
            return lines
        times = sorted({_received(line) for line in lines})
        turn = self.used.get(row["auditID"], 0)
        self.used[row["auditID"]] = turn + 1
        return [line for line in lines if _received(line) == times[min(turn, len(times) - 1)]]

    def _compare(self, tally: Tally, row: Row, events: list[Event], expected: list[bytes]) -> None:
        surplus = _surplus(row, events, expected, legacy=self.run.legacy)
        ours = events[: len(events) - surplus]
        label = f"{row['seq']} {row['case']}"
        if len(ours) != len(expected):
            stages = [str(event.stage) for event in ours]
            tally.failed(label, f"{stages} for {len(expected)} events")
            return
        for event, line in zip(ours, expected, strict=True):
            why, excuse = self._differs(row, event, line)
            if why:
                tally.failed(f"{label} {event.stage}", why)
            elif excuse:
                tally.excused(f"{label} {event.stage}", excuse)
            else:
                tally.passed()

    def _differs(self, row: Row, event: Event, line: bytes) -> tuple[str, str]:
        """Compare one event: (what differs, the reason why a difference is excepted)."""
        if self.run.legacy:
            return self._differs_legacy(row, event, line)
        ours, theirs = _members(encode_event(event)), _members(line)
        excuses = []
        for name in dict.fromkeys([*theirs, *ours]):
            if name in _LEFT_OUT:
                continue
            why = self._field(row, name, ours.get(name), theirs.get(name))
            if why:
                excuse = self._excuse(row, name, ours.get(name), theirs.get(name))
                if excuse is None:
                    return f"{name}: {why}", ""
                excuses.append(excuse)
        order = [name for name in ours if name in theirs]
        if order != [name for name in theirs if name in ours]:
            return f"key order {order}", ""
        return "", "; ".join(dict.fromkeys(excuses))

    def _field(self, row: Row, name: str, ours: bytes | None, theirs: bytes | None) -> str:
        if name == "requestObject" and row["method"] != "PATCH" and ours is not None and theirs is not None:
            return (
                ""
                if row["case"] in self.run.not_contained or _contains(theirs, ours)
                else f"{ours[:200]!r} not in {theirs[:200]!r}"
            )
        if name == "user" and row["identity"] == "sa":
            ours, theirs = _without_extra(ours), _without_extra(theirs)
        return "" if ours == theirs else f"{_short(ours, theirs)} but the server wrote {_short(theirs, ours)}"

    def _excuse(self, row: Row, name: str, ours: bytes | None, theirs: bytes | None) -> str | None:
        for exception in self.run.exceptions.get(row["case"], ()):
            for path in exception.fields:
                top, _, inner = path.partition(".")
                if top != name:
                    continue
                if inner and _without(ours, inner) != _without(theirs, inner):
                    continue
                if exception.compare.startswith("as JSON") and json.loads(ours or b"null") != json.loads(
                    theirs or b"null"
                ):
                    continue
                return exception.reason
        return self.unseen.get(name)

    def _differs_legacy(self, row: Row, event: Event, line: bytes) -> tuple[str, str]:
        ours = legacy_line(event).rstrip(b"\n").partition(b" AUDIT: ")[2]
        theirs = line.partition(b" AUDIT: ")[2]
        if ours == theirs:
            return "", ""
        exceptions = self.run.exceptions.get(row["case"], ())
        cut = [part.partition(b' response="')[0] for part in (ours, theirs)]
        if exceptions and cut[0] == cut[1]:
            return "", exceptions[0].reason
        unseen = self.unseen.get("impersonatedUser")
        if unseen and _without_groups(ours) == _without_groups(theirs):
            return "", unseen
        return f"{ours!r} but the server wrote {theirs!r}", ""


@dataclass
class _Door:
    """What a door does for one recorded request: it tells the recorder what went over the wire."""

    run: Run
    row: Row
    options: RecorderOptions

    def events(self, decide: Any) -> list[Event]:
        row = self.row
        target = raw(row["path"])
        if row["auditID"] is None and not row["event_lines"] and not self._answer_has_id():
            return []  # refused by the HTTP server, before any filter
        try:
            attributes = resolve(row["method"], target)
        except ResolveError:
            return []
        early = deadline_problem(attributes, target) is not None
        user = None if early else self.run.user(row)
        recording = self._recording(decide, attributes, user)
        answer = self._answer()
        if user is None:
            event = recording.unauthenticated(answer) if answer else None
            return [event] if event is not None else []
        return self._life(recording, user, answer)

    def _answer_has_id(self) -> bool:
        return bool(response_header(self.row, "audit-id"))

    def _recording(self, decide: Any, attributes: Attributes, user: User | None) -> Recording:
        pairs = headers(self.row)
        peer = self.run.identities.get("peer", "127.0.0.1")
        identity, addresses, agent = origin(pairs, peer, lambda: self.row["auditID"] or "")
        recorder = Recorder(lambda: 0, AuditCounters(), self.options)
        return recorder.open(attributes, decide(attributes, user), user, identity, addresses, agent)

    def _answer(self) -> Answer | None:
        response = self.row.get("response") or {}
        code = response.get("status")
        if code is None:
            return None
        body = self.run.body(self.row, "response")
        upgrade = any(name == b"upgrade" for name, _ in headers(self.row))
        code = hijacked(code, upgrade=upgrade, audit_id_echoed=self._answer_has_id())
        return Answer(
            code,
            response_header(self.row, "content-type"),
            body.data,
            response_header(self.row, "content-encoding"),
            body.cut,
        )

    def _submitted(self) -> Submitted:
        body = self.run.body(self.row, "request")
        pairs = dict(headers(self.row))
        declared = int(pairs.get(b"content-length", b"0") or 0)
        return Submitted(
            pairs.get(b"content-type", b"").decode("latin-1"),
            body.data,
            pairs.get(b"content-encoding", b"").decode("latin-1"),
            body.cut,
            whole=declared <= body.length,
        )

    def _life(self, recording: Recording, user: User, answer: Answer | None) -> list[Event]:
        events = [recording.received()]
        asked = self._asked()
        if asked is not None:
            recording.impersonated(*self._as_authorised(effective(asked)))
        submitted = self._submitted()
        if answer is None and self.row.get("client_error"):
            events.append(recording.panicked("", submitted))
        elif answer is None:
            events.extend(recording.completed(Answer(500), submitted))
        else:
            events.append(recording.started(answer.code))
            events.extend(recording.completed(answer, submitted))
        del user
        return [event for event in events if event is not None]

    def _asked(self) -> User | None:
        try:
            return requested(headers(self.row))
        except NoUserError:  # the recorded answer says so, too: nobody is impersonated
            return None

    def _as_authorised(self, asked: User) -> tuple[User, str]:
        identity = self.run.identities["identities"].get(self.row["identity"], {})
        if identity.get("impersonation") == "constrained":
            return constrained(asked)
        return asked, ""


_AS_GROUPS = re.compile(rb' asgroups="(?:[^"\\]|\\.)*"')


def _without_groups(line: bytes) -> bytes:
    return _AS_GROUPS.sub(b"", line)


_RECEIVED = re.compile(rb'"requestReceivedTimestamp":"([^"]+)"|^(\S+) AUDIT:')


def _received(line: bytes) -> bytes:
    found = _RECEIVED.search(line)
    return (found[1] or found[2]) if found else b""


def _surplus(row: Row, events: list[Event], expected: list[bytes], *, legacy: bool) -> int:
    """1 for the ResponseComplete of a patch that is not JSON: 1.36 loses it, we write it."""
    if legacy or row["method"] != "PATCH" or len(events) != len(expected) + 1:
        return 0
    try:
        json.loads((row.get("body") or {}).get("text", ""))
    except ValueError:
        return int(events[-1].stage is Stage.RESPONSE_COMPLETE)
    return 0


def _members(line: bytes) -> dict[str, bytes]:
    return {name: bytes(value) for name, value in msgspec.json.decode(line, type=dict[str, Raw]).items()}


def _without_extra(user: bytes | None) -> bytes | None:
    return _without(user, "extra")


def _without(value: bytes | None, key: str) -> bytes | None:
    if value is None:
        return None
    members = _members(value)
    members.pop(key, None)
    return repr(members).encode()


def _short(value: bytes | None, other: bytes | None) -> str:
    """Show where two values part."""
    if value is None:
        return "nothing"
    at = 0
    for at, (left, right) in enumerate(zip(value, other or b"", strict=False)):  # noqa: B007  # because: the place is what we want
        if left != right:
            break
    start = max(0, at - 60)
    return ("…" if start else "") + repr(value[start : at + 160])


_EMPTY: tuple[Any, ...] = (None, "", {}, [], 0, False)


def _contains(whole: bytes, part: bytes) -> bool:
    return _held(json.loads(part.decode("utf-8", "replace")), json.loads(whole.decode("utf-8", "replace")))


def _held(part: Any, whole: Any) -> bool:
    """Whether what was submitted is contained in what the server recorded; empty values may be gone."""
    if part in _EMPTY and whole in _EMPTY:
        return True
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(_held(value, whole.get(key)) for key, value in part.items())
    if isinstance(part, list):
        return isinstance(whole, list) and len(part) == len(whole) and all(map(_held, part, whole))
    return bool(part == whole)
