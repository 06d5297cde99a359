from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decklog.ask.usual import HEAD, OPTIONAL, Usual

TIME = "2026-03-01T10:00:00.000000Z"


def line(received: str = TIME, stage: str = TIME, more: str = "") -> bytes:
    return (
        HEAD
        + (
            '"level":"Metadata","auditID":"id","stage":"ResponseComplete","requestURI":"/healthz","verb":"get",'
            f'"user":{{"username":"alice"}},{more}"requestReceivedTimestamp":"{received}","stageTimestamp":"{stage}"}}\n'
        ).encode()
    )


def taken(block: bytes, fields: frozenset[str] = OPTIONAL) -> int | None:
    """Give the number of events; None if the block is not usual."""
    _, events = Usual(whole=False, fields=fields).decode(block)
    return None if events is None else len(events)


@pytest.mark.parametrize(
    ("block", "events"),
    [
        (line(), 1),
        (line() * 3, 3),
        (line()[:-1], None),
        (line() + b"\n" + line(), None),
        (line().replace(b',"verb"', b',\n"verb"') + line(), None),
        (line().replace(b',"verb"', b',\n"verb"') + line()[:-1] + line(), None),
        (line()[:-1] + line(), None),
        (line() + b" " + line(), None),
        (line() + b'{"apiVersion":"audit.k8s.io/v1","kind":"Event"}\n', None),
        (line(more='"requestObject":{"a":,},'), None),
        (line(more='"responseStatus":{"code":2147483648},'), None),
        (line().replace(b"Metadata", b""), None),
        (line().replace(b"ResponseComplete", b"Whatever"), None),
        (line().replace(b'"' + TIME.encode(), b'null,"x":"'), None),
    ],
)
def test_a_block_is_usual_if_each_line_is_one_event(block: bytes, events: int | None) -> None:
    """One event a line, as kube-apiserver writes it; anything else is left to the reader."""
    feeds, found = Usual(whole=False).decode(block)
    assert feeds == block.count(b"\n")
    assert (None if found is None else len(found)) == events


def test_only_what_is_asked_for_is_decoded() -> None:
    """A field that nobody asks for may be of any type."""
    odd = line(more='"userAgent":7,')
    assert taken(odd) is None
    assert taken(odd, frozenset(("object_ref",))) == 1


def usual_time(time: str) -> bool:
    """Tell whether a time is of the usual form, slowly; February has 28 days, and years begin with 2."""
    pattern = r"(2[0-9]{3})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})\.[0-9]{6}Z"
    found = re.fullmatch(pattern, time)
    if found is None:
        return False
    _, month, day, hour, minute, second = map(int, found.groups())
    days = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
    return 1 <= month <= 12 and 1 <= day <= days[month - 1] and hour < 24 and minute < 60 and second < 60


_two = st.one_of(st.integers(0, 60), st.sampled_from((59, 61, 99))).map("{:02d}".format)
_near = st.builds("2026-03-01T10:{}:{}.{:06d}Z".format, _two, _two, st.integers(0, 999_999))
_any = st.builds("2026-{}-{}T{}:{}:{}.5".format, *[_two] * 5).map(lambda time: f"{time}00000Z")
_odd = st.sampled_from(
    (
        "",
        "2026-03-01T10:",
        "2026-03-01T10:00:00Z",
        "2026-03-01T10:00:00.00000Z",
        "2026-03-01T10:00:00.0000000Z",
        "2026-03-01T10:00:00.000000Z2026-03-01T10:00:00.000000Z",
        "2026-03-01T10:00:00.00000\N{ARABIC-INDIC DIGIT ONE}Z",
        "2026-03-01T10:0\N{FULLWIDTH DIGIT ONE}:00.000000Z",
        "2026-03-01T12:00:00.000000+02:00",
    )
)


@given(times=st.lists(st.one_of(_near, _near, _near, _any, _odd), min_size=1, max_size=4))
def test_times_are_judged_together_as_each_alone(times: list[str]) -> None:
    """A block is usual only if each of its times is, whatever stands beside it."""
    every = len(times) if all(map(usual_time, times)) else None
    assert taken(b"".join(line(received=time) for time in times)) == every
    assert taken(b"".join(line(stage=time) for time in times)) == every
