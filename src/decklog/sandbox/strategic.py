"""Strategic merge patch: Kubernetes' own merge, which knows that containers are identified by their names.

Lives here: the algorithm with its directives (``$patch``, ``$retainKeys``, ``$setElementOrder/…``,
``$deleteFromPrimitiveList/…``), which `kubectl apply`, `kubectl rollout restart` and `kubectl edit` write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from decklog.sandbox import lists
from decklog.sandbox.documents import Malformed, copied

if TYPE_CHECKING:
    from decklog.sandbox.lists import Path

_ORDER: Final = "$setElementOrder/"
_DELETE: Final = "$deleteFromPrimitiveList/"


def strategic_merge(target: Any, patch: Any, path: Path = ()) -> dict[str, Any]:
    """Apply a strategic merge patch to an object. Raises Malformed for a patch that has no meaning."""
    if not isinstance(patch, dict):
        raise Malformed(
            "json: cannot unmarshal a patch that is not an object into Go value of type map[string]interface {}"
        )
    result = dict(target) if isinstance(target, dict) else {}
    match patch.get("$patch"):
        case "replace":
            return {key: copied(value) for key, value in patch.items() if key != "$patch"}
        case "delete":
            return {}
        case None | "merge":
            pass
        case unknown:
            raise Malformed(f"Unknown patch type: {unknown}")
    _retain(result, patch.get("$retainKeys"))
    for key, value in patch.items():
        if not key.startswith("$"):
            _merge_field(result, key, value, (*path, key))
    _delete_primitives(result, patch)
    _order(result, patch, path)
    return result


def _merge_field(result: dict[str, Any], key: str, value: Any, path: Path) -> None:
    if value is None:
        result.pop(key, None)
    elif isinstance(value, dict):
        result[key] = strategic_merge(result.get(key), value, path)
    elif isinstance(value, list):
        live = result.get(key)
        result[key] = _merge_list(live if isinstance(live, list) else [], value, path)
    else:
        result[key] = value


def _merge_list(live: list[Any], patch: list[Any], path: Path) -> list[Any]:
    if lists.is_set(path):
        return lists.union(live, patch)
    keys = lists.keys_of(path)
    if keys is None or any(isinstance(item, dict) and item.get("$patch") == "replace" for item in patch):
        return [copied(item) for item in patch if not (isinstance(item, dict) and "$patch" in item)]
    merged = {_identity(item, keys[0], place): item for place, item in enumerate(live)}
    for item in patch:
        _merge_item(merged, item, keys[0], path)
    return list(merged.values())


def _merge_item(merged: dict[Any, Any], item: Any, key: str, path: Path) -> None:
    if not isinstance(item, dict) or not isinstance(item.get(key), str | int):
        raise Malformed(f"map: an item of {'.'.join(path)} does not contain declared merge key: {key}")
    if item.get("$patch") == "delete":
        merged.pop(item[key], None)
    else:
        merged[item[key]] = strategic_merge(merged.get(item[key]), item, path)


def _identity(item: Any, key: str, place: int) -> Any:
    found = item.get(key) if isinstance(item, dict) else None
    # What cannot be identified stays where it is, out of every patch's reach.
    return found if isinstance(found, str | int) else (place,)


def _retain(result: dict[str, Any], retained: Any) -> None:
    if isinstance(retained, list):
        for key in [key for key in result if key not in retained]:
            del result[key]


def _delete_primitives(result: dict[str, Any], patch: dict[str, Any]) -> None:
    for directive, gone in patch.items():
        field = directive.removeprefix(_DELETE)
        if field != directive and isinstance(gone, list) and isinstance(result.get(field), list):
            unwanted = {repr(item) for item in gone}
            result[field] = [item for item in result[field] if repr(item) not in unwanted]


def _order(result: dict[str, Any], patch: dict[str, Any], path: Path) -> None:
    for directive, order in patch.items():
        field = directive.removeprefix(_ORDER)
        if field != directive and isinstance(order, list) and isinstance(result.get(field), list):
            keys = lists.keys_of((*path, field))
            result[field] = _ordered(result[field], order, keys[0] if keys else None)


def _ordered(items: list[Any], order: list[Any], key: str | None) -> list[Any]:
    """Sort by the place in `order`; what is not in it stays behind what is, in its own order."""

    def identity(item: Any) -> str:
        return repr(item.get(key) if key is not None and isinstance(item, dict) else item)

    places = {identity(item): place for place, item in enumerate(order)}
    return sorted(items, key=lambda item: places.get(identity(item), len(places)))
