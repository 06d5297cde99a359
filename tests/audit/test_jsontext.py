from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decklog.audit import jsontext
from decklog.audit.jsontext import MAX_DEPTH, WireError, check, compact, elements, members, raw, string, text

_VALID = {
    "scalars": (b" 1 ", b"1"),
    "spaces between tokens": (b'{ "a" : [ 1 ,\t2 ] ,\r\n"b" : { } }', b'{"a":[1,2],"b":{}}'),
    "spaces in strings": (b'" a  b "', b'" a  b "'),
    "duplicate keys": (b'{"a":1, "a":2}', b'{"a":1,"a":2}'),
    "key order": (b'{"b":1,"a":2}', b'{"b":1,"a":2}'),
    "number spelling": (b"[1.0, 1e5, 1E+05, -0, 0.10]", b"[1.0,1e5,1E+05,-0,0.10]"),
    "a number that overflows": (b"[1e400 ]", b"[1e400]"),
    "a number of 5,000 digits": (b" " + b"1" * 5000, b"1" * 5000),
    "a lone surrogate": (rb'{"a" : "\ud800"}', rb'{"a":"\ud800"}'),
    "a lone low surrogate": (rb'["\udc00" , " "]', rb'["\udc00"," "]'),
    "a surrogate pair": (rb'"\ud83d\ude00"', rb'"\ud83d\ude00"'),
    "bytes that are no UTF-8": (b'[ "\xff\xc3" ]', b'["\xff\xc3"]'),
    "the same beside a lone surrogate": (rb'[ "\ud800", "' + b'\xff" ]', rb'["\ud800","' + b'\xff"]'),
    "an escaped backslash before a u": (rb'["\\ud800" ]', rb'["\\ud800"]'),
    "DEL is no control character": (b'"\x7f"', b'"\x7f"'),
    "Unicode spaces are text": ('["\u00a0\u2028"]'.encode(), '["\u00a0\u2028"]'.encode()),
    "1,500 levels": (b"[ " * 1500 + b" ]" * 1500, b"[" * 1500 + b"]" * 1500),
    "objects, 1,500 levels": (b'{"a": ' * 1500 + b"1" + b" }" * 1500, b'{"a":' * 1500 + b"1" + b"}" * 1500),
    "as deep as Go goes": (b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, b"[" * MAX_DEPTH + b"]" * MAX_DEPTH),
}


@pytest.mark.parametrize(("given_json", "expected"), _VALID.values(), ids=_VALID)
def test_compaction_takes_only_whitespace_away(given_json: bytes, expected: bytes) -> None:
    """Key order, duplicates, number spelling and odd bytes survive; nesting up to Go's bound is no obstacle."""
    assert compact(given_json) == expected
    assert compact(expected) == expected


_INVALID = {
    "nothing": b"",
    "spaces": b" \n",
    "two values": b"1 2",
    "a NUL behind": b"1\x00",
    "a form feed before": b"\x0c1",
    "a byte order mark": b"\xef\xbb\xbf1",
    "a control character in a string": b'"a\x01"',
    "a line feed in a string": b'"a\nb"',
    "a bad escape": rb'"\x41"',
    "a bad unicode escape": rb'"\u12g4"',
    "a leading zero": b"01",
    "a leading plus": b"+1",
    "a bare point": b"1.",
    "a bare exponent": b"1e",
    "NaN": b"NaN",
    "Infinity": b"-Infinity",
    "a trailing comma": b"[1,]",
    "a trailing comma in an object": b'{"a":1,}',
    "a number as key": b"{1:2}",
    "a missing value": b'{"a":}',
    "a missing colon": b'{"a" 1}',
    "a colon in a list": b'["a":1]',
    "a wrong bracket": b"[1}",
    "cut short": b'{"a":[1,2',
    "a lone surrogate and a trailing comma": rb'["\ud800",]',
    "a cut unicode escape": rb'"\ud8',
    "one level too deep": b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
    "deep and cut short": b"[" * 5000,
    "deep and closed too often": b"[" * 2000 + b"]" * 2001,
    "deep and closed wrongly": b"[" * 2000 + b"}" + b"]" * 1999,
    "deep with a missing comma": b"[" * 2000 + b'"a""b"' + b"]" * 2000,
    "deep with two numbers": b"[" * 2000 + b"1 2" + b"]" * 2000,
    "deep with a leading zero": b"[" * 2000 + b"01" + b"]" * 2000,
    "deep with a unicode escape of no digits": b"[" * 2000 + rb'"\u"' + b"]" * 2000,
    "deep with a bad word": b"[" * 2000 + b"nul" + b"]" * 2000,
    "deep with a control character": b"[" * 2000 + b"\x00" + b"]" * 2000,
    "deep with a key alone": b"[" * 2000 + b'{"a"}' + b"]" * 2000,
    "deep with a trailing comma": b"[" * 2000 + b"1," + b"]" * 2000,
}


@pytest.mark.parametrize("bad", _INVALID.values(), ids=_INVALID)
def test_what_go_refuses_is_refused(bad: bytes) -> None:
    """What is no JSON is a WireError, never another exception, and its text shows no content."""
    with pytest.raises(WireError, match=r"^not JSON"):
        compact(bad)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(_JSON, st.sampled_from([None, 1, "\t"]), st.booleans())
