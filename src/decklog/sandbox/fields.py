"""Who owns which field: ``metadata.managedFields``, kept up by every write.

Lives here: paths of fields (FieldsV1), and what an update does to their owners. Every write leaves an entry, as on a
real server; so there is something for ``omitManagedFields`` to remove from an audit event.

Simpler than the real thing in one way: a path is owned only at its leaves and at items of keyed lists, so maps that
become empty are owned by nobody.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from decklog.sandbox import lists

if TYPE_CHECKING:
    from collections.abc import Iterable

    from decklog.sandbox.lists import Path

FieldPath = tuple[str, ...]
"""Steps as FieldsV1 spells them: ``f:spec``, ``k:{"name":"c"}``, ``v:"x"``."""

ITEM: Final = object()
"""The value of a list item as such: being there is all it says."""

_SERVERS_OWN: Final = frozenset(
    {
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
        "managedFields",
    }
)


@dataclass(frozen=True, slots=True)
class Owner:
    """One entry of managedFields."""

    manager: str
    operation: str
    """Update or Apply."""
    api_version: str
    subresource: str
    time: str
    paths: frozenset[FieldPath]

    def same(self, other: Owner) -> bool:
        """Tell whether two entries are one owner's."""
        return (self.manager, self.operation, self.api_version, self.subresource) == (
            other.manager,
            other.operation,
            other.api_version,
            other.subresource,
        )

    def shown(self) -> str:
        """Name the owner as a conflict does."""
        version = f" using {self.api_version}" if self.operation == "Update" else ""
        return f'"{self.manager}"{version}'


def leaves(value: dict[str, Any]) -> dict[FieldPath, Any]:
    """Map every owned path of an object to its value; what only the server writes is left out."""
    found: dict[FieldPath, Any] = {}
    for key, item in value.items():
        if key == "metadata" and isinstance(item, dict):
            own = {name: part for name, part in item.items() if name not in _SERVERS_OWN}
            if own:
                _collect(own, ("metadata",), ("f:metadata",), found)
        elif key not in {"apiVersion", "kind"}:
            _collect(item, (key,), (f"f:{key}",), found)
    return found


def _collect(value: Any, path: Path, steps: FieldPath, found: dict[FieldPath, Any]) -> None:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            _collect(item, (*path, key), (*steps, f"f:{key}"), found)
        return
    if isinstance(value, list) and lists.is_set(path):
        found.update(((*steps, step_of(item, path)), ITEM) for item in value)
        return
    keys = lists.keys_of(path) if isinstance(value, list) and value else None
    items = lists.by_key(value, keys) if keys else None
    if items is not None:
        for key, item in items.items():
            found[*steps, key] = ITEM
            for name, part in item.items():
                _collect(part, (*path, name), (*steps, key, f"f:{name}"), found)
    else:
        found[steps] = value


def owners_of(value: dict[str, Any]) -> list[Owner]:
    """Read managedFields; entries that make no sense are left out."""
    entries = value["metadata"].get("managedFields") or []
    return [
        Owner(
            entry.get("manager", ""),
            entry.get("operation", ""),
            entry.get("apiVersion", ""),
            entry.get("subresource", ""),
            entry.get("time", ""),
            frozenset(_paths(entry.get("fieldsV1"), ())),
        )
        for entry in entries
        if isinstance(entry, dict) and entry.get("operation") in {"Apply", "Update"}
    ]


def _paths(tree: Any, steps: FieldPath) -> Iterable[FieldPath]:
    if not isinstance(tree, dict):
        return
    for step, below in tree.items():
        if step == ".":
            yield steps
        elif below:
            yield from _paths(below, (*steps, step))
        else:
            yield (*steps, step)


def with_owners(value: dict[str, Any], owners: Iterable[Owner]) -> dict[str, Any]:
    """Write managedFields; owners of nothing are left out."""
    metadata = {key: item for key, item in value["metadata"].items() if key != "managedFields"}
    entries = [_entry(owner) for owner in owners if owner.paths]
    return {**value, "metadata": {**metadata, **({"managedFields": entries} if entries else {})}}


def _entry(owner: Owner) -> dict[str, Any]:
    entry = {
        "manager": owner.manager,
        "operation": owner.operation,
        "apiVersion": owner.api_version,
        "time": owner.time,
        "fieldsType": "FieldsV1",
        "fieldsV1": tree(owner.paths),
        "subresource": owner.subresource,
    }
    return {key: item for key, item in entry.items() if item}


def tree(paths: Iterable[FieldPath]) -> dict[str, Any]:
    """Render paths as FieldsV1."""
    root: dict[str, Any] = {}
    for path in sorted(paths):
        node = root
        for step in path:
            node = node.setdefault(step, {})
        if path[-1].startswith("k:"):
            node["."] = {}
    return root


def step_of(item: Any, path: Path) -> str:
    """Spell the step that leads to an item of the list at `path`; empty for an atomic list."""
    if lists.is_set(path):
        return f"v:{json.dumps(item)}"
    keys = lists.keys_of(path)
    return (lists.item_key(item, keys) if keys else None) or ""


def owned(owners: Iterable[Owner]) -> frozenset[FieldPath]:
    """List everything that some owners own."""
    return frozenset(path for owner in owners for path in owner.paths)


def updated(live: dict[str, Any] | None, new: dict[str, Any], by: Owner) -> list[Owner]:
    """Tell the owners after an update: `by` owns what it changed, and nobody else does any more.

    Owners are taken from `new` if it names any (a client may hand ownership on, as `kubectl apply --server-side` does
    for what it applied client-side), else from `live`.
    """
    before = {} if live is None else leaves(live)
    after = leaves(new)
    changed = {path for path, value in after.items() if path not in before or before[path] != value}
    touched = changed | (before.keys() - after.keys())
    known = owners_of(new) or ([] if live is None else owners_of(live))
    if not touched:
        return known
    others = [replace(owner, paths=owner.paths - touched) for owner in known if not owner.same(by)]
    mine = owned(owner for owner in known if owner.same(by))
    return [*others, replace(by, paths=(mine | changed) & after.keys())]
