"""Bodies: bytes in, JSON values out, or the 400 that kube-apiserver answers. Also the way back.

Lives here: the decoding of JSON and YAML with the limits that keep a hostile body from hurting (depth, YAML aliases and
tags), the encoding of answers, and the reading of values that may hold anything. What a value has to look like for its
kind is `shapes`' knowledge.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from typing import TYPE_CHECKING, Any, Final

import msgspec
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable

DEPTH_LIMIT: Final = 128
"""How deep a body may be nested. kube-apiserver takes 10,000, but nothing in its API needs more than twenty."""

YAML_NODE_LIMIT: Final = 100_000
"""How many nodes a YAML body may have: about a second of work."""

Value = Any
"""A JSON value."""


class Malformed(Exception):  # noqa: N818  # because: a word for the body, caught here and in the patch
    """A body that does not parse; the text says why, as Go's decoders do where they agree."""


def from_json(body: bytes) -> Value:
    """Decode JSON. Raises Malformed."""
    if not body.strip():
        raise Malformed("unexpected end of JSON input")
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        why = str(error)
        raise Malformed("unexpected end of JSON input" if why == "Input data was truncated" else why) from None
    except RecursionError:
        raise Malformed("exceeded max depth") from None
    _check_depth(value)
    return value


def from_yaml(body: bytes) -> Value:
    """Decode one YAML document to a JSON value; JSON is YAML too. Raises Malformed.

    Anchors and aliases are refused: a few bytes of them can unfold to gigabytes. `kubectl` unfolds them itself.
    """
    if body.lstrip()[:1] == b"{":
        # What kubectl sends as YAML is JSON, and JSON is read a hundred times faster.
        with contextlib.suppress(Malformed):
            return from_json(body)
    try:
        _check_events(body)
        value = yaml.load(body, _Loader)  # noqa: S506  # because: _Loader is a safe loader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 1
        raise Malformed(f"yaml: line {line}: {error.problem}") from None
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise Malformed(f"yaml: {str(error).splitlines()[0]}") from None
    return _as_json(value)


def _check_events(body: bytes) -> None:
    depth = 0
    for count, event in enumerate(yaml.parse(body, _Loader)):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent):
            raise Malformed("yaml: the sandbox does not take anchors and aliases")
        if depth > DEPTH_LIMIT:
            raise Malformed("exceeded max depth")
        if count > YAML_NODE_LIMIT:
            raise Malformed(f"yaml: more than {YAML_NODE_LIMIT} nodes: send JSON")


def to_json(value: Value, *, pretty: bool = False) -> bytes:
    """Encode an answer: compact, or indented by two spaces (``?pretty=true``), with a newline at its end."""
    try:
        encoded = msgspec.json.encode(value)
    except UnicodeEncodeError:  # half a surrogate pair, out of a target with odd bytes
        encoded = json.dumps(value).encode()
    return (msgspec.json.format(encoded, indent=2) if pretty else encoded) + b"\n"


def to_yaml(value: Value) -> bytes:
    """Encode an answer as YAML, keys sorted as kube-apiserver sorts them."""
    return yaml.dump(value, Dumper=_Dumper, allow_unicode=True, sort_keys=True).encode()


def copied(value: Value) -> Value:
    """Copy a JSON value in depth. What the store holds is never changed, only copied and replaced."""
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [copied(item) for item in value]
    return value


def go_type(value: Value) -> str:
    """Name a JSON value's type as Go's decoder does in its messages."""
    match value:
        case bool():
            return "bool"
        case str():
            return "string"
        case int() | float():
            return "number"
        case list():
            return "array"
        case _:
            return "object"


def dig(value: Value, *path: str) -> Value:
    """Follow field names into a value; None where there is no such thing, whatever stands there instead."""
    for field in path:
        value = value.get(field) if isinstance(value, dict) else None
    return value


def dicts(value: Value, *path: str) -> list[dict[str, Any]]:
    """List the objects of the list at a path; nothing where there is no such list."""
    found = dig(value, *path)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def count(value: Value, *path: str) -> int:
    """Read the whole number at a path; 0 where there is none."""
    found = dig(value, *path)
    return found if isinstance(found, int) and not isinstance(found, bool) else 0


def text(value: Value, *path: str) -> str:
    """Read the text at a path; empty where there is none."""
    found = dig(value, *path)
    return found if isinstance(found, str) else ""


def texts(value: Value, *path: str) -> list[str]:
    """List the texts of the list at a path; nothing where there is no such list."""
    found = dig(value, *path)
    return [item for item in found if isinstance(item, str)] if isinstance(found, list) else []


def _check_depth(value: Value) -> None:
    level = [value]
    for _ in range(DEPTH_LIMIT):
        level = [item for container in level for item in _children(container)]
        if not level:
            return
    raise Malformed("exceeded max depth")


def _children(value: Value) -> Iterable[Value]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _as_json(value: Value) -> Value:
    if isinstance(value, dict):
        return {_key(key): _as_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise Malformed("yaml: numbers must be finite")
    if value is None or isinstance(value, str | int | float):
        return value
    raise Malformed(f"yaml: a {type(value).__name__} is not a JSON value")


def _key(key: Value) -> str:
    if isinstance(key, bool):
        return str(key).lower()
    if isinstance(key, str | int | float):
        return str(key)
    raise Malformed("yaml: a key must be text")


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # because: libyaml's, if built in
    """Safe, and without dates: Kubernetes' YAML is JSON spelled otherwise, so a date is text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


# Kubernetes' YAML library also takes y and n for booleans.
_Loader.add_implicit_resolver("!short-bool", re.compile("[yYnN]$"), list("yYnN"))
_Loader.add_constructor("!short-bool", lambda _loader, node: node.value in "yY")


class _Dumper(yaml.SafeDumper):
    """Writes every value out: an answer has no anchors."""

    def ignore_aliases(self, data: Value) -> bool:
        del data
        return True
