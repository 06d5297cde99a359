"""HTTP/1.1 on the wire: heads and bodies, read strictly. Lives in the cellar: knows nothing of audit.

One reading of a request is the only one: what another server could read otherwise is refused, so that nobody smuggles a
second request past us. httptools (llhttp) reads each header line that was not seen before: what it made of the last few
thousand is kept, as clients send the same lines over and over, and asking again costs a third of their reading. Lines
that may hold a secret are not kept. The first line is read here, because llhttp takes known methods and ASCII targets
only, where Go's server takes any.

| refused, with 400 unless said otherwise | why |
|---|---|
| a line that does not end in CR LF, a CR or LF elsewhere | servers disagree where such a line ends |
| a folded header line, blanks before a colon, an empty or odd name, control characters | the same |
| Content-Length twice, or not plain digits; with Transfer-Encoding; over 2^63 | two lengths are two requests |
| Transfer-Encoding other than ``chunked``, or in HTTP/1.0 | the same |
| no Host, or two of them (HTTP/1.1), or one that is no host | as Go's server |
| HTTP/0.9, HTTP/2 (505) | we speak HTTP/1.1 |
| chunk sizes with signs, blanks or underscores, chunks without their CR LF | the same as for lengths |
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable

Headers = list[tuple[bytes, bytes]]
"""(lower-case name, value without blanks round it) of each line, in order."""

CHUNKED: Final = -1
"""The length of a body that comes in chunks."""
UNTIL_CLOSE: Final = -2
"""The length of an answer's body that ends with its connection."""
END: Final = b"\r\n\r\n"
"""What ends a head."""

_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_REQUEST_LINE: Final = re.compile(rb"(%b) ([^\x00-\x20\x7f]+) HTTP/([0-9])\.([0-9])\r\n" % _TOKEN)
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})( [^\x00-\x08\x0a-\x1f\x7f]*)?\r\n")
_CHUNK_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[^\x00-\x08\x0a-\x1f\x7f]*)?")
_TRAILER: Final = re.compile(rb"%b:[^\x00-\x08\x0a-\x1f\x7f]*" % _TOKEN)
_HOST: Final = re.compile(rb"[A-Za-z0-9!$%&'()*+,\-.:;=\[\]_~]*")
_LINE_LIMIT: Final = 4096
"""Bytes of a chunk's size line at most."""
_TRAILERS_LIMIT: Final = 64 * 1024
_LENGTH_DIGITS: Final = 18
_FRAMING: Final = frozenset({b"connection", b"content-length", b"expect", b"host", b"transfer-encoding", b"upgrade"})
SECRET: Final = frozenset(
    {b"authorization", b"cookie", b"proxy-authorization", b"sec-websocket-protocol", b"set-cookie"}
)
"""Names whose values may be secrets: nothing is kept of them beyond their request."""
_HTTP_AGAIN: Final = (b"h2", b"h3", b"http/", b"tls/")
"""Protocols that carry requests again, which nobody between would see: an offer of them is not taken, nor passed on."""
_FIRST_LINE: Final = b"GET / HTTP/1.1\r\n"
"""What stands before a header line when llhttp reads it: it never sees a first line from outside."""
_KEPT_LINES: Final = 4096
_KEPT_BYTES: Final = 512
"""Lines that are kept: how many, and how long ones. The bound on what a client can make us remember is 2 MiB."""


