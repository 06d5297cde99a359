"""YAML → tree, as go-yaml v2's decoder makes it: aliases followed, merges done, scalars resolved, keys sorted.

Where we differ from kube-apiserver on purpose:

| What                                      | kube-apiserver                         | here                           |
|-------------------------------------------|----------------------------------------|--------------------------------|
| more than 100,000 nodes, aliases expanded | refused from about 400,000, by the     | refused, and by the share of   |
|                                           | share that aliases have in them        | aliases as there               |
| nesting of more than 128 levels           | refused from 10,000                    | refused                        |
| ``<<`` after a key that it brings         | the merge wins, with a warning         | the same; an error when strict |
"""

from __future__ import annotations

import base64
import binascii
import math
from typing import TYPE_CHECKING, Any, Final

from decklog.audit.documents.tree import (
    MAX_DEPTH,
    MAX_NODES,
    Clash,
    Document,
    Duplicate,
    Entry,
    Mapping,
    Node,
    Position,
    Scalar,
    Sequence,
    Unreadable,
    too_deep,
    too_much,
)
from decklog.audit.documents.yaml_events import LOADER, Events, Raw
from decklog.audit.documents.yaml_scalars import TAG_PREFIX, WrongTag, resolve
from decklog.audit.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

_MERGE: Final = f"{TAG_PREFIX}merge"


def read_yaml(data: bytes, loader: Any = LOADER) -> Document:
    """Read the first document of `data`; an empty one is null. Raises Unreadable."""
    events = Events(data, loader)
    root = events.first_document()
    if root is None:
        return Document(Scalar(Position(1, 1), None, ""))
    expansion = _Expansion()
    return Document(expansion.node(root, 0), expansion.set_already, events.second_document())


class _Expansion:
    """One walk over the raw nodes, as go-yaml's decoder takes it. It counts, so that no alias can make it long."""

    def __init__(self) -> None:
        self.set_already: list[str] = []
        self._seen = 1  # go-yaml counts the document, too
        self._by_alias = 0
        self._following: list[Raw] = []

    def node(self, raw: Raw, depth: int) -> Node:
        self._count(raw, depth)
        if raw.kind == "alias":
            target = self._follow(raw)
            node = self.node(target, depth + 1)  # a chain of aliases is as deep as what it stands for
            self._following.pop()
            return node
        if raw.kind == "scalar":
            return _scalar(raw)
        if raw.kind == "sequence":
            return Sequence(raw.at, [self.node(child, depth + 1) for child in raw.children])
        filling = _Filling()
        self._fill(filling, raw, depth, merged=False)
        return Mapping(raw.at, filling.sorted(), filling.duplicates)

    def _count(self, raw: Raw, depth: int) -> None:
        self._seen += 1
        if self._following:
            self._by_alias += 1
        # go-yaml's own test. Its 0.99 falls from 400,000 nodes on, but there ours has long ended the matter.
        if self._by_alias > 100 and self._seen > 1000 and self._by_alias > 0.99 * self._seen:
            text = "nearly all of this document is made by aliases: write it out"
            raise Unreadable(raw.at, text, "yaml: document contains excessive aliasing")
        if self._seen > MAX_NODES:
            raise too_much(raw.at)
        if depth > MAX_DEPTH:
            raise too_deep(raw.at)

    def _follow(self, alias: Raw) -> Raw:
        if any(alias is followed for followed in self._following):
            text = f"the anchor &{alias.text} contains itself"
            raise Unreadable(alias.at, text, f"yaml: anchor '{alias.text}' value contains itself")
        self._following.append(alias)
        return _target(alias)

    def _fill(self, filling: _Filling, raw: Raw, depth: int, *, merged: bool) -> None:
        """Set a mapping's keys in the order written; a merge sets its own at its place."""
        for key, value in zip(raw.children[::2], raw.children[1::2], strict=True):
            if key.kind == "scalar" and key.text == "<<" and (key.plain or key.tag == _MERGE):
                self._merge(filling, value, depth)
                continue
            name = self.node(key, depth + 1)
            entry = _entry(name, self.node(value, depth + 1), merged=merged)
            if filling.put(entry):
                key_shown = quote(entry.key) if entry.scalar is None else entry.key
                self.set_already.append(f"line {value.at.line}: key {key_shown} already set in map")

    def _merge(self, filling: _Filling, raw: Raw, depth: int) -> None:
        for mapping in _mappings(raw):
            self._count(mapping, depth)
            if mapping.kind == "alias":
                target = self._follow(mapping)
                self._count(target, depth)
                self._fill(filling, target, depth + 1, merged=True)
                self._following.pop()
            else:
                self._fill(filling, mapping, depth + 1, merged=True)


