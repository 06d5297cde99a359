"""Columns: what of an event a segment holds in columns of its own, beside the event itself, verbatim.

They bear the names that answers have in JSON. Each event is read once, here; nothing runs JSON functions over what a
client wrote. Lines that a Kubernetes component wrote take the fast way, many in one call, which skips bodies unread;
whatever that refuses is read by `decklog.audit.wire`. A line that is no event has empty columns, and is kept as any
other.

Text that an event lacks is empty, never NULL, and a code that it lacks is 0: so no engine has to agree with another on
what NULL is. Only times can be NULL. A lone surrogate and a NUL, which no text of a table can hold, become ``\ufffd``
in a column; the verbatim event has them.
"""

from __future__ import annotations

import contextlib
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Raw, Struct, field

from decklog.audit.event import NO_OBJECT, ObjectReference, Stage
from decklog.audit.query import DECISION, MACHINE_GROUPS, MACHINE_PREFIX, object_name
from decklog.audit.wire import WireError, decode_event

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from decklog.audit.event import Event

CLUSTER: Final = "cluster"
IDENTITY: Final = "identity"
"""The first KEY_BYTES of what `items.identity_of` gives, a BLOB."""
EVENT: Final = "event"
"""The event as it came, a BLOB: one line without its newline."""

READ: Final = {
    "requestReceivedTimestamp": "VARCHAR",
    "stageTimestamp": "VARCHAR",
    "level": "VARCHAR",
    "stage": "VARCHAR",
    "auditID": "VARCHAR",
    "user": "STRUCT(username VARCHAR, uid VARCHAR, groups VARCHAR[], extra JSON)",
    "impersonatedUser": "STRUCT(username VARCHAR, groups VARCHAR[])",
    "verb": "VARCHAR",
    "objectRef": "STRUCT(resource VARCHAR, namespace VARCHAR, name VARCHAR, uid VARCHAR, apiGroup VARCHAR,"
    " apiVersion VARCHAR, subresource VARCHAR)",
    "responseStatus": "STRUCT(reason VARCHAR, message VARCHAR, code INTEGER)",
    "sourceIPs": "VARCHAR[]",
    "userAgent": "VARCHAR",
    "requestURI": "VARCHAR",
    "annotations": "MAP(VARCHAR, VARCHAR)",
}
"""What `encoded` writes: name → DuckDB's type. What is empty is left out."""


def _time(name: str) -> str:
    return f"nullif(try_cast(c.\"{name}\" AS TIMESTAMP), TIMESTAMP '0001-01-01')"


def _text(name: str) -> str:
    return f"coalesce(c.{name}, '')"


def _person(user: str) -> str:
    """Tell whether a user is a person: not one of those of `query.is_machine`."""
    name, groups = _text(f'"{user}".username'), f'coalesce(c."{user}".groups, []::VARCHAR[])'
    machines = ", ".join(f"'{group}'" for group in MACHINE_GROUPS)
    machine = f"starts_with({name}, '{MACHINE_PREFIX}') OR list_has_any({groups}, [{machines}])"
    return f"({name} <> '' AND NOT ({machine}))"


HUMANS: Final = "humans"
MACHINES: Final = "machines"
NOBODY: Final = "nobody"
_USER: Final = _text('"user".username')
COLUMNS: Final = {
    "time": _time("requestReceivedTimestamp"),
    "stageTime": _time("stageTimestamp"),
    "level": _text('"level"'),
    "stage": _text('"stage"'),
    "auditID": _text('"auditID"'),
    "user": _text('"user".username'),
    "userUID": _text('"user".uid'),
    "groups": 'coalesce(c."user".groups, []::VARCHAR[])',
    "userExtra": "coalesce(c.\"user\".extra, '{}')",
    "impersonatedUser": _text('"impersonatedUser".username'),
    "impersonatedGroups": 'coalesce(c."impersonatedUser".groups, []::VARCHAR[])',
    "verb": _text('"verb"'),
    "apiGroup": _text('"objectRef"."apiGroup"'),
    "apiVersion": _text('"objectRef"."apiVersion"'),
    "resource": _text('"objectRef".resource'),
    "subresource": _text('"objectRef".subresource'),
    "namespace": _text('"objectRef".namespace'),
    "name": _text('"objectRef".name'),
    "objectUID": _text('"objectRef".uid'),
    "code": 'coalesce(c."responseStatus".code, 0)',
    "reason": _text('"responseStatus".reason'),
    "message": _text('"responseStatus".message'),
    "decision": f"coalesce(c.annotations['{DECISION}'], '')",
    "sourceIPs": 'coalesce(c."sourceIPs", []::VARCHAR[])',
    "userAgent": _text('"userAgent"'),
    "requestURI": _text('"requestURI"'),
    "annotations": "coalesce(c.annotations, MAP {}::MAP(VARCHAR, VARCHAR))",
    "by": f"CASE WHEN {_USER} = '' THEN '{NOBODY}' WHEN {_person('user')} OR {_person('impersonatedUser')}"
    f" THEN '{HUMANS}' ELSE '{MACHINES}' END",
    "sourceIP": "coalesce(c.\"sourceIPs\"[-1], '')",
    "request": f"md5_number_lower({_text('auditID')} || '\n' || {_text('requestReceivedTimestamp')} || '\n' ||"
    f" {_text('verb')} || '\n' || {_text('requestURI')})",
}
"""Column of a segment → how SQL makes it of `c`, a row of `READ`.

The last three are what counting asks for most: whether a person or a machine asked (`query.is_human`), the address that
the server saw, and a number that all stages of a request share, and no two requests.
"""

