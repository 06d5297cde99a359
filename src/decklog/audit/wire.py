r"""The wire: `audit.k8s.io/v1` JSON ⇄ Event, EventList; byte for byte as kube-apiserver writes (spec §1.5).

Encoding is msgspec's walk over the struct, with Go's five extra escapes put in where one of the five characters occurs
at all: outside strings none of them can. Decoding takes what Go takes: fields in any order, unknown ones, null for any
field, times with an offset. The fast way serves every line that a Kubernetes component wrote; what msgspec refuses (a
lone surrogate, deep nesting, a null) goes the careful way, so that a poison body does not take its event down.

Files of old releases are read as far as they agree with v1: `audit.k8s.io/v1beta1` and `v1alpha1`, whose `timestamp`
becomes the stage's. `decode_with_rest` also hands over what an event has besides.

| Differs from kube-apiserver | How | Why |
|---|---|---|
| v1beta1, v1alpha1 | read | old files are still asked about; the server dropped them in 1.24 |
| an event without kind and apiVersion | v1, if it has an auditID | items of a list, written out one by one, lack them |
| an empty EventList | ``"items":[]`` | a Python sequence is never nil |
| a duplicated object | the last one counts alone | Go merges the two; no writer makes them |

Not a difference: a ``\ufffd`` that was read is written as the character itself. Only an event that was made from bytes
which are no UTF-8 shows the escape; Go does the same.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from msgspec import Raw, Struct, structs

from decklog.audit import careful, jsontext
from decklog.audit.event import NO_OBJECT, Event
from decklog.audit.jsontext import WireError, compact
from decklog.audit.legacy import NoGroups
from decklog.audit.times import are_canonical

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "WireError",
    "compact",
    "decode_event",
    "decode_list",
    "decode_with_rest",
    "encode_event",
    "encode_item",
    "encode_line",
    "encode_list",
    "join_items",
    "split_list",
]

_HEAD: Final = b'{"kind":"Event","apiVersion":"audit.k8s.io/v1",'
_LIST_HEAD: Final = b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":['
_LESS, _GREATER, _AMPERSAND = b"<>&"
_EMPTY_GROUPS: Final = re.compile(rb'"groups"\s*:\s*\[\s*\]')

T = TypeVar("T")

_encode: Final = msgspec.json.Encoder().encode_lines
_decode: Final = msgspec.json.Decoder(Event).decode


class _Kind(Struct, rename={"api_version": "apiVersion"}):
    """What a document says of itself; `audit_id` tells an event that says nothing from any other JSON."""

    kind: str | None = None
    api_version: str | None = None
    audit_id: Raw = msgspec.field(name="auditID", default=NO_OBJECT)


class _List(_Kind):
    items: list[Raw] | None = None


_decode_kind: Final = msgspec.json.Decoder(_Kind).decode
_decode_items: Final = msgspec.json.Decoder(_List).decode

# Encoding


def encode_event(event: Event) -> bytes:
    r"""Encode one event as a document of its own, kind first, without newline.

    Strings may hold lone surrogates: each is written as ``\ufffd``. Bodies must be compact JSON (`compact`).
    """
    return encode_line(event)[:-1]


def encode_line(event: Event) -> bytes:
    """Encode one event as the line of a log file, with its newline."""
    if event.request_object is NO_OBJECT and event.response_object is NO_OBJECT and event.impersonated_user is None:
        # What most events are, without a call more: the same as `_bare_line` does.
        try:
            line = _encode((event,))
        except UnicodeEncodeError:
            line = _encode_mended(event)
        if line.isascii() and not (_LESS in line or _GREATER in line or _AMPERSAND in line):
            return line.replace(b"{", _HEAD, 1)
    return _bare_line(event).replace(b"{", _HEAD, 1)


def encode_list(events: Iterable[Event]) -> bytes:
    """Encode events as the body of a webhook call: an EventList and a newline; its items carry no kind (spec §1.2)."""
    return join_items([_bare_line(event)[:-1] for event in events])


def encode_item(event: Event) -> bytes:
    """Encode one event as it stands in an EventList: without kind and apiVersion."""
    return _bare_line(event)[:-1]


def join_items(items: Sequence[bytes]) -> bytes:
    """Make the body of a webhook call of encoded items."""
    return b"".join((_LIST_HEAD, b",".join(items), b"]}\n"))


def _bare_line(event: Event) -> bytes:
    """Encode an event without kind and apiVersion, with a newline."""
    if (
        event.request_object is not NO_OBJECT
        or event.response_object is not NO_OBJECT
        or event.impersonated_user is not None
    ):
        event = _regular(event)
    try:
        line = _encode((event,))
    except UnicodeEncodeError:
        line = _encode_mended(event)
    if _LESS in line or _GREATER in line or _AMPERSAND in line or not line.isascii():
        return _escape(line)
    return line


def _regular(event: Event) -> Event:
    """Give an event without fields that are empty and yet not their default: msgspec would write them."""
    request, response, other = event.request_object, event.response_object, event.impersonated_user
    if request is not NO_OBJECT and request == NO_OBJECT:
        event = structs.replace(event, request_object=NO_OBJECT)
    if response is not NO_OBJECT and response == NO_OBJECT:
        event = structs.replace(event, response_object=NO_OBJECT)
    if other is not None and type(other.groups) is NoGroups:
        event = structs.replace(event, impersonated_user=structs.replace(other, groups=()))
    return event


def _escape(line: bytes) -> bytes:
    """Put in Go's five extra escapes; they go into embedded objects as well (spec §1.5)."""
    escaped = line.replace(b"<", b"\\u003c").replace(b">", b"\\u003e").replace(b"&", b"\\u0026")
    if b"\xe2\x80" in escaped:
        escaped = escaped.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
    return escaped


