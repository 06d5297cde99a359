"""Fields: two versions of an object → what changed, field by field; a patch → what it sets.

Lists of named things (containers, ports, env, volumes, conditions …) are compared by name, not by position: an inserted
container does not change those after it. Paths are written as people write them: ``spec.containers[app].image``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HIDDEN: Final = "(hidden)"

_KEYS: Final = ("name", "key", "type", "ip", "uid", "mountPath", "containerPort", "port")
"""By which items of lists are told apart; the first that all items have, each with a value of its own."""
_SERVERS: Final = frozenset({
    ("metadata", "managedFields"),
    ("metadata", "resourceVersion"),
    ("metadata", "generation"),
    ("metadata", "uid"),
    ("metadata", "selfLink"),
    ("metadata", "creationTimestamp"),
    ("metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration"),
})  # fmt: skip
"""What changes with every write, or tells the rest once more."""
_SECRET: Final = (("data",), ("stringData",))
_DEEPEST: Final = 100
_STRATEGIC: Final = "$"
"""Keys that begin so are orders of a strategic merge patch, not fields."""

Path = tuple[str, ...]


class Change(Struct, frozen=True, omit_defaults=True):
    """One field that is no longer what it was."""

    path: str
    old: Any = None
    new: Any = None
    added: bool = False
    """There was no such field."""
    removed: bool = False
    """There is no such field any more."""
    unknown: bool = False
    """What it was before is not known."""


def changes(old: Any, new: Any, *, status: bool = False, secret: bool = False) -> list[Change]:
    """Compare two versions of one object; `status` also compares what controllers report of it.

    The values of a `secret` are hidden: that they changed is told.
    """
    hidden = _SECRET if secret else ()
    found = _compared(old, new, ())
    return [_hide(path, change, hidden) for path, change in found if _counts(path, status=status)]


def set_by_patch(patch: Any, known: Any = None, *, secret: bool = False) -> list[Change]:
    """Say what a patch sets: each of its fields, with the value before where `known` (an older version) has it.

    Takes JSON patches (a list of operations), merge patches, strategic merge patches and applied configurations.
    """
    hidden = _SECRET if secret else ()
    if isinstance(patch, list):
        found = (_operation(item) for item in patch if isinstance(item, dict))
        return [_hide(("data",), change, hidden) for change in found]
    return [_hide(path, change, hidden) for path, change in _set(patch, known, ()) if path not in _SERVERS]


def _hide(path: Path, change: Change, hidden: tuple[Path, ...]) -> Change:
    if not any(path[: len(start)] == start for start in hidden):
        return change
    old, new = (HIDDEN if value is not None else None for value in (change.old, change.new))
    return Change(change.path, old, new, change.added, change.removed, change.unknown)


def _counts(path: Path, *, status: bool) -> bool:
    return path not in _SERVERS and (status or path[:1] != ("status",)) and path not in {("kind",), ("apiVersion",)}


def _compared(old: Any, new: Any, path: Path) -> Iterator[tuple[Path, Change]]:
    if type(old) is type(new) and not isinstance(old, dict | list) and old == new:
        return
    if len(path) < _DEEPEST and (pairs := _pairs(old, new)) is not None:
        before, after = pairs
        for key in (*before, *(key for key in after if key not in before)):
            yield from _member(before, after, key, path)
        return
    if old != new or type(old) is not type(new):
        yield path, Change(written(path), old, new)


def _member(before: Mapping[str, Any], after: Mapping[str, Any], key: str, path: Path) -> Iterator[tuple[Path, Change]]:
    here = (*path, key)
    if here in _SERVERS:
        return
    if key not in before or before[key] is None:
        if after.get(key) is not None:
            yield from _whole(after[key], here, added=True)
    elif key not in after or after[key] is None:
        yield from _whole(before[key], here, added=False)
    else:
        yield from _compared(before[key], after[key], here)


def _whole(value: Any, path: Path, *, added: bool) -> Iterator[tuple[Path, Change]]:
    """Tell a thing that came or went: the members of a map each for itself, lists and scalars as they are."""
    if isinstance(value, dict) and value and len(path) < 3:
        for key, member in value.items():
            yield from _whole(member, (*path, str(key)), added=added)
    elif added:
        yield path, Change(written(path), new=value, added=True)
    else:
        yield path, Change(written(path), old=value, removed=True)


def _pairs(old: Any, new: Any) -> tuple[Mapping[str, Any], Mapping[str, Any]] | None:
    """Give both as maps, if both are objects, or lists of named things."""
    if isinstance(old, dict) and isinstance(new, dict):
        return old, new
    if isinstance(old, list) and isinstance(new, list) and (key := _key(old + new, old, new)):
        return _by(old, key), _by(new, key)
    return None


def _key(both: list[Any], *lists: list[Any]) -> str:
    if not both or not all(isinstance(item, dict) for item in both):
        return ""
    for key in _KEYS:
        if all(isinstance(item.get(key), str | int) for item in both) and all(
            len({item[key] for item in items}) == len(items) for items in lists
        ):
            return key
    return ""


def _by(items: list[Any], key: str) -> dict[str, Any]:
    return {f"[{item[key]}]": item for item in items}


def _operation(item: dict[str, Any]) -> Change:
    steps = [step.replace("~1", "/").replace("~0", "~") for step in str(item.get("path", "")).split("/")[1:]]
    path = written(tuple(f"[{step}]" if step.isdigit() or step == "-" else step for step in steps))
    what = str(item.get("op", "?"))
    if what == "remove":
        return Change(path, removed=True, unknown=True)
    if what in {"move", "copy"}:
        return Change(path, new=f"{what} from {item.get('from')}", unknown=True)
    return Change(f"{path} (test)" if what == "test" else path, new=item.get("value"), unknown=True)


def _set(patch: Any, known: Any, path: Path) -> Iterator[tuple[Path, Change]]:
    if isinstance(patch, dict) and patch and len(path) < _DEEPEST:
        for key, value in patch.items():
            if not key.startswith(_STRATEGIC) and (path or key not in {"kind", "apiVersion"}):
                yield from _set(value, known.get(key) if isinstance(known, dict) else None, (*path, key))
        return
    if isinstance(patch, list) and (key := _key(patch, patch)):
        older = _by(known, key) if isinstance(known, list) and _key(known, known) == key else {}
        for step, item in _by(patch, key).items():
            yield from _set({name: item[name] for name in item if name != key}, older.get(step), (*path, step))
        return
    if patch is None:
        yield path, Change(written(path), old=known, removed=True, unknown=known is None)
    elif known != patch:
        yield path, Change(written(path), old=known, new=patch, unknown=known is None)


def written(path: Path) -> str:
    """Write a path: steps parted by dots, items of lists in brackets, steps that hold dots in brackets and quotes."""
    text = ""
    for step in path:
        if step.startswith("[") and step.endswith("]"):
            text += step
        elif "." in step or "/" in step:
            text += f'["{step}"]'
        else:
            text += f".{step}" if text else step
    return text or "(the whole)"
