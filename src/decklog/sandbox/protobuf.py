r"""Protobuf bodies: what `kubectl` sends from 1.32 on, turned into the JSON value that it stands for.

Lives here: the envelope (``k8s\0``) and a reader of messages by the table in `messages`. A field that the table does
not name is refused, never dropped: an object shall not lose something because the sandbox is small. Answers are JSON
all the same; such a client accepts it.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from decklog.audit.protobuf_wire import MAGIC, varint
from decklog.sandbox.documents import Malformed
from decklog.sandbox.messages import MESSAGES
from decklog.sandbox.times import stamp

if TYPE_CHECKING:
    from collections.abc import Iterator

_DEPTH_LIMIT: Final = 24


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    type: str
    many: bool = False
    mapped: bool = False
    keeps_zero: bool = False


def from_protobuf(body: bytes) -> dict[str, Any]:
    """Decode an enveloped object. Raises Malformed: for what is no protobuf, and for what the table does not know."""
    if not body.startswith(MAGIC):
        raise Malformed("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    api_version = kind = ""
    raw = b""
    for number, value in _wire(body[len(MAGIC) :]):
        if number == 1:
            words = {inner: _text(word) for inner, word in _wire(_bytes(value))}
            api_version, kind = words.get(1, ""), words.get(2, "")
        elif number == 2:
            raw = _bytes(value)
        elif number == 3 and value:
            raise Malformed("the sandbox does not read compressed protobuf")
    if kind not in MESSAGES:
        raise Malformed(f"the sandbox does not read {kind or 'this'} as protobuf: send it as JSON")
    return {"kind": kind, "apiVersion": api_version, **_message(kind, raw, 0)}


@cache
def _fields(message: str) -> dict[int, _Field]:
    found = {}
    for line in MESSAGES[message].split(","):
        number, name, kind = line.split()
        bare = kind.removeprefix("[]").removeprefix("map:").removesuffix("?")
        found[int(number)] = _Field(name, bare, kind.startswith("[]"), kind.startswith("map:"), kind.endswith("?"))
    return found


def _message(kind: str, data: bytes, depth: int) -> dict[str, Any]:
    if depth > _DEPTH_LIMIT:
        raise Malformed("exceeded max depth")
    result: dict[str, Any] = {}
    if kind == "Opaque":
        return result
    known = _fields(kind)
    for number, wire in _wire(data):
        if number not in known:
            raise Malformed(f"the sandbox does not know protobuf field {number} of {kind}: send the object as JSON")
        _put(result, known[number], wire, depth)
    return result


def _put(result: dict[str, Any], field: _Field, wire: int | bytes, depth: int) -> None:
    if field.mapped:
        pair = dict(_wire(_bytes(wire)))
        key, item = _text(pair.get(1, b"")), pair.get(2, b"")
        result.setdefault(field.name, {})[key] = _mapped(field.type, item, depth)
        return
    value = _value(field.type, wire, depth)
    if field.many:
        result.setdefault(field.name, []).append(value)
    elif field.name == "-":
        result.update(value)
    elif field.keeps_zero or (value is not None and value not in ("", 0)):
        result[field.name] = value


def _mapped(kind: str, item: int | bytes, depth: int) -> Any:
    value = _value(kind, item, depth)
    # A map of lists wraps each list in a message of its own.
    return value.get("items", []) if kind == "ExtraValue" else value


def _value(kind: str, wire: int | bytes, depth: int) -> Any:
    match kind:
        case "string":
            return _text(wire)
        case "bytes":
            return base64.b64encode(_bytes(wire)).decode()
        case "int":
            return _signed(wire)
        case "bool":
            return bool(_signed(wire))
        case "time":
            return _time(_bytes(wire))
        case "quantity":
            return _text(dict(_wire(_bytes(wire))).get(1, b""))
        case "int-or-string":
            parts = dict(_wire(_bytes(wire)))
            return _text(parts.get(3, b"")) if parts.get(1) == 1 else _signed(parts.get(2, 0))
        case _:
            return _message(kind, _bytes(wire), depth + 1)


def _time(data: bytes) -> str | None:
    seconds = _signed(dict(_wire(data)).get(1, 0))
    # Go's zero time, long before our era, is how it sends no time.
    return stamp(datetime.fromtimestamp(seconds, UTC)) if 0 < seconds < 1 << 36 else None


def _text(wire: int | bytes) -> str:
    try:
        return _bytes(wire).decode()
    except UnicodeDecodeError:
        raise Malformed("proto: a string field holds invalid UTF-8") from None


def _bytes(wire: int | bytes) -> bytes:
    if isinstance(wire, int):
        raise Malformed("proto: wrong wireType = 0 for a field with a length")
    return wire


def _signed(wire: int | bytes) -> int:
    if isinstance(wire, bytes):
        raise Malformed("proto: wrong wireType = 2 for a number")
    return wire - (1 << 64) if wire >= 1 << 63 else wire


def _wire(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Read the fields of a message: numbers with varints or with bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise Malformed("proto: illegal tag 0")
        value, at = _varint(data, at)
        if kind == 0:
            yield number, value
        elif kind == 2:
            if value > len(data) - at:
                raise Malformed("unexpected EOF")
            yield number, data[at : at + value]
            at += value
        else:
            raise Malformed(f"proto: illegal wireType {kind}")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    try:
        return varint(data, at)
    except ValueError as error:
        raise Malformed(str(error)) from None
