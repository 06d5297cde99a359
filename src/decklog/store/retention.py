"""Retention: deletes what is older than its age, and the oldest days where the store is larger than it may be.

How long an event is kept, a function says that is given here. Whole days expire: an event goes when its age has passed
since the last event of its segment. How many events of a segment have which age is counted once and remembered in the
catalog for as long as the rules stay, so a round looks at nothing that has nothing to lose.

Nothing that a legal hold matches is deleted, whatever its age, whatever the store's size. Events without a time count
from when they were sealed. What is in a journal yet is not touched.

| the clock | what happens |
|---|---|
| goes back, by more than a minute from what maintenance last saw | nothing is deleted, and that is told |
| is ahead of every event by more than MOST_AHEAD_S | nothing is deleted, unless it is told that this is so |

What is deleted is itself recorded, before it goes: a line for each segment in ``DIR/deletions.ndjson``, which is an
audit log of its own. After a crash a deletion may be recorded twice, never not at all.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec

from decklog import line_files
from decklog.audit.event import Event, Level, ObjectReference, Stage, Status, User
from decklog.audit.query import Query
from decklog.audit.times import microtime
from decklog.audit.wire import WireError, decode_event, encode_line
from decklog.errors import DecklogError
from decklog.store.segment import digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from decklog.store.catalog import Segment
    from decklog.store.parquet import Engine, Made
    from decklog.store.segment import Maintenance

Keep = Callable[[bytes], float | None]
"""An event's line → how long it is kept, in seconds; None: for ever."""

DELETIONS: Final = "deletions.ndjson"
WHO: Final = "decklog:retention"
BACK_S: Final = 60.0
MOST_AHEAD_S: Final = 30 * 86_400.0


@dataclass(frozen=True, slots=True)
class Rules:
    """What may go."""

    keep: Keep | None = None
    """None: nothing goes by age."""
    digest: str = ""
    """Tells `keep` from another one."""
    max_bytes: int | None = None
    """Of all segments; None: nothing goes by size."""
    believe_clock: bool = False
    """Delete although the clock is far ahead of every event."""


@dataclass(frozen=True, slots=True)
class Doomed:
    """What goes of a segment."""

    segment: Segment
    rows: int
    held: int
    """Events that would go, but for a legal hold."""
    reason: str
    """``age`` or ``size``."""
    numbers: tuple[int, ...] | None
    """Of the rows that go; None: all."""


@dataclass(slots=True)
class Plan:
    """What would be deleted, or was."""

    doomed: list[Doomed] = field(default_factory=list)
    held: int = 0
    left: list[str] = field(default_factory=list)
    """Segments that cannot be read, and stay."""
    refused: str = ""
    """Why nothing is deleted; empty: it may be."""

    @property
    def events(self) -> int:
        """How many events go."""
        return sum(each.rows for each in self.doomed)


def plan(work: Maintenance, engine: Engine, rules: Rules) -> Plan:
    """Find out what would go. Deletes nothing; remembers what it counted. Raises OSError, DecklogError."""
    now_s = work.clock()
    live = work.catalog.live()
    holds = _holds(work.catalog.holds())
    found = Plan(refused=_refusal(now_s, work.catalog.latest_s(), live, rules))
    left: list[tuple[Segment, int]] = []
    for segment in live:
        try:
            doomed = _by_age(work, engine, segment, rules, holds, now_s)
        except DecklogError as error:
            found.left.append(f"{segment.path}: {error}")
            continue
        found.held += doomed.held if doomed else 0
        if doomed and doomed.rows:
            found.doomed.append(doomed)
        left.append((segment, doomed.rows if doomed else 0))
    if rules.max_bytes is not None:
        _by_size(work, engine, left, rules.max_bytes, holds, found)
    return found


def carry_out(work: Maintenance, engine: Engine, found: Plan, rules: Rules) -> int:
    """Delete what a plan says; gives how many events went. Raises DecklogError if it was refused, OSError."""
    if found.refused:
        raise DecklogError(found.refused)
    work.catalog.seen(work.clock())
    for doomed in found.doomed:
        made = [_rest(work, engine, doomed)] if doomed.rows < doomed.segment.rows else []
        _record(work, doomed, rules)
        work.publish(made, doomed.segment.kind, segments=[doomed.segment])
    return found.events


# The clock


def _refusal(now_s: float, latest_s: float, live: Sequence[Segment], rules: Rules) -> str:
    if now_s < latest_s - BACK_S:
        return f"the clock went back by {latest_s - now_s:,.0f} s since the last time: nothing is deleted; set it right"
    newest = max((_end_s(segment) for segment in live), default=now_s)
    known = max(newest, latest_s, *(segment.made_s for segment in live), 0.0)
    if live and now_s - known > MOST_AHEAD_S and not rules.believe_clock:
        days = (now_s - known) / 86_400
        return f"the clock is {days:,.0f} days ahead of all that this store has seen: if it is right, --believe-clock"
    return ""


def _end_s(segment: Segment) -> float:
    """Give the time from which a segment's age counts."""
    if not segment.max_time:
        return segment.made_s
    return datetime.strptime(segment.max_time, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC).timestamp()


# What goes


