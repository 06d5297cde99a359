"""The golden files: lifecycle-golden.jsonl (the filter chain) and body-recording-golden.jsonl (the real handlers).

Each row says in words what handler and authorizer did; `_Handler` reads these words and does the same to a Recording,
as a door in front of that server would have told it. Answers that the rows do not hold are written here from spec §5.7.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from conformance.recorded import raw
from conformance.tally import Tally
from decklog.audit import documents
from decklog.audit.attributes import Attributes, deadline_problem, resolve
from decklog.audit.decision import Decision
from decklog.audit.event import Level, Stage, User
from decklog.audit.headers import authentication_attempts, origin
from decklog.audit.impersonation import NoUserError, effective, requested
from decklog.audit.target import ResolveError
from decklog.audit.wire import encode_event
from decklog.metrics import AuditCounters
from decklog.recorder.answers import Answer, accepts_objects
from decklog.recorder.impersonation import constrained
from decklog.recorder.recording import Recorder, Recording
from decklog.recorder.submitted import Submitted
from decklog.testing import FixedClock

if TYPE_CHECKING:
    from pathlib import Path

    from decklog.audit.event import Event

Row = dict[str, Any]

_TIMES = ("requestReceivedTimestamp", "stageTimestamp", "kind", "apiVersion")


class NotToldError(Exception):
    """The row's words are not understood."""


def lifecycle(path: Path) -> Tally:
    """Run lifecycle-golden.jsonl."""
    tally = Tally("lifecycle-golden")
    for row in _rows(path):
        try:
            events = [_plain(event) for event in _events(row)]
        except Exception as error:  # noqa: BLE001  # because: one row must not hide what the others tell
            tally.failed(row["name"], f"{type(error).__name__}: {error}")
            continue
        expected = [_masked(event) for event in row["events"]]
        ours = [_masked(event) for event in events]
        if ours == expected:
            tally.passed()
        else:
            tally.failed(row["name"], f"{ours} but the server wrote {expected}")
    return tally


def _events(row: Row) -> list[Event]:
    """Replay a row; a request that the server cannot resolve leaves no event."""
    try:
        scene = _Scene(row)
    except ResolveError:
        return []
    return scene.events()


def _rows(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line]


def _plain(event: Event) -> Row:
    decoded: Row = json.loads(encode_event(event))
    return {key: value for key, value in decoded.items() if key not in _TIMES}


def _masked(event: Row) -> Row:
    """Leave out what differs from run to run: generated ids and durations."""
    shown = dict(event)
    if re.fullmatch(r"<uuid4>|[0-9a-f]{8}-[0-9a-f-]{27}", shown.get("auditID", "")):
        shown["auditID"] = "<uuid4>"
    if "annotations" in shown:
        shown["annotations"] = {
            key: "<duration>" if key.startswith("apiserver.latency.k8s.io/") else value
            for key, value in shown["annotations"].items()
        }
    return shown


