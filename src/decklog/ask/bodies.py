"""Bodies: what the recorded request and response objects say of one object; parsed only here, and never trusted.

A body is whole if it is the object itself. What only speaks of it is none: a Status, a Table, PartialObjectMetadata,
the options of a deletion, a patch, the objects of most subresources (Scale, Binding, Eviction …). An item of a recorded
list is whole as well.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from decklog.audit.event import ObjectReference
from decklog.audit.query import object_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from msgspec import Raw

    from decklog.ask.requests import Request, Seen
    from decklog.audit.event import Event

Document = dict[str, Any]

DEEPEST: Final = 100
"""Levels of nesting of a body that is looked at; Kubernetes' own objects have some thirty."""
_LARGEST: Final = 1 << 63

RESPONSE: Final = "response"
REQUEST: Final = "request"

_NOT_WHOLE: Final = frozenset({
    *("Status", "Table", "PartialObjectMetadata", "PartialObjectMetadataList", "DeleteOptions", "Scale", "Eviction"),
    *("Binding", "TokenRequest", "WatchEvent"),
})  # fmt: skip
_WHOLE_AT: Final = frozenset(("", "status", "ephemeralcontainers", "resize", "finalize", "approval"))
"""Subresources whose bodies are the object itself."""
_NOTHING: Final = ObjectReference()


class Whole(Struct, frozen=True):
    """The object as one request shows it."""

    document: Document
    seen: Seen
    """The event that holds it."""
    body: str
    """``response``: as the server answered; ``request``: as the client sent it, without what the server adds."""
    request: Request


def parsed(body: Raw) -> Any:
    """Parse a body; None if there is none, or if it is no JSON, or nested deeper than objects are.

    What other programs could not read is made readable: numbers past their range become texts, lone surrogates marks.
    """
    try:
        return _tame(json.loads(bytes(body)), 0) if bytes(body) else None
    except (ValueError, RecursionError):
        return None


def _tame(value: Any, depth: int) -> Any:
    if depth > DEEPEST:
        raise ValueError(f"nested deeper than {DEEPEST} levels")
    if isinstance(value, dict):
        return {_tame(key, depth): _tame(member, depth + 1) for key, member in value.items()}
    if isinstance(value, list):
        return [_tame(item, depth + 1) for item in value]
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and not -_LARGEST <= value < _LARGEST:
        return str(value)
    return value


def succeeded(request: Request) -> bool:
    """Tell whether the request was answered with success, as far as the log shows."""
    status = request.latest.event.response_status
    return status is not None and 100 <= status.code < 400


def wholes(request: Request, name: str, namespace: str | None = None) -> Iterator[Whole]:
    """Yield the object called `name` as the request shows it, best first: the answer or an item of it, what was sent.

    Only what was so on the server: nothing of requests that failed. `namespace` (None: any) tells items of lists apart.
    """
    if not succeeded(request):
        return
    for seen in reversed(request.stages):
        ref = seen.event.object_ref or _NOTHING
        if ref.subresource not in _WHOLE_AT:
            continue
        yield from _answered(request, seen, name, namespace)
        if seen.event.verb in {"create", "update"} and name == _name_of(request):
            document = parsed(seen.event.request_object)
            if _is_whole(document):
                yield Whole(document, seen, REQUEST, request)


def _name_of(request: Request) -> str:
    return object_name(request.latest.event)


def _answered(request: Request, seen: Seen, name: str, namespace: str | None) -> Iterator[Whole]:
    document = parsed(seen.event.response_object)
    if not isinstance(document, dict):
        return
    items = document.get("items")
    if isinstance(items, list):
        for item in items:
            found = metadata(item)
            if found.get("name") == name and namespace in {None, found.get("namespace", namespace)}:
                yield Whole(_typed(item, document), seen, RESPONSE, request)
    elif _is_whole(document) and metadata(document).get("name", name) == name:
        yield Whole(document, seen, RESPONSE, request)


def _is_whole(document: Any) -> bool:
    """Tell whether a body is an object; with neither kind nor metadata it is none."""
    if not isinstance(document, dict) or not isinstance(document.get("metadata"), dict):
        return False
    return document.get("kind") not in _NOT_WHOLE


def _typed(item: Document, the_list: Document) -> Document:
    """Give an item of a list its type, which stands in the list only."""
    if item.get("kind"):
        return item
    kind = str(the_list.get("kind", "")).removesuffix("List")
    head = {"kind": kind, "apiVersion": the_list.get("apiVersion", "")} if kind else {}
    return {**head, **item}


def metadata(document: Any) -> Document:
    """Give the metadata of a document; empty where there is none."""
    found = document.get("metadata") if isinstance(document, dict) else None
    return found if isinstance(found, dict) else {}


def without_managed_fields(document: Document) -> Document:
    """Leave out which client set which field."""
    kept = {key: value for key, value in metadata(document).items() if key != "managedFields"}
    return {**document, "metadata": kept} if "metadata" in document else document


def bodies(event: Event) -> Iterator[Any]:
    """Yield the parsed bodies of an event, the answer first."""
    for body in (event.response_object, event.request_object):
        if (document := parsed(body)) is not None:
            yield document
