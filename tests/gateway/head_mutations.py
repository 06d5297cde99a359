"""What fuzzers do to valid requests: strategies for streams of requests with a few small things wrong."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

from hypothesis import strategies as st

from gateway.odd_heads import LEGAL, get, post

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy

SEEDS: Final = [
    get(),
    get(line=b"GET /version HTTP/1.1"),
    get(b"Connection: close\r\n"),
    post(b"Content-Length: 5\r\n", body=b"abcde"),
    post(b"Content-Length: 41\r\n", body=b"GET /inner HTTP/1.1\r\nHost: a\r\nX: abcdef\r\n"),
    post(b"Transfer-Encoding: chunked\r\n", body=b"5\r\nabcde\r\n0\r\n\r\n"),
    post(b"Transfer-Encoding: chunked\r\n", body=b"1e\r\nGET /inner HTTP/1.1\r\nHost: a\r\n\r\n0\r\nX: y\r\n\r\n"),
    post(b"Transfer-Encoding: chunked\r\n", b"Expect: 100-continue\r\n", body=b"3\r\nabc\r\n0\r\n\r\n"),
    *(sent for sent in LEGAL.values() if len(sent) < 1000),
]
"""Valid requests; their bodies look like requests, where that could make somebody stumble."""

DICTIONARY: Final = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"\n\n",
    b" ",
    b"\t",
    b"\x00",
    b"\x0b",
    b"\x7f",
    b"\xff",
    b":",
    b",",
    b";",
    b"0",
    b"0\r\n\r\n",
    b"5",
    b"+",
    b"-",
    b"_",
    b"0x",
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Transfer-Encoding : chunked\r\n",
    b"Host: b\r\n",
    b"Connection: close\r\n",
    b"Connection: upgrade\r\nUpgrade: SPDY/3.1\r\n",
    b"Expect: 100-continue\r\n",
    b" HTTP/1.1",
    b"HTTP/1.0",
    b"GET /inner HTTP/1.1\r\nHost: a\r\n\r\n",
    b"#",
    b"http://a/",
]

SPLITS: Final[SearchStrategy[list[int]]] = st.lists(st.integers(0, 400), max_size=6)
"""Where a stream is cut into segments."""


@st.composite
def mutated(draw: DrawFn) -> bytes:
    """A stream of one to four requests, in which up to four small things were changed."""
    data = b"".join(draw(st.lists(st.sampled_from(SEEDS), min_size=1, max_size=4)))
    for _ in range(draw(st.integers(0, 4))):
        data = _changed(draw, data)
    return data


def _changed(draw: DrawFn, data: bytes) -> bytes:
    at = draw(st.integers(0, len(data)))
    size = draw(st.integers(0, 12))
    match draw(st.sampled_from(["insert", "delete", "repeat", "replace"])):
        case "insert":
            return data[:at] + draw(st.sampled_from(DICTIONARY)) + data[at:]
        case "delete":
            return data[:at] + data[at + size :]
        case "repeat":
            return data[:at] + data[at : at + size] + data[at:]
        case _:
            return data[:at] + bytes([draw(st.integers(0, 255))]) + data[at + 1 :]


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    """Cut `data` at `cuts`; together the pieces are `data`."""
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    return [data[begin:end] for begin, end in pairwise(places)]
