"""Careful: reads an event field by field where msgspec cannot, in the way of Go's decoder (spec §1.4, §1.5).

It takes what Go takes and Python's parsers refuse: null for any field, lone surrogates and bytes that are no UTF-8 in
strings, bodies nested 10,000 levels deep. It also reads the versions of old releases, and keeps unknown fields aside.
A wrong type is an error that names its path. Slower than `decklog.audit.wire` by far; meant for the line in a million.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from msgspec import Raw

from decklog.audit import jsontext
from decklog.audit.event import (
    NO_OBJECT,
    AuthenticationMetadata,
    Event,
    ListMeta,
    ObjectReference,
    Stage,
    Status,
    StatusCause,
    StatusDetails,
    User,
)
from decklog.audit.jsontext import WireError
from decklog.audit.legacy import NoGroups
from decklog.audit.times import normalise

V1: Final = "audit.k8s.io/v1"
_V1ALPHA1: Final = "audit.k8s.io/v1alpha1"
_VERSIONS: Final = frozenset({V1, "audit.k8s.io/v1beta1", _V1ALPHA1})

T = TypeVar("T")
Reader = Callable[[Any, str], Any]
"""Turns a loaded JSON value into a field; the text is the value's path, for errors."""
Shape = dict[str, tuple[str, Reader]]
"""Wire name → (Python name, reader)."""


def known_version(api_version: str) -> str:
    """Give `api_version` back if it is one that can be read; WireError otherwise."""
    if api_version not in _VERSIONS:
        raise WireError(f"unknown apiVersion {api_version[:60]!r}")
    return api_version


def read(data: bytes, version: str) -> tuple[Event, dict[str, Raw]]:
    """Read one event of `version`, and what else stands in it; WireError for what cannot be read."""
    jsontext.check(data, max_depth=jsontext.EVENT_DEPTH)
    pieces = dict(jsontext.members(data))
    pieces.pop("kind", None)
    pieces.pop("apiVersion", None)
    fields: dict[str, Any] = dict(_ABSENT)
    for wire_name, (name, reader) in _EVENT.items():
        if wire_name in pieces:
            fields[name] = reader(jsontext.load(pieces.pop(wire_name)), wire_name)
    for wire_name, name in _BODIES:
        fields[name] = body(pieces.pop(wire_name, b"null"))
    times = {wire_name: pieces.pop(wire_name) for wire_name in _TIMES if wire_name in pieces}
    fields.update(_read_times(times, fields["stage"], version))
    if version == V1 and "timestamp" in times:
        pieces["timestamp"] = times["timestamp"]
    if version == _V1ALPHA1:
        fields["object_ref"] = _with_group(fields.get("object_ref"))
    return Event(**fields), {name: Raw(piece) for name, piece in pieces.items()}


def body(piece: bytes) -> Raw:
    """Give an embedded object, compacted; Go reads null as none."""
    return NO_OBJECT if piece == b"null" else Raw(jsontext.compact(piece))


def time(value: Any, path: str, *, any_fraction: bool = False) -> str | None:
    """Read a MicroTime, with any offset."""
    if value is None:
        return None
    try:
        return normalise(_string(value, path), any_fraction=any_fraction)
    except WireError:
        raise
    except ValueError as error:
        raise WireError(f"{path}: {error}") from None


def _read_times(times: dict[str, bytes], stage: str, version: str) -> dict[str, str | None]:
    """Read the times; an old event's `timestamp` is that of its stage, and of its request if that is the stage."""
    old = version != V1
    known = {
        name: time(jsontext.load(times.get(wire_name, b"null")), wire_name, any_fraction=old)
        for wire_name, name in _TIMES.items()
        if name and (wire_name in times or not old)
    }
    if old:
        only = time(jsontext.load(times.get("timestamp", b"null")), "timestamp", any_fraction=True)
        staged = known.setdefault("stage_timestamp", only)
        known.setdefault("request_received_timestamp", staged if stage == Stage.REQUEST_RECEIVED else None)
    return known


def _with_group(ref: ObjectReference | None) -> ObjectReference | None:
    """Part ``apps/v1``, as v1alpha1 wrote the apiVersion of a reference, into group and version."""
    if ref is None or ref.api_group or "/" not in ref.api_version:
        return ref
    group, _, api_version = ref.api_version.rpartition("/")
    return ObjectReference(
        ref.resource, ref.namespace, ref.name, ref.uid, group, api_version, ref.resource_version, ref.subresource
    )


# Readers of loaded JSON values. As in Go, null leaves a field as if it were absent.


def _wrong(value: Any, path: str, wanted: str) -> WireError:
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return WireError(f"{path}: {wanted} is expected, not {kinds.get(type(value), 'a number')}")