_WIRE: Final = {
    "api_version": "apiVersion",
    "audit_id": "auditID",
    "impersonated_user": "impersonatedUser",
    "object_ref": "objectRef",
    "received": "requestReceivedTimestamp",
    "request_uri": "requestURI",
    "response_object": "responseObject",
    "response_status": "responseStatus",
    "source_ips": "sourceIPs",
    "staged": "stageTimestamp",
    "user_agent": "userAgent",
}
_CHUNK: Final = 1 << 20
_MOST_CODE: Final = 0x7FFFFFFF

_Code = Annotated[int, Meta(ge=-_MOST_CODE, le=_MOST_CODE)]
_Time = Annotated[datetime, Meta(tz=True)]


class _User(Struct, gc=False, omit_defaults=True):
    username: str = ""
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Raw = NO_OBJECT


class _Other(Struct, gc=False, omit_defaults=True):
    username: str = ""
    groups: tuple[str, ...] = ()


class _Object(Struct, gc=False, omit_defaults=True, rename={"api_group": "apiGroup", "api_version": "apiVersion"}):
    resource: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    api_group: str = ""
    api_version: str = ""
    subresource: str = ""


class _Status(Struct, gc=False, omit_defaults=True):
    reason: str = ""
    message: str = ""
    code: _Code = 0


class Row(Struct, gc=False, omit_defaults=True, rename=lambda name: _WIRE.get(name, name)):
    """An event without its bodies, and with what is empty left out.

    The answer's body is read unparsed, for the one name that may stand only there; `rows_of` and `row_of` let go of it.
    """

    received: _Time | None
    staged: _Time | None
    level: str
    audit_id: str
    stage: str
    request_uri: str
    verb: str
    kind: Literal["Event"] = "Event"
    api_version: Literal["audit.k8s.io/v1"] = "audit.k8s.io/v1"
    user: _User | None = None
    impersonated_user: _Other | None = None
    source_ips: tuple[str, ...] = ()
    user_agent: str = ""
    object_ref: _Object | None = None
    response_status: _Status | None = None
    response_object: Raw = NO_OBJECT
    annotations: dict[str, str] = {}


class _Named(Struct, gc=False):
    name: str = ""


class _Made(Struct, gc=False):
    metadata: _Named = field(default_factory=_Named)


_decode_lines: Final = msgspec.json.Decoder(Row).decode_lines
_decode: Final = msgspec.json.Decoder(Row).decode
_decode_made: Final = msgspec.json.Decoder(_Made).decode
_encoder: Final = msgspec.json.Encoder()
_REFUSED: Final = (msgspec.MsgspecError, RecursionError, UnicodeError)
_ESCAPED_NUL: Final = b"\\u0000"
_find_escaped_nul: Final = re.compile(re.escape(_ESCAPED_NUL)).search
"""Twice as fast as `in`, for long data."""


def chunks(data: bytes) -> Iterator[bytes]:
    """Cut lines, each with its newline, into pieces of whole lines, of about a megabyte; a longer line stands alone."""
    at = 0
    while at < len(data):
        end = data.rfind(b"\n", at, at + _CHUNK) + 1 or data.find(b"\n", at + _CHUNK) + 1
        yield data[at:end]
        at = end


