"""Columns: what of an event a segment holds in columns of its own, beside the event itself, verbatim.

They bear the names that answers have in JSON. Each event is read once, here; nothing runs JSON functions over what a
client wrote. Lines that a Kubernetes component wrote take the fast way, which skips bodies unread; whatever that
refuses is read by `decklog.audit.wire`. A line that is no event has empty columns, and is kept as any other.

Text that an event lacks is empty, never NULL, and a code that it lacks is 0: so no engine has to agree with another on
what NULL is. Only times can be NULL. A lone surrogate and a NUL, which no text of a table can hold, become ``\ufffd``
in a column; the verbatim event has them.
"""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Raw, Struct, field, structs

from decklog.audit.event import NO_OBJECT, ObjectReference, Stage
from decklog.audit.query import DECISION, object_name
from decklog.audit.wire import WireError, decode_event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from decklog.audit.event import Event

COLUMNS: Final = {
    "time": "TIMESTAMP",
    "stageTime": "TIMESTAMP",
    "level": "VARCHAR",
    "stage": "VARCHAR",
    "auditID": "VARCHAR",
    "user": "VARCHAR",
    "userUID": "VARCHAR",
    "groups": "VARCHAR[]",
    "userExtra": "JSON",
    "impersonatedUser": "VARCHAR",
    "impersonatedGroups": "VARCHAR[]",
    "verb": "VARCHAR",
    "apiGroup": "VARCHAR",
    "apiVersion": "VARCHAR",
    "resource": "VARCHAR",
    "subresource": "VARCHAR",
    "namespace": "VARCHAR",
    "name": "VARCHAR",
    "objectUID": "VARCHAR",
    "code": "INTEGER",
    "reason": "VARCHAR",
    "message": "VARCHAR",
    "decision": "VARCHAR",
    "sourceIPs": "VARCHAR[]",
    "userAgent": "VARCHAR",
    "requestURI": "VARCHAR",
    "annotations": "MAP(VARCHAR, VARCHAR)",
}
"""Column → DuckDB's type, in order, as `Row` has them."""
CLUSTER: Final = "cluster"
IDENTITY: Final = "identity"
"""The first KEY_BYTES of what `items.identity_of` gives, a BLOB."""
EVENT: Final = "event"
"""The event as it came, a BLOB: one line without its newline."""
ALL: Final = {**COLUMNS, CLUSTER: "VARCHAR", IDENTITY: "BLOB", EVENT: "BLOB"}
"""The columns of a segment."""

_WIRE: Final = {
    "api_group": "apiGroup",
    "api_version": "apiVersion",
    "audit_id": "auditID",
    "impersonated_user": "impersonatedUser",
    "object_ref": "objectRef",
    "received": "requestReceivedTimestamp",
    "request_uri": "requestURI",
    "response_status": "responseStatus",
    "source_ips": "sourceIPs",
    "staged": "stageTimestamp",
    "user_agent": "userAgent",
}
_WORDS: Final = {"ips": "IPs"}
_EMPTY: Final = Raw(b"{}")
_MOST_CODE: Final = 0x7FFFFFFF
_TIMES: Final = re.compile(r"(?:[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{6}Z){2}")


class _User(Struct, gc=False):
    username: str = ""
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Raw = NO_OBJECT


class _Status(Struct, gc=False):
    reason: str = ""
    message: str = ""
    code: int = 0


_NOBODY: Final = _User()
_NO_STATUS: Final = _Status()
_NOTHING: Final = ObjectReference()


class _Fast(Struct, gc=False, rename=lambda name: _WIRE.get(name, name)):
    """An event without its bodies, which msgspec skips."""

    level: str
    audit_id: str
    stage: str
    request_uri: str
    verb: str
    received: str
    staged: str
    kind: str = "Event"
    api_version: str = "audit.k8s.io/v1"
    user: _User = field(default_factory=lambda: _NOBODY)
    impersonated_user: _User = field(default_factory=lambda: _NOBODY)
    source_ips: tuple[str, ...] = ()
    user_agent: str = ""
    object_ref: ObjectReference = field(default_factory=lambda: _NOTHING)
    response_status: _Status = field(default_factory=lambda: _NO_STATUS)
    annotations: dict[str, str] = {}


def _column(field: str) -> str:
    """Give the column of a field: ``user_uid`` → ``userUID``."""
    head, *rest = field.split("_")
    return head + "".join(
        word.upper() if word in {"id", "uid", "uri"} else _WORDS.get(word, word.title()) for word in rest
    )


class Row(Struct, gc=False, rename=_column):
    """What `COLUMNS` names, in their order."""

    time: str | None
    stage_time: str | None
    level: str
    stage: str
    audit_id: str
    user: str
    user_uid: str
    groups: tuple[str, ...]
    user_extra: Raw | dict[str, Any]
    impersonated_user: str
    impersonated_groups: tuple[str, ...]
    verb: str
    api_group: str
    api_version: str
    resource: str
    subresource: str
    namespace: str
    name: str
    object_uid: str
    code: int
    reason: str
    message: str
    decision: str
    source_ips: tuple[str, ...]
    user_agent: str
    request_uri: str
    annotations: dict[str, str]