def _encode_mended(event: Event) -> bytes:
    """Encode an event whose strings hold lone surrogates, field by field; the bodies' bytes stay as they are."""
    bodies = {"requestObject": event.request_object, "responseObject": event.response_object}
    plain = msgspec.to_builtins(structs.replace(event, request_object=NO_OBJECT, response_object=NO_OBJECT))
    parts = []
    for wire_name in _WIRE_NAMES:
        if wire_name in plain:
            parts.append(_pair(wire_name, jsontext.dump(plain[wire_name])))
        elif (body := bytes(bodies.get(wire_name, NO_OBJECT))) != b"":
            parts.append(_pair(wire_name, body))
    return b"{" + b",".join(parts) + b"}\n"


def _pair(name: str, value: bytes) -> bytes:
    return json.dumps(name).encode() + b":" + value


_WIRE_NAMES: Final = tuple(field.encode_name for field in structs.fields(Event))

# Decoding


def decode_event(data: bytes) -> Event:
    """Decode one event, of any version that is known; WireError for what is none.

    Unknown fields are dropped, times are brought to UTC, maps are sorted, bodies compacted.
    """
    if data.startswith(_HEAD):
        return _decode_v1(data)
    version = _version(data)
    return _decode_v1(data) if version == careful.V1 else careful.read(data, version)[0]


def decode_with_rest(data: bytes) -> tuple[Event, dict[str, Raw]]:
    """Decode one event, and keep aside what else stands in it: wire name → raw JSON of each unknown field."""
    return careful.read(data, _version(data))


def decode_list(data: bytes) -> tuple[Event, ...]:
    """Decode the body of a webhook call; WireError if it is no EventList, or if one of its items is no event.

    Who must not lose 399 events to a poison one takes `split_list` and decodes each item by itself.
    """
    return tuple(map(decode_event, split_list(data)))


def split_list(data: bytes) -> tuple[bytes, ...]:
    """Cut an EventList into its items, each verbatim; WireError if it is no EventList.

    Items of an old version's list say nothing of their version and are read as v1.
    """
    try:
        whole = _decode_items(data)
        items = [bytes(item) for item in whole.items or ()]
        kind, api_version = whole.kind, whole.api_version
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        # Any depth: an item that is too deep shall not take the others down.
        fields, kind, api_version = _open(data, max_depth=len(data))
        items = jsontext.elements(fields["items"]) if "items" in fields else []
    if kind != "EventList":
        raise WireError(f"not an EventList but {kind[:40]!r}" if kind else "not an EventList: no kind")
    careful.known_version(api_version or "")
    return tuple(items)


