"""Answers that the gateway gives itself: Status objects and plain texts, in the words of kube-apiserver."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from decklog.audit import jsontext
from decklog.audit.quoting import internal_error

if TYPE_CHECKING:
    from collections.abc import Sequence

JSON: Final = "application/json"
TEXT: Final = "text/plain; charset=utf-8"

_REASONS: Final = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    408: "Timeout",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


class OwnAnswer(Struct, frozen=True):
    """An answer of ours."""

    code: int
    content_type: str
    body: bytes


def status(code: int, message: str, reason: str | None = None, details: dict[str, str] | None = None) -> OwnAnswer:
    """Make a Status object as kube-apiserver writes one, with its newline."""
    reason = _REASONS.get(code, "") if reason is None else reason
    document: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        **({"reason": reason} if reason else {}),
        **({"details": details} if details is not None else {}),
        "code": code,
    }
    written = jsontext.dump(document)
    # As Go writes JSON for browsers; such characters stand in strings only.
    for mark in b"&<>":
        written = written.replace(bytes([mark]), b"\\u%04x" % mark)
    return OwnAnswer(code, JSON, written + b"\n")


UNAUTHORIZED: Final = status(401, "Unauthorized")


def method_not_allowed() -> OwnAnswer:
    """Make the 405 of a method that no path takes."""
    return status(405, "the server does not allow this method on the requested resource", "MethodNotAllowed", {})


def failure(target: bytes, problem: str) -> OwnAnswer:
    """Make the plain 500 of a request that cannot be audited (spec §5.3)."""
    text = internal_error(jsontext.text(target), problem)
    return OwnAnswer(500, TEXT, jsontext.raw(text) + b"\n")


def refusal(code: int, why: str) -> OwnAnswer:
    """Make the plain answer to what is no request."""
    phrase = HTTPStatus(code).phrase
    return OwnAnswer(code, TEXT, f"{code} {phrase}: {why}\n".encode())


def render(answer: OwnAnswer, headers: Sequence[tuple[bytes, bytes]] = (), *, close: bool, body: bool = True) -> bytes:
    """Write an answer of ours whole; without its body for HEAD."""
    lines = [b"HTTP/1.1 %d %b\r\n" % (answer.code, HTTPStatus(answer.code).phrase.encode())]
    lines += [b"%b: %b\r\n" % line for line in headers]
    lines.append(b"Content-Type: %b\r\nContent-Length: %d\r\n" % (answer.content_type.encode(), len(answer.body)))
    if answer.content_type is TEXT:
        lines.append(b"X-Content-Type-Options: nosniff\r\n")
    if close:
        lines.append(b"Connection: close\r\n")
    lines.append(b"\r\n")
    if body:
        lines.append(answer.body)
    return b"".join(lines)
