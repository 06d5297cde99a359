"""Times as Go's RFC 3339 layout reads them: the value, or Go's words for why not. Only a policy's metadata has any."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from decklog.audit.quoting import quote_go_time

_LAYOUT: Final = "2006-01-02T15:04:05Z07:00"
_ELEMENTS: Final = (
    # Go's name of the element, what it looks like, what it is when it is out of range
    ("2006", r"\d{4}", ""),
    ("-", "-", ""),
    ("01", r"\d\d", "month"),
    ("-", "-", ""),
    ("02", r"\d\d", "day"),
    ("T", "T", ""),
    ("15", r"\d\d?", "hour"),
    (":", ":", ""),
    ("04", r"\d\d", "minute"),
    (":", ":", ""),
    ("05", r"\d\d", "second"),
)
_RANGES: Final = {"month": range(1, 13), "hour": range(24), "minute": range(60), "second": range(60)}
_FRACTION: Final = re.compile(r"[.,]\d+", re.ASCII)
_ZONE: Final = re.compile(r"Z|[-+]\d\d:\d\d", re.ASCII)


class NotATime(ValueError):  # noqa: N818  # because: it reads as what the text is
    """A text that is no time; the text is Go's."""


def parse_time(text: str) -> str:
    """Give a time to the second in UTC, as it is written out again. Raises NotATime."""
    rest = text
    numbers: dict[str, int] = {}
    for element, pattern, what in _ELEMENTS:
        found = re.match(pattern, rest, re.ASCII)
        if found is None:
            raise _cannot(text, rest, element)
        rest = rest[found.end() :]
        if element.isdigit():
            numbers[element] = int(found[0])
            if what in _RANGES and numbers[element] not in _RANGES[what]:
                raise _out_of_range(text, what)
    fraction = _FRACTION.match(rest)
    rest = rest[fraction.end() :] if fraction else rest
    zone = _ZONE.match(rest)
    if zone is None:
        raise _cannot(text, rest, "Z07:00")
    if rest[zone.end() :]:
        raise NotATime(f"parsing time {quote_go_time(text)}: extra text: {quote_go_time(rest[zone.end() :])}")
    return _written(text, numbers, "+00:00" if zone[0] == "Z" else zone[0])


def _written(text: str, numbers: dict[str, int], zone: str) -> str:
    year, month, day, hour, minute, second = numbers.values()
    try:
        local = datetime.fromisoformat(f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{zone}")
        return local.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ").zfill(20)
    except (ValueError, OverflowError):
        raise _out_of_range(text, "day") from None


def _cannot(text: str, rest: str, element: str) -> NotATime:
    return NotATime(
        f'parsing time {quote_go_time(text)} as "{_LAYOUT}": cannot parse {quote_go_time(rest)} as "{element}"'
    )


def _out_of_range(text: str, what: str) -> NotATime:
    return NotATime(f"parsing time {quote_go_time(text)}: {what} out of range")
