"""Histogram: counts over time as bars, each a link to its own time; drawn as SVG without any style inside."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from decklog.ask.moments import microtime
from decklog.web import links

if TYPE_CHECKING:
    from decklog.ask.top import Timeline
    from decklog.web.asking import Fields

HEIGHT: Final = 100
"""Units of the drawing; its width is `WIDTH`."""
WIDTH: Final = 960


class Bar(Struct, frozen=True):
    """One bar."""

    start: str
    """MicroTime."""
    end: str
    count: int
    failed: int
    x: float
    width: float
    height: float
    failed_height: float
    href: str


class Histogram(Struct, frozen=True, rename="camel"):
    """Counts over time."""

    start: str
    end: str
    step_s: int
    step: str
    """In words."""
    most: int
    """Of the highest bar."""
    bars: tuple[Bar, ...]
    untimed: int
    base: str
    """The address without a time, for who brushes."""


def histogram(timeline: Timeline, fields: Fields, path: str) -> Histogram | None:
    """Draw counts; None if there is nothing to draw."""
    if not timeline.counts or timeline.start is None:
        return None
    rest = fields.without("since", "until", "after", "before")
    times = timeline.times()
    step = timedelta(seconds=timeline.step_s)
    failed = timeline.split.get("failed", (0,) * len(times))
    most = max(timeline.counts) or 1
    width = WIDTH / len(times)
    bars = [
        Bar(
            start,
            end,
            count,
            bad,
            round(place * width, 2),
            round(width, 2),
            _height(count, most),
            _height(bad, most),
            links.to(path, [*rest, ("after", start), ("until", end)]),
        )
        for place, (start, end, count, bad) in enumerate(
            zip(
                map(microtime, times),
                map(microtime, (time + step for time in times)),
                timeline.counts,
                failed,
                strict=True,
            )
        )
    ]
    return Histogram(
        microtime(times[0]),
        microtime(times[-1] + step),
        timeline.step_s,
        _step(timeline.step_s),
        max(timeline.counts),
        tuple(bars),
        timeline.untimed,
        links.to(path, rest),
    )


def _step(seconds: int) -> str:
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _height(count: int, most: int) -> float:
    return round(max(count * HEIGHT / most, 1.5), 1) if count else 0.0
