"""Objects: how they are laid out, and which parts of them count.

Lives here: the order of fields in which a real server writes, and the views that tell whether a write changes anything.
"""

from __future__ import annotations

from typing import Any, Final

Object = dict[str, Any]
"""One API object, a JSON value."""

_FIRST: Final = ("kind", "apiVersion")
_METADATA: Final = (
    "name",
    "generateName",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "managedFields",
)


def ordered(value: Object) -> Object:
    """Put fields into the order in which a real server writes them; status comes last, the rest as it came."""
    metadata = {key: value["metadata"][key] for key in _METADATA if key in value["metadata"]}
    result: dict[str, Any] = {key: value[key] for key in _FIRST if key in value}
    result["metadata"] = metadata
    result |= {key: item for key, item in value.items() if key not in {*_FIRST, "metadata", "status"}}
    return result | ({"status": value["status"]} if "status" in value else {})


def without_status(value: Object) -> Object:
    """Leave the status out."""
    return {key: item for key, item in value.items() if key != "status"}


def desired(value: Object) -> Object:
    """Leave out what does not count for metadata.generation."""
    return {key: item for key, item in value.items() if key not in {"metadata", "status"}}


def comparable(value: Object) -> Object:
    """Leave out what every write changes: the version, and the times and the order of managedFields."""
    metadata = {key: item for key, item in value["metadata"].items() if key not in {"resourceVersion", "managedFields"}}
    entries = value["metadata"].get("managedFields") or []
    owners = sorted(repr({key: item for key, item in entry.items() if key != "time"}) for entry in entries)
    return {**value, "metadata": metadata, "managedFields": owners}


def listed(value: Object) -> Object:
    """Show an object as an item of a list: without its kind and apiVersion, which the list has for all."""
    return {key: item for key, item in value.items() if key not in _FIRST}
