"""Managed fields: an object's JSON without ``metadata.managedFields``, every other byte as it was (spec §5.9).

The fast way takes out what a decoder found, if it stands in the text exactly once as compact JSON has it; any other
text is taken apart member by member, and compacted by that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Raw, Struct

from decklog.audit import jsontext

if TYPE_CHECKING:
    from collections.abc import Callable

_NAME: Final = b'"managedFields"'
_NOTHING: Final = Raw()


class _Metadata(Struct, gc=False, rename={"managed_fields": "managedFields"}):
    managed_fields: Raw = _NOTHING


class _Object(Struct, gc=False):
    metadata: _Metadata | None = None
    items: Raw = _NOTHING
    rows: Raw = _NOTHING


_decode: Final = msgspec.json.Decoder(_Object).decode
_decode_list: Final = msgspec.json.Decoder(list[Raw]).decode


def without_managed_fields(raw: bytes) -> bytes:
    """Leave them out of an object, of each list item and of each table row's object; other JSON stays as it is.

    Raises WireError for what is no JSON.
    """
    if not _may_hold(raw):
        return raw
    quick = _quickly(raw)
    return quick if quick is not None else _without(raw, {"items": _stripped, "rows": _row_stripped})


def _quickly(raw: bytes) -> bytes | None:
    """Do so with a decoder's help; None where that does not help."""
    try:
        found = _decode(raw)
        if found.rows != _NOTHING:
            return None
        quick = _cut_object(raw, found)
        return _cut_items(quick, bytes(found.items)) if quick is not None and found.items != _NOTHING else quick
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return None


def _quickly_item(raw: bytes) -> bytes:
    if not _may_hold(raw):
        return raw
    quick = _cut_object(raw, _decode(raw))
    return quick if quick is not None else _stripped(raw)


def _cut_object(raw: bytes, found: _Object) -> bytes | None:
    fields = found.metadata.managed_fields if found.metadata is not None else _NOTHING
    return raw if fields == _NOTHING else _cut(raw, b"%b:%b" % (_NAME, bytes(fields)))


def _cut(raw: bytes, member: bytes) -> bytes | None:
    """Take the only occurrence of a member out, with one of the commas beside it; None if it is not the only one."""
    if raw.count(member) != 1:
        return None
    start = raw.find(member)
    end = start + len(member)
    if raw[end : end + 1] == b",":
        return raw[:start] + raw[end + 1 :]
    return raw[: start - (raw[start - 1 : start] == b",")] + raw[end:]


def _cut_items(raw: bytes, items: bytes) -> bytes | None:
    if not items.startswith(b"["):
        return raw
    stripped = b"[%b]" % b",".join([_quickly_item(bytes(item)) for item in _decode_list(items)])
    old = b'"items":' + items
    return raw.replace(old, b'"items":' + stripped) if raw.count(old) == 1 else None


def _without(raw: bytes, lists: dict[str, Callable[[bytes], bytes]]) -> bytes:
    if not _may_hold(raw):
        return raw
    pairs = []
    for key, value in jsontext.members(raw):
        kept = value
        if key == "metadata" and _may_hold(value):
            kept = jsontext.join([pair for pair in jsontext.members(value) if pair[0] != "managedFields"])
        elif key in lists and value.startswith(b"["):
            kept = b"[" + b",".join(map(lists[key], jsontext.elements(value))) + b"]"
        pairs.append((key, kept))
    return jsontext.join(pairs)


def _may_hold(raw: bytes) -> bool:
    return raw.startswith(b"{") and _NAME in raw


def _stripped(entry: bytes) -> bytes:
    return _without(entry, {})


def _row_stripped(row: bytes) -> bytes:
    if not _may_hold(row):
        return row
    return jsontext.join(
        [(key, _stripped(value) if key == "object" else value) for key, value in jsontext.members(row)]
    )
