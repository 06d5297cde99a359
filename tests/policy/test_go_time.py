from __future__ import annotations

import pytest

from decklog.policy.go_time import NotATime, parse_time


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
        ("2026-01-02T03:04:05.678Z", "2026-01-02T03:04:05Z"),
        ("2026-01-02T03:04:05+02:00", "2026-01-02T01:04:05Z"),
        ("2026-01-01T00:30:00+01:00", "2025-12-31T23:30:00Z"),
        ("0099-01-02T03:04:05Z", "0099-01-02T03:04:05Z"),
    ],
)
def test_times(text: str, written: str) -> None:
    """A time is written out in UTC, to the second."""
    assert parse_time(text) == written


LAYOUT = '"2006-01-02T15:04:05Z07:00"'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x", f'parsing time "x" as {LAYOUT}: cannot parse "x" as "2006"'),
        ("", f'parsing time "" as {LAYOUT}: cannot parse "" as "2006"'),
        ("2026-01-02", f'parsing time "2026-01-02" as {LAYOUT}: cannot parse "" as "T"'),
        ("2026-01-02 03:04:05Z", f'parsing time "2026-01-02 03:04:05Z" as {LAYOUT}: cannot parse " 03:04:05Z" as "T"'),
        ("2026-01-02T03:04:05", f'parsing time "2026-01-02T03:04:05" as {LAYOUT}: cannot parse "" as "Z07:00"'),
        ("2026-13-02T03:04:05Z", 'parsing time "2026-13-02T03:04:05Z": month out of range'),
        ("2026-02-30T03:04:05Z", 'parsing time "2026-02-30T03:04:05Z": day out of range'),
        ("2026-01-02T25:04:05Z", 'parsing time "2026-01-02T25:04:05Z": hour out of range'),
        ("2026-01-02T03:04:05Zx", 'parsing time "2026-01-02T03:04:05Zx": extra text: "x"'),
        ('é"', f'parsing time "\\xc3\\xa9\\"" as {LAYOUT}: cannot parse "\\xc3\\xa9\\"" as "2006"'),
    ],
)
def test_no_times(text: str, said: str) -> None:
    """What is no time is refused in Go's words."""
    with pytest.raises(NotATime) as raised:
        parse_time(text)
    assert str(raised.value) == said
