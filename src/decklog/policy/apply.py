"""Apply: a policy after the fact, to events that were recorded under another one.

It does what the policy would have done at the start: drops events and stages, takes bodies out where the level does not
have them, strips managed fields. It never adds: an event recorded at Metadata stays at Metadata, whatever the policy
asks. What is lowered says so in an annotation, ``decklog/lowered: "RequestResponse to Metadata, managedFields"``. What
is kept whole is kept byte by byte. Applying the same policy again changes nothing.

`Applier.line` is for logs: it reads of a line only what it needs. `Applier.event` is for backends, with the same
outcome. Both are pure and hold no more memory than their bounded caches.

| Differs from kube-apiserver | How | Why |
|---|---|---|
| level Request, read long after | the body stays as it was recorded, defaulted or not | nobody knows the other one |
| a body at a level that has none | taken out, with the annotation | what the policy forbids shall not pass |
| a level that does not exist | counts as the highest | the same |
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from msgspec import Raw, structs

from decklog.audit.event import NO_OBJECT, Level
from decklog.audit.managed_fields import without_managed_fields
from decklog.policy.recorded import WireError, of_event, read
from decklog.policy.splicing import NOTE, Splicer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from decklog.audit.decision import Decision
    from decklog.audit.event import Event
    from decklog.policy.deciding import Decide
    from decklog.policy.recorded import Recorded

__all__ = ["NOTE", "Applied", "Applier", "apply", "blocks"]

RANK: Final[dict[str, int]] = {level.value: rank for rank, level in enumerate(Level)}
"""None < Metadata < Request < RequestResponse."""
BLOCK_BYTES: Final = 1 << 17
HIGHEST: Final = RANK[Level.REQUEST_RESPONSE]
_REQUEST: Final = RANK[Level.REQUEST]
_NAMES: Final = tuple(RANK)
_NOTED: Final = tuple(tuple(f"{held} to {allowed}" for allowed in RANK) for held in RANK)
# Members by themselves: to look one up in a table, or on its class, costs more than the rest of a decision.
_LEVEL_NONE, _LEVEL_METADATA, _LEVEL_REQUEST, _ = Level
_MANAGED: Final = b'"managedFields"'
_NO_BODIES: Final = (b"", b"")


class Applier:
    """Applies what `decide` says (`deciding.decide_by`, `event_filter.decide_by_filter`)."""

    __slots__ = ("_decide", "_mark", "_splicer")

    def __init__(self, decide: Decide, *, mark: bool = True) -> None:
        """`mark`: whether the annotation is put in; without it a line is as the API server would have written it."""
        self._decide = decide
        self._mark = mark
        self._splicer = Splicer()

    def line(self, line: bytes) -> bytes | None:
        """Give the line (without its line feed) as the policy would have it: itself, a lowered one, or None.

        Raises WireError for what is no event.
        """
        event = read(line)
        return self.outcome(line, event, self._decide(event))

    def event(self, event: Event) -> Event | None:
        """Give the event as the policy would have it: itself, a lowered one, or None."""
        recorded = of_event(event)
        decision = self._decide(recorded)
        if not _is_wanted(recorded, decision):
            return None
        change = self._change(recorded, decision)
        if change is None:
            return event
        level, (request, response), note = change
        return structs.replace(
            event,
            level=level,
            request_object=Raw(request) if request else NO_OBJECT,
            response_object=Raw(response) if response else NO_OBJECT,
            annotations=_with_note(event.annotations, note) if self._mark else event.annotations,
        )

    def outcome(self, line: bytes, event: Recorded, decision: Decision) -> bytes | None:
        """Carry out a decision that was made on the line's event."""
        if decision.level is _LEVEL_NONE or event.stage in decision.omit_stages:
            return None
        allowed = rank_of(decision.level)
        held = RANK.get(event.level, HIGHEST + 1)
        if not (decision.omit_managed_fields and _MANAGED in line):
            if allowed < held <= HIGHEST:
                return self._splicer.lower(line, event, _NAMES[allowed], _NOTED[held][allowed] if self._mark else "")
            if held <= allowed and not _exceeds(event, held):
                return line
        change = self._change(event, decision)  # the rare rest, the slow way
        if change is None:
            return line
        level, bodies, note = change
        return self._splicer.rewrite(line, event, level, bodies, note if self._mark else "")

    def size(self, line: bytes, event: Recorded, decision: Decision) -> int | None:
        """Give the length of what `outcome` gives without an annotation, of most lines without making it."""
        allowed, held = rank_of(decision.level), RANK.get(event.level, HIGHEST + 1)
        strips = decision.omit_managed_fields and _MANAGED in line
        if 0 < allowed < held <= HIGHEST and not strips and event.stage not in decision.omit_stages:
            return self._splicer.lowered_size(line, event, _NAMES[allowed])
        kept = self.outcome(line, event, decision)
        return None if kept is None else len(kept)

    def _change(self, event: Recorded, decision: Decision) -> tuple[str, tuple[bytes, bytes], str] | None:
        """Find the level, the bodies and the annotation that an event is to have; None: it stays as it is."""
        allowed = rank_of(decision.level)
        held = RANK.get(event.level, HIGHEST + 1)
        lowered = held > allowed
        level = _NAMES[allowed] if lowered else event.level
        note = f"{event.level} to {level}" if lowered else "bodies above the level" if _exceeds(event, held) else ""
        rank = min(held, allowed)
        bodies = (
            bytes(event.request_object) if rank >= _REQUEST else b"",
            bytes(event.response_object) if rank == HIGHEST else b"",
        )
        if decision.omit_managed_fields and (_MANAGED in bodies[0] or _MANAGED in bodies[1]):
            stripped = (without_managed_fields(bodies[0]), without_managed_fields(bodies[1]))
            if stripped != bodies:
                bodies = stripped
                note = f"{note}, managedFields" if note else "managedFields"
        return (level, bodies, note) if note else None