@dataclass
class _Request:
    """A row's request, given as fields or as the raw head."""

    method: str
    target: bytes
    headers: list[tuple[bytes, bytes]]

    @classmethod
    def of(cls, row: Row) -> _Request:
        request = row["request"]
        if "raw" in request:
            return cls._parsed(raw(request["raw"]))
        given: dict[str, list[str]] = request["headers"]
        pairs = [(raw(name.lower()), raw(value)) for name, values in given.items() for value in values]
        if not any(name == b"user-agent" for name, _ in pairs):
            pairs.append((b"user-agent", b"h/1"))
        return cls(request["method"], raw(request["path"]), pairs)

    @classmethod
    def _parsed(cls, head: bytes) -> _Request:
        first, *lines = head.split(b"\r\n\r\n")[0].split(b"\r\n")
        method, _, rest = first.partition(b" ")
        pairs = [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
        return cls(method.decode(), rest.rpartition(b" HTTP/")[0], pairs)


class _Scene:
    """One row: what its chain of filters did, told to a Recording."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.config = row["config"]
        self.request = _Request.of(row)
        self.attributes = resolve(self.request.method, self.request.target)
        self.clock = FixedClock()
        first = row["events"][0] if row["events"] else {}
        self.user = _user(first.get("user") or {"username": "admin", "groups": ["system:masters"]})

    def events(self) -> list[Event]:
        known = self.config["authenticated"]
        early = deadline_problem(self.attributes, self.request.target)
        recording = self._recording(self.user if known and not early else None)
        if early or not known:
            answer = self._refusal(early)
            event = recording.unauthenticated(answer, "" if early else self._attempted())
            return [event] if event is not None else []
        return [event for event in self._life(recording) if event is not None]

    def _recording(self, user: User | None) -> Recording:
        level = Level(self.config["level"])
        omitted = frozenset(self.config["omitStages"] or ())
        decision = Decision(level, omitted, omit_managed_fields=False)
        told = origin(self.request.headers, "127.0.0.1", lambda: "00000000-0000-4000-8000-000000000000")
        return Recorder(self.clock, AuditCounters()).open(self.attributes, decision, user, *told)

    def _attempted(self) -> str:
        return authentication_attempts(self.request.headers, self.request.target, certificate=False)

    def _refusal(self, early: str | None) -> Answer:
        if early:
            return _status(400, "BadRequest", early)
        accept = dict(self.request.headers).get(b"accept", b"").decode()
        return replace(_status(401, "Unauthorized", "Unauthorized"), negotiated=accepts_objects(accept))

    def _life(self, recording: Recording) -> list[Event | None]:
        received = recording.received()
        if self.config["sinkFailsAtStage"] == "RequestReceived" and received is not None:
            return [received] if self.row["events"] else []
        try:
            asked = requested(self.request.headers)
        except NoUserError:
            text = f"requested [{self._references()}] without impersonating a user"
            return [received, *recording.completed(_status(400, "BadRequest", text))]
        refusal = self._impersonation_refused(asked)
        if refusal is not None:
            return [received, *recording.completed(refusal)]
        if asked is not None:
            recording.impersonated(*self._as_authorised(effective(asked)))
        actor = asked.username if asked is not None else self.user.username
        refusal = self._authorization(recording, actor)
        if refusal is not None:
            return [received, *recording.completed(refusal)]
        return [received, *_Handler(self, recording).events()]

    def _as_authorised(self, asked: User) -> tuple[User, str]:
        if not self.config["constrainedImpersonation"] or "refuses impersonate:*" in self.row["authorizer"]:
            return asked, ""
        return constrained(asked)

    def _impersonation_refused(self, asked: User | None) -> Answer | None:
        if asked is None or "refuses the impersonate verb" not in self.row["authorizer"]:
            return None
        reason = _reason(self.row["authorizer"])
        message = (
            f'users "{asked.username}" is forbidden: User "{self.user.username}" cannot impersonate resource "users" '
            f'in API group "" at the cluster scope{": " if reason else ""}{reason}'
        )
        return _status(403, "Forbidden", message, name=asked.username, kind="users")

    def _references(self) -> str:
        """Print what is impersonated as the server does: known of groups; nothing says how it prints uid and extra."""
        pairs = [(name.decode(), value.decode()) for name, value in self.request.headers]
        unknown = {name for name, _ in pairs if name.startswith(("impersonate-uid", "impersonate-extra-"))}
        if unknown:
            raise NotToldError(f"how the server refuses {sorted(unknown)} without a user")
        return " ".join(f"{{Group  {value}    }}" for name, value in pairs if name == "impersonate-group")

    def _authorization(self, recording: Recording, actor: str) -> Answer | None:
        words = self.row["authorizer"].removeprefix("authorizer: ")
        reason = _reason(words)
        if "error '" in words and not words.startswith("allow"):
            recording.annotate("authorization.k8s.io/reason", "internal error")
            return Answer(500, "text/plain", b"Internal Server Error")
        if words.startswith("allow") or "allows everything else" in words or "refuses the" in words:
            recording.annotate("authorization.k8s.io/decision", "allow")
            recording.annotate("authorization.k8s.io/reason", reason if words.startswith("allow") else "")
            return None
        if not ("deny" in words or "no opinion" in words):
            raise NotToldError(f"authorizer: {words}")
        recording.annotate("authorization.k8s.io/decision", "forbid")
        recording.annotate("authorization.k8s.io/reason", reason)
        return _forbidden(self.attributes, actor, reason)


def _reason(words: str) -> str:
    """Read the authorizer's reason, which may have apostrophes of its own."""
    found = re.search(r"reason '(.*?)'(?=$|, (?:error|allows)\b)", words)
    return found[1] if found else ""


class _Handler:
    """Does what the row's words say that the handler did."""

    def __init__(self, scene: _Scene, recording: Recording) -> None:
        self.scene = scene
        self.recording = recording
        self.words = scene.row["handler"]

    def events(self) -> list[Event | None]:
        words = self.words
        if not words.startswith(("handler ", "deadline ")):
            raise NotToldError(f"handler: {words}")
        slept = re.search(r"sleeps (\d+) ms", words)
        if slept:
            self.scene.clock.advance(int(slept[1]) / 1000)
            for part in ("authentication", "authorization", "response-write"):
                self.recording.latency(part, 1)
        answer = self._answer()
        started = self.recording.started(answer.code) if answer is not None else None
        panicked = re.search(r"panics?(?: with|:) (?:an? |the )?(?:(?:string|error|int|number|value) )?(.+)$", words)
        if panicked:
            return [started, self.recording.panicked(_panic(panicked[1]))]
        return [started, *self.recording.completed(answer)]

    def _answer(self) -> Answer | None:
        """Give the first code that the handler wrote: later ones are ignored (spec §5.3)."""
        words = self.words
        if "takes over the connection" in words or "hijack" in words:
            return Answer(101)
        verb = r"(?:sends?|writes?|returns?|responds?|answers?)(?: with)?(?: an informational| an?)?"
        code = re.search(rf"(?:{verb}(?: header| status| code)?(?: code)? |WriteHeader\()(\d{{3}})\b", words)
        if code:
            return Answer(int(code[1]))
        if re.search(r"(?<!without )writ(es|ing)(?! nothing)", words):
            return Answer(200, "text/plain", b"ok")
        if "panics" in words or "returns" in words or "flush" in words.lower() or "nothing" in words:
            return None
        raise NotToldError(f"handler: {words}")


def _panic(words: str) -> str:
    """Give the text of a panic's value."""
    text = words.strip("\"'")
    return "net/http: abort Handler" if text == "http.ErrAbortHandler" else text


def _user(fields: Row) -> User:
    extra: dict[str, tuple[str, ...] | None] = {
        key: tuple(values) for key, values in (fields.get("extra") or {}).items()
    }
    return User(fields.get("username", ""), fields.get("uid", ""), tuple(fields.get("groups") or ()), extra)


def _forbidden(attributes: Attributes, actor: str, reason: str) -> Answer:
    """Write the authorizer's 403 (spec §5.7)."""
    name, resource = attributes.name, attributes.resource
    group = f".{attributes.api_group}" if attributes.api_group else ""
    what = f'{resource}{group} "{name}"' if name else resource + group
    if not attributes.resource_request:
        text = f'forbidden: User "{actor}" cannot {attributes.verb} path "{attributes.path}"'
    else:
        full = f"{resource}/{attributes.subresource}" if attributes.subresource else resource
        where = f'in the namespace "{attributes.namespace}"' if attributes.namespace else "at the cluster scope"
        scope = f'in API group "{attributes.api_group}" {where}'
        text = f'{what} is forbidden: User "{actor}" cannot {attributes.verb} resource "{full}" {scope}'
    details = {"name": name, "group": attributes.api_group, "kind": resource}
    return _status(403, "Forbidden", f"{text}: {reason}" if reason else text, **details)


def _status(code: int, reason: str, message: str, **details: str) -> Answer:
    body: Row = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
    }
    told = {key: value for key, value in details.items() if value}
    if details:
        body["details"] = told
    body["code"] = code
    return Answer(code, "application/json", json.dumps(body).encode())


