"""Discovery: what a cluster says that it serves, as Kinds: custom resources and aggregated APIs among them.

Reads the documents of ``/apis/GROUP/VERSION`` (APIResourceList) and of ``/apis`` in the aggregated form
(APIGroupDiscoveryList), each alone, in a List, in a JSON array, or one after another in one file. Nothing is fetched
here: the bytes come in as a value.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from decklog.errors import DecklogError
from decklog.policy.kinds import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_BYTES: Final = 32 << 20
"""Of discovery documents: a cluster with a thousand custom resources has under one MiB."""


def parse(data: bytes, *, source: str) -> tuple[Kind, ...]:
    """Read discovery documents. Raises DecklogError: no JSON, or none of the kinds that are read here."""
    found = tuple(kind for document in _documents(data, source) for kind in _kinds(document, source))
    if not found:
        raise DecklogError(f"{source} lists no resource: give the answer of kubectl get --raw /apis/GROUP/VERSION")
    return found


def unknown(group: str) -> Kind:
    """Give what stands for a group whose resources could not be had."""
    return Kind(group, "", "", "")


def _documents(data: bytes, source: str) -> Iterator[dict[str, Any]]:
    if len(data) > MAX_BYTES:
        raise DecklogError(f"{source} is larger than {MAX_BYTES >> 20} MiB, which no discovery document is")
    text = data.decode("utf-8-sig", "replace")
    decoder, place = json.JSONDecoder(), 0
    try:
        while (place := _after_space(text, place)) < len(text):
            document, place = decoder.raw_decode(text, place)
            yield from _objects(document, source)
    except (ValueError, RecursionError):
        line = text.count("\n", 0, place) + 1
        raise DecklogError(
            f"{source}:{line}: no JSON: give what kubectl get --raw /apis/GROUP/VERSION prints, or a kubeconfig"
        ) from None


def _after_space(text: str, place: int) -> int:
    while place < len(text) and text[place].isspace():
        place += 1
    return place


def _objects(document: Any, source: str) -> Iterator[dict[str, Any]]:
    for one in document if isinstance(document, list) else [document]:
        if not isinstance(one, dict):
            raise DecklogError(f"{source}: a discovery document is an object, with a kind")
        if one.get("kind") == "List":
            yield from _objects(one.get("items") or [], source)
        else:
            yield one


def _kinds(document: dict[str, Any], source: str) -> Iterator[Kind]:
    try:
        match document.get("kind"):
            case "APIResourceList":
                yield from _of_list(document)
            case "APIGroupDiscoveryList":
                for item in document.get("items") or []:
                    yield from _of_group(item)
            case "APIGroupDiscovery":
                yield from _of_group(document)
            case other:
                said = repr(other)[:60]
                raise DecklogError(
                    f"{source}: kind {said} lists no resources: APIResourceList or APIGroupDiscoveryList is wanted"
                )
    except (TypeError, AttributeError, KeyError):
        raise DecklogError(f"{source}: not in the form of {document.get('kind')}: fetch it again") from None


def _of_list(document: dict[str, Any]) -> Iterator[Kind]:
    group, slash, _ = str(document["groupVersion"]).partition("/")
    group = group if slash else ""
    below: dict[str, list[str]] = {}
    rows = document.get("resources") or []
    for row in rows:
        resource, slash, subresource = str(row["name"]).partition("/")
        if slash:
            below.setdefault(resource, []).append(subresource)
    for row in rows:
        name = str(row["name"])
        if "/" not in name:
            singular = row.get("singularName") or str(row["kind"]).lower()
            yield _kind(group, name, row["kind"], singular, row.get("namespaced"), below.get(name), row)


def _of_group(item: dict[str, Any]) -> Iterator[Kind]:
    group = (item.get("metadata") or {}).get("name") or ""
    rows: dict[str, Kind] = {}
    for version in item.get("versions") or []:
        for row in version.get("resources") or []:
            kind = (row.get("responseKind") or {}).get("kind") or ""
            below = [sub["subresource"] for sub in row.get("subresources") or []]
            singular = row.get("singularResource") or kind.lower()
            namespaced = row.get("scope") == "Namespaced"
            # The first version is the preferred one, and its word counts.
            rows.setdefault(row["resource"], _kind(group, row["resource"], kind, singular, namespaced, below, row))
    # A server that is down behind an aggregated API leaves its group without resources.
    yield from rows.values() or (unknown(group),)


def _kind(
    group: str, resource: str, kind: Any, singular: Any, namespaced: Any, below: list[str] | None, row: dict[str, Any]
) -> Kind:
    short = tuple(str(name) for name in row.get("shortNames") or [])
    return Kind(group, resource, str(kind), str(singular), bool(namespaced), tuple(map(str, below or [])), short)
