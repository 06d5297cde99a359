"""Merging: what has to stand in a YAML file is put into it, in place; every other byte stays as it is.

Refused, with the line: tabs and other broken YAML, keys that stand twice, what is in flow style, anchored or merged
where something would have to change. The result is read again and compared with what was meant before it is given.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from decklog.audit.documents.tree import MAX_NODES
from decklog.enable.conflict import Conflict
from decklog.enable.distributions.shapes import (
    Named,
    Patches,
    Whole,
    Words,
    below,
    holds,
    item_lines,
    lines_of,
    meant,
    read,
    read_all,
    scalar_text,
)
from decklog.enable.yaml_text import decoded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True)
class _Splice:
    start: int
    end: int
    text: str


def merge(data: bytes, wanted: Mapping[str, Any], *, source: str, chosen: Callable[[Any], bool] | None = None) -> bytes:
    """Give the file with `wanted` in it; the same bytes if all is there already.

    `chosen`: picks the document by its data; without it there has to be just one. Raises Conflict.
    """
    text, bom = decoded(data, source)
    merger = _Merger(text, source)
    index, node = merger.document(chosen)
    before = merger.all_data()
    after = copy.deepcopy(before)
    if node is None:
        after = after or [None]
        after[index] = meant(None, wanted)
        new = merger.appended(wanted)
    else:
        after[index] = meant(before[index], wanted)
        merger.mapping(node, wanted)
        new = merger.result()
    if _load_all(new, source) != after:
        raise Conflict(source, 0, "this file is laid out in a way that cannot be edited safely", "edit it by hand")
    return (bom + new).encode()


def documents_in(data: bytes, source: str) -> list[Any]:
    """Read a file's documents; every scalar is a text. Raises Conflict."""
    return _load_all(decoded(data, source)[0], source)


def render(wanted: Mapping[str, Any]) -> str:
    """Write what is wanted as a file of its own."""
    return "".join(f"{line}\n" for line in lines_of(wanted, 0, 2))


