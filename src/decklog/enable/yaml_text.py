"""A YAML file as text with its nodes' places: found by path, each with what stands in the way of changing it.

Reads the first document, as kubelet does, with the limits of `decklog.audit.documents`; JSON is YAML here. Offsets are
characters of `YamlText.text`, which is the file without its byte order mark. `yaml_edits` changes such a text.

| Differs from kubelet's reader | How | Why |
|---|---|---|
| a key that stands twice, where it is asked for | refused, with both lines | there the last one wins, in silence |
| a line of nothing but dots | refused, with its line | tutorials leave lines out so; in YAML a document ends |
| a tab between a key or a dash and its value | refused, with its line | readers of YAML differ about it |
"""

from __future__ import annotations

import codecs
import re
from bisect import bisect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from decklog.audit.documents import load
from decklog.audit.documents.tree import MAX_BYTES, Position, Unreadable
from decklog.audit.documents.yaml_events import Events, Raw
from decklog.audit.documents.yaml_tree import read_yaml
from decklog.enable.conflict import Conflict

if TYPE_CHECKING:
    from collections.abc import Iterator

BOM: Final = "\ufeff"
_DOTS: Final = re.compile(r"^[ \t]*(?:- +)?(\.{3,}|…)[ \t]*\r?$", re.MULTILINE)
_TAB: Final = re.compile(r"(?:(?<=[:?-])|(?<=[:?-] )|^)[ ]*(\t)[ \t]*[^\s#]", re.MULTILINE)
_DOCUMENT_END: Final = re.compile(r"\.\.\.[ \t]*\r?")
BREAK: Final = re.compile(r"\r\n|[\r\n\x85\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Found:
    """A node with what was passed on the way to it."""

    node: Raw
    """Never an alias: what it stands for."""
    key: Raw | None = None
    """Of a mapping's entry."""
    shared: Raw | None = None
    """What makes this node stand at several places: an alias, a merge key, or a node that an alias elsewhere repeats.
    To change it here would change it there."""

    @property
    def line(self) -> int:
        """Where it is written, from 1: an entry's key, or the node."""
        return (self.key or self.node).at.line

    @property
    def kind(self) -> str:
        """``mapping``, ``sequence`` or ``scalar``."""
        return self.node.kind


class YamlText:
    """One file's text, its first document's nodes, and what the document says."""

    def __init__(self, data: bytes, source: str) -> None:
        """Read `data`; `source` is how conflicts name it. Raises Conflict."""
        self.source = source
        self.text, self.bom = decoded(data, source)
        _refuse_dots(self, None)
        try:
            self.ignored = read_yaml(self.text.encode()).ignored
            self.value: Any = load(self.text.encode())
            self.root = Events(self.text.encode()).first_document() or Raw("scalar", Position(1, 1), plain=True)
        except Unreadable as error:
            raise _conflict(self, error) from None
        _refuse_dots(self, self.root)
        _refuse_tabs(self, self.root)
        self._repeated = {id(node.target) for node in _walk(self.root) if node.kind == "alias"}

    def conflict(self, line: int, what: str, do: str) -> Conflict:
        """Make the refusal that names this file."""
        return Conflict(self.source, line, what, do)

    def top(self) -> Found:
        """Give the document."""
        return self._found(self.root, None, None)

    def entry(self, parent: Found, key: str) -> Found | None:
        """Find a mapping's entry, by merge keys as well; None: there is none. Raises Conflict if it stands twice."""
        own = [(name, value) for name, value in _pairs(parent.node) if name.kind == "scalar" and name.text == key]
        if len(own) > 1:
            first, second = own[0][0], own[1][0]
            raise self.conflict(
                second.at.line,
                f"{key!r} stands twice in one mapping, at line {first.at.line} as well",
                "keep one of them: Kubernetes takes the last, in silence",
            )
        for merge, mapping in _merges(parent.node):
            for name, value in _pairs(mapping):
                if name.kind != "scalar" or name.text != key:
                    continue
                if own:
                    raise self.conflict(
                        own[0][0].at.line,
                        f"{key!r} stands here and is merged in at line {merge.at.line}",
                        "keep one of them: YAML's readers differ in which one wins",
                    )
                return self._found(value, name, merge)
        return self._found(own[0][1], own[0][0], parent.shared) if own else None

    def items(self, parent: Found) -> list[Found]:
        """Give a sequence's items."""
        return [self._found(child, None, parent.shared) for child in parent.node.children]

    def _found(self, node: Raw, key: Raw | None, shared: Raw | None) -> Found:
        while node.kind == "alias" and node.target is not None:
            shared = shared or node
            node = node.target
        if shared is None and id(node) in self._repeated:
            shared = node
        return Found(node, key, shared)


def decoded(data: bytes, source: str) -> tuple[str, str]:
    """Give a file's text, and the byte order mark before it, or nothing. Raises Conflict."""
    if len(data) > MAX_BYTES:
        raise Conflict(source, 0, f"larger than {MAX_BYTES >> 20} MiB, which no such file is", "check the path")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise Conflict(source, 1, "written in UTF-16", "save it as UTF-8")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Conflict(source, line, "not a text in UTF-8", "check the path, and mend the line") from None
    return (text[1:], BOM) if text.startswith(BOM) else (text, "")


def _refuse_dots(text: YamlText, root: Raw | None) -> None:
    """Refuse a line of dots outside of a text; `root` None: where it breaks YAML, which its own error would not say."""
    texts = _texts(root) if root is not None else []
    for found in _DOTS.finditer(text.text):
        start = found.start(1)
        if root is None and _parses(text.text):
            return
        if root is not None and (_is_inside(texts, start) or _ends_document(text.text, found)):
            continue
        line = len(BREAK.findall(text.text, 0, start)) + 1
        raise text.conflict(
            line,
            f"a line of nothing but {found[1]!r}: this is no YAML, here something was left out",
            "put in what belongs there, or remove the line",
        )


def _refuse_tabs(text: YamlText, root: Raw) -> None:
    """Refuse a tab that parts what YAML wants parted by spaces; in JSON, texts and comments tabs are at home."""
    if text.text.lstrip().startswith(("{", "[")):
        return
    written = sorted((node.start, node.end) for node in _walk(root) if node.kind == "scalar")
    for found in _TAB.finditer(text.text, 0, root.end or len(text.text)):
        start = found.start(1)
        if _is_inside(written, start) or _is_comment(text.text, start, written):
            continue
        line = len(BREAK.findall(text.text, 0, start)) + 1
        raise text.conflict(line, "a tab stands where YAML wants spaces", "put spaces in its place")


def _is_comment(text: str, offset: int, written: list[tuple[int, int]]) -> bool:
    begin = max(text.rfind("\n", 0, offset), text.rfind("\r", 0, offset)) + 1
    signs = (place for place in range(begin, offset) if text[place] == "#")
    return any((place == begin or text[place - 1] in " \t") and not _is_inside(written, place) for place in signs)


def _parses(text: str) -> bool:
    try:
        Events(text.encode()).first_document()
    except Unreadable:
        return False
    return True


def _ends_document(text: str, found: re.Match[str]) -> bool:
    """Whether the dots are YAML's own end of a document, behind which nothing more is written, or a new ``---``."""
    if not _DOCUMENT_END.fullmatch(found[0]):
        return False
    behind = (line.strip() for line in BREAK.split(text[found.end() :]))
    said = next((line for line in behind if line and not line.startswith("#")), "---")
    return said.startswith("---")


def _texts(root: Raw) -> list[tuple[int, int]]:
    """Give where quoted and block texts stand, in their order."""
    return sorted(
        (node.start, node.end) for node in _walk(root) if node.kind == "scalar" and node.style in {"|", ">", "'", '"'}
    )


def _is_inside(texts: list[tuple[int, int]], offset: int) -> bool:
    place = bisect(texts, (offset,)) - 1
    return place >= 0 and texts[place][0] < offset < texts[place][1]


def _walk(node: Raw) -> Iterator[Raw]:
    """Go through the nodes as written, aliases not followed."""
    waiting = [node]
    while waiting:
        yield (here := waiting.pop())
        waiting.extend(here.children)


def _pairs(mapping: Raw) -> Iterator[tuple[Raw, Raw]]:
    if mapping.kind == "mapping":
        yield from zip(mapping.children[::2], mapping.children[1::2], strict=True)


def _merges(mapping: Raw) -> Iterator[tuple[Raw, Raw]]:
    """Give what is merged into a mapping, each with the merge key, the one that wins first, and what those merge."""
    for key, value in _pairs(mapping):
        if key.kind != "scalar" or key.text != "<<" or not key.plain:
            continue
        target = value.target if value.kind == "alias" and value.target else value
        for item in target.children if target.kind == "sequence" else [target]:
            merged = item.target if item.kind == "alias" and item.target else item
            yield key, merged
            for _, deeper in _merges(merged):
                yield key, deeper


def _conflict(text: YamlText, error: Unreadable) -> Conflict:
    what, _, do = error.text.rpartition(": ")
    line = error.at.line if error.at else 0
    if not what:
        what, do = error.text, "mend this line; kubelet cannot read it either"
    return text.conflict(line, what, do)
