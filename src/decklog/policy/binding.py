"""Binding: a tree and a schema → a policy object's fields, every place, and everything that does not fit.

It goes the way of kube-apiserver's JSON decoder, field by field: null leaves a string as it was, a wrong type leaves
what is there and goes on, and of keys that come twice in JSON the second decodes *into* what the first left (two
``rules`` lists are merged item by item). So the result is the one that kube-apiserver would use, and the issues stand
in the order in which it meets them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from decklog.audit.documents.tree import Clash, Entry, Mapping, Node, Scalar, Sequence, kind_of
from decklog.audit.quoting import quote
from decklog.policy.go_time import NotATime, parse_time
from decklog.policy.schema import Anything, Flag, Kind, ListOf, Record, Text, TextMap, Time, Whole

if TYPE_CHECKING:
    from decklog.audit.documents.tree import Position


class Problem(Enum):
    """What can be wrong with a field, other than its value."""

    UNKNOWN = "unknown"
    DUPLICATE = "duplicate"
    TYPE = "type"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing that does not fit the schema."""

    problem: Problem
    path: str
    at: Position
    reference: str
    """Go's words for it; empty for a duplicate in YAML, which is go-yaml's to tell."""
    node: Node
    """The value."""
    key: str = ""
    """Of an unknown or duplicate field."""
    wanted: Kind | None = None
    """Of a wrong type: what the schema has. Of an unknown field: the record that has it not."""
    first: Position | None = None
    """Of a duplicate: where the other stands."""
    clash: Clash = Clash.TWICE


@dataclass(slots=True)
class Bound:
    """What came of it."""

    fields: dict[str, Any] = field(default_factory=dict)
    """In Kubernetes' spelling, each of its right type or absent."""
    issues: list[Issue] = field(default_factory=list)
    positions: dict[str, Position] = field(default_factory=dict)


class _Where(NamedTuple):
    """A place in the object, as we name it and as Go does."""

    path: str
    struct: str
    field: str

    def item(self, index: int) -> _Where:
        return self._replace(path=f"{self.path}[{index}]")

    def key(self, struct: str, key: str) -> _Where:
        return _Where(_join(self.path, key), struct, _join(self.field, key))

    def map_key(self, key: str) -> _Where:
        return self._replace(path=_join(self.path, key))


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def bind(root: Node, schema: Record) -> Bound:
    """Bind a document to the schema of a policy."""
    bound = Bound()
    binder = _Binder(bound)
    bound.fields = binder.bind(schema, root, {}, _Where("", "", ""))
    return bound


