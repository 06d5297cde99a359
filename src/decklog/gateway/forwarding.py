"""Forwarding: the heads that go on, written anew from the one that was read.

What belongs to one hop stays behind; ``Connection`` removes nothing else, whatever it names. Names that tell an
identity never pass, in any spelling; what tells the identity towards the upstream is written last.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from decklog.http1 import CHUNKED, HeadError

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
    }
)
_RESPONSE_HOP: Final = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"upgrade"})
_IMPERSONATION: Final = re.compile(rb"impersonate-(?:user|uid|group|extra-.+)")
_ABSOLUTE: Final = re.compile(rb"[Hh][Tt][Tt][Pp][Ss]?://([^/?#]*)")
_KNOWN_LIMIT: Final = 4096

KEEP, DROP, AUTHORIZATION, IMPERSONATION, FORWARDED, AUDIT_ID, ACCEPT = range(7)
_OWN: Final = {
    b"authorization": AUTHORIZATION,
    b"x-forwarded-for": FORWARDED,
    b"audit-id": AUDIT_ID,
    b"accept": ACCEPT,
}


class Forwarding:
    """Writes the heads of requests for one upstream."""

    def __init__(self, host: bytes, is_identity: Callable[[bytes], bool], base_path: bytes = b"") -> None:
        self._host = host
        self._base_path = base_path
        self._is_identity = is_identity
        self._known: dict[bytes, int] = {}
        """What becomes of a name: found out once, as the same few names come all the time. Bounded."""

    def _kind(self, name: bytes) -> int:
        kind = _OWN.get(name, KEEP)
        if name in _HOP:
            kind = DROP
        elif _IMPERSONATION.fullmatch(name):
            kind = IMPERSONATION
        elif self._is_identity(name):
            kind = DROP
        if len(self._known) < _KNOWN_LIMIT and len(name) < 64:
            self._known[name] = kind
        return kind

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
        known = self._known
        parts = [b"%b %b HTTP/1.%d\r\nHost: %b\r\n" % (head.method, self.target(head), head.minor, self._host)]
        forwarded: bytes | None = None
        for name, value in head.headers:
            kind = known.get(name, -1)
            if kind < 0:
                kind = self._kind(name)
            if kind:
                if kind == ACCEPT:
                    if accept is not None:
                        value = accept  # noqa: PLW2901  # because: another value on the same line
                elif kind == FORWARDED:
                    forwarded = value if forwarded is None else forwarded + b", " + value
                    continue
                elif not (
                    (kind == AUTHORIZATION and keep_authorization) or (kind == IMPERSONATION and keep_impersonation)
                ):
                    continue
            parts.append(b"%b: %b\r\n" % (name, value))
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
        """Give the target as the upstream gets it: as it was sent, without the front of an absolute one."""
        target = head.target
        if target[:1] != b"/" and (absolute := _ABSOLUTE.match(target)) is not None:
            target = target[absolute.end() :]
            if target[:1] != b"/":
                target = b"/" + target
        return self._base_path + target if self._base_path and target[:1] == b"/" else target


_WITHOUT_BODY: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"DELETE", b"CONNECT"})


def check_target(head: RequestHead) -> None:
    """Refuse, by HeadError, what we do not forward: another host's absolute target, a body before an upgrade."""
    if head.upgrade and head.length:
        raise HeadError("an upgrade request with a body")
    target = head.target
    if target[:1] == b"/" or target == b"*" or head.method == b"CONNECT":
        return
    absolute = _ABSOLUTE.match(target)
    if absolute is None:
        raise HeadError("invalid URI for request")
    host = next((value for name, value in head.headers if name == b"host"), b"")
    if absolute[1].lower() != host.lower():
        raise HeadError("absolute target of another host")


def response(head: ResponseHead, extra: bytes) -> tuple[bytes, str, str, bool]:
    """Write the head of an answer for the client: (head, content type, content encoding, has an Audit-Id).

    `extra`: lines of ours for the end.
    """
    parts = [b"HTTP/1.%d %d%b\r\n" % (head.minor, head.code, head.reason)]
    content_type = encoding = ""
    identified = False
    for name, value in head.headers:
        if name in _TOLD:
            if name == b"content-type":
                content_type = content_type or value.decode("latin-1")
            elif name == b"content-encoding":
                encoding = encoding or value.decode("latin-1")
            elif name == b"audit-id":
                identified = True
            else:
                continue
        parts.append(b"%b: %b\r\n" % (name, value))
    parts.append(extra)
    return b"".join(parts), content_type, encoding, identified


_TOLD: Final = _RESPONSE_HOP | {b"content-type", b"content-encoding", b"audit-id"}
