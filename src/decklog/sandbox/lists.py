"""Which lists are merged item by item, and by which keys.

Lives here: the one table that strategic merge patches, server-side apply and field ownership share. A list that is not
in it is atomic: it is replaced as a whole. The keys are those of Kubernetes' own types.
"""

from __future__ import annotations

import json
from typing import Any, Final

CONTAINER_LISTS: Final = frozenset({"containers", "initContainers", "ephemeralContainers"})
_KEYS: Final = {
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "volumes": ("name",),
    "env": ("name",),
    "imagePullSecrets": ("name",),
    "secrets": ("name",),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "conditions": ("type",),
    "ownerReferences": ("uid",),
}

Path = tuple[str, ...]
"""Field names from the object's root; list items add nothing."""


def keys_of(path: Path) -> tuple[str, ...] | None:
    """Tell the fields that identify an item of the list at `path`; None for an atomic list."""
    field = path[-1]
    if field == "ports":
        if len(path) > 1 and path[-2] in CONTAINER_LISTS:
            return "containerPort", "protocol"
        return ("port", "protocol") if path == ("spec", "ports") else None
    return _KEYS.get(field)


def is_set(path: Path) -> bool:
    """Tell whether the list at `path` is a set of texts."""
    return path == ("metadata", "finalizers")


def union(items: list[Any], more: list[Any]) -> list[Any]:
    """Add to a set what is not in it yet; the order stays."""
    return list({repr(item): item for item in (*items, *more)}.values())


def item_key(item: Any, keys: tuple[str, ...]) -> str | None:
    """Render an item's identity as ``k:{…}`` of FieldsV1; None for an item that lacks its first key."""
    if not isinstance(item, dict) or not isinstance(item.get(keys[0]), str | int):
        return None
    known = {key: item.get(key, "TCP" if key == "protocol" else None) for key in sorted(keys)}
    shown = {key: value for key, value in known.items() if value is not None}
    return "k:" + json.dumps(shown, separators=(",", ":"), ensure_ascii=False)


def by_key(items: list[Any], keys: tuple[str, ...]) -> dict[str, Any] | None:
    """Index items by identity, in order; None when one has none, or two have the same: then the list is atomic."""
    indexed = {item_key(item, keys): item for item in items}
    if None in indexed or len(indexed) != len(items):
        return None
    return {key: item for key, item in indexed.items() if key is not None}
