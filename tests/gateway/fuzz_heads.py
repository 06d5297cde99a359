"""Fuzz the reading of heads and chunks with atheris: ``python tests/gateway/fuzz_heads.py CORPUS -runs=1000000``.

No test, and atheris is no dependency: CONTRIBUTING says how to get it. What `decklog.http1` accepts is held against
`strict_http`, a reader written apart from it; what it refuses must be a HeadError, and nothing else may ever come out.
Without atheris the same check runs over a file for each argument, which shows a crash that was found again.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2] / "src")]

from decklog.http1 import CHUNKED, END, Chunks, HeadError, Heads, RequestHead  # noqa: E402  # because: the path comes first
from gateway import strict_http  # noqa: E402  # because: the same

HEADS = Heads()
"""One for all inputs, as in the gateway: what one leaves behind must not change what the next is read as."""


def check(data: bytes) -> None:
    """Read `data` as a stream of requests, as the gateway does; AssertionError where the two readers differ."""
    while (end := data.find(END)) >= 0:
        raw, data = data[: end + 4], data[end + 4 :]
        try:
            head = HEADS.request(raw)
        except HeadError:
            return
        _same(head, raw)
        if head.length == CHUNKED:
            rest = _chunks(data)
            if rest is None:
                return
            data = rest
        else:
            data = data[head.length :]


def _same(head: RequestHead, raw: bytes) -> None:
    """Hold what was read against the second reader; HTTP/1.2 to 1.9 are read as 1.1 by ours alone."""
    line, found, rest = raw.partition(b"\r\n")
    assert found, raw
    request = strict_http.parse_head(line[:-1] + (b"1" if head.minor else b"0") + found + rest)
    assert (request.method, request.target) == (head.method, head.target), raw
    assert [(name.lower(), value) for name, value in request.headers] == head.headers, raw
    assert head.length == (CHUNKED if request.chunked else request.length), raw


def _chunks(data: bytes) -> bytes | None:
    """Walk through `data` whole, and byte by byte; both have to see the same, and the second reader too."""
    whole: list[bytes] = []
    try:
        rest = Chunks().feed(data, whole)
    except HeadError:
        _refused_byte_by_byte(data)
        return None
    bytewise, walker, pieces = None, Chunks(), list[bytes]()
    for at in range(len(data)):
        if (bytewise := walker.feed(data[at : at + 1], pieces)) is not None:
            assert rest == data[at + 1 :], data
            break
    assert (rest is None) is (bytewise is None), data
    assert b"".join(whole) == b"".join(pieces), data
    if rest is not None:
        head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        end = len(data) - len(rest)
        (request,), left = strict_http.split_requests(head + data[:end])
        assert (request.body, left) == (b"".join(whole), b""), data
    return rest


def _refused_byte_by_byte(data: bytes) -> None:
    walker = Chunks()
    try:
        ended = any(walker.feed(data[at : at + 1]) is not None for at in range(len(data)))
    except HeadError:
        return
    assert not ended, data


def main() -> None:
    """Fuzz, or check the files that are named."""
    try:
        atheris = importlib.import_module("atheris")
    except ImportError:
        for path in sys.argv[1:]:
            check(Path(path).read_bytes())
        return
    atheris.instrument_all()
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
