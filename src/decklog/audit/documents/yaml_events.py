"""YAML → raw nodes: the first document as written, aliases not followed, scalars not resolved, every place kept.

PyYAML's events come from libyaml where that is built in. go-yaml, which kube-apiserver reads policies with, is a port
of libyaml: the two stumble with the same words at the same place, which is how `Unreadable.reference` comes by them.
Nothing is ever constructed from a tag.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import yaml

from decklog.audit.documents.tree import MAX_DEPTH, MAX_NODES, Position, Unreadable, too_deep, too_much

if TYPE_CHECKING:
    from collections.abc import Iterator

LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""PyYAML's parser: libyaml's, or the slower one in Python where PyYAML was built without it."""


@dataclass(slots=True)
class Raw:
    """A node as written. `children` of a mapping are key, value, key, value."""

    kind: str
    """scalar, sequence, mapping or alias."""
    at: Position
    text: str = ""
    """Of a scalar, without quotes; of an alias, the anchor's name."""
    tag: str | None = None
    plain: bool = False
    children: list[Raw] = field(default_factory=list)
    target: Raw | None = None
    """What an alias stands for."""
    start: int = 0
    """Where it begins, its anchor and tag included; in characters of the text without its byte order mark."""
    end: int = 0
    """Behind it; a block collection, and a block scalar, end where the next thing begins."""
    style: str = ""
    """``flow`` or ``block`` of a collection; of a scalar, how it is quoted: ``'``, ``"``, ``|``, ``>``, or nothing."""
    anchor: str = ""


class Events:
    """The events of one file; read from front to back, `first_document` and then `second_document`."""

    def __init__(self, data: bytes, loader: Any = LOADER) -> None:
        self._events = _events(data, loader)

    def first_document(self) -> Raw | None:
        """Compose the first document; None: there is none. Raises Unreadable."""
        return _compose(self._events)

    def second_document(self) -> Position | None:
        """Find a later document that says something; whether it is well-formed is nobody's concern."""
        try:
            for event in self._events:
                if isinstance(event, yaml.NodeEvent) and not _says_nothing(event):
                    return _position(event.start_mark)
        except Unreadable as garbage:
            return garbage.at
        return None


def _says_nothing(event: Any) -> bool:
    return isinstance(event, yaml.ScalarEvent) and not event.value and bool(event.implicit[0])


def _events(data: bytes, loader: Any) -> Iterator[Any]:
    try:
        yield from yaml.parse(data, Loader=loader)
    except yaml.reader.ReaderError as error:
        raise _unreadable_bytes(data, str(error.reason)) from None
    except yaml.MarkedYAMLError as error:
        raise _unreadable_syntax(error) from None


def _compose(events: Iterator[Any]) -> Raw | None:
    anchors: dict[str, Raw] = {}
    open_nodes: list[Raw] = []
    count = 0
    for event in events:
        match event:
            case yaml.DocumentStartEvent(version=version) if version and tuple(version) != (1, 1):
                raise _other_version(event)
            case yaml.StreamEndEvent():
                return None
            case yaml.CollectionEndEvent(end_mark=mark):
                node = open_nodes.pop()
                node.end = mark.index if mark else node.start
            case yaml.NodeEvent():
                node = _raw(event, anchors)
                count += 1
                if count > MAX_NODES:
                    raise too_much(node.at)
                if len(open_nodes) >= MAX_DEPTH:
                    raise too_deep(node.at)
                if open_nodes:
                    open_nodes[-1].children.append(node)
                if isinstance(event, yaml.CollectionStartEvent):
                    open_nodes.append(node)
                    continue
            case _:
                continue
        if not open_nodes:
            next(events)  # the document's end: what stands in its way is still an error of this document
            return node
    return None


def _raw(event: Any, anchors: dict[str, Raw]) -> Raw:
    at = _position(event.start_mark)
    if isinstance(event, yaml.AliasEvent):
        if event.anchor not in anchors:
            text = f"the alias *{event.anchor} has no anchor: a text that begins with * has to be quoted"
            raise Unreadable(at, text, f"yaml: unknown anchor '{event.anchor}' referenced")
        node = Raw("alias", at, text=event.anchor, target=anchors[event.anchor])
    elif isinstance(event, yaml.ScalarEvent):
        node = Raw("scalar", at, event.value, event.tag, event.implicit[0], style=event.style or "")
    else:
        kind = "mapping" if isinstance(event, yaml.MappingStartEvent) else "sequence"
        node = Raw(kind, at, style="flow" if event.flow_style else "block")
    node.start, node.end = event.start_mark.index, event.end_mark.index
    if event.anchor is not None and node.kind != "alias":
        anchors[event.anchor] = node
        node.anchor = event.anchor
    return node


def _position(mark: Any) -> Position:
    return Position(mark.line + 1, mark.column + 1)


def _other_version(event: Any) -> Unreadable:
    at = _position(event.start_mark)
    line = f"line {at.line - 1}: " if at.line > 1 else ""
    text = "a %YAML directive other than 1.1, which kube-apiserver refuses: remove it"
    return Unreadable(at, text, f"yaml: {line}found incompatible YAML document")


def _unreadable_bytes(data: bytes, reason: str) -> Unreadable:
    before = data[: _first_bad_byte(data)]
    start_of_line = before.rfind(b"\n") + 1
    at = Position(before.count(b"\n") + 1, len(before[start_of_line:].decode(errors="replace")) + 1)
    if "special characters" in reason:  # as PyYAML's own reader says it
        reason = "control characters are not allowed"
    return Unreadable(at, f"not a text file: {reason}; YAML and JSON are, in UTF-8", f"yaml: {reason}")


def _first_bad_byte(data: bytes) -> int:
    """Find the first byte that YAML's reader cannot take; the reader's own count is not of the file's bytes."""
    try:
        text, end = data.decode(), 0
    except UnicodeDecodeError as error:
        text, end = data[: error.start].decode(), error.start
    bad = yaml.reader.Reader.NON_PRINTABLE.search(text)
    return len(text[: bad.start()].encode()) if bad else end


def _unreadable_syntax(error: yaml.MarkedYAMLError) -> Unreadable:
    problem = str(error.problem)
    mark = error.problem_mark or error.context_mark
    context = f" {error.context}" if error.context else ""
    text = f"not YAML: {problem}{context}{_advice(problem)}"
    return Unreadable(None if mark is None else _position(mark), text, f"yaml: {_go_line(error)}{problem}")


def _go_line(error: yaml.MarkedYAMLError) -> str:
    """Name the line as go-yaml does: counted from 0 by its parser, from 1 by its scanner, left out when 0."""
    line = 0
    if error.problem_mark is not None and error.problem_mark.line:
        line = error.problem_mark.line + isinstance(error, yaml.scanner.ScannerError)
    elif error.context_mark is not None:
        line = error.context_mark.line
    return f"line {line}: " if line else ""


def _advice(problem: str) -> str:
    if "cannot start any token" in problem or "tab character" in problem:
        return ": is it indented with a tab? YAML wants spaces"
    if "alphabetic or numeric" in problem:
        return ": a text that begins with * or & has to be quoted"
    return ""
