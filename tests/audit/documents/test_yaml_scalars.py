from __future__ import annotations

import math
import random

import pytest

from decklog.audit.documents.yaml_scalars import WrongTag, resolve

BOOLEANS = {
    True: "y Y yes Yes YES true True TRUE on On ON",
    False: "n N no No NO false False FALSE off Off OFF",
}
NUMBERS = {
    "1": 1,
    "-7": -7,
    "+5": 5,
    "007": 7,
    "08": 8.0,
    "0x1f": 31,
    "0X1F": 31,
    "-0x1f": -31,
    "0b101": 5,
    "0o17": 15,
    "1_000": 1000,
    "0_7": 7,
    "1.5": 1.5,
    "1.": 1.0,
    ".5": 0.5,
    "+.5": 0.5,
    "1e3": 1000.0,
    "6.0e-1": 0.6,
    "18446744073709551615": 18446744073709551615,
    "99999999999999999999999": 1e23,
    ".inf": math.inf,
    "+.Inf": math.inf,
    "-.INF": -math.inf,
}
STRINGS = [
    *("2026-01-01", "2026-01-01T10:00:00Z", "2001-12-14 21:59:43.10", "12:30:45", "1:2", "190:20:30"),
    *("yEs", "tRUE", "nULL", "oN", "Y ", "ja", "get", "", "1.2.3", "v1", "1a", "0x", "0xg", "0b2", "1e", "1e400"),
    *("+", "-", ".", "..", "._5", "-.", "1,000", "<<", "=", "None", "NaN", "inf", "Infinity", "+.nan", "٣"),
]


@pytest.mark.parametrize("value", BOOLEANS)
def test_booleans(value: bool) -> None:
    """These words are booleans as they stand, among them the letters y and n."""
    for text in BOOLEANS[value].split():
        assert resolve(None, plain=True, text=text) is value, text


@pytest.mark.parametrize("text", ["", "~", "null", "Null", "NULL"])
def test_nulls(text: str) -> None:
    """Nothing, and four ways to write it."""
    assert resolve(None, plain=True, text=text) is None


@pytest.mark.parametrize("text", NUMBERS)
def test_numbers(text: str) -> None:
    """What looks like a number is one: with leading zeros, prefixes, underscores, out of 64 bits."""
    value = resolve(None, plain=True, text=text)
    assert value == NUMBERS[text]
    assert type(value) in {int, float}


def test_not_a_number() -> None:
    """`.nan` is a number that equals nothing."""
    for text in (".nan", ".NaN", ".NAN"):
        value = resolve(None, plain=True, text=text)
        assert isinstance(value, float)
        assert math.isnan(value)


@pytest.mark.parametrize("text", STRINGS)
def test_strings(text: str) -> None:
    """Dates, times of day and everything that only resembles a boolean or a number stay strings."""
    assert resolve(None, plain=bool(text), text=text) == text


@pytest.mark.parametrize("text", ["y", "1", "~", "", "2026-01-01"])
def test_quoted(text: str) -> None:
    """What stands in quotes is a string."""
    assert resolve(None, plain=False, text=text) == text


TAG = "tag:yaml.org,2002:"


@pytest.mark.parametrize(
    ("tag", "plain", "text", "value"),
    [
        ("!", True, "12", 12),
        (f"{TAG}str", False, "12", "12"),
        (f"{TAG}int", False, "12", 12),
        (f"{TAG}float", False, "12", 12),
        (f"{TAG}bool", False, "no", False),
        (f"{TAG}null", False, "~", None),
        (f"{TAG}timestamp", False, "2026-01-01", "2026-01-01"),
        ("!mine", False, "12", "12"),
        (f"{TAG}python/object/apply:os.system", False, "12", "12"),
    ],
)
def test_tags(tag: str, plain: bool, text: str, value: object) -> None:
    """A tag says how a scalar is read; one that YAML does not know means nothing, whatever it asks for."""
    assert resolve(tag, plain=plain, text=text) == value


@pytest.mark.parametrize(
    ("tag", "text", "said"),
    [
        ("int", "x", "cannot decode !!str `x` as a !!int"),
        ("bool", "1", "cannot decode !!int `1` as a !!bool"),
        ("int", "1.5", "cannot decode !!float `1.5` as a !!int"),
        ("null", "no", "cannot decode !!bool `no` as a !!null"),
        ("float", "~", "cannot decode !!null `~` as a !!float"),
        ("timestamp", "soon", "cannot decode !!str `soon` as a !!timestamp"),
    ],
)
def test_wrong_tags(tag: str, text: str, said: str) -> None:
    """A scalar that is not what its tag says is refused in go-yaml's words."""
    with pytest.raises(WrongTag) as raised:
        resolve(f"{TAG}{tag}", plain=False, text=text)
    assert str(raised.value) == said


def test_long_numbers() -> None:
    """A number of a million digits takes no time to be one, or to be too large for one."""
    digits = "".join(random.Random(1).choices("123456789", k=1_000_000))
    assert resolve(None, plain=True, text=digits) == digits
    assert isinstance(resolve(None, plain=True, text="0x" + digits), int)
