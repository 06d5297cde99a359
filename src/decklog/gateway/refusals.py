"""Refusals: requests that the gateway does not send on, as the Status that says why, in kube-apiserver's words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from decklog.audit.event import User  # noqa: TC001  # because: msgspec reads the annotations
from decklog.audit.quoting import quote
from decklog.gateway import answers

if TYPE_CHECKING:
    from decklog.audit.impersonation import Part


class Refusal(Struct, frozen=True):
    """What a client gets whose request does not go on."""

    code: int
    status: bytes
    """The JSON of a Status, with its newline."""
    impersonated: User | None = None


def unauthorized(message: str = "Unauthorized") -> Refusal:
    """401."""
    return _refusal(401, "Unauthorized", message)


def bad_request(message: str) -> Refusal:
    """400."""
    return _refusal(400, "BadRequest", message)


def unavailable(code: int, problem: str) -> Refusal:
    """502, 503 or 504: the upstream could not be asked."""
    return _refusal(code, {503: "ServiceUnavailable", 504: "Timeout"}.get(code, ""), problem)


def internal(message: str) -> Refusal:
    """500: what we were configured with does not do."""
    return _refusal(500, "InternalError", f"Internal error occurred: {message}")


def may_not_impersonate(user: User, part: Part, reason: str) -> Refusal:
    """403: `user` may not act as what `part` names."""
    where = f'in the namespace "{part.namespace}"' if part.namespace else "at the cluster scope"
    told = (
        f'User {quote(user.username)} cannot impersonate resource "{part.full_resource}" '
        f'in API group "{part.group}" {where}'
    ).translate(_MARKUP)
    subject = f"{part.resource}.{part.group}" if part.group else part.resource
    name = f" {quote(part.name)}" if part.name else ""
    details = {"name": part.name, "group": part.group, "kind": part.resource}
    return _refusal(
        403,
        "Forbidden",
        f"{subject}{name} is forbidden: {told}{f': {reason}' if reason else ''}",
        {key: value for key, value in details.items() if value},
    )


_MARKUP = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def _refusal(code: int, reason: str, message: str, details: dict[str, str] | None = None) -> Refusal:
    return Refusal(code, answers.status(code, message, reason, details).body)
