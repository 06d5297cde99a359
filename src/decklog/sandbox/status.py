"""Errors as Kubernetes tells them: a Status object with the API server's own reasons and texts.

Lives here: `ApiError` and its constructors, one a reason. Nothing else in the sandbox writes a Status of a failure, so
that a client (and an audit log) sees the same words as from kube-apiserver.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from decklog.sandbox.resources import Resource


class ApiError(Exception):
    """A request that fails, with the Status that says so."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: dict[str, Any] | None = None,
        *,
        plain: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.plain = plain
        """Where kube-apiserver answers in plain text instead of a Status: that text."""

    def status(self) -> dict[str, Any]:
        """Render the Status, its keys in the wire's order."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            **({"reason": self.reason} if self.reason else {}),
            **({"details": self.details} if self.details is not None else {}),
            "code": self.code,
        }


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing wrong with a field: what `kubectl` lists under ``is invalid``."""

    field: str
    reason: str
    message: str


def required(field: str, detail: str = "") -> Cause:
    """Tell that a field must be there and is not."""
    return Cause(field, "FieldValueRequired", f"Required value: {detail}" if detail else "Required value")


def invalid_value(field: str, shown: str, detail: str) -> Cause:
    """Tell that a field's value will not do; `shown` is the value as Go prints it (strings in quotes)."""
    return Cause(field, "FieldValueInvalid", f"Invalid value: {shown}: {detail}")


def forbidden_value(field: str, detail: str) -> Cause:
    """Tell that a field may not be set, or not be changed."""
    return Cause(field, "FieldValueForbidden", f"Forbidden: {detail}")


def unsupported_value(field: str, shown: str, supported: Sequence[str]) -> Cause:
    """Tell that a field's value is none of those that exist."""
    known = ", ".join(f'"{value}"' for value in supported)
    return Cause(field, "FieldValueNotSupported", f"Unsupported value: {shown}: supported values: {known}")


def quoted(value: str) -> str:
    """Quote a name for a message, as Go's %q does for what names hold; no markup gets through."""
    return json.dumps(value, ensure_ascii=False).translate(_MARKUP)


_MARKUP: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def success(details: dict[str, Any] | None = None, code: int | None = None) -> dict[str, Any]:
    """Render a Status of success: what a deletion, an eviction or a binding answers."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        **({"details": details} if details is not None else {}),
        **({"code": code} if code is not None else {}),
    }


def details(resource: Resource, name: str = "", uid: str = "") -> dict[str, Any]:
    """Render the details of a Status about `name`, in the wire's order; what is empty is left out."""
    fields = {"name": name, "group": resource.group, "kind": resource.plural, "uid": uid}
    return {key: value for key, value in fields.items() if value}


def bad_request(message: str) -> ApiError:
    """400."""
    return ApiError(400, "BadRequest", message)


def unauthorized() -> ApiError:
    """401: credentials that nobody knows."""
    return ApiError(401, "Unauthorized", "Unauthorized")


def forbidden(resource: Resource, name: str, why: str, causes: Sequence[Cause] = ()) -> ApiError:
    """403 about a resource; `why` follows ``is forbidden:``."""
    subject = f'{resource.qualified} "{name}"' if name else resource.qualified
    about = details(resource, name)
    if causes:
        about["causes"] = _causes(causes)
    return ApiError(403, "Forbidden", f"{subject} is forbidden: {why}", about)


def not_found(resource: Resource, name: str) -> ApiError:
    """404: no such object."""
    return ApiError(404, "NotFound", f'{resource.qualified} "{name}" not found', details(resource, name))


def no_such_path() -> ApiError:
    """404 outside every API group: plain text, as Go's router says it."""
    return ApiError(
        404, "NotFound", "the server could not find the requested resource", {}, plain="404 page not found\n"
    )


def no_such_resource() -> ApiError:
    """404 inside an API group: no such resource, version or subresource."""
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})


def method_not_allowed() -> ApiError:
    """405."""
    message = "the server does not allow this method on the requested resource"
    return ApiError(405, "MethodNotAllowed", message, {})


def not_acceptable(offered: Sequence[str]) -> ApiError:
    """406: no media type in Accept that the sandbox writes."""
    message = f"406: Not Acceptable\n\nAvailable representations: {', '.join(offered)}"
    return ApiError(406, "NotAcceptable", message, {})


def already_exists(resource: Resource, name: str) -> ApiError:
    """409 on create."""
    return ApiError(409, "AlreadyExists", f'{resource.qualified} "{name}" already exists', details(resource, name))


def conflict(resource: Resource, name: str, why: str = "") -> ApiError:
    """409 on a write: `why`, or the text of a resourceVersion that is no longer the latest."""
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    message = f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}'
    return ApiError(409, "Conflict", message, details(resource, name))


def expired(message: str) -> ApiError:
    """410: a resourceVersion or continue token of which too little is remembered."""
    return ApiError(410, "Expired", message)


def too_large(limit_bytes: int) -> ApiError:
    """413."""
    return ApiError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit_bytes}")


def unsupported_media_type(accepted: Sequence[str]) -> ApiError:
    """415 on a body."""
    kinds = ", ".join(accepted)
    message = f"the body of the request was in an unknown format - accepted media types include: {kinds}"
    return ApiError(415, "UnsupportedMediaType", message)


def unsupported_patch_type() -> ApiError:
    """415 on a patch: the router's own text."""
    return ApiError(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})


def invalid(group: str, kind: str, name: str, causes: Sequence[Cause]) -> ApiError:
    """422: everything that is wrong with an object, at once."""
    listed = [f"{cause.field}: {cause.message}" for cause in causes]
    told = listed[0] if len(listed) == 1 else f"[{', '.join(listed)}]"
    subject = f"{kind}.{group}" if group else kind
    about = {"name": name, "group": group, "kind": kind}
    known = {key: value for key, value in about.items() if value}
    return ApiError(422, "Invalid", f'{subject} "{name}" is invalid: {told}', {**known, "causes": _causes(causes)})


def rejected() -> ApiError:
    """422 without a field: what a JSON patch that does not fit is answered."""
    return ApiError(422, "Invalid", "the server rejected our request due to an error in our request", {})


def internal_error(message: str) -> ApiError:
    """500: the sandbox's own fault."""
    about = {"causes": [{"message": message}]}
    return ApiError(500, "InternalError", f"Internal error occurred: {message}", about)


def timed_out(requested: int, current: int) -> ApiError:
    """504: a resourceVersion from the future, which kube-apiserver waits for in vain."""
    about = {
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    }
    return ApiError(504, "Timeout", f"Timeout: Too large resource version: {requested}, current: {current}", about)


def _causes(causes: Sequence[Cause]) -> list[dict[str, str]]:
    return [{"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in causes]