class _Filling:
    """One mapping while its keys are set."""

    def __init__(self) -> None:
        self._found: dict[tuple[type, object, str], Entry] = {}
        self.duplicates: list[Duplicate] = []

    def put(self, entry: Entry) -> bool:
        """Set a key, the last one wins; whether it had been set before."""
        identity = (type(entry.scalar), entry.scalar, entry.key)
        before = self._found.get(identity)
        self._found[identity] = entry
        if before is not None:
            self.duplicates.append(Duplicate(entry, before.at, _clash(before, entry)))
        return before is not None

    def sorted(self) -> list[Entry]:
        """Give the entries by key, byte by byte, as Go's JSON encoder writes a map."""
        return sorted(self._found.values(), key=lambda entry: entry.key.encode())


def _clash(before: Entry, entry: Entry) -> Clash:
    if before.merged:
        return Clash.OVERRIDE
    return Clash.OVERRIDDEN if entry.merged else Clash.TWICE


def _mappings(raw: Raw) -> Iterator[Raw]:
    """Give what a merge key merges: one mapping, or the mappings of a list, the first last, because it wins."""
    listed = raw.children[::-1] if raw.kind == "sequence" else [raw]
    if any((_target(item) if item.kind == "alias" else item).kind != "mapping" for item in listed):
        problem = "map merge requires map or sequence of maps as the value"
        raise Unreadable(raw.at, "<< takes a mapping, or a list of mappings", f"yaml: {problem}")
    yield from listed


def _target(alias: Raw) -> Raw:
    if alias.target is None:  # `yaml_events` makes no such alias
        raise Unreadable(alias.at, f"the alias *{alias.text} has no anchor")
    return alias.target


def _scalar(raw: Raw) -> Scalar:
    try:
        value = resolve(raw.tag, plain=raw.plain, text=raw.text)
        if raw.tag == f"{TAG_PREFIX}binary":
            value = base64.b64decode(raw.text, validate=True).decode(errors="replace")
    except WrongTag as wrong:
        raise Unreadable(raw.at, "not what its tag says: remove the tag", f"yaml: {wrong}") from None
    except binascii.Error:
        problem = "!!binary value contains invalid base64 data"
        raise Unreadable(raw.at, problem, f"yaml: {problem}") from None
    if isinstance(value, float) and not math.isfinite(value):
        number = "NaN" if math.isnan(value) else f"{'+' if value > 0 else '-'}Inf"
        text = f"{raw.text} is read as the number {number}, which JSON has not: quote it"
        raise Unreadable(raw.at, text, f"json: unsupported value: {number}")
    return Scalar(raw.at, value, raw.text)


def _entry(name: Node, value: Node, *, merged: bool) -> Entry:
    if not isinstance(name, Scalar):
        raise Unreadable(name.at, "a list or mapping as a key: keys are texts", "yaml: invalid map key")
    match name.value:
        case None:
            raise Unreadable(name.at, "null as a key: keys are texts", "unsupported map key of type")
        case str(key):
            return Entry(key, name.at, value, merged=merged)
        case bool(flag):
            return Entry(str(flag).lower(), name.at, value, scalar=flag, merged=merged)
        case number:
            return Entry(repr(number).removesuffix(".0"), name.at, value, scalar=number, merged=merged)
