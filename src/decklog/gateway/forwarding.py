"""Forwarding: the heads that go on, written anew from the one that was read.

What belongs to one hop stays behind; ``Connection`` removes nothing else, whatever it names. Names that tell an
identity never pass, in any spelling; what tells the identity towards the upstream is written last.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from decklog.gateway.tokens import without_bearer
from decklog.gateway.towards import is_impersonation_header
from decklog.http1 import CHUNKED, SECRET, HeadError

if TYPE_CHECKING:
    from collections.abc import Callable

    from decklog.http1 import RequestHead, ResponseHead

_HOP: Final = frozenset(
    {
        b"connection",
        b"content-length",
        b"expect",
        b"host",
        b"http2-settings",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        # Whoever believed one of these would do another thing than the one that is recorded.
        b"x-http-method",
        b"x-http-method-override",
        b"x-method-override",
    }
)
_RESPONSE_HOP: Final = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"upgrade"})
_ABSOLUTE: Final = re.compile(rb"[Hh][Tt][Tt][Pp][Ss]?://([^/?#]*)")
_DOTS: Final = re.compile(rb"(?:[/\\]|%2f|%5c)(?:\.|%2e){1,2}(?:[/\\;#]|%2f|%5c|%3b|%23|$)", re.IGNORECASE)
_KNOWN_LINES: Final = 4096
_KNOWN_BYTES: Final = 512
"""Lines whose fate is kept: how many, and how long ones."""

_KEEP, _DROP, _AUTHORIZATION, _IMPERSONATION, _FORWARDED, _ACCEPT, _PROTOCOL, _TYPE, _ENCODING, _AUDIT_ID = range(10)
_REQUEST_KINDS: Final = {
    b"authorization": _AUTHORIZATION,
    b"x-forwarded-for": _FORWARDED,
    b"audit-id": _DROP,
    b"accept": _ACCEPT,
    b"sec-websocket-protocol": _PROTOCOL,
}
_RESPONSE_KINDS: Final = {
    **dict.fromkeys(_RESPONSE_HOP, _DROP),
    b"content-type": _TYPE,
    b"content-encoding": _ENCODING,
    b"audit-id": _AUDIT_ID,
}

Pair = tuple[bytes, bytes]
Written = tuple[int, bytes]
"""What becomes of a line, and how it is written."""


class Forwarding:
    """Writes the heads of requests for one upstream."""

    def __init__(self, host: bytes, is_identity: Callable[[bytes], bool], base_path: bytes = b"") -> None:
        self._host = host
        self.base_path = base_path
        """What stands before the path of every request; nearly always nothing."""
        self._is_identity = is_identity
        self._requested: dict[Pair, Written] = {}
        self._answered: dict[Pair, Written] = {}

    def _request_line(self, pair: Pair) -> Written:
        name = pair[0]
        kind = _REQUEST_KINDS.get(name, _KEEP)
        if name in _HOP:
            kind = _DROP
        elif is_impersonation_header(name):
            kind = _IMPERSONATION
        elif self._is_identity(name):
            kind = _DROP
        return _kept(self._requested, pair, kind)

    def request(
        self,
        head: RequestHead,
        audit_id: bytes,
        peer: bytes,
        lines: bytes,
        *,
        keep_authorization: bool,
        keep_impersonation: bool,
        accept: bytes | None = None,
    ) -> bytes:
        """Write the head that goes to the upstream. `lines`: our own, last; `accept`: in place of the client's."""
        known = self._requested
        parts = [b"%b %b HTTP/1.%d\r\nHost: %b\r\n" % (head.method, self.target(head), head.minor > 0, self._host)]
        forwarded: bytes | None = None
        for pair in head.headers:
            kind, line = known.get(pair) or self._request_line(pair)
            if not kind:
                parts.append(line)
            elif kind == _ACCEPT:
                parts.append(line if accept is None else b"accept: %b\r\n" % accept)
            elif kind == _FORWARDED:
                forwarded = pair[1] if forwarded is None else forwarded + b", " + pair[1]
            elif kind == _PROTOCOL:
                if keep_authorization:
                    parts.append(line)
                elif others := without_bearer(pair[1]):  # a token may stand there, too
                    parts.append(b"sec-websocket-protocol: %b\r\n" % others)
            elif (kind == _AUTHORIZATION and keep_authorization) or (kind == _IMPERSONATION and keep_impersonation):
                parts.append(line)
        if peer:
            forwarded = peer if forwarded is None else forwarded + b", " + peer
        if forwarded is not None:
            parts.append(b"x-forwarded-for: %b\r\n" % forwarded)
        if head.length == CHUNKED:
            parts.append(b"transfer-encoding: chunked\r\n")
        elif head.length or head.method not in _WITHOUT_BODY:
            parts.append(b"content-length: %d\r\n" % head.length)
        if head.expects:
            parts.append(b"expect: 100-continue\r\n")
        if head.upgrade:
            parts.append(b"connection: Upgrade\r\nupgrade: %b\r\n" % head.upgrade)
        parts.append(b"audit-id: %b\r\n%b\r\n" % (audit_id, lines))
        return b"".join(parts)

    def target(self, head: RequestHead) -> bytes:
        """Give the target as the upstream gets it: as it was sent, without the front of an absolute one.

        A ``#`` goes on as ``%23``, which for Go's server is the same: no proxy on the way can take it for a fragment.
        """
        target = head.target
        if b"#" in target:
            target = target.replace(b"#", b"%23")
        if target[:1] != b"/" and (absolute := _ABSOLUTE.match(target)) is not None:
            target = target[absolute.end() :]
            if target[:1] != b"/":
                target = b"/" + target
        return self.base_path + target if self.base_path and target[:1] == b"/" else target

    def response(self, head: ResponseHead) -> tuple[list[bytes], str, str, bool]:
        """Write the head of an answer for the client, but for its end.

        Gives (lines, content type, content encoding, whether it bears an Audit-Id).
        """
        known = self._answered
        parts = [b"HTTP/1.%d %d%b\r\n" % (head.minor, head.code, head.reason)]
        content_type = encoding = ""
        identified = False
        for pair in head.headers:
            kind, line = known.get(pair) or _kept(self._answered, pair, _RESPONSE_KINDS.get(pair[0], _KEEP))
            if kind:
                if kind == _DROP:
                    continue
                if kind == _TYPE:
                    content_type = content_type or pair[1].decode("latin-1")
                elif kind == _ENCODING:
                    encoding = encoding or pair[1].decode("latin-1")
                else:
                    identified = True
            parts.append(line)
        return parts, content_type, encoding, identified


