"""Server-side apply: an applied configuration, laid over the object, with conflicts where another owns a field.

Lives here: the merge, its conflicts, and the removal of what a manager no longer applies. Ownership is `fields`' word.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from decklog.sandbox import fields, lists
from decklog.sandbox.documents import copied
from decklog.sandbox.status import ApiError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from decklog.sandbox.fields import FieldPath, Owner
    from decklog.sandbox.lists import Path


@dataclass(frozen=True, slots=True)
class Applied:
    """The object after an apply, and who owns what of it then."""

    value: dict[str, Any]
    owners: tuple[Owner, ...]


def apply(live: dict[str, Any], configuration: dict[str, Any], by: Owner, *, force: bool) -> Applied:
    """Apply a configuration to an object (for a new one: an empty object with metadata).

    `by` becomes the owner of every field it names and of no other; what it named before and no longer does is removed,
    unless somebody else owns it too. Raises ApiError (409) when another owns a field with another value and `force`
    is off.
    """
    wanted = fields.leaves(configuration)
    others = [owner for owner in fields.owners_of(live) if not owner.same(by)]
    before = [owner for owner in fields.owners_of(live) if owner.same(by)]
    contested = _contested(fields.leaves(live), wanted, others)
    if contested and not force:
        raise _conflict(contested)
    taken = frozenset(path for _, path in contested)
    others = [replace(owner, paths=owner.paths - taken) for owner in others]
    value = _merged(live, configuration, ())
    given_up = _given_up(before, others, wanted)
    if given_up:
        value = _pruned(value, fields.tree(given_up), ())
    return Applied(value, (*others, replace(by, paths=frozenset(wanted))))


def _contested(
    live: Mapping[FieldPath, Any],
    wanted: Mapping[FieldPath, Any],
    others: Iterable[Owner],
) -> list[tuple[Owner, FieldPath]]:
    return [
        (owner, path)
        for owner in others
        for path in sorted(owner.paths & wanted.keys())
        if path in live and live[path] != wanted[path]
    ]


def _given_up(before: Iterable[Owner], others: Iterable[Owner], wanted: Mapping[FieldPath, Any]) -> set[FieldPath]:
    theirs = fields.owned(others)
    # An item of a list stays while anybody owns something inside it.
    inhabited = {path[:length] for path in theirs for length in range(1, len(path))}
    return set(fields.owned(before) - wanted.keys() - theirs - inhabited)


def _conflict(contested: list[tuple[Owner, FieldPath]]) -> ApiError:
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f"conflict with {owner.shown()}",
            "field": _spelled(path),
        }
        for owner, path in contested
    ]
    if len(contested) == 1:
        told = f"1 conflict: {causes[0]['message']}: {causes[0]['field']}"
    else:
        told = f"{len(contested)} conflicts: " + "\n".join(_told_by_owner(contested))
    return ApiError(409, "Conflict", f"Apply failed with {told}", {"causes": causes})


def _told_by_owner(contested: list[tuple[Owner, FieldPath]]) -> Iterable[str]:
    for shown in dict.fromkeys(owner.shown() for owner, _ in contested):
        listed = "".join(f"\n- {_spelled(path)}" for owner, path in contested if owner.shown() == shown)
        yield f"conflicts with {shown}:{listed}"


def _spelled(path: FieldPath) -> str:
    return "".join(f".{step[2:]}" if step.startswith("f:") else f"[{_item(step)}]" for step in path)


def _item(step: str) -> str:
    # k:{"containerPort":80,"protocol":"TCP"} is shown as containerPort=80,protocol="TCP".
    body = step[2:].strip("{}")
    return ",".join(pair.replace('"', "", 2).replace(":", "=", 1) for pair in body.split(","))


def _merged(live: Any, applied: Any, path: Path) -> Any:
    """Lay `applied` over `live`: maps and keyed lists are merged, everything else is replaced."""
    if isinstance(live, dict) and isinstance(applied, dict):
        return {**live, **{key: _merged(live.get(key), item, (*path, key)) for key, item in applied.items()}}
    if not (isinstance(live, list) and isinstance(applied, list)):
        return copied(applied)
    if lists.is_set(path):
        return lists.union(live, applied)
    keys = lists.keys_of(path)
    old, new = (lists.by_key(items, keys) if keys else None for items in (live, applied))
    if old is None or new is None:
        return copied(applied)
    kept = [_merged(item, new[key], path) if key in new else item for key, item in old.items()]
    return [*kept, *(copied(item) for key, item in new.items() if key not in old)]


def _pruned(value: Any, gone: Mapping[str, Any], path: Path) -> Any:
    """Remove what a tree of FieldsV1 names, and the maps that this leaves empty."""
    if isinstance(value, dict):
        pruned = ((key, _pruned_below(item, gone.get(f"f:{key}"), (*path, key))) for key, item in value.items())
        return {key: item for key, item in pruned if item is not None}
    if isinstance(value, list):
        items = (_pruned_below(item, gone.get(fields.step_of(item, path)), path) for item in value)
        return [item for item in items if item is not None]
    return value


def _pruned_below(value: Any, gone: Mapping[str, Any] | None, path: Path) -> Any:
    if gone is None:
        return value
    if not gone or "." in gone:
        return None
    return _pruned(value, gone, path) or None