_NAMES: Final = tuple(zip(Row.__struct_fields__, COLUMNS, strict=True))
_UNREADABLE: Final = Row(
    *(None, None, "", "", "", "", "", (), {}, "", (), "", "", "", "", "", "", "", "", 0, "", "", "", (), "", "", {})
)
_decode: Final = msgspec.json.Decoder(_Fast).decode


def row_of(line: bytes) -> Row:
    """Read an event into its columns; all are empty if it is none that can be read."""
    try:
        event = _decode(line)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return _slow(line)
    if not (
        _are_usual(event.received, event.staged)
        and event.kind == "Event"
        and event.api_version == "audit.k8s.io/v1"
        and -_MOST_CODE <= event.response_status.code <= _MOST_CODE
    ):
        return _slow(line)
    ref = event.object_ref
    if not ref.name and event.verb == "create" and event.stage == Stage.RESPONSE_COMPLETE and ref.resource:
        ref = structs.replace(ref, name=_made_name(line))
    user, other, status = event.user, event.impersonated_user, event.response_status
    return Row(
        event.received,
        event.staged,
        event.level,
        event.stage,
        event.audit_id,
        user.username,
        user.uid,
        user.groups,
        user.extra if user.extra is not NO_OBJECT else _EMPTY,
        other.username,
        other.groups,
        event.verb,
        ref.api_group,
        ref.api_version,
        ref.resource,
        ref.subresource,
        ref.namespace,
        ref.name,
        ref.uid,
        status.code,
        status.reason,
        status.message,
        event.annotations.get(DECISION, ""),
        event.source_ips,
        event.user_agent,
        event.request_uri,
        event.annotations,
    )


def _are_usual(received: str, staged: str) -> bool:
    """Tell whether both are MicroTimes in UTC; unlike `times.are_canonical` it knows the last days of a month, too."""
    return (
        len(received) == 27
        and _TIMES.fullmatch(received + staged) is not None
        and _is_day(received[:10])
        and _is_day(staged[:10])
    )


@lru_cache(maxsize=64)
def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).year > 1
    except ValueError:
        return False


class _Named(Struct, gc=False):
    name: str = ""


class _Made(Struct, gc=False):
    metadata: _Named = field(default_factory=_Named)


class _Answer(Struct, gc=False, rename={"response_object": "responseObject"}):
    response_object: _Made = field(default_factory=_Made)


_decode_answer: Final = msgspec.json.Decoder(_Answer).decode


def _made_name(line: bytes) -> str:
    """Give the name of an object that was created without one, if the answer was recorded."""
    try:
        return _decode_answer(line).response_object.metadata.name
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return _slow(line).name


def _slow(line: bytes) -> Row:
    try:
        return _of_event(decode_event(line))
    except (WireError, RecursionError):
        return _UNREADABLE


def _of_event(event: Event) -> Row:
    ref, user, other, status = event.object_ref or _NOTHING, event.user, event.impersonated_user, event.response_status
    return Row(
        event.request_received_timestamp,
        event.stage_timestamp,
        event.level,
        event.stage,
        event.audit_id,
        user.username,
        user.uid,
        user.groups,
        {key: values or () for key, values in user.extra.items()},
        other.username if other else "",
        other.groups if other else (),
        event.verb,
        ref.api_group,
        ref.api_version,
        ref.resource,
        ref.subresource,
        ref.namespace,
        object_name(event),
        ref.uid,
        status.code if status else 0,
        status.reason if status else "",
        status.message if status else "",
        event.annotations.get(DECISION, ""),
        event.source_ips,
        event.user_agent,
        event.request_uri,
        event.annotations,
    )


_encoder: Final = msgspec.json.Encoder()
_ESCAPED_NUL: Final = b"\\u0000"


def encoded(rows: Sequence[Row]) -> bytes:
    """Write rows as lines of JSON."""
    try:
        data = _encoder.encode_lines(rows)
    except UnicodeEncodeError:
        return _mended(rows)
    return _mended(rows) if _ESCAPED_NUL in data else data


def _mended(rows: Sequence[Row]) -> bytes:
    return b"".join([_encoder.encode(_sound(_plain(row))) + b"\n" for row in rows])


def _plain(row: Row) -> dict[str, Any]:
    found = {name: getattr(row, field) for field, name in _NAMES}
    extra = found["userExtra"]
    if isinstance(extra, Raw):  # it may hold a NUL, or what is no text
        try:
            found["userExtra"] = msgspec.json.decode(extra)
        except (msgspec.MsgspecError, RecursionError, UnicodeError):
            found["userExtra"] = {}
    return found


def _sound(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").replace("\0", "�")
    if isinstance(value, (list, tuple)):
        return list(map(_sound, value))
    if isinstance(value, dict):
        return {_sound(key): _sound(item) for key, item in value.items()}
    return value


def paired(key: bytes, row: Row) -> bytes:
    """Write identity, audit ID and stage as a JSON object ``k``, ``i``, ``s``."""
    return _encoder.encode({"k": key.hex(), "i": _sound(row.audit_id), "s": _sound(row.stage)})
