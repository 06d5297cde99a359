from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decklog.audit.times import (
    DurationError,
    are_canonical,
    format_duration,
    microtime,
    nanoseconds,
    normalise,
    parse_duration,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_GOOD = "2026-01-02T03:04:05.123456Z"


@given(st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30), timezones=st.just(UTC)))  # noqa: DTZ001  # because: hypothesis wants naive bounds
def test_a_microtime_is_the_time_in_utc_with_six_digits(time: datetime) -> None:
    """Writing, reading back and normalising agree with the calendar."""
    since = (time - _EPOCH) // timedelta(microseconds=1)
    written = microtime(since * 1000 + 999)
    assert len(written) == 27
    assert written == time.isoformat(timespec="microseconds").replace("+00:00", "Z")
    assert nanoseconds(written) == since * 1000
    assert normalise(written) == written


@pytest.mark.parametrize(
    ("given_time", "expected"),
    [
        (_GOOD, _GOOD),
        ("2026-01-02T03:04:05.123456+02:00", "2026-01-02T01:04:05.123456Z"),
        ("2026-01-02T03:04:05.123456-07:30", "2026-01-02T10:34:05.123456Z"),
        ("2026-01-02T03:04:05.123456+00:00", _GOOD),
        ("2026-01-02T3:04:05.123456Z", _GOOD),
        ("2026-01-02T03:04:05,123456Z", _GOOD),
        ("2024-02-29T23:59:59.999999Z", "2024-02-29T23:59:59.999999Z"),
        ("0001-01-01T00:00:00.000000Z", None),
        ("0001-01-01T02:00:00.000000+02:00", None),
    ],
)
def test_times_come_to_utc(given_time: str, expected: str | None) -> None:
    """Any offset is taken and brought to UTC; Go's zero time is no time."""
    assert normalise(given_time) == expected


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "yesterday",
        "2026-01-02T03:04:05Z",
        "2026-01-02T03:04:05.1Z",
        "2026-01-02T03:04:05.123456789Z",
        "2026-01-02T03:04:05.123456",
        "2026-01-02 03:04:05.123456Z",
        "2026-01-02T03:04:05.123456z",
        "2026-01-02T03:04:05.123456+0200",
        "2026-01-02T03:04:05.123456+25:00",
        "2026-02-30T03:04:05.123456Z",
        "2026-13-01T03:04:05.123456Z",
        "2026-01-02T24:00:00.000000Z",
        "2026-01-02T03:04:60.000000Z",
        "0000-01-02T03:04:05.000000Z",
        "9999-12-31T23:59:59.000000-01:00",
        "\u0662026-01-02T03:04:05.123456Z",
        _GOOD + "\n",
    ],
)
def test_what_is_no_microtime_is_refused(bad: str) -> None:
    """Six fractional digits and an offset are demanded, and a day that exists."""
    with pytest.raises(ValueError, match=r"time|digits|calendar"):
        normalise(bad)
    assert not are_canonical(bad, bad)


def test_old_times_may_have_fewer_digits() -> None:
    """Older versions of the API wrote whole seconds."""
    assert normalise("2018-01-02T03:04:05Z", any_fraction=True) == "2018-01-02T03:04:05.000000Z"
    assert normalise("2018-01-02T03:04:05.1234567Z", any_fraction=True) == "2018-01-02T03:04:05.123456Z"


def test_only_whole_times_are_canonical() -> None:
    """The cheap check looks at both times, not at what they make together."""
    assert are_canonical(_GOOD, _GOOD)
    assert not are_canonical(_GOOD[:20], _GOOD[20:] + _GOOD)
    assert not are_canonical("0001-01-01T00:00:00.000000Z", _GOOD)


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("-0", 0),
        ("5s", 5_000_000_000),
        ("+5s", 5_000_000_000),
        ("-1s", -1_000_000_000),
        ("1h1m1.5s", 3_661_500_000_000),
        (".5m", 30_000_000_000),
        ("1.h", 3_600_000_000_000),
        ("100h", 360_000_000_000_000),
        ("3us", 3_000),
        ("3\u00b5s", 3_000),
        ("3\u03bcs", 3_000),
        ("1ns", 1),
        ("0.3333333333333333333h", 1_200_000_000_000),
        ("9007199254740993ns", 9_007_199_254_740_993),
        ("9223372036854775807ns", 9_223_372_036_854_775_807),
        ("-9223372036854775808ns", -9_223_372_036_854_775_808),
        ("0.100000000000000000000h", 360_000_000_000),
        ("0.830103483285477580700h", 2_988_372_539_827),
        ("39h9m14.425s", 140_954_425_000_000),
    ],
)
def test_go_durations_are_read(text: str, nanoseconds: int) -> None:
    """Signs, fractions, several units and both spellings of micro are taken."""
    assert parse_duration(text) == nanoseconds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'time: invalid duration ""'),
        ("foo", 'time: invalid duration "foo"'),
        ("bogus", 'time: invalid duration "bogus"'),
        ("-", 'time: invalid duration "-"'),
        (".s", 'time: invalid duration ".s"'),
        ("1h-1m", 'time: unknown unit "h-" in duration "1h-1m"'),
        ("10", 'time: missing unit in duration "10"'),
        ("1.5", 'time: missing unit in duration "1.5"'),
        ("1d", 'time: unknown unit "d" in duration "1d"'),
        ("1 s", 'time: unknown unit " s" in duration "1 s"'),
        ("1S", 'time: unknown unit "S" in duration "1S"'),
        ("9223372036854775808ns", 'time: invalid duration "9223372036854775808ns"'),
        ("3000000h", 'time: invalid duration "3000000h"'),
        ("1e3s", 'time: unknown unit "e" in duration "1e3s"'),
        ("\u0661s", 'time: invalid duration "\\xd9\\xa1s"'),
        ("9" * 5000 + "h", f'time: invalid duration "{"9" * 5000}h"'),
    ],
)
def test_what_is_no_duration_is_told_in_gos_words(text: str, message: str) -> None:
    """Clients see this text in the answer, and readers in the event."""
    with pytest.raises(DurationError) as caught:
        parse_duration(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (812, "812ns"),
        (1_100, "1.1\u00b5s"),
        (48_973, "48.973\u00b5s"),
        (2_200_000, "2.2ms"),
        (501_000_000, "501ms"),
        (1_500_000_000, "1.5s"),
        (61_000_000_000, "1m1s"),
        (60_000_000_000, "1m0s"),
        (3_661_005_000_000, "1h1m1.005s"),
        (3_600_000_000_000, "1h0m0s"),
        (-1_500, "-1.5\u00b5s"),
        ((1 << 63) - 1, "2562047h47m16.854775807s"),
    ],
)
def test_durations_are_written_as_go_does(nanoseconds: int, text: str) -> None:
    """Latency annotations carry Go's spelling."""
    assert format_duration(nanoseconds) == text


@given(st.integers(min_value=-(1 << 52), max_value=1 << 52))
def test_a_written_duration_reads_back(nanoseconds: int) -> None:
    """Nothing is lost between writing and reading."""
    assert parse_duration(format_duration(nanoseconds)) == nanoseconds


@given(st.text(alphabet="0123456789.+-hmnsu\u00b5x ", max_size=12))
def test_reading_a_duration_fails_only_in_its_own_way(text: str) -> None:
    """Whatever a client sends as its timeout, there is a number or Go's message."""
    with contextlib.suppress(DurationError):
        assert parse_duration(format_duration(parse_duration(text))) == parse_duration(text)
