"""Record: one line of an audit log with its place; Coverage: what has been read so far, and what could not be."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from decklog.audit.event import Event

KEPT_PROBLEMS: Final = 5
"""So many bad lines are named; all are counted."""


class Provenance(Struct, frozen=True):
    """How an event came that stood in an envelope: said by the envelope, never by the event."""

    carrier: str
    """Whose envelope it was: ``EKS``, ``GKE``, ``Fluent Bit``, …"""
    cluster: str = ""
    """The cluster that the envelope names."""
    synthesised: tuple[str, ...] = ()
    """Wire names of the event's fields that the source does not have: made up of others, or of what is usual."""
    said: dict[str, str] = {}
    """What else the envelope says (host, file, stream …), shortened; it may come from anybody."""
    declared: bool = False
    """The envelope names no origin: that the source is an audit log, only the user says."""


class Record(Struct, frozen=True):
    """One event of a log, or what stands in its place."""

    line: bytes
    """Verbatim, without its line feed; empty when it was too long to keep. Of an event in an envelope the event alone,
    but for GKE: there it is the LogEntry, of which the event was made."""
    file: str
    """As the user named it; ``-`` is standard input."""
    number: int
    """Of the line in its file, from 1; in the unpacked text of a ``.gz``. Events of one line, or of one document that
    begins there, share it."""
    event: Event | None
    problem: str = ""
    """Why there is no event."""
    provenance: Provenance | None = None
    """None: the line was the event."""
    audit_id: str = ""
    """Of an event that was cut by its carrier: all that is known of it."""


class BadLine(Struct, frozen=True):
    """Where a line could not be read, and why."""

    file: str
    number: int
    problem: str


@dataclass(slots=True)
class Coverage:
    """What a reading has seen. The reader counts while records pass; it is complete when they have all passed."""

    files: list[str] = field(default_factory=list)
    """Read, in order."""
    size_bytes: int = 0
    """Of the files as they lie on disk (packed, if they are)."""
    lines: int = 0
    undecoded: int = 0
    """Of the lines those that were passed over, because they lack what every line that is asked for must hold. Whether
    they are events was not looked at."""
    bad_lines: int = 0
    bad_examples: list[BadLine] = field(default_factory=list)
    """The first few."""
    cut: int = 0
    """Of the bad lines those that a carrier had cut short, and whose audit ID is known."""
    others: int = 0
    """Messages of carriers that are no audit events and do not claim to be: other streams, control messages. They count
    neither as lines nor as bad ones."""
    problems: list[str] = field(default_factory=list)
    """What befell whole files: cut off, damaged, vanished, unreadable."""
    first: str | None = None
    """The earliest stage time seen (MicroTime)."""
    last: str | None = None
    """The latest."""

    def count_bytes(self, size_bytes: int) -> None:
        """Take bytes into account that were read of a file."""
        self.size_bytes += size_bytes

    def count(self, record: Record) -> None:
        """Take one more record into account."""
        self.lines += 1
        if record.event is None:
            self._count_bad(record)
        elif time := record.event.stage_timestamp:
            self.stretch(time)

    def _count_bad(self, record: Record) -> None:
        self.bad_lines += 1
        self.cut += record.audit_id != ""
        if len(self.bad_examples) < KEPT_PROBLEMS:
            self.bad_examples.append(BadLine(record.file, record.number, record.problem))

    def stretch(self, time: str) -> None:
        """Take one more stage time (MicroTime) into account."""
        if self.first is None or time < self.first:
            self.first = time
        if self.last is None or time > self.last:
            self.last = time

    def add(self, part: Coverage, base: int) -> None:
        """Add what was seen of a part of a file, before which `base` lines stand in it; not the file and its bytes."""
        self.lines += part.lines
        self.undecoded += part.undecoded
        self.bad_lines += part.bad_lines
        self.cut += part.cut
        self.others += part.others
        self.problems += part.problems
        room = KEPT_PROBLEMS - len(self.bad_examples)
        self.bad_examples += [BadLine(bad.file, base + bad.number, bad.problem) for bad in part.bad_examples[:room]]
        for time in filter(None, (part.first, part.last)):
            self.stretch(time)
