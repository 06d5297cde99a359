import pytest
from hypothesis import given
from hypothesis import strategies as st

from decklog.http1 import CHUNKED, LAST_CHUNK, UNTIL_CLOSE, Chunks, HeadError, Heads, chunk

HOST = b"Host: a\r\n"

GOOD = {
    "a plain GET": (b"GET / HTTP/1.1\r\n" + HOST, (b"GET", b"/", 0, True)),
    "a method that llhttp does not know": (b"LIST /version HTTP/1.1\r\n" + HOST, (b"LIST", b"/version", 0, True)),
    "a lower-case method": (b"get / HTTP/1.1\r\n" + HOST, (b"get", b"/", 0, True)),
    "a target that is no ASCII": (b"GET /\xc3\xa9 HTTP/1.1\r\n" + HOST, (b"GET", b"/\xc3\xa9", 0, True)),
    "a length": (b"POST / HTTP/1.1\r\nContent-Length: 12\r\n" + HOST, (b"POST", b"/", 12, True)),
    "chunks": (b"POST / HTTP/1.1\r\ntransfer-encoding: Chunked\r\n" + HOST, (b"POST", b"/", CHUNKED, True)),
    "the last request": (b"GET / HTTP/1.1\r\nConnection: foo, Close\r\n" + HOST, (b"GET", b"/", 0, False)),
    "HTTP/1.0 without a host": (b"GET / HTTP/1.0\r\n", (b"GET", b"/", 0, False)),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_head_is_read_once_and_for_all(name: str) -> None:
    """What is one request beyond doubt is read: method, target, length of the body, and whether more may follow."""
    head, expected = GOOD[name]
    heads = Heads()
    for _ in range(2):  # the parser behind is used again
        read = heads.request(head + b"\r\n")
        assert (read.method, read.target, read.length, read.keep_alive) == expected


def test_header_lines_are_lower_case_names_and_trimmed_values() -> None:
    """Names are given in lower case, values without the blanks round them, in the order of the lines."""
    read = Heads().request(b"GET / HTTP/1.1\r\nHost:  a \t\r\nX-A: 1\r\nx-a: \r\nX-B: \xff\r\n\r\n")
    assert read.headers == [(b"host", b"a"), (b"x-a", b"1"), (b"x-a", b""), (b"x-b", b"\xff")]


def test_an_upgrade_counts_only_where_connection_names_it() -> None:
    """Upgrade is a matter of one hop: Connection has to name it."""
    heads = Heads()
    asked = heads.request(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n")
    assert asked.upgrade == b"SPDY/3.1"
    assert heads.request(b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: SPDY/3.1\r\n\r\n").upgrade == b""
    assert heads.request(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").upgrade == b""


BAD = {
    "two lengths": b"Content-Length: 1\r\nContent-Length: 1\r\n",
    "a list of lengths": b"Content-Length: 1, 1\r\n",
    "a signed length": b"Content-Length: +1\r\n",
    "a length past all bounds": b"Content-Length: 99999999999999999999\r\n",
    "length and chunks": b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
    "chunks and length": b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
    "another coding": b"Transfer-Encoding: gzip, chunked\r\n",
    "chunks twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "a bare LF": b"A: b\nC: d\r\n",
    "a bare CR": b"A: b\rC: d\r\n",
    "a folded line": b"A: b\r\n c\r\n",
    "a blank before the colon": b"A : b\r\n",
    "no colon": b"A\r\n",
    "an empty name": b": b\r\n",
    "NUL": b"A: b\x00\r\n",
    "a name that is no token": b"A(: b\r\n",
    "a name that is no ASCII": b"\xc3\xa9: b\r\n",
    "two hosts": b"Host: b\r\n",
    "a host that is none": b"Host: a/b\r\n",
}


@pytest.mark.parametrize("name", BAD)
def test_what_could_be_read_in_two_ways_is_refused(name: str) -> None:
    """A head that another server may read otherwise is no request."""
    heads = Heads()
    with pytest.raises(HeadError) as refused:
        heads.request(b"POST / HTTP/1.1\r\n" + HOST + BAD[name] + b"\r\n")
    assert refused.value.status == 400
    assert heads.request(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").method == b"GET"  # the next head is read as ever


ANSWERS = {
    "a length": (b"200 OK", b"Content-Length: 5\r\n", b"GET", 5, True),
    "chunks": (b"200 OK", b"Transfer-Encoding: chunked\r\n", b"GET", CHUNKED, True),
    "until the end": (b"200", b"", b"GET", UNTIL_CLOSE, False),
    "HEAD has none": (b"200 OK", b"Content-Length: 5\r\n", b"HEAD", 0, True),
    "204 has none": (b"204 No Content", b"", b"GET", 0, True),
    "304 has none": (b"304 Not Modified", b"Content-Length: 5\r\n", b"GET", 0, True),
    "the last answer": (b"200 OK", b"Content-Length: 5\r\nConnection: close\r\n", b"GET", 5, False),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_tells_where_its_body_ends(name: str) -> None:
    """The length of an answer's body follows from its method, its code and its head."""
    line, lines, method, length, keep_alive = ANSWERS[name]
    read = Heads().response(b"HTTP/1.1 " + line + b"\r\n" + lines + b"\r\n", method)
    assert (read.code, read.length, read.keep_alive) == (int(line[:3]), length, keep_alive)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.integers(1, 60), st.binary(max_size=20))
def test_chunks_end_where_they_end_however_they_are_cut(pieces: list[bytes], step: int, rest: bytes) -> None:
    """The walk finds the content and the end of a chunked body, whatever pieces it comes in."""
    body = b"".join(chunk([piece]) for piece in pieces) + LAST_CHUNK
    wire = body + rest
    walk, content, left = Chunks(), list[bytes](), None
    at = 0
    while left is None:
        left = walk.feed(wire[at : at + step], content)
        at += step
    assert b"".join(content) == b"".join(pieces)
    assert left + wire[at:] == rest


BAD_CHUNKS = [
    b"+1\r\n",
    b"0x1\r\n",
    b"1_0\r\n",
    b" 1\r\n",
    b"1 \r\n",
    b"\r\n",
    b"1;a\nb\r\n",
    b"1\n",
    b"1\r\nab\r\n",
    b"f" * 17 + b"\r\n",
]


@pytest.mark.parametrize("wire", BAD_CHUNKS)
def test_what_is_no_chunk_is_refused(wire: bytes) -> None:
    """Sizes and line ends are taken literally."""
    with pytest.raises(HeadError):
        Chunks().feed(wire + b"x" * 9000)
