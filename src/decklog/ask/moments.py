"""Moments: times as people write them → the wire's text (MicroTime, UTC, six fractional digits)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from decklog.errors import DecklogError

_UNITS: Final = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds", "ms": "milliseconds"}
_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|[wdhms])")
_SPANS: Final = re.compile(rf"(?:{_SPAN.pattern})+")


def moment(text: str, now: datetime) -> str:
    """Read a span back from `now` (``2h``, ``1h30m``, ``7d``), a time (RFC 3339) or a day; UTC where no zone is given.

    Raises DecklogError.
    """
    try:
        when = now - _span(text) if _SPANS.fullmatch(text) else datetime.fromisoformat(text)
        return microtime(when if when.tzinfo else when.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise DecklogError(
            f"{text!r} is not a time: write a span back from now (30m, 2h, 7d), "
            "a day (2026-01-31) or a time (2026-01-31T12:00:00Z)"
        ) from None


def microtime(when: datetime) -> str:
    """Write an aware time as the wire does."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")


def span_us(text: str, flag: str) -> int:
    """Read a span (``500ms``, ``2s``, ``1m30s``) into microseconds; DecklogError names the flag."""
    try:
        if _SPANS.fullmatch(text):
            return _span(text) // timedelta(microseconds=1)
    except OverflowError:
        """Nothing lasts so long."""
    raise DecklogError(f"{flag}: {text!r} is not a span of time: write 500ms, 2s or 1m30s")


def _span(text: str) -> timedelta:
    spans = {_UNITS[unit]: float(amount) for amount, unit in _SPAN.findall(text)}
    return timedelta(**spans)


def seconds_between(first: str | None, last: str | None) -> float | None:
    """Give the seconds from one MicroTime to another; None if either is not known or not readable."""
    try:
        return (datetime.fromisoformat(last or "") - datetime.fromisoformat(first or "")).total_seconds()
    except (ValueError, TypeError):
        return None


def readable(time: str | None) -> str:
    """Shorten a MicroTime for people: ``2026-01-31 12:00:00`` (UTC); other text stays as it is."""
    if time is None:
        return "-"
    return f"{time[:10]} {time[11:19]}" if len(time) == 27 and time[10] == "T" and time.endswith("Z") else time


def in_words(seconds: float) -> str:
    """Write a duration as people do: ``43.3 ms``, ``12.4 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"
