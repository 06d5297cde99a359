from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decklog.sandbox.documents import (
    DEPTH_LIMIT,
    YAML_NODE_LIMIT,
    Malformed,
    copied,
    count,
    dicts,
    dig,
    from_json,
    from_yaml,
    text,
    texts,
    to_json,
    to_yaml,
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"a: 1\nb: [x, 'y']\n", {"a": 1, "b": ["x", "y"]}),
        (b"a: 2026-01-02\n", {"a": "2026-01-02"}),
        (b"a: yes\nb: n\n", {"a": True, "b": False}),
        (b"2: x\ntrue: z\n", {"2": "x", "true": "z"}),
        (b'{"a": {"b": null}}', {"a": {"b": None}}),
        (b"# nothing\n", None),
    ],
)
def test_yaml_is_read_as_json(body: bytes, expected: Any) -> None:
    """YAML is JSON spelled otherwise: dates are text, keys become text, y and n are booleans."""
    assert from_yaml(body) == expected


@pytest.mark.parametrize(
    "body",
    [
        b"a: [b",
        b"a: &x [1]\nb: *x\n",
        b"a: .nan\n",
        b"a: !!python/object:os.system {}\n",
        b"{[1]: 2}",
        b"\x00",
        b"a: 1\n---\nb: 2\n",
        b"[" * (DEPTH_LIMIT + 2),
        b"- x\n" * (YAML_NODE_LIMIT + 2),
        b"a: !!binary aGk=\n",
    ],
    ids=["cut", "alias", "no number", "tag", "key", "control", "two", "deep", "long", "bytes"],
)
def test_hostile_yaml_is_malformed(body: bytes) -> None:
    """YAML that unfolds, runs, or is no JSON value is refused, and quickly."""
    with pytest.raises(Malformed):
        from_yaml(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nope",
        b"[" * 100_000,
        b'{"a":' * (DEPTH_LIMIT + 1) + b"1" + b"}" * (DEPTH_LIMIT + 1),
        b'"\xff"',
        b"1e999",
    ],
    ids=["empty", "cut", "word", "very deep", "deep", "bytes", "huge"],
)
def test_hostile_json_is_malformed(body: bytes) -> None:
    """JSON that does not parse, or is nested too deep, is refused."""
    with pytest.raises(Malformed):
        from_json(body)


def test_empty_json_is_said_as_go_says_it() -> None:
    """An empty body has the text that Kubernetes' users know."""
    with pytest.raises(Malformed, match="unexpected end of JSON input"):
        from_json(b" ")


@given(value=VALUES)
def test_values_go_out_and_come_back(value: Any) -> None:
    """What is written, as JSON or YAML, is read back as it was; a copy is equal."""
    assert from_json(to_json(value)) == value
    assert from_json(to_json(value, pretty=True)) == value
    assert copied(value) == value


def test_yaml_answers_are_sorted_and_without_anchors() -> None:
    """A YAML answer has sorted keys, and repeats what is shared."""
    shared = ["x"]
    assert to_yaml({"b": shared, "a": shared}) == b"a:\n- x\nb:\n- x\n"


def test_half_a_character_is_written_escaped() -> None:
    """Half a surrogate pair, out of a strange request target, does not break an answer."""
    assert to_json("\udce9") == b'"\\udce9"\n'


@given(value=VALUES, path=st.lists(st.text(max_size=6), max_size=3))
def test_reading_any_value_never_fails(value: Any, path: list[str]) -> None:
    """The readers answer something of their type for whatever stands at a path."""
    dig(value, *path)
    assert isinstance(text(value, *path), str)
    assert isinstance(count(value, *path), int)
    assert all(isinstance(item, dict) for item in dicts(value, *path))
    assert all(isinstance(item, str) for item in texts(value, *path))