def bodies(path: Path) -> Tally:
    """Run body-recording-golden.jsonl.

    The rows hold no answers, so the answer to a request is taken from the events of its fullest row (RequestResponse,
    managed fields kept): what is judged is which of it each level keeps, and what becomes of the request's body.
    """
    tally = Tally("body-recording-golden")
    rows = _rows(path)
    answers = {row["name"]: row for row in sorted(rows, key=_fullness)}
    for row in rows:
        why = _needs_schemas(row)
        if why:
            tally.excused(f"{row['name']} {row['level']}", why)
            continue
        ours = [_masked(event) for event in _recorded(row, answers[row["name"]])]
        expected = [_masked(event) for event in row["events"]]
        if _only_judged(ours) == _only_judged(expected):
            tally.passed()
        else:
            tally.failed(f"{row['name']} {row['level']}", f"{ours} but the server wrote {expected}")
    return tally


def _fullness(row: Row) -> tuple[bool, bool]:
    return row["level"] == "RequestResponse", not row["omitManagedFields"]


def _only_judged(events: list[Row]) -> list[Row]:
    return [
        {key: value for key, value in event.items() if key not in {"auditID", "sourceIPs", "userAgent", "annotations"}}
        for event in events
    ]


def _needs_schemas(row: Row) -> str:
    """Say why a row needs the server's own types: its recorded object is not the submitted one."""
    for event in row["events"]:
        recorded = event.get("requestObject")
        if recorded is None or row["request"]["method"] == "PATCH":
            continue
        submitted = _loaded(row["request"]["body"])
        if row["request"]["method"] == "DELETE":
            continue
        gone = _paths(submitted) - _paths(recorded)
        added = _paths(recorded) - _paths(submitted)
        if gone or added:
            return f"the server's types drop {sorted(gone)} and add {sorted(added)}"
    return ""


def _loaded(body: str) -> Any:
    try:
        return documents.load(body.encode())  # JSON is YAML
    except ValueError:
        return None


def _paths(value: Any, path: str = "") -> set[str]:
    if not isinstance(value, dict):
        return {path}
    return {inner for key, item in value.items() for inner in _paths(item, f"{path}.{key}")}


def _recorded(row: Row, fullest: Row) -> list[Row]:
    request = row["request"]
    attributes = resolve(request["method"], raw(request["path"]))
    omitted = frozenset({Stage.REQUEST_RECEIVED})
    decision = Decision(Level(row["level"]), omitted, omit_managed_fields=row["omitManagedFields"])
    recording = Recorder(FixedClock(), AuditCounters()).open(attributes, decision, None, "")
    answer = _answer_of(row, fullest)
    submitted = Submitted(request["contentType"], raw(request["body"]))
    events = [recording.received(), recording.started(answer.code), *recording.completed(answer, submitted)]
    return [_plain(event) for event in events if event is not None]


def _answer_of(row: Row, fullest: Row) -> Answer:
    last = fullest["events"][-1]
    rendered = last.get("responseObject")
    status = last["responseStatus"]
    if rendered is None and status.get("message"):
        rendered = {"kind": "Status", "apiVersion": "v1", **status}
    body = json.dumps(rendered).encode() if rendered is not None else b""
    return Answer(row["clientStatus"], "application/json" if body else "text/plain", body)
