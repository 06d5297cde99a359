"""Record: one line of an audit log with its place; Coverage: what has been read so far, and what could not be."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from decklog.audit.event import Event

KEPT_PROBLEMS: Final = 5
"""So many bad lines are named; all are counted."""


class Record(Struct, frozen=True):
    """One line of a log."""

    line: bytes
    """Verbatim, without its line feed; empty when it was too long to keep."""
    file: str
    """As the user named it; ``-`` is standard input."""
    number: int
    """Of the line in its file, from 1; in the unpacked text of a ``.gz``."""
    event: Event | None
    problem: str = ""
    """Why there is no event."""


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
    bad_lines: int = 0
    bad_examples: list[BadLine] = field(default_factory=list)
    """The first few."""
    problems: list[str] = field(default_factory=list)
    """What befell whole files: cut off, damaged, vanished, unreadable."""
    first: str | None = None
    """The earliest stage time seen (MicroTime)."""
    last: str | None = None
    """The latest."""

    def count(self, record: Record) -> None:
        """Take one more record into account."""
        self.lines += 1
        if record.event is None:
            self._count_bad(record)
        elif time := record.event.stage_timestamp:
            self._stretch(time)

    def _count_bad(self, record: Record) -> None:
        self.bad_lines += 1
        if len(self.bad_examples) < KEPT_PROBLEMS:
            self.bad_examples.append(BadLine(record.file, record.number, record.problem))

    def _stretch(self, time: str) -> None:
        if self.first is None or time < self.first:
            self.first = time
        if self.last is None or time > self.last:
            self.last = time
