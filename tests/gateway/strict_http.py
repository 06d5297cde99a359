"""A second opinion on HTTP/1.1: the strictest reading of RFC 9112, shared by the scripted upstream and the fuzzers.

It knows nothing of `decklog.http1`, on purpose: what the gateway sends is judged by somebody who did not write it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

CRLF: Final = b"\r\n"
_LINE: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e\x80-\xff]+) HTTP/1\.([01])")
_FIELD: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\x21-\x7e\x80-\xff]?[\t\x20-\x7e\x80-\xff]*)")
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")
_CHUNK: Final = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")
_TRAILER: Final = frozenset({b"content-length", b"transfer-encoding", b"host", b"authorization"})


class MalformedError(ValueError):
    """What came is no HTTP/1.1 that everybody would read alike."""


@dataclass
class Request:
    """One request as it came."""

    method: bytes
    target: bytes
    minor: int
    headers: list[tuple[bytes, bytes]]
    """Names in the spelling of the wire."""
    head: bytes
    """The head byte for byte, with its empty line."""
    body: bytes = b""
    complete: bool = False
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)

    def values(self, name: bytes) -> list[bytes]:
        """Every value of a header, in order."""
        return [value for found, value in self.headers if found.lower() == name.lower()]

    def value(self, name: bytes) -> bytes | None:
        """The only value of a header; None if there is none."""
        values = self.values(name)
        if len(values) > 1:
            raise MalformedError(f"{name!r} stands {len(values)} times")
        return values[0] if values else None

    @property
    def chunked(self) -> bool:
        return self.value(b"transfer-encoding") is not None

    @property
    def length(self) -> int:
        """Bytes of the body, where Content-Length says it; else 0."""
        return int(self.value(b"content-length") or b"0")


def parse_head(head: bytes) -> Request:
    """Read one request head, which ends with its empty line. Raises MalformedError."""
    line, *lines = head.removesuffix(CRLF + CRLF).split(CRLF)
    found = _LINE.fullmatch(line)
    if found is None:
        raise MalformedError(f"request line {line!r}")
    request = Request(found[1], found[2], int(found[3]), [parse_field(line) for line in lines], head)
    _check_framing(request)
    return request


def parse_field(line: bytes) -> tuple[bytes, bytes]:
    """Read one header line. Raises MalformedError: bare CR or LF, folding, control bytes, an odd name."""
    found = _FIELD.fullmatch(line)
    if found is None:
        raise MalformedError(f"header line {line!r}")
    return found[1], found[2].rstrip(b" \t")


def _check_framing(request: Request) -> None:
    coding, length = request.value(b"transfer-encoding"), request.value(b"content-length")
    hosts = request.values(b"host")
    if coding is not None and (coding.lower() != b"chunked" or length is not None or request.minor == 0):
        raise MalformedError(f"framing: coding {coding!r}, length {length!r}, HTTP/1.{request.minor}")
    if length is not None and not _LENGTH.fullmatch(length):
        raise MalformedError(f"length {length!r}")
    if len(hosts) > 1 or (request.minor == 1 and not hosts):
        raise MalformedError(f"hosts {hosts!r}")


def chunk_size(line: bytes) -> int:
    """Read the line of a chunk's size, without CRLF. Raises MalformedError."""
    found = _CHUNK.fullmatch(line)
    if found is None:
        raise MalformedError(f"chunk size {line!r}")
    return int(found[1], 16)


def parse_trailer(line: bytes) -> tuple[bytes, bytes]:
    """Read one trailer line. Raises MalformedError also for a trailer that would change the framing."""
    name, value = parse_field(line)
    if name.lower() in _TRAILER:
        raise MalformedError(f"trailer {line!r}")
    return name, value


def split_requests(data: bytes) -> tuple[list[Request], bytes]:
    """Cut `data` into whole requests and the beginning of one more, whatever their trailers. Raises MalformedError."""
    requests: list[Request] = []
    while (end := data.find(CRLF + CRLF)) >= 0:
        request = parse_head(data[: end + 4])
        rest = _body(request, data[end + 4 :])
        if rest is None:
            break
        request.complete = True
        requests.append(request)
        data = rest
    return requests, data


def _body(request: Request, data: bytes) -> bytes | None:
    """Take the body off `data`; answers what is left, None if the body is not whole."""
    if not request.chunked:
        request.body = data[: request.length]
        return data[request.length :] if len(data) >= request.length else None
    while True:
        line, found, data = data.partition(CRLF)
        if not found:
            return None
        size = chunk_size(line)
        if size == 0:
            return _trailers(request, data)
        if len(data) < size + 2:
            return None
        if data[size : size + 2] != CRLF:
            raise MalformedError("chunk without its CRLF")
        request.body += data[:size]
        data = data[size + 2 :]


def _trailers(request: Request, data: bytes) -> bytes | None:
    while True:
        line, found, data = data.partition(CRLF)
        if not found:
            return None
        if not line:
            return data
        request.trailers.append(parse_field(line))
