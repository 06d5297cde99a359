"""Times as Kubernetes writes and shows them.

Lives here: RFC 3339 with whole seconds, and the age that tables show.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    Clock = Callable[[], datetime]

_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86400
_YEAR: Final = 365 * _DAY


def stamp(now: datetime) -> str:
    """Write a time as metadata has it: ``2026-01-02T03:04:05Z``."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse(written: object) -> datetime | None:
    """Read a time with its zone; None for anything else."""
    try:
        found = datetime.fromisoformat(written) if isinstance(written, str) else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None


def age(since: object, now: datetime) -> str:
    """Show how long ago a time was, in at most two units: ``5s``, ``3m20s``, ``2d4h``; ``<unknown>`` for no time."""
    then = parse(since)
    return "<unknown>" if then is None else duration(int((now - then).total_seconds()))


def duration(seconds: int) -> str:
    """Show a duration as `kubectl` does: the coarser, the longer it is."""
    if seconds < -1:
        return "<invalid>"
    steps = (
        (2 * _MINUTE, 1, "s", 0, ""),
        (10 * _MINUTE, _MINUTE, "m", 1, "s"),
        (3 * _HOUR, _MINUTE, "m", 0, ""),
        (8 * _HOUR, _HOUR, "h", _MINUTE, "m"),
        (2 * _DAY, _HOUR, "h", 0, ""),
        (8 * _DAY, _DAY, "d", _HOUR, "h"),
        (2 * _YEAR, _DAY, "d", 0, ""),
        (8 * _YEAR, _YEAR, "y", _DAY, "d"),
    )
    seconds = max(seconds, 0)
    for below, unit, name, minor, minor_name in steps:
        if seconds < below:
            rest = seconds % unit // minor if minor else 0
            return f"{seconds // unit}{name}" + (f"{rest}{minor_name}" if rest else "")
    return f"{seconds // _YEAR}y"
