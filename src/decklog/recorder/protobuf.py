r"""Just enough protobuf to read what every Kubernetes object has: its type, its ObjectMeta, and a whole Status.

Kubernetes sends protobuf as the magic ``k8s\0``, then a `runtime.Unknown`: field 1 TypeMeta (1 apiVersion, 2 kind),
field 2 the object's bytes. Of every object, field 1 is its ObjectMeta (or ListMeta). Numbers are those of the public
``generated.proto`` files of apimachinery. All input is hostile: anything odd is a `ValueError`, nothing recurses deeper
than the types do, no length is believed beyond the buffer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from decklog.audit.event import Status, StatusCause, StatusDetails
from decklog.audit.protobuf_wire import MAGIC, varint

if TYPE_CHECKING:
    from collections.abc import Iterator

_VARINT: Final = 0
_FIXED64: Final = 1
_BYTES: Final = 2
_FIXED32: Final = 5


def unwrap(body: bytes) -> tuple[str, str, bytes]:
    """Read the envelope: (apiVersion, kind, the object's bytes)."""
    if not body.startswith(MAGIC):
        raise ValueError("the magic is missing")
    api_version = kind = ""
    inner = b""
    for number, value in fields(body[len(MAGIC) :]):
        if number == 1 and isinstance(value, bytes):
            types = dict(fields(value))
            api_version, kind = _text(types.get(1)), _text(types.get(2))
        elif number == 2 and isinstance(value, bytes):
            inner = value
    return api_version, kind, inner


def object_meta(inner: bytes) -> dict[str, str]:
    """Read name, namespace, uid and resourceVersion of an object's metadata."""
    metadata = dict(fields(inner)).get(1, b"")
    meta = dict(fields(metadata)) if isinstance(metadata, bytes) else {}
    return {
        "name": _text(meta.get(1)),
        "namespace": _text(meta.get(3)),
        "uid": _text(meta.get(5)),
        "resourceVersion": _text(meta.get(6)),
    }


def status(inner: bytes) -> Status:
    """Read a meta/v1 Status."""
    values = dict(fields(inner))
    details = values.get(5)
    return Status(
        status=_text(values.get(2)),
        message=_text(values.get(3)),
        reason=_text(values.get(4)),
        details=_details(details) if isinstance(details, bytes) else None,
        code=_integer(values.get(6)),
    )


def _details(raw: bytes) -> StatusDetails:
    values = dict(fields(raw))
    causes = tuple(_cause(value) for number, value in fields(raw) if number == 4 and isinstance(value, bytes))
    return StatusDetails(
        name=_text(values.get(1)),
        group=_text(values.get(2)),
        kind=_text(values.get(3)),
        uid=_text(values.get(6)),
        causes=causes,
        retry_after_seconds=_integer(values.get(5)),
    )


def _cause(raw: bytes) -> StatusCause:
    values = dict(fields(raw))
    return StatusCause(reason=_text(values.get(1)), message=_text(values.get(2)), field=_text(values.get(3)))


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield (field number, value) of a message: varints and fixed numbers as int, the rest as bytes."""
    at = 0
    while at < len(message):
        key, at = varint(message, at)
        wire = key & 7
        if wire == _VARINT:
            value, at = varint(message, at)
            yield key >> 3, value
            continue
        if wire == _BYTES:
            size, at = varint(message, at)
        elif wire == _FIXED64:
            size = 8
        elif wire == _FIXED32:
            size = 4
        else:
            raise ValueError(f"wire type {wire} is unknown")
        if size > len(message) - at:
            raise ValueError("a field runs past the end")
        chunk = message[at : at + size]
        at += size
        yield key >> 3, chunk if wire == _BYTES else int.from_bytes(chunk, "little")


def _text(value: int | bytes | None) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


def _integer(value: int | bytes | None) -> int:
    """Read an int32: negative numbers come as ten-byte varints."""
    if not isinstance(value, int):
        return 0
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >= 1 << 31 else value