class HeadError(ValueError):
    """A head, or a chunk, that is refused: `status` is what a client gets."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class RequestHead(Struct):
    """The head of a request."""

    method: bytes
    target: bytes
    """As it was sent."""
    minor: int
    """HTTP/1.`minor`."""
    headers: Headers
    length: int
    """Bytes of the body, or CHUNKED."""
    keep_alive: bool
    """Whether the client wants to send another request on this connection."""
    upgrade: bytes = b""
    """The protocol that the client wants to go on with; empty: none, or one that carries HTTP again."""
    expects: bool = False
    """Whether the client waits for ``100 Continue`` before it sends the body."""


class ResponseHead(Struct):
    """The head of an answer."""

    code: int
    minor: int
    reason: bytes
    """With the blank before it, if there is any."""
    headers: Headers
    length: int
    """Bytes of the body, CHUNKED or UNTIL_CLOSE; 0 where code or method allow none."""
    keep_alive: bool


class Heads:
    """Reads heads; synchronous, so one for all connections of a loop will do."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[bytes, bytes]] = {}
        self._read: Headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header line from the parser."""
        self._read.append((name.lower(), value.strip(b" \t")))

    def request(self, head: bytes) -> RequestHead:
        """Read the head of a request, up to and with the empty line. Raises HeadError."""
        line = _REQUEST_LINE.match(head)
        if line is None:
            raise HeadError("malformed request line")
        method, target, major, minor = line.groups()
        if major != b"1":
            raise HeadError("unsupported protocol version", 505)
        headers = self._lines(head, line.end())
        length = 0
        upgrade, connection, hosts, expects = b"", None, 0, False
        sized = False
        for name, value in headers:
            if name not in _FRAMING:
                continue
            if name == b"host":
                hosts += 1
                if not _HOST.fullmatch(value):
                    raise HeadError("malformed Host header")
            elif name == b"connection":
                connection = value if connection is None else connection + b"," + value
            elif name == b"content-length":
                if sized:
                    raise HeadError("more than one of Content-Length and Transfer-Encoding")
                length, sized = _length(value), True
            elif name == b"transfer-encoding":
                if sized or value.lower() != b"chunked" or minor == b"0":
                    raise HeadError("unsupported or ambiguous Transfer-Encoding")
                length, sized = CHUNKED, True
            elif name == b"upgrade":
                upgrade = value if not upgrade else upgrade + b", " + value
            elif value.lower() == b"100-continue":
                expects = True
            else:
                raise HeadError("unknown expectation", 417)
        if hosts != 1 and (hosts or minor != b"0"):
            raise HeadError("missing required Host header" if not hosts else "too many Host headers")
        keep_alive = minor != b"0"
        if connection is not None:
            tokens = _tokens(connection)
            keep_alive = keep_alive and b"close" not in tokens
            if b"upgrade" not in tokens:
                upgrade = b""
        else:
            upgrade = b""
        if upgrade and any(token.startswith(_HTTP_AGAIN) for token in _tokens(upgrade)):
            upgrade = b""
        return RequestHead(method, target, int(minor), headers, length, keep_alive, upgrade, expects)

    def response(self, head: bytes, method: bytes) -> ResponseHead:
        """Read the head of an answer to a request with `method`. Raises HeadError."""
        line = _STATUS_LINE.match(head)
        if line is None:
            raise HeadError("malformed status line")
        minor, code, reason = int(line[1]), int(line[2]), line[3] or b" "
        headers = self._lines(head, line.end())
        length = UNTIL_CLOSE
        sized = False
        keep_alive = minor == 1
        for name, value in headers:
            if name not in _FRAMING:
                continue
            if name == b"content-length":
                if sized:
                    raise HeadError("more than one of Content-Length and Transfer-Encoding")
                length, sized = _length(value), True
            elif name == b"transfer-encoding":
                if sized or value.lower() != b"chunked" or not minor:
                    raise HeadError("unsupported or ambiguous Transfer-Encoding")
                length, sized = CHUNKED, True
            elif name == b"connection" and b"close" in _tokens(value):
                keep_alive = False
        if method == b"HEAD" or code < 200 or code in {204, 304}:
            length = 0
        elif length == UNTIL_CLOSE:
            keep_alive = False
        return ResponseHead(code, minor, reason, headers, length, keep_alive)

    def _lines(self, head: bytes, start: int) -> Headers:
        """Read the lines between the first one and the empty one."""
        if start == len(head) - 2:
            return []
        known = self._known
        return [known.get(line) or self._line(line) for line in head[start:-4].split(b"\r\n")]

    def _line(self, line: bytes) -> tuple[bytes, bytes]:
        """Let llhttp read one line, once it is sure that it is one for every server."""
        if b"\n" in line or b"\r" in line or line[:1] in b" \t":
            raise HeadError("malformed header line")
        self._read = []
        try:
            # Its own end of the head is what tells that llhttp has seen one line, and nothing more than that.
            HttpRequestParser(self).feed_data(_FIRST_LINE + line + END)
        except HttpParserUpgrade:
            pass
        except HttpParserError:
            raise HeadError("malformed header line") from None
        if len(self._read) != 1:
            raise HeadError("malformed header line")
        pair = self._read[0]
        if len(line) <= _KEPT_BYTES and pair[0] not in SECRET:
            if len(self._known) >= _KEPT_LINES:
                self._known.clear()
            self._known[line] = pair
        return pair


def _length(value: bytes) -> int:
    if not value.isdigit() or len(value) > _LENGTH_DIGITS:
        raise HeadError("malformed Content-Length")
    return int(value)


def _tokens(value: bytes) -> list[bytes]:
    return [token.strip(b" \t") for token in value.lower().split(b",")]


class Chunks:
    """Walks through a chunked body to find its end; the bytes themselves may pass on unchanged."""

    __slots__ = ("_held", "_left", "_line", "_trailers")

    def __init__(self) -> None:
        self._left = 0
        self._line = _SIZE
        self._held = b""
        self._trailers = 0

    @property
    def between(self) -> bool:
        """Whether the last byte seen ended a chunk: here the body may be ended by us."""
        return self._line is _SIZE and not self._left and not self._held

    def feed(self, data: bytes, pieces: list[bytes] | None = None) -> bytes | None:
        """Walk through `data`; None until the body has ended, then what follows it.

        The content is appended to `pieces`. Raises HeadError for what is no chunk.
        """
        at, end = 0, len(data)
        while True:
            if self._left:
                take = min(self._left, end - at)
                if take and pieces is not None:
                    pieces.append(data[at : at + take])
                at += take
                self._left -= take
                if self._left:
                    return None
                self._line = _EMPTY
            if self._held:
                data, self._held = self._held + data[at:], b""
                at, end = 0, len(data)
            stop = data.find(b"\r\n", at)
            if stop < 0:
                self._hold(data[at:])
                return None
            line = data[at:stop]
            at = stop + 2
            if self._take(line):
                return data[at:]

    def _hold(self, beginning: bytes) -> None:
        if len(beginning) > _LINE_LIMIT or b"\n" in beginning or b"\r" in beginning[:-1]:
            raise HeadError("malformed chunk")
        self._held = beginning

    def _take(self, line: bytes) -> bool:
        """Read one line between the chunks; True at the end of the body."""
        if self._line is _SIZE:
            size = _CHUNK_SIZE.fullmatch(line) if len(line) <= _LINE_LIMIT else None
            if size is None:
                raise HeadError("malformed chunk")
            self._left = int(size[1], 16)
            if not self._left:
                self._line = _TRAILERS
        elif self._line is _EMPTY:
            if line:
                raise HeadError("malformed chunk")
            self._line = _SIZE
        elif not line:
            return True
        else:
            self._trailers += len(line)
            if self._trailers > _TRAILERS_LIMIT or not _TRAILER.fullmatch(line):
                raise HeadError("malformed trailer")
        return False


_SIZE: Final = "size"
_EMPTY: Final = "empty"
_TRAILERS: Final = "trailers"


def chunk(pieces: Iterable[bytes]) -> bytes:
    """Write content as one chunk; nothing for no content, which would end the body."""
    content = b"".join(pieces)
    return b"%x\r\n%b\r\n" % (len(content), content) if content else b""


LAST_CHUNK: Final = b"0\r\n\r\n"
