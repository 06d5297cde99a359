from __future__ import annotations

import pytest

from decklog.sandbox import times
from sandbox.client import BEGIN


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-5, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (200, "3m20s"),
        (600, "10m"),
        (10799, "179m"),
        (10800, "3h"),
        (12000, "3h20m"),
        (28800, "8h"),
        (172800, "2d"),
        (190800, "2d5h"),
        (691200, "8d"),
        (730 * 86400, "2y"),
        (800 * 86400, "2y70d"),
        (3650 * 86400, "10y"),
    ],
)
def test_durations(seconds: int, shown: str) -> None:
    """A duration is shown the coarser, the longer it is, as `kubectl` shows it."""
    assert times.duration(seconds) == shown


@pytest.mark.parametrize("written", [None, 5, "", "yesterday", "2026-01-01T00:00:00"])
def test_no_time_has_no_age(written: object) -> None:
    """What is no time with a zone has an unknown age."""
    assert times.age(written, BEGIN) == "<unknown>"


def test_stamps() -> None:
    """Times are written in UTC with whole seconds, and read back."""
    assert times.stamp(BEGIN) == "2026-01-02T03:04:05Z"
    assert times.parse(times.stamp(BEGIN)) == BEGIN