def _load_all(text: str, source: str) -> list[Any]:
    try:
        return read_all(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise _broken(error, source) from None


def _broken(error: Exception, source: str) -> Conflict:
    mark = getattr(error, "problem_mark", None)
    problem = str(getattr(error, "problem", None) or "cannot be read")
    hint = " (YAML does not allow tabs for indentation)" if "'\\t'" in problem else ""
    return Conflict(source, mark.line + 1 if mark is not None else 0, f"not YAML: {problem}{hint}", "correct the line")


class _Merger:
    def __init__(self, text: str, source: str) -> None:
        self._text = text
        self._source = source
        self._newline = "\r\n" if "\r\n" in text else "\n"
        self._splices: list[_Splice] = []
        self._insertions: dict[int, str] = {}
        try:
            self._roots = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            raise _broken(error, source) from None
        self._seen: dict[int, int] = {}
        for root in self._roots:
            if _size(root, {}) > MAX_NODES:
                raise Conflict(source, 0, f"more than {MAX_NODES:,} nodes, aliases expanded", "check the path")
            self._count(root, 0)
        self._step = self._indentation()
        self._hang = self._sequences_hang()

    def all_data(self) -> list[Any]:
        return _load_all(self._text, self._source)

    def document(self, chosen: Callable[[Any], bool] | None) -> tuple[int, yaml.MappingNode | None]:
        """Find the document to edit; None: the file is empty."""
        found = [
            (index, root)
            for index, root in enumerate(self._roots)
            if chosen is None or chosen(_load_all(self._text, self._source)[index])
        ]
        if not found and chosen is None:
            return 0, None
        if not found:
            raise Conflict(self._source, 0, "the document to edit is not in it", "check the path")
        if len(found) > 1:
            line = found[1][1].start_mark.line + 1
            raise Conflict(self._source, line, "a second document of the same kind", "leave one of them")
        index, root = found[0]
        if isinstance(root, yaml.ScalarNode) and not root.value:
            return index, None
        if not isinstance(root, yaml.MappingNode):
            raise self._refused(root, "the document is no mapping", "check the path")
        if not root.value:
            raise self._refused(root, "the document is an empty mapping ({})", "take the braces out")
        return index, root

    def appended(self, wanted: Mapping[str, Any]) -> str:
        start = self._text if not self._text or self._text.endswith("\n") else self._text + self._newline
        return start + self._joined(lines_of(wanted, 0, self._step))

    def result(self) -> str:
        text = self._text
        inserted = [_Splice(place, place, lines) for place, lines in self._insertions.items()]
        for splice in sorted([*self._splices, *inserted], key=lambda each: each.start, reverse=True):
            text = text[: splice.start] + splice.text + text[splice.end :]
        return text

    # One kind of node each.

    def mapping(self, node: yaml.MappingNode, wanted: Mapping[str, Any]) -> None:
        entries = self._entries(node)
        missing = {key: value for key, value in wanted.items() if key not in entries}
        for key, value in wanted.items():
            if key in entries:
                self._value(*entries[key], value)
        if missing:
            self._may_change(node)
            if "<<" in entries:
                raise self._refused(node, "it is merged (<<) with another mapping", "write its keys out")
            self._insert(node, lines_of(missing, node.value[0][0].start_mark.column, self._step))

    def _value(self, key: yaml.Node, node: yaml.Node, wanted: Any) -> None:
        if isinstance(wanted, Whole):
            if _data(node) != read(wanted.text):
                self._replace_below(key, node, wanted)
        elif isinstance(wanted, str):
            if not isinstance(node, yaml.ScalarNode):
                raise self._refused(node, "a text was expected", f"write {wanted}")
            if node.value != wanted:
                self._scalar(node, wanted)
        elif self._is_empty(node):
            self._replace_below(key, node, wanted)
        elif isinstance(wanted, Named):
            self._named(self._sequence(node), wanted)
        elif isinstance(wanted, Words):
            self._words(self._sequence(node), wanted)
        elif isinstance(wanted, Patches):
            self._patches(self._sequence(node), wanted)
        elif isinstance(node, yaml.MappingNode):
            self.mapping(node, wanted)
        else:
            raise self._refused(node, "a mapping was expected", "write one key a line below it")

    def _named(self, node: yaml.SequenceNode, wanted: Named) -> None:
        known: dict[str, yaml.MappingNode] = {}
        for item in node.value:
            if isinstance(item, yaml.MappingNode):
                entry = self._entries(item).get(wanted.by)
                if entry is not None and isinstance(entry[1], yaml.ScalarNode):
                    known[entry[1].value] = item
        for fields in wanted.items:
            if (item := known.get(fields[wanted.by])) is not None:
                self.mapping(item, fields)
            else:
                self._add_item(node, fields)

    def _words(self, node: yaml.SequenceNode, wanted: Words) -> None:
        known: dict[str, list[yaml.ScalarNode]] = {}
        for item in node.value:
            if isinstance(item, yaml.ScalarNode):
                known.setdefault(item.value.lstrip("-").partition("=")[0], []).append(item)
        for name, value in wanted.items:
            there = known.get(name, [])
            if len(there) > 1:
                raise self._refused(there[1], f"{name} is given a second time", "leave one of them")
            if not there:
                self._add_item(node, f"{name}={value}")
            elif there[0].value.partition("=")[2] != value:
                dashes = there[0].value[: len(there[0].value) - len(there[0].value.lstrip("-"))]
                self._scalar(there[0], f"{dashes}{name}={value}")

    def _patches(self, node: yaml.SequenceNode, wanted: Patches) -> None:
        there = [
            (item, _load_all(item.value, f"{self._source}:{item.start_mark.line + 1}"))
            for item in node.value
            if isinstance(item, yaml.ScalarNode)
        ]
        for text in wanted.texts:
            meant = read(text)
            if any(holds(document, meant) for _, documents in there for document in documents):
                continue
            for item, documents in there:
                for document in documents:
                    if problem := wanted.clash(document):
                        raise self._refused(item, *problem)
            self._add_item(node, Whole(text))

    # Edits.

    def _add_item(self, node: yaml.SequenceNode, item: Any) -> None:
        self._may_change(node)
        self._insert(node, item_lines(item, node.start_mark.column, self._step))

    def _insert(self, node: yaml.CollectionNode, lines: list[str]) -> None:
        """Put lines behind the last line of a block."""
        place = self._line_end(_true_end(node))
        self._insertions[place] = self._insertions.get(place, self._at(place)) + self._joined(lines)

    def _at(self, place: int) -> str:
        return "" if place == 0 or self._text[place - 1] == "\n" else self._newline

    def _replace_below(self, key: yaml.Node, node: yaml.Node, wanted: Any) -> None:
        """Put a value in block style where an empty or another one stands, from the key's colon on."""
        self._may_change(node)
        colon = self._text.index(":", key.end_mark.index)
        end = max(_true_end(node), colon + 1)
        is_block = isinstance(node, yaml.CollectionNode) and not node.flow_style and bool(node.value)
        after = self._line_end(end)
        rest = "" if is_block else self._text[end:after].strip()
        if rest and not rest.startswith("#"):
            raise self._refused(node, "something stands behind it on its line", "put it on a line of its own")
        lines = below(wanted, key.start_mark.column, self._step, hang=self._hang)
        comment = f" {rest}" if rest else ""
        self._splices.append(_Splice(colon + 1, after, comment + self._newline + self._joined(lines)))

    def _scalar(self, node: yaml.ScalarNode, value: str) -> None:
        self._may_change(node)
        if node.style in {"|", ">"}:
            raise self._refused(node, "it is a block of text", "write it in one line")
        self._splices.append(_Splice(node.start_mark.index, node.end_mark.index, scalar_text(value, node.style)))

    # Asking.

    def _sequence(self, node: yaml.Node) -> yaml.SequenceNode:
        if not isinstance(node, yaml.SequenceNode):
            raise self._refused(node, "a list was expected", "write one item a line, each behind a dash")
        return node

    def _entries(self, node: yaml.MappingNode) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        found: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else ""
            if name in found:
                raise self._refused(key, f"the key {name!r} stands a second time", "leave one of them")
            found[name] = (key, value)
        return found

    def _is_empty(self, node: yaml.Node) -> bool:
        if isinstance(node, yaml.ScalarNode):
            return node.value in {"", "null", "~"} and node.style is None
        return not node.value

    def _may_change(self, node: yaml.Node) -> None:
        if self._seen.get(id(node), 0) > 1:
            raise self._refused(node, "it is anchored (&) and used elsewhere, too", "write it out where it is used")
        if isinstance(node, yaml.CollectionNode) and node.flow_style and node.value:
            raise self._refused(node, "it is in flow style ({…} or […])", "write one entry a line")

    def _count(self, node: yaml.Node, depth: int) -> None:
        self._seen[id(node)] = self._seen.get(id(node), 0) + 1
        if self._seen[id(node)] > 1 or depth > 100:
            return
        for child in node.value if isinstance(node, yaml.CollectionNode) else ():
            for each in child if isinstance(child, tuple) else (child,):
                self._count(each, depth + 1)

    def _indentation(self) -> int:
        for root in self._roots:
            for key, value in root.value if isinstance(root, yaml.MappingNode) and not root.flow_style else ():
                if isinstance(value, yaml.MappingNode) and not value.flow_style and value.value:
                    step: int = value.value[0][0].start_mark.column - key.start_mark.column
                    return max(step, 1)
        return 2

    def _sequences_hang(self) -> bool:
        """Whether dashes stand under the first letter of their key, as kubeadm writes them."""
        waiting = list(self._roots)
        while waiting:
            node = waiting.pop(0)
            if isinstance(node, yaml.MappingNode) and not node.flow_style:
                for key, value in node.value:
                    if isinstance(value, yaml.SequenceNode) and not value.flow_style and value.value:
                        return bool(value.start_mark.column == key.start_mark.column)
                    waiting.append(value)
        return False

    def _line_end(self, index: int) -> int:
        """Give where the next line begins."""
        if index and self._text[index - 1] == "\n":
            return index
        end = self._text.find("\n", index)
        return len(self._text) if end < 0 else end + 1

    def _joined(self, lines: list[str]) -> str:
        return "".join(line + self._newline for line in lines)

    def _refused(self, node: yaml.Node, why: str, do: str) -> Conflict:
        return Conflict(self._source, node.start_mark.line + 1, f"cannot be edited safely: {why}", do)


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """Count nodes as they are when aliases are written out; what contains itself has more than any file may have."""
    if id(node) not in known:
        known[id(node)] = MAX_NODES + 1
        inside = node.value if isinstance(node, yaml.CollectionNode) else []
        children = [each for child in inside for each in (child if isinstance(child, tuple) else (child,))]
        known[id(node)] = 1 + sum(_size(child, known) for child in children)
    return known[id(node)]


def _true_end(node: yaml.Node) -> int:
    """Give where a node's last letter ends; PyYAML ends a block where the next token begins."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        if isinstance(last, tuple):
            return max(_true_end(last[1]), _end(last[0]))
        return _true_end(last)
    return _end(node)


def _end(node: yaml.Node) -> int:
    index: int = node.end_mark.index
    return index


def _data(node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return node.value
    if isinstance(node, yaml.SequenceNode):
        return [_data(child) for child in node.value]
    return {_data(key): _data(value) for key, value in node.value}
