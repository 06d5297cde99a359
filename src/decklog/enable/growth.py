"""Growth: how fast a log grows, from what stands in it: its bytes over the time that they took."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from decklog.audit.wire import WireError, decode_event
from decklog.enable.sizes import family
from decklog.policy.replay import DAY_S

if TYPE_CHECKING:
    from pathlib import Path

    from decklog.enable.manifest import StaticPod

_LINE: Final = 1 << 20
_LEAST_S: Final = 60
"""A log of less says nothing about a day."""


def bytes_a_day(pod: StaticPod, root: Path) -> float | None:
    """Measure how many bytes the log grows a day; None: it has no times yet, or too few. Raises OSError.

    Rotated files that are packed are left out, as is what is older than they are.
    """
    found = family(pod, root)
    if found is None:
        return None
    place, plain, _ = found
    files = [each for each in (*plain, place) if each.is_file() and each.stat().st_size]
    for number in range(len(files)):
        first, last = _first_time(files[number]), _last_time(files[-1])
        if first is not None and last is not None:
            span = (last - first).total_seconds()
            size = sum(each.stat().st_size for each in files[number:])
            return size / span * DAY_S if span >= _LEAST_S else None
    return None


def _first_time(path: Path) -> datetime | None:
    with path.open("rb") as file:
        return _time(file.readline(_LINE))


def _last_time(path: Path) -> datetime | None:
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - _LINE, 0))
        lines = file.read(_LINE).splitlines()
    return next((time for line in reversed(lines) if (time := _time(line)) is not None), None)


def _time(line: bytes) -> datetime | None:
    try:
        return datetime.fromisoformat(decode_event(line).stage_timestamp or "")
    except (WireError, ValueError):
        return None
