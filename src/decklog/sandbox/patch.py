"""JSON patch (RFC 6902) and merge patch (RFC 7386): a document and a patch in, a document out.

Lives here: both algorithms, over values that nobody else changes. A patch that cannot be read raises `Malformed`, one
that does not fit the document `Rejected`; the verbs make a 400 and a 422 of them.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from decklog.sandbox.documents import Malformed, copied, go_type

OPERATION_LIMIT: Final = 10_000
COPY_LIMIT_BYTES: Final = 3 << 20
"""How much ``copy`` operations may add: a handful of them could otherwise double a document for ever."""


class Rejected(Exception):  # noqa: N818  # because: a word for the patch, caught by the verbs
    """A patch that does not fit the document: no such path, a failed test."""


def merge_patch(target: Any, patch: Any) -> Any:
    """Apply a merge patch: objects are merged, null removes, everything else replaces."""
    if not isinstance(patch, dict):
        return copied(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def json_patch(target: Any, operations: Any) -> Any:
    """Apply a list of operations, all or none. Raises Malformed or Rejected."""
    if not isinstance(operations, list):
        found = go_type(operations)
        raise Malformed(f"json: cannot unmarshal {found} into Go value of type []handlers.jsonPatchOp")
    if len(operations) > OPERATION_LIMIT:
        raise Malformed(f"The allowed maximum operations in a JSON patch is {OPERATION_LIMIT}, got {len(operations)}")
    document = _Document(copied(target))
    for operation in operations:
        if not isinstance(operation, dict):
            raise Malformed("json: cannot unmarshal an operation that is not an object")
        document.perform(operation)
    return document.root


class _Document:
    def __init__(self, root: Any) -> None:
        self.root = root
        self._copied_bytes = 0

    def perform(self, operation: dict[str, Any]) -> None:
        path = _pointer(operation.get("path"))
        match operation.get("op"):
            case "add":
                self._add(path, copied(_value(operation)))
            case "remove":
                self._remove(path)
            case "replace":
                self._find(path)
                self._set(path, copied(_value(operation)))
            case "move":
                source = _pointer(operation.get("from"))
                if path[: len(source)] == source and path != source:
                    raise Rejected("a value cannot be moved into itself")
                value = self._find(source)
                self._remove(source)
                self._add(path, value)
            case "copy":
                self._copy(_pointer(operation.get("from")), path)
            case "test":
                if not _equal(self._find(path), operation.get("value")):
                    raise Rejected(f"testing value {operation.get('path')} failed: test failed")
            case unknown:
                raise Malformed(f"Unexpected kind: {unknown}")

    def _copy(self, source: tuple[str, ...], path: tuple[str, ...]) -> None:
        value = copied(self._find(source))
        self._copied_bytes += len(msgspec.json.encode(value))
        if self._copied_bytes > COPY_LIMIT_BYTES:
            raise Rejected(f"copies of a patch may not add more than {COPY_LIMIT_BYTES} bytes")
        self._add(path, value)

    def _find(self, path: tuple[str, ...]) -> Any:
        value = self.root
        for step in path:
            match value:
                case dict() if step in value:
                    value = value[step]
                case list():
                    value = value[_index(step, len(value) - 1)]
                case _:
                    raise Rejected(f"no such path: {step}")
        return value

    def _add(self, path: tuple[str, ...], value: Any) -> None:
        parent = self._find(path[:-1]) if path else None
        if isinstance(parent, list):
            place = len(parent) if path[-1] == "-" else _index(path[-1], len(parent))
            parent.insert(place, value)
        else:
            self._set(path, value)

    def _set(self, path: tuple[str, ...], value: Any) -> None:
        if not path:
            self.root = value
            return
        parent = self._find(path[:-1])
        if isinstance(parent, dict):
            parent[path[-1]] = value
        elif isinstance(parent, list):
            parent[_index(path[-1], len(parent) - 1)] = value
        else:
            raise Rejected("only objects and lists have members")

    def _remove(self, path: tuple[str, ...]) -> None:
        self._find(path)
        if not path:
            raise Rejected("the whole document cannot be removed")
        parent = self._find(path[:-1])
        if isinstance(parent, list):
            del parent[_index(path[-1], len(parent) - 1)]
        else:
            del parent[path[-1]]


def _value(operation: dict[str, Any]) -> Any:
    if "value" not in operation:
        raise Malformed(f"operation {operation.get('op')} lacks its value")
    return operation["value"]


def _pointer(text: Any) -> tuple[str, ...]:
    if not isinstance(text, str) or (text and not text.startswith("/")):
        raise Malformed(f"not a JSON pointer: {text!r}")
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in text.split("/")[1:])


def _index(step: str, last: int) -> int:
    if re.fullmatch(r"0|[1-9][0-9]{0,8}", step) is None or int(step) > last:
        raise Rejected(f"no such place in a list: {step}")
    return int(step)


def _equal(one: Any, other: Any) -> bool:
    # Python holds True and 1 equal; JSON does not. The first difference ends it, so a test costs what its value weighs.
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[key], item) for key, item in other.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)
