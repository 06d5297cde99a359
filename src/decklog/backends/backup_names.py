"""Names of rotated logs: ``<stem>-YYYY-MM-DDTHH-MM-SS.mmm<ext>``, UTC, as lumberjack's users know them (spec §6.3).

A `Family` is a log with its backups: same directory, stem and extension. Packed backups end in ``.gz``; one that is
being packed is a hidden file ``.<backup>.gz.tmp``, which no reader's pattern finds. All other names are foreign and are
nobody's to touch. Pure but for `members`, which lists the directory.
"""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

    from decklog.disk import Disk

PACKED: Final = ".gz"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
LAST_MS: Final = (datetime(9999, 1, 1, tzinfo=UTC) - _EPOCH) // _MILLISECOND
"""No backup is named later, and so that one file of that name cannot end all rotation, none is followed that is."""
_STAMP: Final = r"(?P<stamp>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}-[0-9]{2}-[0-9]{2}\.[0-9]{3})"


@dataclass(frozen=True, slots=True)
class Backup:
    """One file of a family, other than the log itself."""

    path: Path
    stamp_ms: int
    """The time in its name, in milliseconds since 1970."""
    packed: bool = False
    leftover: bool = False
    """It was being packed when somebody was killed."""


@dataclass(frozen=True, slots=True)
class Family:
    """The names of one log's backups."""

    directory: Path
    stem: str
    extension: str
    """With its dot, from the last dot of the name; may be empty."""

    @classmethod
    def of(cls, path: Path) -> Family:
        """Tell the family of the log at `path`."""
        stem, dot, extension = path.name.rpartition(".")
        return cls(path.parent, stem, dot + extension) if dot else cls(path.parent, path.name, "")

    def backup(self, stamp_ms: int) -> Path:
        """Name the backup of a moment, in milliseconds since 1970."""
        return self.directory / f"{self.stem}-{stamp_text(stamp_ms)}{self.extension}"

    def read(self, name: str) -> Backup | None:
        """Read a file name; None: it is foreign."""
        match = _pattern(self.stem, self.extension).fullmatch(name)
        if match is None:
            return None
        hidden, packed, tmp = (match[part] is not None for part in ("hidden", "packed", "tmp"))
        stamp_ms = _stamp_ms(match["stamp"])
        if stamp_ms is None or hidden != tmp or (tmp and not packed):
            return None
        return Backup(self.directory / name, stamp_ms, packed=packed, leftover=tmp)

    def members(self, disk: Disk) -> list[Backup]:
        """List the family's backups, oldest first. Raises OSError if the directory cannot be listed."""
        found = (self.read(name) for name in disk.list(self.directory))
        return sorted((member for member in found if member is not None), key=lambda member: member.stamp_ms)


def stamp_text(stamp_ms: int) -> str:
    """Spell a moment as backup names do. Raises OSError for one that they cannot spell."""
    if not 0 <= stamp_ms <= LAST_MS:
        raise OSError(errno.EOVERFLOW, "the clock stands before 1970 or past 9998")
    moment = _EPOCH + stamp_ms * _MILLISECOND
    return f"{moment:%Y-%m-%dT%H-%M-%S}.{moment.microsecond // 1000:03d}"


def packed_path(path: Path) -> Path:
    """Name the packed form of the backup at `path`."""
    return path.with_name(path.name + PACKED)


def packing_path(path: Path) -> Path:
    """Name the file in which the backup at `path` is packed, before it gets its own name."""
    return path.with_name(f".{path.name}{PACKED}.tmp")


@cache
def _pattern(stem: str, extension: str) -> re.Pattern[str]:
    body = f"{re.escape(stem)}-{_STAMP}{re.escape(extension)}"
    return re.compile(rf"(?P<hidden>\.)?{body}(?P<packed>\.gz)?(?P<tmp>\.tmp)?", re.DOTALL)


def _stamp_ms(text: str) -> int | None:
    year, month, day, hour, minute, second, ms = (int(number) for number in re.split(r"[-T.]", text))
    try:
        moment = datetime(year, month, day, hour, minute, second, ms * 1000, tzinfo=UTC)
    except ValueError:
        return None
    return (moment - _EPOCH) // _MILLISECOND
