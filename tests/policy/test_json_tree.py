from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decklog.audit.documents.tree import MAX_DEPTH, MAX_NODES, Mapping, Position, Unreadable
from decklog.policy.binding import plain
from decklog.policy.json_tree import is_json, read_json

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@settings(deadline=None)  # the machine may be busy
@given(values, st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_reads_as_python_does(value: Any, ascii_only: bool, indent: int | str | None) -> None:
    """What Python writes as JSON is read as the value that it was."""
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert plain(read_json(text.encode(errors="surrogatepass")).root) == value


@settings(deadline=None)  # the machine may be busy
@given(st.text(alphabet='{}[]":,\\u0aAe+-.19tfn \n\x01é', max_size=12))
def test_refuses_as_python_does(text: str) -> None:
    """What Python's decoder takes for no JSON is no JSON here, and the other way round."""
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(Unreadable):
            read_json(text.encode())
    else:
        assert plain(read_json(text.encode()).root) == expected


PREFIX = "couldn't get version/kind; json parse error: "


@pytest.mark.parametrize(
    ("text", "at", "said"),
    [
        ("{} x", (1, 4), "invalid character 'x' after top-level value"),
        ("{}\n{}", (2, 1), "invalid character '{' after top-level value"),
        ("{a: 1}", (1, 2), "invalid character 'a' looking for beginning of object key string"),
        ('{"a" 1}', (1, 6), "invalid character '1' after object key"),
        ('{"a":1 "b":2}', (1, 8), "invalid character '\"' after object key:value pair"),
        ('{"a":1,}', (1, 8), "invalid character '}' looking for beginning of object key string"),
        ("{'a':1}", (1, 2), "invalid character '\\'' looking for beginning of object key string"),
        ("[1 2]", (1, 4), "invalid character '2' after array element"),
        ("[1,]", (1, 4), "invalid character ']' looking for beginning of value"),
        ("[01]", (1, 3), "invalid character '1' after array element"),
        ("[-a]", (1, 3), "invalid character 'a' in numeric literal"),
        ("[1.a]", (1, 4), "invalid character 'a' after decimal point in numeric literal"),
        ("[1e+a]", (1, 5), "invalid character 'a' in exponent of numeric literal"),
        ("[tru]", (1, 5), "invalid character ']' in literal true (expecting 'e')"),
        ("[nul", (1, 5), "unexpected end of JSON input"),
        ('["a\tb"]', (1, 4), "invalid character '\\t' in string literal"),
        ('["\\x"]', (1, 4), "invalid character 'x' in string escape code"),
        ('["\\u12g4"]', (1, 7), "invalid character 'g' in \\u hexadecimal character escape"),
        ("[ä]", (1, 2), "invalid character 'Ã' looking for beginning of value"),
        ("\n {", (2, 3), "unexpected end of JSON input"),
        ("", (1, 1), "unexpected end of JSON input"),
        ('["a', (1, 4), "unexpected end of JSON input"),
    ],
)
def test_syntax(text: str, at: tuple[int, int], said: str) -> None:
    """A syntax error is told at its place, in Go's words."""
    with pytest.raises(Unreadable) as raised:
        read_json(text.encode())
    assert (raised.value.at, raised.value.reference) == (at, f"{PREFIX}{said}")


def test_places_and_duplicates() -> None:
    """Keys and values know their places; a key that comes twice stands there twice, in the order of the file."""
    root = read_json('{"ä": {"b": 1},\n  "c": [2,\n 3], "c": 4}'.encode()).root
    assert isinstance(root, Mapping)
    assert [(entry.key, entry.at, entry.value.at) for entry in root.entries] == [
        ("ä", (1, 2), (1, 7)),
        ("c", (2, 3), (2, 8)),
        ("c", (3, 6), (3, 11)),
    ]


@pytest.mark.parametrize(
    ("data", "value", "replaced"),
    [
        (b'["a\xff\xfeb"]', "a\ufffd\ufffdb", Position(1, 4)),
        (b'["\xed\xa0\x80"]', "\ufffd\ufffd\ufffd", Position(1, 3)),
        (b'["\\ud800x"]', "\ufffdx", None),
        (b'["\\ud83d\\ude00"]', "\U0001f600", None),
        (b'["\\ud83d\xf0\x9f\x98\x80"]', "\ufffd\U0001f600", None),
    ],
)
def test_what_is_no_unicode(data: bytes, value: str, replaced: Position | None) -> None:
    """A byte that is no UTF-8 and an escaped half of a pair become U+FFFD; where the first byte stood is known."""
    document = read_json(data)
    assert (plain(document.root), document.replaced) == ([value], replaced)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 100_000, f"nested deeper than {MAX_DEPTH} levels"),
        ('{"a":' * 100_000, f"nested deeper than {MAX_DEPTH} levels"),
        ("[" + "1," * MAX_NODES, f"more than {MAX_NODES:,} nodes"),
    ],
)
def test_bombs(text: str, said: str) -> None:
    """A document that is deeper or larger than any policy is refused with its place."""
    with pytest.raises(Unreadable) as raised:
        read_json(text.encode())
    assert raised.value.text.startswith(said)


@pytest.mark.parametrize(
    ("data", "json_file"),
    [
        (b"{}", True),
        (b" \r\n\t{}", True),
        ("\u00a0{}".encode(), True),
        (b"[]", False),
        (b"\xef\xbb\xbf{}", False),
        (b"# x\n{}", False),
        (b"", False),
        (b"\xff{}", False),
    ],
)
def test_what_is_json(data: bytes, json_file: bool) -> None:
    """A file is JSON if its first character that is no space is a brace."""
    assert is_json(data) is json_file
