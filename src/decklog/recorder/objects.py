"""Objects: a body as it came over the wire → the raw JSON that an event holds.

JSON is kept as sent, compacted. YAML and CBOR become JSON. Protobuf, for which we have no schemas, becomes its kind,
its apiVersion and its bytes. Anything else becomes a base64 string, so that no body takes its event down.
"""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar, get_args, get_origin

import msgspec
from msgspec import Raw, Struct

from decklog.audit import documents, jsontext
from decklog.audit.wire import WireError, compact
from decklog.recorder import protobuf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

JSON_TYPE: Final = "application/json"
YAML_TYPE: Final = "application/yaml"
PROTOBUF_TYPE: Final = "application/vnd.kubernetes.protobuf"
CBOR_TYPE: Final = "application/cbor"

T = TypeVar("T")


class UnreadableError(ValueError):
    """A body that is not what its content type says."""


class TypeMeta(Struct, rename={"api_version": "apiVersion"}):
    """What every Kubernetes object says of itself."""

    kind: str | None = None
    api_version: str | None = None


def media_type(content_type: str) -> str:
    """Reduce a Content-Type to its media type, lower-case: ``Application/JSON; charset=x`` → ``application/json``."""
    return content_type.partition(";")[0].strip().lower()


def is_watch_stream(content_type: str) -> bool:
    """Whether the body is a stream of objects (``;stream=watch``), which is never recorded."""
    return "stream=watch" in content_type.replace(" ", "").lower()


def is_plain_encoding(encoding: str) -> bool:
    """Whether a Content-Encoding leaves the body as it is."""
    return not encoding or encoding.strip().lower() in {"", "identity"}


def unpacker(encoding: str) -> zlib._Decompress | None:
    """Give what undoes a Content-Encoding, piece by piece; None for those that we cannot undo, and for none."""
    wbits = {"gzip": 31, "x-gzip": 31, "deflate": 15}.get(encoding.strip().lower())
    return None if wbits is None else zlib.decompressobj(wbits)


def inflate(body: bytes, encoding: str, limit: int) -> bytes:
    """Undo a Content-Encoding, to at most `limit` bytes; raises UnreadableError when it cannot be."""
    if is_plain_encoding(encoding):
        return body
    name = encoding.strip().lower()
    unpack = unpacker(encoding)
    if unpack is None:
        raise UnreadableError(f"content encoding {name[:40]!r} is unknown")
    try:
        plain = unpack.decompress(body, limit + 1)
    except (zlib.error, gzip.BadGzipFile) as error:
        raise UnreadableError(f"broken {name}") from error
    if len(plain) > limit or not unpack.eof:
        raise UnreadableError(f"{name} is cut short or longer than {limit} bytes when unpacked")
    return plain


def to_json(body: bytes, content_type: str) -> Raw:
    """Turn a body into raw compact JSON by its media type; raises UnreadableError when it is not what it says."""
    media = media_type(content_type)
    convert = _CONVERT.get(media) or (_from_json if media.endswith("+json") else None)
    if convert is None:
        if media.endswith("+yaml"):
            convert = _from_yaml
        elif media.endswith("+cbor"):
            convert = _from_cbor
        else:
            raise UnreadableError(f"content type {media[:60]!r} holds no object")
    return convert(body)


def _from_json(body: bytes) -> Raw:
    try:
        return Raw(compact(body))
    except WireError as error:
        raise UnreadableError(str(error)) from error


def _from_yaml(body: bytes) -> Raw:
    """JSON is YAML: what is valid JSON stays as it was sent (kubectl sends JSON under the YAML type)."""
    try:
        return Raw(compact(body))
    except WireError:
        pass
    try:
        value = documents.load(body)
    except ValueError as error:
        raise UnreadableError(str(error)) from error
    return dump(value)


def _from_cbor(body: bytes) -> Raw:
    import cbor2  # noqa: PLC0415  # because: alpha in Kubernetes and rare; 5 ms that no other request shall pay

    try:
        value = cbor2.loads(body)
    except (cbor2.CBORDecodeError, RecursionError, ValueError, OverflowError) as error:
        raise UnreadableError("broken CBOR") from error
    try:
        return dump(_plain(value, [len(body)]))
    except RecursionError:
        raise UnreadableError("CBOR that refers to itself or is nested too deeply") from None


def _from_protobuf(body: bytes) -> Raw:
    try:
        api_version, kind, _ = protobuf.unwrap(body)
    except ValueError as error:
        raise UnreadableError(f"broken protobuf: {error}") from error
    if not kind:
        raise UnreadableError("protobuf without a kind")
    return dump(
        {
            "kind": kind,
            "apiVersion": api_version,
            "decklog/content-type": PROTOBUF_TYPE,
            "decklog/base64": base64.b64encode(body).decode(),
        },
        sort=False,
    )


