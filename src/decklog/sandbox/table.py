"""Tables: what `kubectl get` prints is made by the server.

Lives here: the conversion of objects and lists to Table and to PartialObjectMetadata. The columns are in `columns`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from decklog.sandbox.columns import columns_of

if TYPE_CHECKING:
    from datetime import datetime

    from decklog.sandbox.objects import Object
    from decklog.sandbox.resources import Resource


def table(
    resource: Resource,
    value: Object,
    *,
    now: datetime,
    include: str = "Metadata",
    version: str = "v1",
    headed: bool = True,
) -> Object:
    """Convert an object or a list to a Table; `include` says what of each object comes along (None, Metadata, Object).

    `headed` is off for all but the first event of a watch, as on a real server.
    """
    columns = columns_of(resource)
    items = value.get("items", [value])
    listed = ("resourceVersion", "continue", "remainingItemCount")
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": {key: value["metadata"][key] for key in listed if key in value["metadata"]},
        "columnDefinitions": [column.definition() for column in columns] if headed else None,
        "rows": [
            {
                "cells": [column.cell(item, now) for column in columns],
                "object": _included(resource, item, include, version),
            }
            for item in items
        ],
    }


def partial(value: Object, version: str = "v1") -> Object:
    """Convert an object to PartialObjectMetadata, a list to PartialObjectMetadataList."""
    if "items" in value:
        return {
            "kind": "PartialObjectMetadataList",
            "apiVersion": f"meta.k8s.io/{version}",
            "metadata": value["metadata"],
            "items": [partial(item, version) for item in value["items"]],
        }
    return {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{version}", "metadata": value["metadata"]}


def _included(resource: Resource, item: Object, include: str, version: str) -> Object | None:
    match include:
        case "None":
            return None
        case "Object":
            return {"kind": resource.kind, "apiVersion": resource.group_version, **item}
        case _:
            return partial(item, version)