def _kept(lines: dict[Pair, Written], pair: Pair, kind: int) -> Written:
    """Note what becomes of a line: the same few come all the time. Secrets are not kept."""
    written = (kind, b"%b: %b\r\n" % pair)
    if len(written[1]) <= _KNOWN_BYTES and pair[0] not in SECRET:
        if len(lines) >= _KNOWN_LINES:
            lines.clear()
        lines[pair] = written
    return written


_WITHOUT_BODY: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"DELETE", b"CONNECT"})


def check_target(head: RequestHead, base_path: bytes = b"") -> None:
    """Refuse, by HeadError, what we do not forward: another host's absolute target, a body before an upgrade.

    Where the upstream has a `base_path`, a path that could lead out of it, too: a server there that resolves dots
    would serve another cluster than the one that the request is recorded for.
    """
    if head.upgrade and head.length:
        raise HeadError("an upgrade request with a body")
    target = head.target
    if base_path and _DOTS.search(target.partition(b"?")[0]) is not None:
        raise HeadError("a path with dots for segments")
    if target[:1] == b"/" or target == b"*" or head.method == b"CONNECT":
        return
    absolute = _ABSOLUTE.match(target)
    if absolute is None:
        raise HeadError("invalid URI for request")
    host = next((value for name, value in head.headers if name == b"host"), b"")
    if absolute[1].lower() != host.lower():
        raise HeadError("absolute target of another host")