def rows_of(chunk: bytes) -> list[Row]:
    """Read lines, each with its newline."""
    try:
        rows = _decode_lines(chunk)
    except _REFUSED:
        return [row_of(line) for line in chunk[:-1].split(b"\n")]
    if len(rows) != chunk.count(b"\n"):  # a line of spaces is no line to msgspec
        return [row_of(line) for line in chunk[:-1].split(b"\n")]
    lines: list[bytes] = []
    for at in _odd(rows):
        if not _mend(rows[at]):
            lines = lines or chunk[:-1].split(b"\n")
            rows[at] = _slow(lines[at])
    return _without_bodies(rows)


def row_of(line: bytes) -> Row:
    """Read one line; all is empty if it is no event that can be read."""
    try:
        row = _decode(line)
    except _REFUSED:
        return _slow(line)
    if _odd([row]) and not _mend(row):
        return _slow(line)
    return _without_bodies([row])[0]


def _odd(rows: Sequence[Row]) -> list[int]:
    """Tell which rows need another look: times with an offset, names that only the answer has."""
    return [
        at
        for at, row in enumerate(rows)
        if (received := row.received) is None
        or (staged := row.staged) is None
        or received.tzinfo is not UTC
        or staged.tzinfo is not UTC
        or (
            row.verb == "create"
            and (ref := row.object_ref) is not None
            and not ref.name
            and row.stage == Stage.RESPONSE_COMPLETE
        )
    ]


def _mend(row: Row) -> bool:
    """Give an odd row the name that only the answer has; False: it must be read the slow way."""
    if row.received is None or row.staged is None or row.received.tzinfo is not UTC or row.staged.tzinfo is not UTC:
        return False
    if row.response_object is NO_OBJECT:
        return True
    try:
        name = _decode_made(row.response_object).metadata.name
    except _REFUSED:
        return False
    if name and row.object_ref is not None:
        row.object_ref.name = name
    return True


def _without_bodies(rows: list[Row]) -> list[Row]:
    for row in rows:
        if row.response_object is not NO_OBJECT:
            row.response_object = NO_OBJECT
    return rows


def _slow(line: bytes) -> Row:
    try:
        return _of_event(decode_event(line))
    except (WireError, RecursionError):
        return Row(None, None, "", "", "", "", "")


def _of_event(event: Event) -> Row:
    ref, user, other = event.object_ref or ObjectReference(), event.user, event.impersonated_user
    status = event.response_status
    place = _Object(
        ref.resource, ref.namespace, object_name(event), ref.uid, ref.api_group, ref.api_version, ref.subresource
    )
    return Row(
        received=_moment(event.request_received_timestamp),
        staged=_moment(event.stage_timestamp),
        level=event.level,
        audit_id=event.audit_id,
        stage=event.stage,
        request_uri=event.request_uri,
        verb=event.verb,
        user=_User(
            user.username, user.uid, user.groups, Raw(_encoded_soundly(user.extra)) if user.extra else NO_OBJECT
        ),
        impersonated_user=_Other(other.username, other.groups) if other else None,
        source_ips=event.source_ips,
        user_agent=event.user_agent,
        object_ref=place,
        response_status=_Status(status.reason, status.message, status.code) if status else None,
        annotations=event.annotations,
    )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def microtime(moment: datetime | None) -> str:
    """Write a time as the wire does; empty: there is none."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}Z" if moment else ""


def encoded(rows: Sequence[Row]) -> bytes:
    """Write rows as lines of JSON, as `READ` names their fields."""
    try:
        data = _encoder.encode_lines(rows)
    except UnicodeEncodeError:
        data = _ESCAPED_NUL
    if _find_escaped_nul(data) is None:
        return data
    return b"".join([_encoded_soundly(_plain(row)) + b"\n" for row in rows])


def _plain(row: Row) -> dict[str, Any]:
    extra = row.user.extra if row.user else NO_OBJECT
    if row.user is not None:
        row.user.extra = NO_OBJECT  # what is raw JSON goes by itself: it may hold a NUL, too
    plain: dict[str, Any] = msgspec.to_builtins(row)
    if extra is not NO_OBJECT:
        with contextlib.suppress(*_REFUSED):
            plain["user"]["extra"] = msgspec.json.decode(extra)
    return plain


def _encoded_soundly(value: Any) -> bytes:
    return _encoder.encode(_sound(value))


def _sound(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").replace("\0", "\ufffd")
    if isinstance(value, (list, tuple)):
        return list(map(_sound, value))
    if isinstance(value, dict):
        return {_sound(key): _sound(item) for key, item in value.items()}
    return value


def paired(key: bytes, row: Row) -> bytes:
    """Write identity, audit ID and stage as a JSON object ``k``, ``i``, ``s``."""
    return _encoder.encode({"k": key.hex(), "i": _sound(row.audit_id), "s": _sound(row.stage)})
