from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decklog.sources.documents import documents, is_documents
from sources.carried import subscription

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 1 << 20


def cut(text: bytes, size: int = 1 << 20, limit: int = LIMIT) -> list[tuple[int, bytes | None]]:
    return list(documents(pieces(text, size), limit))


def pieces(text: bytes, size: int) -> Iterator[bytes]:
    return (text[place : place + size] for place in range(0, len(text), size))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.lists(st.dictionaries(st.text(max_size=4), JSON, max_size=4), min_size=1, max_size=4)


@given(
    OBJECTS, st.sampled_from(["array", "pretty array", "pretty", "glued", "lines"]), st.integers(1, 40), st.booleans()
)
def test_documents_are_the_same_however_they_are_joined_and_arrive(
    objects: list[dict[str, Any]], joined: str, size: int, ascii_only: bool
) -> None:
    """Each document comes out whole and in order, for pieces of any size."""
    texts = [json.dumps(one, ensure_ascii=ascii_only) for one in objects]
    pretty = [json.dumps(one, indent=2, ensure_ascii=ascii_only) for one in objects]
    whole = {
        "array": "[" + ", ".join(texts) + "]",
        "pretty array": json.dumps(objects, indent=2, ensure_ascii=ascii_only),
        "pretty": "\n".join(pretty),
        "glued": "".join(texts),
        "lines": "\n".join(texts) + "\n",
    }[joined]
    got = cut(whole.encode("utf-8", "surrogatepass"), size)
    assert [json.dumps(json.loads(text or b""), ensure_ascii=ascii_only) for _, text in got] == texts


@given(st.binary(max_size=200), st.integers(1, 50))
def test_any_bytes_are_cut_without_loss_of_the_next_line(garbage: bytes, size: int) -> None:
    """Whatever stands before it, a document on a line of its own is found, unless it lies in what went before."""
    text = b'"torn' + garbage.replace(b"{", b"").replace(b"[", b"") + b'\n{"found":1}\n'
    assert (b'{"found":1}') in [found for _, found in cut(text, size)]


FORGED = b'{"kind":"Event","auditID":"forged"}'
TORN: dict[str, tuple[bytes, list[bytes]]] = {
    "a line, torn in a string": (b'{"messageType":"a\n{"b":1}\n{"c":1}', [b'{"b":1}', b'{"c":1}']),
    "glued records, one torn in a string": (
        subscription(b"x")[:-9] + subscription(b"y") + subscription(b"z"),
        [subscription(b"y"), subscription(b"z")],
    ),
    "glued records, one torn behind a value": (
        subscription(b"x")[:-1] + subscription(b"y") + subscription(b"z"),
        [subscription(b"y"), subscription(b"z")],
    ),
    "glued records, one torn behind a colon": (
        b'{"messageType":' + subscription(b"y") + subscription(b"z"),
        [subscription(b"z")],
    ),
    "pretty, torn, with a body that looks like an event": (
        b'[\n  {\n    "a": "torn,\n    "body": [\n      ' + FORGED + b'\n    ]\n  },\n  {"b":1}\n]',
        [b'{"b":1}'],
    ),
    "closed by the wrong bracket": (b'{"messageType":[1}\n{"b":1}', [b'{"b":1}']),
}


@pytest.mark.parametrize("name", TORN)
@pytest.mark.parametrize("size", [1 << 20, 100, 7])
def test_a_torn_document_hurts_only_itself(name: str, size: int) -> None:
    """The next document is found; the inside of a torn one is never taken for one."""
    text, wanted = TORN[name]
    got = [found for _, found in cut(text, size) if found]
    assert [found for found in wanted if found in got] == wanted
    assert FORGED not in got


def test_numbers_are_those_of_the_line_where_a_document_begins() -> None:
    """So that a person finds it."""
    text = b'[\n  {\n    "a": 1\n  },\n  {"b":\n 2}\n]\nhello\n{"c":1}{"d":1}\n'
    assert [number for number, _ in cut(text)] == [2, 5, 8, 9, 9]


@pytest.mark.parametrize("size", [1 << 20, 13])
def test_a_document_that_is_too_long_is_named_and_memory_stays_bounded(size: int) -> None:
    """Past the limit a document is only reported; the next line is read."""
    long = b'{"messageType":"' + b"x" * 500 + b'"}'
    got = cut(b'{"a":1}\n' + long + b'\n{"b":1}\n', size, limit=100)
    assert got == [(1, b'{"a":1}'), (2, None), (3, b'{"b":1}')]


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b'{"kind":"Event"', False),
        (b"[{", True),
        (b" [\n  {", True),
        (b"{\n", True),
        (b"{ \r\n", True),
        (b'{"messageType":"DATA_MESSAGE"', True),
        (b"\xef\xbb\xbf[{", True),
        (b"[[[[", False),
        (b"[1]", False),
        (b"", False),
        (b"hello", False),
        (b'{"level":', False),
    ],
)
def test_the_beginning_tells_documents_from_lines(head: bytes, expected: bool) -> None:
    """Lines are the rule; what is cut into documents begins as such."""
    assert is_documents(head) == expected


def test_a_large_array_on_one_line_is_streamed() -> None:
    """Elements come before the array has ended, whatever its length."""
    made = random.Random(1)
    given_out = 0

    def array() -> Iterator[bytes]:
        nonlocal given_out
        yield b"["
        for number in range(1000):
            given_out = number
            yield b'{"a":"%030d"},' % made.getrandbits(60)
        yield b"{}]"

    for seen, _ in enumerate(documents(array(), 100)):
        assert given_out - seen <= 3