def _string(value: Any, path: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _wrong(value, path, "a string")
    return jsontext.mend(value)


def _integer(bits: int) -> Reader:
    def read_integer(value: Any, path: str) -> int:
        if value is None:
            return 0
        if type(value) is not int or not -(1 << bits - 1) <= value < 1 << bits - 1:
            raise _wrong(value, path, f"an integer of {bits} bits")
        return value

    return read_integer


def _list_of(reader: Callable[[Any, str], T]) -> Callable[[Any, str], tuple[T, ...]]:
    def read_list(value: Any, path: str) -> tuple[T, ...]:
        if value is None:
            return ()
        if not isinstance(value, list):
            raise _wrong(value, path, "a list")
        return tuple(reader(item, f"{path}[{index}]") for index, item in enumerate(value))

    return read_list


def _map_of(reader: Callable[[Any, str], T]) -> Callable[[Any, str], dict[str, T]]:
    def read_map(value: Any, path: str) -> dict[str, T]:
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise _wrong(value, path, "an object")
        mended = {jsontext.mend(key): item for key, item in value.items()}
        return {key: reader(mended[key], f"{path}[{key[:60]!r}]") for key in sorted(mended)}

    return read_map


def _struct(kind: type[T], shape: Shape) -> Callable[[Any, str], T]:
    def read_struct(value: Any, path: str) -> T:
        if value is None:
            return kind()
        if not isinstance(value, dict):
            raise _wrong(value, path, "an object")
        return kind(
            **{
                name: reader(value[wire_name], f"{path}.{wire_name}")
                for wire_name, (name, reader) in shape.items()
                if value.get(wire_name) is not None
            }
        )

    return read_struct


def _optional(reader: Callable[[Any, str], T]) -> Callable[[Any, str], T | None]:
    return lambda value, path: None if value is None else reader(value, path)


_strings = _list_of(_string)


def _groups(value: Any, path: str) -> tuple[str, ...]:
    return _strings(value, path) or (NoGroups() if value == [] else ())


def _strings_of(*names: str) -> Shape:
    return {name: (name, _string) for name in names}


_USER: Final = _struct(
    User,
    {
        **_strings_of("username", "uid"),
        "groups": ("groups", _groups),
        "extra": ("extra", _map_of(_optional(_strings))),
    },
)
_REFERENCE: Final = _struct(
    ObjectReference,
    {
        **_strings_of("resource", "namespace", "name", "uid", "subresource"),
        "apiGroup": ("api_group", _string),
        "apiVersion": ("api_version", _string),
        "resourceVersion": ("resource_version", _string),
    },
)
_DETAILS: Final = _struct(
    StatusDetails,
    {
        **_strings_of("name", "group", "kind", "uid"),
        "causes": ("causes", _list_of(_struct(StatusCause, _strings_of("reason", "message", "field")))),
        "retryAfterSeconds": ("retry_after_seconds", _integer(32)),
    },
)
_LIST_META: Final = _struct(
    ListMeta,
    {
        "selfLink": ("self_link", _string),
        "resourceVersion": ("resource_version", _string),
        "continue": ("continue_", _string),
        "remainingItemCount": ("remaining_item_count", _integer(64)),
    },
)
_STATUS: Final = _struct(
    Status,
    {
        "metadata": ("metadata", _LIST_META),
        **_strings_of("status", "message", "reason"),
        "details": ("details", _DETAILS),
        "code": ("code", _integer(32)),
    },
)
_CONSTRAINT: Final = _struct(AuthenticationMetadata, {"impersonationConstraint": ("impersonation_constraint", _string)})

_EVENT: Final[Shape] = {
    **_strings_of("level", "stage", "verb"),
    "auditID": ("audit_id", _string),
    "requestURI": ("request_uri", _string),
    "user": ("user", _USER),
    "impersonatedUser": ("impersonated_user", _optional(_USER)),
    "authenticationMetadata": ("authentication_metadata", _optional(_CONSTRAINT)),
    "sourceIPs": ("source_ips", _strings),
    "userAgent": ("user_agent", _string),
    "objectRef": ("object_ref", _optional(_REFERENCE)),
    "responseStatus": ("response_status", _optional(_STATUS)),
    "annotations": ("annotations", _map_of(_string)),
}
_BODIES: Final = (("requestObject", "request_object"), ("responseObject", "response_object"))
_TIMES: Final = {
    "requestReceivedTimestamp": "request_received_timestamp",
    "stageTimestamp": "stage_timestamp",
    "timestamp": "",
}
_ABSENT: Final = {"level": "", "audit_id": "", "stage": "", "request_uri": "", "verb": "", "user": User()}
"""What Event demands and Go does not."""
