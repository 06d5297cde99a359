"""Target: the request target of the HTTP request line, read and written again as Go's net/url does (spec §4, §5.4).

kube-apiserver never records the target as it came: it parses it and renders path and query anew. A raw path stays as it
was sent if it is a valid encoding of what it decodes to; otherwise the decoded path is encoded by Go's rules. The query
stays as it was sent. A ``#`` is no fragment here.

Text decoded from bytes that are no UTF-8 holds surrogate escapes (`decklog.audit.jsontext.text`).

| Differs from kube-apiserver | How | Why |
|---|---|---|
| host of an absolute target | addresses in brackets are not checked | the host is thrown away |
| an empty target | read as an empty path | Go's server refuses the request line; our doors may have none |
"""

from __future__ import annotations

import re
import string
from typing import Final

from msgspec import Struct

from decklog.audit import jsontext

_UNRESERVED: Final = (string.ascii_letters + string.digits + "-_.~").encode()
PLAIN: Final = _UNRESERVED + b"$&+,/:;=@"
"""Bytes of a path that Go never escapes."""
_PRINTABLE: Final = bytes(range(0x20, 0x7F))
"""Bytes of a query that need no second look."""

_CONTROL: Final = re.compile(rb"[\x00-\x1f\x7f]")
_NOT_PLAIN: Final = re.compile(rb"[^A-Za-z0-9\-_.~$&+,/:;=@]")
_VALID_ENCODING: Final = re.compile(rb"[A-Za-z0-9\-_.~$&+,/:;=@!'()*\[\]%]*+")
_ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_BROKEN_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_SCHEME: Final = re.compile(rb"([A-Za-z][A-Za-z0-9+.\-]*+):")
_AUTHORITY: Final = re.compile(
    rb"(?:(?:[A-Za-z0-9\-._~:!$&'()*+,;=@]|%[0-9A-Fa-f]{2})*@)?"
    rb"(?:\[[^\]@]*\](?::[0-9]*)?"
    rb"|(?!\[)(?:[A-Za-z0-9\-._~!$&'()*+,;=\[\]<>\":\x80-\xff]|%25|%[89A-Fa-f][0-9A-Fa-f])*:[0-9]*"
    rb"|(?!\[)(?:[A-Za-z0-9\-._~!$&'()*+,;=\[\]<>\"\x80-\xff]|%25|%[89A-Fa-f][0-9A-Fa-f])*)"
)


class ResolveError(ValueError):
    """A request whose target cannot be resolved; it is never audited.

    `status` is what the client gets: 400 where Go's HTTP server refuses the request itself, 500 where kube-apiserver
    does, with the text ``failed to create RequestInfo: …`` (`decklog.audit.quoting.internal_error`).
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class Target(Struct, frozen=True, gc=False):
    """A parsed request target."""

    path: str
    """Decoded, without query."""
    query: str
    """As it was sent, without the question mark."""
    request_uri: str
    """Path and query, rendered again."""
    origin: str = ""
    """Scheme and authority of an absolute target: ``https://host:6443``."""


def parse(target: bytes, method: str = "GET") -> Target:
    """Parse a raw request target; ResolveError (400) for what Go's HTTP server refuses."""
    if not target.startswith(b"/"):
        return _parse_any(target, method)
    if not target.translate(None, PLAIN):
        path = target.decode("ascii")
        return Target(path, "", path)
    head, mark, query = target.partition(b"?")
    if mark and not head.translate(None, PLAIN) and not query.translate(None, _PRINTABLE):
        return Target(head.decode("ascii"), query.decode("ascii"), target.decode("ascii"))
    return _parse_any(target, method)


def _parse_any(target: bytes, method: str) -> Target:
    if _CONTROL.search(target):
        raise ResolveError("invalid control character in URL")
    if target in {b"", b"*"}:
        return Target(target.decode(), "", "*" if target else "/")
    if method == "CONNECT" and not target.startswith(b"/"):
        # A tunnel's target is an authority alone; Go reads it as if it had a scheme, and takes that off again.
        return _parse_absolute("", b"//" + target)
    if (scheme := _SCHEME.match(target)) is not None:
        return _parse_absolute(scheme[1].decode().lower() + ":", target[scheme.end() :])
    if target.startswith(b":"):
        raise ResolveError("missing protocol scheme")
    if not target.startswith(b"/"):
        raise ResolveError("invalid URI for request")
    head, mark, query = target.partition(b"?")
    return _render("", head, mark, query)


def _parse_absolute(scheme: str, rest: bytes) -> Target:
    """Parse what follows the scheme: an authority and a path, a path alone, or something opaque."""
    head, mark, query = rest.partition(b"?")
    if not head.startswith(b"/"):
        uri = jsontext.text(head + mark + query)
        return Target("", jsontext.text(query), uri if head else f"/{uri}")
    if not head.startswith(b"//"):
        return _render(scheme, head, mark, query)
    authority, slash, path = head[2:].partition(b"/")
    if not _AUTHORITY.fullmatch(authority):
        raise ResolveError("invalid host in URL")
    return _render(f"{scheme}//{jsontext.text(authority)}", slash + path, mark, query)


def _render(origin: str, head: bytes, mark: bytes, query: bytes) -> Target:
    path = unescape(head)
    # Go also compares what it would send with what decodes to the path, which always holds.
    shown = head if _VALID_ENCODING.fullmatch(head) else _NOT_PLAIN.sub(_escape, path)
    uri = jsontext.text((shown or b"/") + mark + query)
    return Target(jsontext.text(path), jsontext.text(query), uri, origin)


def _escape(found: re.Match[bytes]) -> bytes:
    return b"%%%02X" % ord(found[0])


def unescape(raw: bytes) -> bytes:
    """Decode percent-escapes; ResolveError (400) if one is malformed."""
    if b"%" not in raw:
        return raw
    if _BROKEN_ESCAPE.search(raw):
        raise ResolveError("invalid URL escape")
    return _ESCAPE.sub(lambda found: bytes((int(found[1], 16),)), raw)


def first_values(query: str) -> dict[str, str]:
    """Read a query as Go does, the first value of each name: pairs with ``;`` or a malformed escape are dropped."""
    values: dict[str, str] = {}
    for pair in query.split("&"):
        if not pair or ";" in pair:
            continue
        name, _, value = pair.partition("=")
        if "%" in pair or "+" in pair:
            try:
                name, value = _component(name), _component(value)
            except ResolveError:
                continue
        values.setdefault(name, value)
    return values


def _component(text: str) -> str:
    return jsontext.text(unescape(jsontext.raw(text).replace(b"+", b" ")))