def test_compaction_agrees_with_pythons_json(value: object, indent: int | str | None, ascii_only: bool) -> None:
    """However a value is laid out, what is left is what json writes without spaces."""
    loose = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    tight = json.dumps(value, ensure_ascii=ascii_only, separators=(",", ":")).encode("utf-8", "surrogatepass")
    assert compact(loose) == tight


_PIECES = st.sampled_from(
    [b"{", b"}", b"[", b"]", b",", b":", b'"a"', rb'"\ud800"', b"1", b"-", b"0", b".5", b"e1", b"true", b" ", b'"']
)


@given(st.lists(_PIECES, max_size=12).map(b"".join), st.integers(min_value=0, max_value=1))
def test_both_ways_agree_with_pythons_json_on_what_is_valid(near_json: bytes, deep: int) -> None:
    """The quick check and the walk for deep nesting draw the line where Python's json draws it."""
    wrapped = b"[" * 1200 * deep + near_json + b"]" * 1200 * deep
    try:
        json.loads(b"[" * deep + near_json + b"]" * deep)  # one list round it is as valid as 1200
        valid = True
    except ValueError:
        valid = False
    try:
        compact(wrapped)
    except WireError:
        assert not valid
    else:
        assert valid


@given(st.binary(max_size=40))
def test_any_bytes_are_json_or_a_wire_error(data: bytes) -> None:
    """Nothing that a client sends raises anything else."""
    with contextlib.suppress(WireError):
        assert compact(data) == compact(compact(data))


@given(st.binary(max_size=30))
def test_text_keeps_every_byte(data: bytes) -> None:
    """Bytes that are no UTF-8 come back from the text they were decoded to; in JSON each is one U+FFFD."""
    decoded = text(data)
    assert raw(decoded) == data
    assert json.loads(jsontext.dump(decoded)) == jsontext.mend(decoded)


@pytest.mark.parametrize(
    ("data", "bad"),
    [
        (b"\xff\xfe", 2),
        (b"\xe2\x98", 2),
        (b"\xe2\x98a", 2),
        (b"\xed\xa0\x80", 3),
        (b"\xc0\x80", 2),
        (b"\xf0\x9f\x98", 3),
        (b"\xf5\x80\x80\x80", 4),
        (b"\xe2\x98\x83", 0),
    ],
)
def test_each_bad_byte_counts(data: bytes, bad: int) -> None:
    """As in Go, every byte that is no UTF-8 becomes a replacement of its own; no two are merged."""
    assert jsontext.mend(text(data)).count("\ufffd") == bad


def test_any_surrogate_can_be_written() -> None:
    """A surrogate that stands for no byte is encoded as U+FFFD rather than raised."""
    assert raw("\ud800a\udcff") == b"\xef\xbf\xbda\xff"


def test_objects_and_lists_come_apart() -> None:
    """Members keep their order, duplicates and the spelling of their values; only top-level marks cut."""
    assert members(rb' { "a" : [1, {"b":2}] , "\u0061":"}," , "c":{} } ') == [
        ("a", b'[1, {"b":2}]'),
        ("a", b'"},"'),
        ("c", b"{}"),
    ]
    assert elements(b' [ 1, [2,3] ,{"a":4}, "," ] ') == [b"1", b"[2,3]", b'{"a":4}', b'","']
    assert members(b"{ }") == []
    assert elements(b"[]") == []


@pytest.mark.parametrize("other", [b"1", b'"{}"', b"null", b"[]"])
def test_only_an_object_has_members(other: bytes) -> None:
    """Another value is a WireError."""
    with pytest.raises(WireError, match="not a JSON object"):
        members(other)
    if other != b"[]":
        with pytest.raises(WireError, match="not a JSON array"):
            elements(other)


@pytest.mark.parametrize(
    ("given_json", "expected"),
    [
        (rb'"\ud83d\ude00"', "😀"),
        (rb'"\ud800"', "\ufffd"),
        (rb'"\ud800\ud83d\ude00"', "\ufffd😀"),
        (rb'"\udc00\ud800"', "\ufffd\ufffd"),
        (b'"a\xff\xe2\x98"', "a\ufffd\ufffd\ufffd"),
        (rb'"\u0000"', "\0"),
    ],
)
def test_strings_are_read_as_go_reads_them(given_json: bytes, expected: str) -> None:
    """Half pairs and bad bytes become U+FFFD, one each."""
    check(given_json)
    assert string(given_json) == expected


def test_a_string_is_demanded() -> None:
    """Another value is a WireError."""
    with pytest.raises(WireError, match="not a JSON string"):
        string(b"1")


def test_deep_values_are_not_loaded() -> None:
    """What json cannot read without recursing too deeply is a WireError; how deep it goes differs between Pythons."""
    for depth in (100, 5_000, 1_000_000):
        with contextlib.suppress(WireError):
            assert isinstance(jsontext.load(b"[" * depth + b"]" * depth), list)
