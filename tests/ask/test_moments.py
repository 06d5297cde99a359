from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decklog.ask.moments import in_words, microtime, moment, readable, seconds_between, span_us
from decklog.errors import DecklogError

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2h", "2026-03-01T10:00:00.000000Z"),
        ("30m", "2026-03-01T11:30:00.000000Z"),
        ("90s", "2026-03-01T11:58:30.000000Z"),
        ("250ms", "2026-03-01T11:59:59.750000Z"),
        ("7d", "2026-02-22T12:00:00.000000Z"),
        ("1w", "2026-02-22T12:00:00.000000Z"),
        ("1h30m", "2026-03-01T10:30:00.000000Z"),
        ("1.5h", "2026-03-01T10:30:00.000000Z"),
        ("2026-02-28", "2026-02-28T00:00:00.000000Z"),
        ("2026-02-28T08:00:00", "2026-02-28T08:00:00.000000Z"),
        ("2026-02-28 08:00", "2026-02-28T08:00:00.000000Z"),
        ("2026-02-28T08:00:00Z", "2026-02-28T08:00:00.000000Z"),
        ("2026-02-28T08:00:00.5+02:00", "2026-02-28T06:00:00.500000Z"),
    ],
)
def test_a_moment_is_a_span_back_a_day_or_a_time(text: str, expected: str) -> None:
    """Spans count back from now; a day is its beginning; without a zone it is UTC."""
    assert moment(text, NOW) == expected


@pytest.mark.parametrize(
    "text", ["", "2", "h", "2x", "yesterday", "2h ago", "-2h", "2026-13-01", "99999999999d", "2h 30m"]
)
def test_what_is_no_moment_is_refused_with_examples(text: str) -> None:
    """An unreadable time is the user's to mend: the error shows how one is written."""
    with pytest.raises(DecklogError, match="2026-01-31"):
        moment(text, NOW)


@given(st.datetimes(timezones=st.just(timezone(timedelta(hours=5)))), st.datetimes(timezones=st.just(UTC)))
def test_text_order_is_time_order(first: datetime, second: datetime) -> None:
    """MicroTimes compare as text like the times they stand for."""
    if min(first, second).year > 1:
        assert (microtime(first) < microtime(second)) is (first < second)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.0005, "0.5 ms"), (0.0433, "43.3 ms"), (12.44, "12.4 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (0, "0 ms")],
)
def test_a_duration_in_words(seconds: float, words: str) -> None:
    """Durations are rounded to what a reader needs."""
    assert in_words(seconds) == words


def test_times_for_people() -> None:
    """A MicroTime is cut to seconds; what is none, or missing, is shown for what it is."""
    assert readable("2026-03-01T10:00:00.250000Z") == "2026-03-01 10:00:00"
    assert readable(None) == "-"
    assert readable("soon") == "soon"


def test_seconds_between_times_that_are_there() -> None:
    """A difference needs two readable times."""
    assert seconds_between("2026-03-01T10:00:00.000000Z", "2026-03-01T10:00:00.250000Z") == 0.25
    assert seconds_between(None, "2026-03-01T10:00:00.250000Z") is None
    assert seconds_between("2026-03-01T10:00:00.250000Z", "soon") is None


@pytest.mark.parametrize("text", ["", "long", "-1s", "99999999999999999999d"])
def test_what_is_no_span_is_refused_with_examples(text: str) -> None:
    """Also what is longer than any time: the flag is named, and how to write it."""
    with pytest.raises(DecklogError, match=r"--slower-than: .* write 500ms"):
        span_us(text, "--slower-than")
