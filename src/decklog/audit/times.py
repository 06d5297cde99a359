"""Times: MicroTime, the time of the wire (spec §1.4), and Go's durations (spec §5.7, §5.8).

A MicroTime is text of fixed width in UTC, ``2026-01-02T03:04:05.123456Z``, so that text order is time order. No clock
lives here: who needs the time is given a function that
returns nanoseconds since the epoch: `time.time_ns`, or a test's own.

| Differs from kube-apiserver | How | Why |
|---|---|---|
| years | only 1 to 9999 | text order stays time order |
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import Final

from decklog.audit.quoting import quote_go_time

_CANONICAL_PAIR: Final = re.compile(
    r"(?:(?!0000)[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])"
    r"T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{6}Z){2}"
).fullmatch
"""Two times in the usual form. Days after the 28th are left to the calendar below."""

_TIME: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{1,2}):([0-9]{2}):([0-9]{2})(?:[.,]([0-9]{1,9}))?"
    r"(?:Z|([+-])([0-9]{2}):([0-9]{2}))",
    re.ASCII,
)
_ZERO: Final = "0001-01-01T00:00:00.000000Z"


def microtime(nanoseconds: int) -> str:
    """Write a time given in nanoseconds since the epoch as a MicroTime; what is below a microsecond is cut off."""
    if nanoseconds < 1_000_000_000:
        seconds, rest = divmod(nanoseconds, 1_000_000_000)
        return f"{_second(str(seconds))}{rest // 1000:06d}Z"
    digits = str(nanoseconds)  # cut as text: a third faster than divmod and a format, on every event's way
    return f"{_second(digits[:-9])}{digits[-9:-3]}Z"


@lru_cache(maxsize=64)
def _second(seconds: str) -> str:
    """Write the part that all times of one second share: formatting a date costs more than all the rest."""
    return (_EPOCH + timedelta(seconds=int(seconds))).strftime("%Y-%m-%dT%H:%M:%S.").rjust(20, "0")


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def nanoseconds(text: str) -> int:
    """Read a MicroTime in UTC back into nanoseconds since the epoch; ValueError for anything else."""
    time = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    return (time - _EPOCH) // timedelta(microseconds=1) * 1000


def are_canonical(first: str, second: str) -> bool:
    """Tell cheaply whether both are MicroTimes in UTC that need no reading; False: `normalise` decides."""
    return len(first) == 27 and _CANONICAL_PAIR(first + second) is not None and first != _ZERO != second


def normalise(text: str, *, any_fraction: bool = False) -> str | None:
    """Read a MicroTime with any offset and write it in UTC; None for Go's zero time (spec §1.4).

    `any_fraction` also takes none to nine fractional digits, as the older versions of the API wrote; what is below a
    microsecond is cut off. ValueError says what is wrong.
    """
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:40]!r} is not a time such as 2026-01-02T03:04:05.123456Z")
    fraction = found[7] or ""
    if len(fraction) != 6 and not any_fraction:
        raise ValueError(f"{text[:40]!r} has {len(fraction)} fractional digits, not six")
    try:
        year, month, day, hour, minute, second = map(int, found.group(1, 2, 3, 4, 5, 6))
        micros = int(fraction[:6].ljust(6, "0"))
        whole = datetime(year, month, day, hour, minute, second, micros, _zone(found))
        canonical = whole.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text[:40]!r} is not in the calendar") from error
    return None if canonical == _ZERO else canonical


def _zone(found: re.Match[str]) -> timezone:
    """Read the offset; Go also takes 24 hours and 60 minutes, Python's zones end below a day."""
    if found[8] is None:
        return UTC
    hours, minutes = int(found[9]), int(found[10])
    if hours > 24 or minutes > 60:
        raise ValueError("offset out of range")
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if found[8] == "-" else offset)


class DurationError(ValueError):
    """A text is no Go duration; the message is Go's own."""


_MAX: Final = (1 << 63) - 1
_UNITS: Final = {
    "ns": 1,
    "us": 1_000,
    "\u00b5s": 1_000,  # micro sign
    "\u03bcs": 1_000,  # Greek mu
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
"""Go's units in nanoseconds."""
_PART: Final = re.compile(r"([0-9]*)(?:(\.)([0-9]*))?([^0-9.]*)", re.ASCII)


def parse_duration(text: str) -> int:
    """Read a Go duration such as ``1m30s``, ``-1.5h`` or ``0`` into nanoseconds; DurationError with Go's words."""
    rest = text[1:] if text[:1] in {"+", "-"} else text
    if rest == "0":
        return 0
    if not rest:
        raise _invalid(text)
    total = at = 0
    while at < len(rest):
        if rest[at] not in "0123456789.":
            raise _invalid(text)
        found = _PART.match(rest, at)
        if found is None:
            raise _invalid(text)
        total += _part(found, text)
        at = found.end()
    negative = text.startswith("-")
    if total > _MAX + negative:
        raise _invalid(text)
    return -total if negative else total


def _part(found: re.Match[str], text: str) -> int:
    """Read one number with its unit into nanoseconds."""
    digits, fraction, unit = found[1], found[3] or "", found[4]
    if not digits and not fraction:
        raise _invalid(text)
    if len(digits.lstrip("0")) > 19 or int(digits or "0") > _MAX + 1:
        raise _invalid(text)
    if not unit:
        raise DurationError(f"time: missing unit in duration {quote_go_time(text)}")
    size = _UNITS.get(unit)
    if size is None:
        raise DurationError(f"time: unknown unit {quote_go_time(unit)} in duration {quote_go_time(text)}")
    whole = int(digits or "0") * size
    value, scale = _fraction(fraction)
    if value:
        whole += int(float(value) * (size / scale))  # in floating point, as Go does: the last digit depends on it
    if whole > _MAX + 1:
        raise _invalid(text)
    return whole


def _fraction(digits: str) -> tuple[int, float]:
    """Read as many digits as Go's integer holds; those that follow are far below a nanosecond."""
    value, scale = 0, 1.0
    for digit in digits:
        longer = value * 10 + int(digit)
        if longer > _MAX + 1:
            break
        value, scale = longer, scale * 10
    return value, scale


def _invalid(text: str) -> DurationError:
    return DurationError(f"time: invalid duration {quote_go_time(text)}")


def format_duration(nanoseconds: int) -> str:
    """Write a duration as Go prints it: ``812ns``, ``8.493µs``, ``501ms``, ``1m1s``, ``1h1m1.005s``."""
    sign, left = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    if left == 0:
        return "0s"
    for size, digits, unit in ((1_000, 0, "ns"), (1_000_000, 3, "\u00b5s"), (1_000_000_000, 6, "ms")):
        if left < size:
            return f"{sign}{_decimal(left, digits)}{unit}"
    minutes, left = divmod(left, 60_000_000_000)
    hours, minutes = divmod(minutes, 60)
    larger = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{sign}{larger}{_decimal(left, 9)}s"


def _decimal(value: int, digits: int) -> str:
    """Write value / 10**digits without trailing zeros."""
    whole, fraction = divmod(value, 10**digits)
    return f"{whole}.{fraction:0{digits}d}".rstrip("0") if fraction else str(whole)
