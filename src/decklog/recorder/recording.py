"""Recording: one request's life, stage by stage. It is told what happens and answers with the events to send.

| told | events |
|---|---|
| `received()` | RequestReceived |
| `started(answer)` | ResponseStarted, for long-running requests, once |
| `completed(answer, submitted)` | ResponseComplete; before it ResponseStarted, if that is still owed |
| `owed(answer)` | ResponseStarted of a long-running request, if its answer had begun with an error; before `panicked` |
| `panicked(text)` | Panic |
| `unauthenticated(answer)` | ResponseStarted, whatever the request (spec §5.7); nothing before or after |

A stage that the policy omits, and every stage at level None, is no event. What was told of one stage is kept for the
next ones. A Recording belongs to one request and one task: it is not shared, and needs no lock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from decklog.audit.event import NO_OBJECT, AuthenticationMetadata, Event, Level, ObjectReference, Stage, Status, User
from decklog.audit.intent import Intent
from decklog.audit.times import format_duration, microtime
from decklog.recorder import submitted as bodies
from decklog.recorder.answers import NO_ANSWER, Answer, is_plain, plain_status, render, streams
from decklog.recorder.impersonation import refused
from decklog.recorder.objects import drop_managed_fields
from decklog.recorder.options import RecorderOptions
from decklog.recorder.status_probe import STATUS_LIMIT, StatusProbe
from decklog.recorder.tee import Tee

if TYPE_CHECKING:
    from collections.abc import Callable

    from msgspec import Raw

    from decklog.audit.attributes import Attributes
    from decklog.audit.decision import Decision
    from decklog.metrics import AuditCounters
    from decklog.recorder.answers import Rendered
    from decklog.recorder.submitted import Submitted

RULE: Final = "decklog/rule"
"""Annotation: which rule of the policy decided (off by default: it breaks byte parity)."""
REQUEST_BODY: Final = "decklog/request-object"
"""Annotation: why the recorded request body is missing or not as sent."""
RESPONSE_BODY: Final = "decklog/response-object"
"""Annotation: why the response body is missing."""
_LATENCY: Final = "apiserver.latency.k8s.io/"
_SLOW_NS: Final = 500_000_000
"""Latency annotations are written past this (spec §5.8)."""
_LONGEST: Final = frozenset({"authorization", "apf-queue-wait", "validating-webhook"})
"""Parts of which the longest counts, not the sum."""
_NOBODY: Final = User()

# Members of an enum cost a look-up each time they are named through their class.
_NONE, _METADATA, _, _WHOLE = Level
_RECEIVED, _STARTED, _COMPLETE, _PANIC = Stage


@dataclass(frozen=True, slots=True)
class Recorder:
    """What all recordings of a door share.

    `clock` gives nanoseconds since the epoch; it is read when a recording is opened (the request's time) and once a
    later stage.
    """

    clock: Callable[[], int]
    counters: AuditCounters
    options: RecorderOptions = field(default_factory=RecorderOptions)

    def open(
        self,
        attributes: Attributes,
        decision: Decision,
        user: User | None,
        audit_id: str,
        source_ips: tuple[str, ...] = (),
        user_agent: str = "",
    ) -> Recording:
        """Begin the record of one request, now."""
        levels = self.counters.level_total
        level = decision.level
        levels[level] = levels.get(level, 0) + 1
        if level is _NONE:
            return Recording(attributes, decision, self, _NOBODY, audit_id, (), "", 0, "", None, {})
        now = self.clock()
        reference = None
        if attributes.resource_request:
            reference = ObjectReference(
                attributes.resource,
                attributes.namespace,
                attributes.name,
                "",
                attributes.api_group,
                attributes.api_version,
                "",
                attributes.subresource,
            )
        recording = Recording(
            attributes,
            decision,
            self,
            user or _NOBODY,
            audit_id,
            source_ips,
            user_agent,
            now,
            microtime(now),
            reference,
            {},
        )
        if self.options.annotate_rule:
            recording.annotate(RULE, "none" if decision.rule is None else str(decision.rule))
        return recording


class Recording(Struct, gc=False):
    """The record of one request (spec §5.2, §5.3); `Recorder.open` makes one.

    A Struct for speed: it is made in C, which on every request's way saves half a microsecond.
    """

    attributes: Attributes
    decision: Decision
    _recorder: Recorder
    _user: User
    _audit_id: str
    _source_ips: tuple[str, ...]
    _user_agent: str
    _received_ns: int
    _received: str
    _reference: ObjectReference | None
    _annotations: dict[str, str]
    _last_annotation: str = ""
    _impersonated: User | None = None
    _authentication: AuthenticationMetadata | None = None
    _status: Status | None = None
    _request_object: Raw = NO_OBJECT
    _response_object: Raw = NO_OBJECT
    _latencies: dict[str, int] | None = None
    _started: bool = False

    @property
    def keeps_response(self) -> bool:
        """Whether the response's object is wanted (level RequestResponse), and not only a Status."""
        return self.decision.level is _WHOLE

    @property
    def enabled(self) -> bool:
        """False at level None: nothing is recorded, whatever is told."""
        return self.decision.level is not Level.NONE

    # What a door may tell at any time

    def annotate(self, key: str, value: str) -> None:
        """Add an annotation; the first write of a key wins (spec §5.8)."""
        if self.decision.level is _NONE or key in self._annotations:
            return
        in_order = key > self._last_annotation
        self._annotations[key] = value
        if in_order:
            self._last_annotation = key
        else:
            self._annotations = dict(sorted(self._annotations.items()))

    def impersonated(self, user: User, constraint: str = "") -> None:
        """Tell that the request goes on as `user`: shown from the next stage on."""
        if self.enabled:
            self._impersonated = user
            self._authentication = AuthenticationMetadata(constraint) if constraint else None

    def latency(self, part: str, nanoseconds: int) -> None:
        """Tell how long a part of the work took (``authentication``, ``response-write`` …; spec §5.8)."""
        if self.enabled:
            if self._latencies is None:
                self._latencies = {}
            before = self._latencies.get(part, 0)
            self._latencies[part] = max(before, nanoseconds) if part in _LONGEST else before + nanoseconds

    # What a door keeps of the bodies

    def request_limit(self) -> int:
        """How many bytes of the request's body to keep: 0, or the cap."""
        decision, attributes = self.decision, self.attributes
        if decision.level is _NONE or not bodies.takes_body(attributes, typed=self._recorder.options.typed):
            return 0
        wanted = attributes.verb in bodies.WRITES or decision.level is not _METADATA
        return self._recorder.options.body_limit if wanted else 0

    def response_limit(self, code: int) -> int:
        """How many bytes of the response's body to keep: 0, enough for a Status, or the cap."""
        decision = self.decision
        if decision.level is _NONE or (code < 400 and streams(self.attributes)):
            return 0
        return self._recorder.options.body_limit if decision.level is _WHOLE else STATUS_LIMIT

    def response_tee(self, code: int, content_type: str = "", encoding: str = "") -> Tee:
        """Give what keeps of the response's body as much as will be recorded; the two headers are as sent."""
        limit = self.response_limit(code)
        if limit and code < 400 and self.decision.level is not _WHOLE:
            return Tee(limit, StatusProbe(content_type, encoding))
        return Tee(limit)

    # The stages

    def received(self) -> Event | None:
        """Tell that the request is about to be handled."""
        if self.decision.level is _NONE:
            return None
        return self._event(_RECEIVED, self._received)

    def intent(self) -> Intent | None:
        """Give what a strict door keeps before it lets the request through; None where an event tells it already.

        kube-apiserver's blocking-strict is void for requests whose RequestReceived the policy omits (spec §6.7).
        """
        if self.decision.level is _NONE or _RECEIVED not in self.decision.omit_stages:
            return None
        return Intent(self._audit_id, self.attributes.verb, self.attributes.request_uri, self._user, self._received)

    def started(self, code: int) -> Event | None:
        """Tell that the answer begins with `code`.

        A long-running request's ResponseStarted; for an error the event waits for the Status that follows, so that
        `completed` gives both.
        """
        if self.decision.level is _NONE or not self.attributes.long_running or self._started or code >= 400:
            return None
        self._status = Status(code=code)
        return self._start()

    def completed(self, answer: Answer | None, submitted: Submitted | None = None) -> tuple[Event, ...]:
        """Tell that the request is over: its whole answer (None: nothing was ever written) and its body."""
        if self.decision.level is _NONE:
            return ()
        if answer is not None and submitted is None and self.decision.level is not _WHOLE and is_plain(answer):
            self._status = plain_status(answer.code)  # nine answers of ten
        else:
            self._read(answer, submitted)
        started = self._start() if self.attributes.long_running and not self._started else None
        now = self._recorder.clock()
        if now - self._received_ns > _SLOW_NS and self.attributes.verb != "watch":
            self._write_latencies(now - self._received_ns)
        complete = self._event(_COMPLETE, microtime(now))
        if started is None:
            return () if complete is None else (complete,)
        return (started,) if complete is None else (started, complete)

    def owed(self, answer: Answer | None) -> Event | None:
        """Give the ResponseStarted that waited for the Status of an error, where a panic came before its end."""
        if answer is None or self._started or not self.attributes.long_running or self.decision.level is _NONE:
            return None
        self._read(answer, None)
        return self._start()

    def panicked(self, text: str, submitted: Submitted | None = None) -> Event | None:
        """Tell that handling the request failed by our own fault; `text` is the error's."""
        if self.decision.level is _NONE:
            return None
        if submitted is not None and bodies.is_legible(submitted):
            self._read_request(submitted)  # no answer says whether it was decoded: what we can read ourselves is told
        message = f"APIServer panic'd: {text}"
        self._status = Status(status="Failure", message=message, reason="InternalError", code=500)
        return self._event(_PANIC, microtime(self._recorder.clock()))

    def unauthenticated(self, answer: Answer, attempted: str = "") -> Event | None:
        """Tell that the request was refused before it had a user: one ResponseStarted, nothing else (spec §5.7).

        `attempted` is the message that stands where the answer is no Status.
        """
        if self.decision.level is _NONE:
            return None
        self._read(answer, None)
        if attempted and self._status == plain_status(answer.code):
            self._status = Status(message=attempted, code=answer.code)
        return self._start()

    def _start(self) -> Event | None:
        self._started = True
        return self._event(_STARTED, microtime(self._recorder.clock()))

    def _event(self, stage: Stage, at: str) -> Event | None:
        if stage in self.decision.omit_stages:
            return None
        self._recorder.counters.event_total += 1
        first = stage is _RECEIVED
        return Event(  # by position: past fifteen keywords a call costs five times as much
            self.decision.level,
            self._audit_id,
            stage,
            self.attributes.request_uri,
            self.attributes.verb,
            self._user,
            None if first else self._impersonated,
            None if first else self._authentication,
            self._source_ips,
            self._user_agent,
            self._reference,
            self._status,
            self._request_object,
            self._response_object,
            self._received,
            at,
            self._annotations.copy(),
        )

    # Reading the bodies

    def _read(self, answer: Answer | None, submitted: Submitted | None) -> None:
        if answer is None:
            self._status = self._status or NO_ANSWER
            return
        keep = self.decision.level is _WHOLE
        rendered = render(
            answer,
            self.attributes,
            whole=keep,
            limit=self._recorder.options.body_limit,
            aggregated=self._aggregated(),
            typed=self._recorder.options.typed,
        )
        self._status = rendered.status
        if keep and rendered.object:
            self._response_object = self._kept(rendered.object)
        if rendered.omitted:
            self.annotate(RESPONSE_BODY, f"omitted: {rendered.omitted}")
        if self._impersonated is not None and refused(answer.code, rendered.status.message):
            self._impersonated = self._authentication = None
        if submitted is not None and self._was_recorded(submitted, rendered):
            self._read_request(submitted)

    def _was_recorded(self, submitted: Submitted, rendered: Rendered) -> bool:
        if self._recorder.options.typed or rendered.is_status:
            return bodies.was_recorded(self.attributes, rendered.status, is_status=rendered.is_status)
        return bodies.was_taken(submitted, rendered.status.code)

    def _read_request(self, submitted: Submitted) -> None:
        attributes = self.attributes
        if self._aggregated() or not bodies.takes_body(attributes, typed=self._recorder.options.typed):
            return
        if attributes.verb in bodies.DELETES and not submitted.body:
            return
        raw, changed = bodies.read_object(submitted, attributes, self._recorder.options.body_limit)
        if self._reference is not None and attributes.verb in bodies.WRITES and raw:
            self._reference = bodies.refine(
                self._reference, bodies.metadata(submitted, raw, self._recorder.options.body_limit)
            )
        if self.decision.level is not _METADATA:
            self._request_object = raw if attributes.verb == "patch" else self._kept(raw)
            if changed:
                self.annotate(REQUEST_BODY, changed)

    def _kept(self, raw: Raw) -> Raw:
        return drop_managed_fields(raw) if self.decision.omit_managed_fields else raw

    def _aggregated(self) -> bool:
        groups = self._recorder.options.aggregated_groups
        return bool(groups) and aggregated_group(self.attributes) in groups

    def _write_latencies(self, total_ns: int) -> None:
        """Past 500 ms, say where the time went (spec §5.8); a watch has no trackers."""
        for part, nanoseconds in (self._latencies or {}).items():
            if nanoseconds:
                self.annotate(_LATENCY + part, format_duration(nanoseconds))
        self.annotate(_LATENCY + "total", format_duration(total_ns))


def aggregated_group(attributes: Attributes) -> str:
    """Give the API group that a request is about: also of discovery, which is no resource request."""
    if attributes.resource_request:
        return attributes.api_group
    parts = attributes.path.split("/", 3)
    return parts[2] if len(parts) > 2 and parts[1] == "apis" else ""
