"""What a client submits: options in the query, an object in the body.

Lives here: the reading and checking of both, before anything is done with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from decklog.sandbox import negotiation, shapes
from decklog.sandbox.documents import Malformed, from_json, from_yaml, go_type
from decklog.sandbox.protobuf import from_protobuf
from decklog.sandbox.status import (
    Cause,
    bad_request,
    forbidden_value,
    invalid,
    invalid_value,
    required,
    unsupported_value,
)
from decklog.sandbox.validation import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from decklog.sandbox.http import Request
    from decklog.sandbox.objects import Object
    from decklog.sandbox.resources import Resource

_META: Final = "meta.k8s.io"
_POLICIES: Final = ("Foreground", "Background", "Orphan")
_VALIDATIONS: Final = ("Ignore", "Strict", "Warn")


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """CreateOptions, UpdateOptions and PatchOptions."""

    dry_run: bool
    manager: str
    validation: str
    """Ignore, Warn or Strict: what becomes of unknown fields."""
    force: bool = False


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """DeleteOptions, from the body or the query."""

    dry_run: bool = False
    grace_s: int | None = None
    policy: str = ""
    """Foreground, Background, Orphan, or empty."""
    uid: str = ""
    resource_version: str = ""


def write_options(request: Request, kind: str, *, apply: bool = False) -> WriteOptions:
    """Read the options of a write; `kind` is their name in errors. Raises ApiError (422) for all problems at once."""
    problems = list(_dry_run_problems(request.query.get("dryRun", [])))
    validation = request.first("fieldValidation") or "Warn"
    if validation not in _VALIDATIONS:
        problems.append(unsupported_value("fieldValidation", quoted(validation), _VALIDATIONS))
    manager = request.first("fieldManager")
    if len(manager) > 128:
        problems.append(Cause("fieldManager", "FieldValueTooLong", "Too long: may not be more than 128 bytes"))
    if kind == "PatchOptions":
        if apply and not manager:
            problems.append(required("fieldManager", "is required for apply patch"))
        if not apply and "force" in request.query:
            problems.append(forbidden_value("force", "may not be specified for non-apply patch"))
    if problems:
        raise invalid(_META, kind, "", problems)
    return WriteOptions("dryRun" in request.query, manager or _agent(request), validation, request.flag("force"))


def _agent(request: Request) -> str:
    # Without a name, a manager is what stands before the slash of its user agent.
    return request.header(b"user-agent").partition("/")[0][:128] or "unknown"


def _dry_run_problems(values: list[str]) -> Iterator[Cause]:
    if values and values != ["All"]:
        yield unsupported_value("dryRun", quoted(values), ("All",))


async def submitted(
    request: Request,
    resource: Resource,
    options: WriteOptions,
    *,
    kind: str = "",
    group_version: str = "",
) -> Object:
    """Read the object in the body, of the resource's kind or of a subresource's.

    Raises ApiError: 400 for what is no such object, 413 and 415.
    """
    body = await request.body()
    expected = (kind or resource.kind, group_version or resource.group_version)
    media_type = negotiation.body_type(request.header(b"content-type"))
    value = _decoded(body, media_type, expected[0])
    return checked(request, value, *expected, options.validation)


_DECODERS: Final = {
    negotiation.JSON: from_json,
    negotiation.YAML: from_yaml,
    negotiation.PROTOBUF: from_protobuf,
}


def _decoded(body: bytes, media_type: str, kind: str) -> dict[str, Any]:
    prefix = "couldn't get version/kind; json parse error: " if media_type == negotiation.JSON else ""
    try:
        value = _DECODERS[media_type](body)
    except Malformed as error:
        raise _unrecognized(body, kind, f"{prefix}{error}") from None
    if not isinstance(value, dict):
        why = f"json: cannot unmarshal {go_type(value)} into Go value of type struct"
        raise _unrecognized(body, kind, f"{prefix}{why}")
    return value


def _unrecognized(body: bytes, kind: str, why: str) -> Exception:
    # kube-apiserver shows the start of the body; a body may be a Secret, so that here only its size is told.
    shown = f"{len(body)} bytes" if body else "<empty>"
    return bad_request(f"the object provided is unrecognized (must be of type {kind}): {why} ({shown})")


def checked(request: Request, value: dict[str, Any], kind: str, group_version: str, validation: str) -> Object:
    """Check a decoded object: of the right kind, and of the right shape. Raises ApiError (400).

    Unknown fields are dropped, and told as `validation` says.
    """
    version = group_version.rpartition("/")[2]
    given_kind, given_version = value.get("kind") or kind, value.get("apiVersion") or group_version
    if given_version != group_version:
        raise bad_request(
            f"the API version in the data ({given_version}) does not match the expected API version ({group_version})"
        )
    if given_kind != kind:
        what = f'{given_kind} in version "{version}" cannot be handled as a {kind}'
        raise bad_request(f"{what}: converting ({version}.{given_kind}) to ({version}.{kind}): unknown conversion")
    try:
        kept, unknown = shapes.conform({**value, "kind": kind, "apiVersion": group_version}, kind)
    except Malformed as error:
        raise bad_request(f'{kind} in version "{version}" cannot be handled as a {kind}: {error}') from None
    told = [f'unknown field "{field[:200]}"' for field in unknown[:20]]
    if told and validation == "Strict":
        what = f'{kind} in version "{version}" cannot be handled as a {kind}'
        raise bad_request(f"{what}: strict decoding error: {', '.join(told)}")
    if validation == "Warn":
        request.warnings.extend(told)
    kept.setdefault("metadata", {})
    return kept


async def delete_options(request: Request) -> DeleteOptions:
    """Read the options of a deletion, from the body or else from the query. Raises ApiError (400, 422)."""
    body = await request.body()
    given = _options_body(body, request) if body.strip() else _options_query(request)
    problems = list(_dry_run_problems(given.get("dryRun") or []))
    policy, orphan = given.get("propagationPolicy"), given.get("orphanDependents")
    if policy is not None and orphan is not None:
        detail = "orphanDependents and deletionPropagation cannot be both set"
        problems.append(invalid_value("propagationPolicy", quoted(policy), detail))
    elif policy is not None and policy not in _POLICIES:
        problems.append(unsupported_value("propagationPolicy", quoted(policy), (*_POLICIES, "nil")))
    if problems:
        raise invalid(_META, "DeleteOptions", "", problems)
    conditions = given.get("preconditions") or {}
    return DeleteOptions(
        bool(given.get("dryRun")),
        given.get("gracePeriodSeconds"),
        policy or ("Orphan" if orphan else ""),
        conditions.get("uid", ""),
        conditions.get("resourceVersion", ""),
    )


def _options_body(body: bytes, request: Request) -> dict[str, Any]:
    media_type = negotiation.body_type(request.header(b"content-type"))
    try:
        return shapes.conform(_DECODERS[media_type](body), "DeleteOptions")[0]
    except Malformed as error:
        raise bad_request(str(error)) from None


def _options_query(request: Request) -> dict[str, Any]:
    given: dict[str, Any] = {key: request.query[key] for key in ("dryRun",) if key in request.query}
    if request.first("propagationPolicy"):
        given["propagationPolicy"] = request.first("propagationPolicy")
    if "orphanDependents" in request.query:
        given["orphanDependents"] = request.flag("orphanDependents")
    if request.first("gracePeriodSeconds"):
        given["gracePeriodSeconds"] = whole_number(request, "gracePeriodSeconds")
    return given


def whole_number(request: Request, name: str) -> int:
    """Read a whole number from the query, 0 without one. Raises ApiError (400)."""
    text = request.first(name)
    digits = text[1:] if text.startswith(("-", "+")) else text
    if not text:
        return 0
    if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
        raise bad_request(f"strconv.ParseInt: parsing {quoted(text)}: invalid syntax")
    return int(text)
