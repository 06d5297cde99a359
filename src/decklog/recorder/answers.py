"""Answers: what the response tells: its Status, the object that was rendered, and what became of the request.

Told is only what went over the wire. Which of it kube-apiserver would have recorded is concluded here, from the kind of
request, the code, the content type and the body (spec §5.3, §5.7, §5.9).

| what | kube-apiserver | here | why |
|---|---|---|---|
| a Status with a field of a wrong type | writes none | the other fields are told | others do, and lose but that field |
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from decklog.audit.event import NO_OBJECT, Status, StatusDetails
from decklog.recorder import objects, protobuf
from decklog.recorder.objects import UnreadableError
from decklog.recorder.status_probe import StatusProbe

if TYPE_CHECKING:
    from msgspec import Raw

    from decklog.audit.attributes import Attributes


class Answer(Struct, frozen=True):
    """A response as it went to the client."""

    code: int
    content_type: str = ""
    body: bytes = b""
    encoding: str = ""
    """Content-Encoding; the body is as it was on the wire."""
    length: int | None = None
    """Bytes in all, where `body` holds only the first of them; None: `body` is whole."""
    negotiated: bool = True
    """Whether the client accepts any format of the API (`accepts_objects`): an error is written raw where it does not,
    and only its code is recorded."""

    @property
    def cut(self) -> bool:
        """Whether `body` is only the beginning."""
        return self.length is not None and self.length > len(self.body)


class Rendered(Struct, frozen=True):
    """What a response says."""

    status: Status
    """Always with the HTTP code; the rest when the body is a Status."""
    is_status: bool = False
    object: Raw = NO_OBJECT
    """Empty unless the API machinery rendered an object."""
    omitted: str = ""
    """Why there is an object that is not recorded."""


class _Status(Struct):
    status: str | None = None
    message: str | None = None
    reason: str | None = None
    details: StatusDetails | None = None


NO_ANSWER: Final = Status(status="Success", message="Connection closed early", code=200)
"""What kube-apiserver writes when a handler returns without a word."""

_SWITCHING: Final = 101
_NOT_ACCEPTABLE: Final = 406
_RENDERED: Final = {
    "*/*",
    "application/*",
    objects.JSON_TYPE,
    objects.YAML_TYPE,
    objects.PROTOBUF_TYPE,
    objects.CBOR_TYPE,
}
_OBJECT: Final = b'{"kind":"'
_STATUS: Final = b'{"kind":"Status"'
_AUTHORIZER: Final = re.compile(r'User "(?:[^"\\]|\\.)*" cannot ', re.DOTALL)
_QUOTED_NAME: Final = re.compile(r'(?<!\\)" is forbidden: ')
_CONNECT: Final = frozenset({"exec", "attach", "portforward", "proxy"})


def may_be_status(body: bytes, content_type: str = "", encoding: str = "") -> bool:
    """Whether a body, whole or its beginning, can be a Status as far as a probe can tell."""
    return bool(body) and StatusProbe(content_type, encoding).feed(body) is not False


@lru_cache(maxsize=256)
def accepts_objects(accept: str) -> bool:
    """Whether an Accept header (the first, as sent; empty: there is none) lets the API machinery render an object.

    Where it does not, an error is still answered as a Status in JSON, but outside the negotiation that records (spec
    §5.7, §5.9): a failed login, a refusal, and the 406 that everything else gets.
    """
    ranges = {objects.media_type(clause) for clause in accept.split(",")} - {""}
    return not ranges or not ranges.isdisjoint(_RENDERED)


def hijacked(code: int, *, upgrade: bool, audit_id_echoed: bool) -> int:
    """Give the code that kube-apiserver records: 101 once it has handed the connection over.

    It sets Audit-Id on every answer but on those written by a handler that took the connection over, so an answer
    to an upgrade request without the header came after the hijack, whatever code the client saw (a watch that is
    refused over WebSocket: 403 to the client, 101 in the event).
    """
    return _SWITCHING if upgrade and not audit_id_echoed else code


def render(
    answer: Answer, attributes: Attributes, *, whole: bool, limit: int, aggregated: bool, typed: bool
) -> Rendered:
    """Read what an answer says.

    `whole`: keep the object (level RequestResponse); otherwise only a Status is read. `aggregated`: the request was
    handed on to an aggregated API, so that only the filters before it speak the API's language. `typed`: only objects
    with a kind count, as in Kubernetes.
    """
    plain = Rendered(Status(code=answer.code))
    if answer.code == _NOT_ACCEPTABLE or not answer.body or objects.is_watch_stream(answer.content_type):
        return plain  # a 406 is written raw, outside the negotiation that records
    if typed and answer.code >= 400 and not answer.negotiated:
        return plain
    if answer.code < 400 and (streams(attributes) or (not whole and not _can_be_status(answer))):
        return plain
    if answer.cut:
        return Rendered(plain.status, omitted=f"{answer.length} bytes, limit {len(answer.body)}") if whole else plain
    try:
        body = objects.inflate(answer.body, answer.encoding, limit)
        raw = objects.to_json(body, answer.content_type)
    except UnreadableError:
        return plain
    rendered = _status_of(answer, body, raw, typed=typed)
    if rendered is None or (aggregated and not _by_filters(answer.code, rendered.status.message)):
        return plain
    return rendered


def is_plain(answer: Answer) -> bool:
    """Whether an answer tells nothing but its code to whoever does not keep objects."""
    if answer.code >= 400:
        return False
    body = answer.body
    if body.startswith(_OBJECT) and not answer.encoding:
        return not body.startswith(_STATUS)  # as kube-apiserver writes: no need to look closer
    return not _can_be_status(answer)


@lru_cache(maxsize=1024)
def plain_status(code: int) -> Status:
    """Give the Status of an answer that is none: its code."""
    return Status(code=code)


def _can_be_status(answer: Answer) -> bool:
    return may_be_status(answer.body, answer.content_type, answer.encoding)


def _status_of(answer: Answer, body: bytes, raw: Raw, *, typed: bool) -> Rendered | None:
    """Take the Status out of an object; None when the object is none that the API machinery renders."""
    types = objects.types(raw)
    if not types.kind:
        return None if typed else Rendered(Status(code=answer.code), object=raw)
    if types.kind != "Status":
        return Rendered(Status(code=answer.code), object=raw)
    if objects.media_type(answer.content_type) == objects.PROTOBUF_TYPE:
        try:
            read = protobuf.status(protobuf.unwrap(body)[2])
        except ValueError:
            read = Status()
        return Rendered(
            Status(
                status=read.status, message=read.message, reason=read.reason, details=read.details, code=answer.code
            ),
            is_status=True,
            object=raw,
        )
    found = objects.read(raw, _Status) or _Status()
    status = Status(
        status=found.status or "",
        message=found.message or "",
        reason=found.reason or "",
        details=_within_int32(found.details),
        code=answer.code,
    )
    return Rendered(status, is_status=True, object=raw)


def _within_int32(details: StatusDetails | None) -> StatusDetails | None:
    """Leave out a retryAfterSeconds that no int32 holds: whoever reads the event with Go's types could not."""
    if details is None or -(1 << 31) <= details.retry_after_seconds < 1 << 31:
        return details
    return replace(details, retry_after_seconds=0)


def by_authorizer(status: Status) -> bool:
    """Whether a 403 comes from the authorizer, before the handler (admission says no in other words)."""
    return status.code == 403 and _AUTHORIZER.match(refusal(status.message)) is not None


def refusal(message: str) -> str:
    """Give what a 403 says after the name that it quotes, which the client chose and which may say anything."""
    ends = [found.end() for found in _QUOTED_NAME.finditer(message)]
    return message[ends[-1] :] if ends else message.partition("forbidden: ")[2]


def _by_filters(code: int, message: str) -> bool:
    """Whether the answer comes from the filters that stand before every handler."""
    return code == 401 or by_authorizer(Status(message=message, code=code)) or "impersonat" in message


def streams(attributes: Attributes) -> bool:
    """Whether a good answer is a stream of bytes and no object: watch, logs, proxied and upgraded connections."""
    return attributes.verb in {"watch", "proxy"} or attributes.subresource == "log" or connects(attributes)


def connects(attributes: Attributes) -> bool:
    """Whether the request is a connection to something behind the API: nothing of its body is recorded."""
    return attributes.verb == "proxy" or attributes.subresource in _CONNECT