def _by_age(
    work: Maintenance, engine: Engine, segment: Segment, rules: Rules, holds: Sequence[Query], now_s: float
) -> Doomed | None:
    keep = rules.keep
    if keep is None:
        return None
    ages = work.catalog.ages(segment, rules.digest)
    if ages is None:
        file = work.store / segment.path
        counted = Counter(keep(line) for _, line in engine.events(file))
        ages = dict(counted)
        work.catalog.keep_ages(segment, rules.digest, ages)
    passed_s = now_s - _end_s(segment)
    over = {age_s for age_s in ages if age_s is not None and age_s <= passed_s}
    if not over:
        return None
    if over == set(ages) and not holds:
        return Doomed(segment, segment.rows, 0, "age", None)
    going: list[int] = []
    held = 0
    for number, line in engine.events(work.store / segment.path):
        if keep(line) not in over:
            continue
        if _is_held(line, holds):
            held += 1
        else:
            going.append(number)
    return Doomed(segment, len(going), held, "age", tuple(going))


def _by_size(
    work: Maintenance,
    engine: Engine,
    left: Sequence[tuple[Segment, int]],
    max_bytes: int,
    holds: Sequence[Query],
    found: Plan,
) -> None:
    """Doom the oldest segments until the rest is small enough; what is doomed in part counts by its share."""
    size = sum(segment.file_bytes * (segment.rows - gone) // segment.rows for segment, gone in left)
    for segment, gone in sorted(left, key=lambda each: _end_s(each[0])):
        if size <= max_bytes:
            return
        if gone == segment.rows:
            continue
        try:
            going, held = _unheld(work, engine, segment, holds)
        except DecklogError as error:
            found.left.append(f"{segment.path}: {error}")
            continue
        found.doomed = [each for each in found.doomed if each.segment.id != segment.id]
        found.held += held if not gone else 0
        if going is None or going:
            rows = segment.rows - held
            found.doomed.append(Doomed(segment, rows, held, "size", going))
            size -= segment.file_bytes * (rows - gone) // segment.rows


def _unheld(
    work: Maintenance, engine: Engine, segment: Segment, holds: Sequence[Query]
) -> tuple[tuple[int, ...] | None, int]:
    if not holds:
        return None, 0
    events = engine.events(work.store / segment.path)
    going = tuple(number for number, line in events if not _is_held(line, holds))
    return going, segment.rows - len(going)


def _holds(holds: dict[str, str]) -> list[Query]:
    try:
        return [msgspec.json.decode(query, type=Query) for query in holds.values()]
    except msgspec.MsgspecError as error:
        raise DecklogError(f"a legal hold in the catalog cannot be read, so nothing is deleted: {error}") from error


def _is_held(line: bytes, holds: Iterable[Query]) -> bool:
    """Tell whether a legal hold matches; an event that cannot be read is held by any."""
    if not holds:
        return False
    try:
        event = decode_event(line)
    except (WireError, RecursionError):
        return True
    return any(query.matches(event, line) for query in holds)


# Deleting


def _rest(work: Maintenance, engine: Engine, doomed: Doomed) -> Made:
    """Write what stays of a segment. Raises DecklogError."""
    segment = doomed.segment
    if digest(work.disk, work.store / segment.path)[0] != segment.sha256:
        raise DecklogError(f"{segment.path} is damaged, so nothing of it is deleted: decklog store check tells more")
    made = engine.without(work.store / segment.path, doomed.numbers or (), segment.day, segment.cluster)
    if made.rows != segment.rows - doomed.rows:
        raise DecklogError("DuckDB wrote other events than it was given: nothing was deleted")
    return made


def _record(work: Maintenance, doomed: Doomed, rules: Rules) -> None:
    """Write down what is about to be deleted, and sync it. Raises OSError."""
    path = work.store / DELETIONS
    fd = work.disk.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    try:
        line_files.cut_torn_end(work.disk, fd)
        line_files.write_whole(work.disk, fd, encode_line(_event(work.clock(), doomed, rules)))
        work.disk.datasync(fd)
    finally:
        work.disk.close(fd)
    work.disk.sync_dir(work.store)


def _event(now_s: float, doomed: Doomed, rules: Rules) -> Event:
    segment = doomed.segment
    time = microtime(int(now_s * 1e6) * 1000)
    seed = hashlib.sha256(f"{segment.sha256} {time} {doomed.rows}".encode()).digest()
    notes = {
        "decklog/cluster": segment.cluster,
        "decklog/deleted-events": str(doomed.rows),
        "decklog/events-from": segment.min_time,
        "decklog/events-held": str(doomed.held),
        "decklog/events-to": segment.max_time,
        "decklog/reason": doomed.reason,
        "decklog/rules-sha256": rules.digest,
        "decklog/segment-sha256": segment.sha256,
    }
    return Event(
        level=Level.METADATA,
        audit_id=str(uuid.UUID(bytes=seed[:16], version=4)),
        stage=Stage.RESPONSE_COMPLETE,
        request_uri=f"/decklog/store/{segment.path}",
        verb="delete",
        user=User(WHO),
        user_agent="decklog",
        object_ref=ObjectReference(resource="segments", name=segment.path, api_group="decklog.io"),
        response_status=Status(code=200),
        request_received_timestamp=time,
        stage_timestamp=time,
        annotations=notes,
    )