def _version(data: bytes) -> str:
    """Find out which version of an event `data` is; WireError if it is no event."""
    try:
        says = _decode_kind(data)
        kind, api_version, audit_id = says.kind, says.api_version, says.audit_id != NO_OBJECT
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        fields, kind, api_version = _open(data, max_depth=jsontext.EVENT_DEPTH)
        audit_id = "auditID" in fields
    if not kind and not audit_id:
        raise WireError("not an audit event: neither kind nor auditID")
    if kind and kind != "Event":
        raise WireError(f"not an Event but {kind[:40]!r}")
    return careful.known_version(api_version or careful.V1)


def _open(data: bytes, *, max_depth: int) -> tuple[dict[str, bytes], str, str]:
    """Take a document apart that msgspec refuses: its members, kind and apiVersion; null is as good as absent."""
    jsontext.check(data, max_depth=max_depth)
    fields = {name: piece for name, piece in jsontext.members(data) if piece != b"null"}
    kind, api_version = (jsontext.string(fields.get(name, b'""')) for name in ("kind", "apiVersion"))
    return fields, kind, api_version


def _decode_v1(data: bytes) -> Event:
    try:
        event = _decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return careful.read(data, careful.V1)[0]
    if _is_as_written(event):
        return event
    if _needs_care(event, data):
        return careful.read(data, careful.V1)[0]
    changes = _changes(event)
    return structs.replace(event, **changes) if changes else event


def _is_as_written(event: Event) -> bool:
    """Tell cheaply whether Go would write the event as it was read; False: look closer."""
    received, staged, status = event.request_received_timestamp, event.stage_timestamp, event.response_status
    notes = event.annotations
    return (
        received is not None
        and staged is not None
        and are_canonical(received, staged)
        and event.request_object is NO_OBJECT
        and event.response_object is NO_OBJECT
        and event.impersonated_user is None
        and len(event.user.extra) < 2
        and (len(notes) < 2 or list(notes) == sorted(notes))
        and (status is None or -0x80000000 <= status.code <= 0x7FFFFFFF)
    )


def _needs_care(event: Event, data: bytes) -> bool:
    """Whether msgspec has read what Go refuses, or cannot tell apart what the legacy line tells apart."""
    status, other = event.response_status, event.impersonated_user
    if status is not None and not -0x80000000 <= status.code <= 0x7FFFFFFF:
        return True
    return other is not None and not other.groups and _EMPTY_GROUPS.search(data) is not None


def _changes(event: Event) -> dict[str, Any]:
    """Find the fields that Go would write differently from how they were read."""
    changes: dict[str, Any] = {}
    received, staged = event.request_received_timestamp, event.stage_timestamp
    if not (received and staged and are_canonical(received, staged)):
        changes["request_received_timestamp"] = careful.time(received, "requestReceivedTimestamp")
        changes["stage_timestamp"] = careful.time(staged, "stageTimestamp")
    if len(event.annotations) > 1 and _unsorted(event.annotations):
        changes["annotations"] = _sorted(event.annotations)
    if len(event.user.extra) > 1 and _unsorted(event.user.extra):
        changes["user"] = structs.replace(event.user, extra=_sorted(event.user.extra))
    other = event.impersonated_user
    if other is not None and len(other.extra) > 1 and _unsorted(other.extra):
        changes["impersonated_user"] = structs.replace(other, extra=_sorted(other.extra))
    if event.request_object is not NO_OBJECT:
        _change_body(changes, "request_object", event.request_object)
    if event.response_object is not NO_OBJECT:
        _change_body(changes, "response_object", event.response_object)
    return changes


def _unsorted(keys: dict[str, Any]) -> bool:
    return list(keys) != sorted(keys)


def _sorted(values: dict[str, T]) -> dict[str, T]:
    return dict(sorted(values.items()))


def _change_body(changes: dict[str, Any], name: str, value: Raw) -> None:
    raw = bytes(value)
    if raw == b"null" or not jsontext.is_compact(raw):
        changes[name] = careful.body(raw)