_CONVERT: Final[dict[str, Callable[[bytes], Raw]]] = {
    "": _from_json,  # the server's default when a client names no type
    JSON_TYPE: _from_json,
    YAML_TYPE: _from_yaml,
    CBOR_TYPE: _from_cbor,
    PROTOBUF_TYPE: _from_protobuf,
}


def opaque(body: bytes) -> Raw:
    """Write the bytes as a base64 JSON string: for when there is no better reading."""
    return Raw(b'"' + base64.b64encode(body) + b'"')


def dump(value: Any, *, sort: bool = True) -> Raw:
    """Write a converted value: keys sorted, as Go writes its maps. Raises UnreadableError for what JSON cannot say."""
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=sort, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise UnreadableError("holds what JSON cannot say") from error
    return Raw(text.encode("utf-8", "replace"))


def _plain(value: Any, left: list[int]) -> Any:
    """CBOR → JSON values. Kubernetes writes its strings as CBOR byte strings; bytes that are no text become base64.

    `left` counts down from the length of the body: only shared references can make more of it than it holds.
    """
    left[0] -= 1 + (len(value) if isinstance(value, bytes | str) else 0)
    if left[0] < 0:
        raise UnreadableError("CBOR whose shared references make it larger than it is")
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        return {str(_plain(key, left)): _plain(item, left) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, left) for item in value]
    return value


def types(raw: Raw) -> TypeMeta:
    """Read kind and apiVersion of an object; empty for anything that is none."""
    return read(raw, TypeMeta) or TypeMeta()


def read(raw: Raw | bytes, shape: type[T]) -> T | None:
    """Decode the few fields of `shape` (a Struct) out of a JSON object; None for what is no object.

    msgspec skips the rest without building it. What it refuses (a field of a wrong type, lone surrogates, bytes that
    are no UTF-8, deep nesting) is taken apart field by field, so that one odd field costs only itself, as in Go, where
    decoding goes on behind a wrong type.
    """
    try:
        return msgspec.json.decode(raw, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        found = dict(members(raw))
    except ValueError:
        return None
    fields = msgspec.structs.fields(shape)  # type: ignore[arg-type]  # because: all shapes are Structs
    given = {field.name: _piece(found[field.encode_name], field.type) for field in fields if field.encode_name in found}
    return shape(**{name: value for name, value in given.items() if value is not None})


def _piece(raw: bytes, kind: Any) -> Any:
    """Read one field's value as far as it is what `kind` says: a text, a number, a Struct, or a tuple of Structs."""
    inner = next((each for each in get_args(kind) if isinstance(each, type) and issubclass(each, Struct)), None)
    try:
        if inner is None:
            return jsontext.string(raw) if raw.startswith(b'"') else msgspec.json.decode(raw, type=kind)
        if get_origin(kind) is not tuple:
            return read(raw, inner)
        return tuple(item for each in _elements(raw) if (item := read(each, inner)) is not None)
    except (ValueError, RecursionError):
        return None


Pairs = list[tuple[str, bytes]]
"""An object's members in order, values as raw JSON."""


def members(raw: Raw | bytes) -> Pairs:
    """Take a compact object apart, its values unread; raises ValueError for what is no object."""
    try:
        return [(key, bytes(value)) for key, value in msgspec.json.decode(raw, type=dict[str, Raw]).items()]
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return jsontext.members(bytes(raw))


def _elements(raw: bytes) -> list[bytes]:
    try:
        return [bytes(value) for value in msgspec.json.decode(raw, type=list[Raw])]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return jsontext.elements(raw)


def join(pairs: Iterable[tuple[str, bytes]]) -> bytes:
    """Put an object together again, its values as they were."""
    return b"{" + b",".join(jsontext.dump(key) + b":" + value for key, value in pairs) + b"}"


def drop_managed_fields(raw: Raw) -> Raw:
    """Leave out metadata.managedFields of an object, of each list item and of each table row's object (spec §5.9)."""
    return Raw(_without_managed_fields(bytes(raw), {"items": _stripped, "rows": _row_stripped}))


def _without_managed_fields(raw: bytes, lists: dict[str, Callable[[bytes], bytes]]) -> bytes:
    if not _may_hold(raw):
        return raw
    pairs = []
    for key, value in members(raw):
        kept = value
        if key == "metadata" and _may_hold(value):
            kept = join(pair for pair in members(value) if pair[0] != "managedFields")
        elif key in lists and value.startswith(b"["):
            kept = b"[" + b",".join(map(lists[key], _elements(value))) + b"]"
        pairs.append((key, kept))
    return join(pairs)


def _may_hold(raw: bytes) -> bool:
    return raw.startswith(b"{") and b'"managedFields"' in raw


def _stripped(entry: bytes) -> bytes:
    return _without_managed_fields(entry, {})


def _row_stripped(row: bytes) -> bytes:
    if not _may_hold(row):
        return row
    return join((key, _stripped(value) if key == "object" else value) for key, value in members(row))