class _Binder:
    def __init__(self, bound: Bound) -> None:
        self._issues = bound.issues
        self._positions = bound.positions

    def bind(self, kind: Kind, node: Node, old: Any, where: _Where) -> Any:
        """Give the value of `node`, or what is left of `old` where it has none."""
        match kind, node:
            case Anything(), _:
                return plain(node)
            case Time(), _:
                return self._time(node, old, where)
            case Record(), Mapping():
                return self._record(kind, node, old, where)
            case ListOf(), Sequence():
                return self._list(kind, node, old or [], where)
            case TextMap(), Mapping():
                return self._map(node, old or {}, where)
            case _, Scalar(value=None):
                return None if isinstance(kind, ListOf | TextMap) or getattr(kind, "unset", False) else old
            case Text(), Scalar(value=str()):
                return node.value
            case Flag(), Scalar(value=bool()):
                return node.value
            case Whole(), Scalar(value=int() | float()) if not isinstance(node.value, bool):
                return self._whole(kind, node, old, where)
            case _:
                self._wrong_type(kind, node, where, kind_of(node))
                return old

    def _record(self, kind: Record, node: Mapping, old: dict[str, Any] | None, where: _Where) -> dict[str, Any]:
        value = dict(old or {})
        seen: dict[str, Position] = {}
        self._tell_duplicates(node, where)
        for entry in node.entries:
            within = where.key(kind.name, entry.key)
            wanted = kind.fields.get(entry.key)
            if wanted is None:
                self._unknown(kind, entry, within)
                continue
            self._once(seen, entry, within)
            self._place(entry, within)
            value[entry.key] = self.bind(wanted, entry.value, value.get(entry.key), within)
        return value

    def _list(self, kind: ListOf, node: Sequence, old: list[Any], where: _Where) -> list[Any]:
        value: list[Any] = []
        for index, item in enumerate(node.items):
            within = where.item(index)
            self._positions[within.path] = item.at
            before = old[index] if index < len(old) else _empty(kind.item)
            value.append(self.bind(kind.item, item, before, within))
        return value

    def _map(self, node: Mapping, old: dict[str, str], where: _Where) -> dict[str, str]:
        value = dict(old)
        seen: dict[str, Position] = {}
        self._tell_duplicates(node, where)
        for entry in node.entries:
            within = where.map_key(entry.key)
            self._once(seen, entry, within)
            self._place(entry, within)
            value[entry.key] = self.bind(Text(), entry.value, "", within)
        return value

    def _time(self, node: Node, old: Any, where: _Where) -> Any:
        match node:
            case Scalar(value=None):
                return None
            case Scalar(value=str(text)):
                try:
                    return parse_time(text)
                except NotATime as wrong:
                    self._tell(Problem.TIME, where.path, node.at, str(wrong), node)
                    return old
            case _:
                # Told by a decoder of its own, which ends the other one: not `Problem.TYPE`.
                text = _cannot_unmarshal(kind_of(node), where, "string")
                self._tell(Problem.TIME, where.path, node.at, text, node)
                return old

    def _whole(self, kind: Whole, node: Scalar, old: Any, where: _Where) -> Any:
        if isinstance(node.value, int) and -(1 << 63) <= node.value < 1 << 63:
            return node.value
        self._wrong_type(kind, node, where, f"number {node.text}")
        return old

    def _place(self, entry: Entry, where: _Where) -> None:
        # A scalar is its own place; a list or mapping may begin lines below the key that people look for.
        self._positions[where.path] = entry.value.at if isinstance(entry.value, Scalar) else entry.at

    def _unknown(self, kind: Record, entry: Entry, where: _Where) -> None:
        reference = f"unknown field {quote(where.path)}"
        self._tell(Problem.UNKNOWN, where.path, entry.at, reference, entry.value, entry.key, kind)

    def _once(self, seen: dict[str, Position], entry: Entry, where: _Where) -> None:
        if entry.key in seen:
            reference = f"duplicate field {quote(where.path)}"
            first = seen[entry.key]
            self._tell(Problem.DUPLICATE, where.path, entry.at, reference, entry.value, entry.key, first=first)
        seen.setdefault(entry.key, entry.at)

    def _tell_duplicates(self, node: Mapping, where: _Where) -> None:
        for twice in node.duplicates:
            path, entry = _join(where.path, twice.entry.key), twice.entry
            # Told where it can be mended, which is never among the keys that a merge brings.
            at, first = (twice.first, entry.at) if twice.clash is Clash.OVERRIDDEN else (entry.at, twice.first)
            self._tell(Problem.DUPLICATE, path, at, "", entry.value, entry.key, first=first, clash=twice.clash)

    def _wrong_type(self, kind: Kind, node: Node, where: _Where, found: str) -> None:
        text = _cannot_unmarshal(found, where, kind.go)
        self._tell(Problem.TYPE, where.path, node.at, text, node, wanted=kind)

    def _tell(self, *about: Any, **more: Any) -> None:
        self._issues.append(Issue(*about, **more))


def _cannot_unmarshal(found: str, where: _Where, go: str) -> str:
    return f"json: cannot unmarshal {found} into Go struct field {where.struct}.{where.field} of type {go}"


def _empty(kind: Kind) -> Any:
    match kind:
        case Record():
            return {}
        case Text():
            return ""
        case _:
            return None


def plain(node: Node) -> Any:
    """Give a node as Python's own values, as `json` would."""
    match node:
        case Mapping():
            return {entry.key: plain(entry.value) for entry in node.entries}
        case Sequence():
            return [plain(item) for item in node.items]
        case _:
            return node.value
