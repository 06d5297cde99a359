"""OpenAPI: as much of it as `kubectl` wants to see.

Lives here: ``/openapi/v3`` with a document for each group and version, and a bare ``/openapi/v2``. `kubectl` looks into
them for one thing before it writes: whether the server checks fields itself (``fieldValidation``). The schemas name the
fields that the sandbox knows (`shapes`), so that `kubectl explain` has something to say.

The documents leave out strategic merge patches on purpose: `kubectl apply` then works them out from its own types.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from decklog.sandbox import negotiation
from decklog.sandbox.discovery import VERSION
from decklog.sandbox.documents import to_json
from decklog.sandbox.http import tagged
from decklog.sandbox.resources import RESOURCES
from decklog.sandbox.shapes import KINDS, METADATA, MapOf
from decklog.sandbox.status import no_such_path, not_acceptable

if TYPE_CHECKING:
    from decklog.sandbox.http import Answer, Request
    from decklog.sandbox.resources import Resource

_INFO: Final = {"title": "decklog sandbox", "version": VERSION["gitVersion"]}
_DESCRIPTION: Final = "The sandbox knows the names and types of fields, and no descriptions."


def answer(request: Request, parts: list[str]) -> Answer:
    """Answer a request below ``/openapi``; `parts` is the path. Raises ApiError: 404, and 406 for protobuf alone."""
    _check_accept(request.header(b"accept"))
    return tagged(request, to_json(_requested(parts)), negotiation.JSON)


def _requested(parts: list[str]) -> dict[str, Any]:
    match parts:
        case ["openapi", "v2"]:
            return {"swagger": "2.0", "info": _INFO, "paths": {}, "definitions": {}}
        case ["openapi", "v3"]:
            return {"paths": {path: _link(path) for path in _documents()}}
        case ["openapi", "v3", *rest] if "/".join(rest) in _documents():
            return _document("/".join(rest))
        case _:
            raise no_such_path()


def _check_accept(accept: str) -> None:
    kinds = {clause.type for clause in negotiation.media_ranges(accept)}
    if kinds and not kinds & {negotiation.JSON, "application/*", "*/*"}:
        raise not_acceptable((negotiation.JSON,))


def _path_of(row: Resource) -> str:
    return f"apis/{row.group_version}" if row.group else f"api/{row.version}"


def _documents() -> list[str]:
    return list(dict.fromkeys(_path_of(row) for row in RESOURCES))


def _link(path: str) -> dict[str, str]:
    digest = hashlib.sha256(to_json(_document(path))).hexdigest().upper()
    return {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}


def _document(path: str) -> dict[str, Any]:
    rows = [row for row in RESOURCES if _path_of(row) == path]
    return {
        "openapi": "3.0.0",
        "info": _INFO,
        "paths": {f"/{path}/{_object_path(row)}": _operations(row) for row in rows if row.stored},
        "components": {"schemas": {f"sandbox.{row.kind}": _schema(row) for row in rows}},
    }


def _object_path(row: Resource) -> str:
    return f"namespaces/{{namespace}}/{row.plural}/{{name}}" if row.namespaced else f"{row.plural}/{{name}}"


def _kind(row: Resource) -> dict[str, str]:
    return {"group": row.group, "version": row.version, "kind": row.kind}


def _operations(row: Resource) -> dict[str, Any]:
    text = {"type": "string", "uniqueItems": True}
    names = ("dryRun", "fieldManager", "fieldValidation", "force")
    content = {kind: {"schema": {"type": "object"}} for kind in (negotiation.APPLY_PATCH, negotiation.MERGE_PATCH)}
    known = {"$ref": f"#/components/schemas/sandbox.{row.kind}"}
    answers = {"200": {"description": "OK", "content": {negotiation.JSON: {"schema": known}}}}
    kind = {"x-kubernetes-group-version-kind": _kind(row)}
    return {
        "get": {"x-kubernetes-action": "get", "responses": answers, **kind},
        "patch": {
            "x-kubernetes-action": "patch",
            "parameters": [{"name": name, "in": "query", "schema": text} for name in names],
            "requestBody": {"content": content},
            "responses": answers,
            **kind,
        },
    }


def _schema(row: Resource) -> dict[str, Any]:
    fields = {
        "apiVersion": str,
        "kind": str,
        "metadata": METADATA,
        **KINDS.get(row.kind, {"spec": None, "status": None}),
    }
    return {**_typed(fields), "description": _DESCRIPTION, "x-kubernetes-group-version-kind": [_kind(row)]}


def _typed(shape: Any) -> dict[str, Any]:
    names = {str: "string", int: "integer", bool: "boolean"}
    match shape:
        case dict():
            return {"type": "object", "properties": {name: _typed(below) for name, below in shape.items()}}
        case list():
            return {"type": "array", "items": _typed(shape[0])}
        case MapOf(value=below):
            return {"type": "object", "additionalProperties": _typed(below)}
        case type() if shape in names:
            return {"type": names[shape]}
        case _:
            return {"type": "object"}