def rank_of(level: Level) -> int:
    """Give the place of a level among the four."""
    if level is _LEVEL_METADATA:
        return 1
    if level is _LEVEL_REQUEST:
        return 2
    return 0 if level is _LEVEL_NONE else 3


def _exceeds(event: Recorded, held: int) -> bool:
    """Whether a body stands there that the event's own level does not have."""
    if held >= HIGHEST:
        return False
    return len(event.response_object) > 0 or (held < _REQUEST and len(event.request_object) > 0)


def _is_wanted(event: Recorded, decision: Decision) -> bool:
    return decision.level is not _LEVEL_NONE and event.stage not in decision.omit_stages


def _with_note(annotations: dict[str, str], note: str) -> dict[str, str]:
    earlier = annotations.get(NOTE)
    text = f"{earlier}; {note}" if earlier else note
    return dict(sorted({**annotations, NOTE: text}.items()))


@dataclass(slots=True)
class Applied:
    """What became of a log so far. Bytes are those of the lines, each with a line feed."""

    events: int = 0
    bytes: int = 0
    kept_events: int = 0
    kept_bytes: int = 0
    lowered: int = 0
    """Of those kept: with something taken out."""
    unreadable: int = 0
    """Lines in which no event was found; they are in none of the other numbers."""
    problems: dict[str, int] = field(default_factory=dict)
    """Why they were unreadable."""


def apply(
    lines: Iterable[bytes], decide: Decide, applied: Applied, *, drop_unreadable: bool = False, mark: bool = True
) -> Iterator[bytes]:
    """Yield what the policy would have of `lines` (each without its line feed), in order.

    A line in which no event is found is evidence, too, and passed on as it is, unless `drop_unreadable`. `applied` is
    counted up when the iterator ends, or is closed.
    """
    outcome = Applier(decide, mark=mark).outcome
    events = size = kept_events = kept_size = lowered = 0  # locals: attributes would cost a tenth of the whole
    try:
        for line in lines:
            try:
                event = read(line)
            except WireError as error:
                applied.unreadable += 1
                _tell(applied.problems, str(error))
                if not drop_unreadable:
                    yield line
                continue
            events += 1
            size += len(line)
            kept = outcome(line, event, decide(event))
            if kept is not None:
                kept_events += 1
                kept_size += len(kept)
                if kept is not line:
                    lowered += 1
                yield kept
    finally:
        applied.events += events
        applied.bytes += size + events
        applied.kept_events += kept_events
        applied.kept_bytes += kept_size + kept_events
        applied.lowered += lowered


def blocks(lines: Iterable[bytes], block_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
    """Join lines, each with its line feed, to blocks of about `block_bytes`: a write for each line costs more."""
    block: list[bytes] = []
    room = block_bytes
    for line in lines:
        block.append(line)
        room -= len(line)
        if room <= 0:
            block.append(b"")
            yield b"\n".join(block)
            block = []
            room = block_bytes
    if block:
        block.append(b"")
        yield b"\n".join(block)


def _tell(problems: dict[str, int], problem: str) -> None:
    if problem in problems or len(problems) < 20:
        problems[problem] = problems.get(problem, 0) + 1
