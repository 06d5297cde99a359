"""Edits of a YAML text: items and entries put in, scalars replaced, every other character left as it is.

What is put in is laid out as its neighbours are: indentation, the gap behind a dash, quotes, line ends, block or flow,
one line or several; in a JSON file it is JSON. A node that stands at several places (aliases, merge keys) is refused
with its line. The result is not trusted: whoever edits reads it again and compares (`edit`).
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from decklog.audit.documents.yaml_scalars import resolve
from decklog.enable.yaml_text import BREAK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from decklog.audit.documents.yaml_events import Raw
    from decklog.enable.yaml_text import Found, YamlText

_PLAIN: Final = re.compile(r"(?:--?[A-Za-z]|[A-Za-z/])[A-Za-z0-9_./=@%+-]*")
_PROPERTIES: Final = re.compile(r"(?:[&!][^\s,\[\]{}]*\s*)*")
_DASH: Final = re.compile(r"(.*-)( +)", re.DOTALL)
_REST_OF_LINE: Final = re.compile(r"[ \t]*(?:[ \t]#[^\r\n\x85\u2028\u2029]*)?(?=[\r\n\x85\u2028\u2029]|\Z)")
_BLOCK_HEADER: Final = re.compile(r"[|>][0-9+-]*[^\r\n\x85\u2028\u2029]*(?:\r\n|[\r\n\x85\u2028\u2029])[ ]*")
_COMMENT: Final = re.compile(r"( +)#")
_STEP: Final = "  "


class Edits:
    """The changes of one text, gathered first and made at once; offsets are those of the text as it was read."""

    def __init__(self, text: YamlText) -> None:
        self._yaml = text
        self._text = text.text
        self._splices: list[tuple[int, int, str]] = []
        self._is_json = _is_json(text.text)

    def result(self) -> bytes:
        """Give the file with every change made."""
        pieces, at = [self._yaml.bom], 0
        for start, end, new in sorted(self._splices, key=lambda splice: splice[:2]):
            pieces += [self._text[at:start], new]
            at = end
        return "".join([*pieces, self._text[at:]]).encode()

    # What can be asked for.

    def set_text(self, found: Found, value: str) -> None:
        """Give a scalar another text, in the quotes that it has."""
        self._check(found)
        node = found.node
        matched = _PROPERTIES.match(self._text, node.start)
        start = matched.end() if matched is not None else node.start
        if node.style in {"|", ">"}:
            self._set_block_text(found, start, value)
        else:
            self._splices.append((start, node.end, self._scalar(value, node.style)))

    def insert_items(self, found: Found, after: int, values: Sequence[Any]) -> None:
        """Put items into a list that has some, behind its item number `after`."""
        self._check(found)
        if not values:
            return
        node = found.node
        if node.style == "flow":
            sibling = node.children[after]
            shown = [self._flow(value, sibling, self._step(node)) for value in values]
            self._insert_flow(sibling.start, sibling.end, shown, node)
        else:
            column, gap = self._dash(found)
            style = node.children[after].style
            order = [key.text for key in node.children[after].children[::2]]
            lines = [line for value in values for line in self._item(value, column, gap, style, order)]
            self._insert_lines(self._end_of(node.children[after]), lines, column)

    def add_list(self, parent: Found, key: str, values: Sequence[Any], indents: bool) -> None:
        """Give a mapping a list under `key`, which it does not have, or which is null or empty.

        `indents`: whether the items of a list are indented further than its key, where this cannot be seen beside it.
        """
        if not values:
            return
        found = self._yaml.entry(parent, key)
        self._check(found or parent)
        is_flow = parent.node.style == "flow"
        if found is None:
            self._add_entry(parent, key, values, indents=indents)
        elif is_flow or self._is_apart(found):
            self._replace_in_flow(parent, found, values)
        else:
            self._fill(parent, found, values, indents=indents)

    def _replace_in_flow(self, parent: Found, found: Found, values: Sequence[Any]) -> None:
        """Put a list in the place of an empty one, or of nothing."""
        node = found.node
        shown = self._flow(list(values), found.key, self._step(parent.node))
        if node.kind == "sequence":
            at = self._text.index("[", node.start)
            self._splices.append((at, node.end, shown))
        elif node.tag:
            raise self._yaml.conflict(
                found.line,
                f"{self._text[node.start : node.end].strip()} is written where a list has to be",
                "remove the tag",
            )
        else:
            matched = _PROPERTIES.match(self._text, node.start, node.end)
            start = matched.end() if matched is not None else node.start
            gap = "" if self._text[start - 1] == " " else " "
            self._splices.append((start, node.end, f"{gap}{shown}"))

    # Scalars.

    def _check(self, found: Found) -> None:
        if found.shared is None:
            return
        shared = found.shared
        how = f"the alias *{shared.text}" if shared.kind == "alias" else f"the anchor &{shared.anchor}"
        if shared.kind == "scalar":
            how = "a merge key (<<)"
        raise self._yaml.conflict(
            shared.at.line,
            f"{found.key.text if found.key else 'what'!r} would have to change, but by {how} it stands elsewhere, too",
            "write it out here, without anchor and alias",
        )

    def _scalar(self, value: str, style: str) -> str:
        if self._is_json or style == '"':
            return json.dumps(value, ensure_ascii=False)
        if style != "'" and _PLAIN.fullmatch(value) and isinstance(resolve(None, plain=True, text=value), str):
            return value
        return "'" + value.replace("'", "''") + "'"

    def _set_block_text(self, found: Found, start: int, value: str) -> None:
        node = found.node
        header = _BLOCK_HEADER.match(self._text, start)
        if header is None or node.text.endswith("\n") or "\n" in node.text:
            raise self._yaml.conflict(
                found.line,
                "this text in block style has line breaks, and kube-apiserver takes them for a part of the value",
                "write it on one line",
            )
        end = start + len(self._text[start : node.end].rstrip())
        self._splices.append((header.end(), end, value))

    # Block style.

    def _dash(self, found: Found) -> tuple[int, str]:
        """Find a block list's column of dashes, from 0, and what stands behind them."""
        node = found.node
        for child in reversed(node.children):
            matched = _DASH.fullmatch(self._text[self._line_start(child.start) : child.start])
            if matched is not None:
                return len(matched[1]) - 1, matched[2]
        if self._text.startswith("-", node.start):
            return node.at.column - 1, " "
        raise self._yaml.conflict(found.line, "a list whose layout is not understood", "put '- ' before each item")

    def _item(self, value: Any, column: int, gap: str, style: str, order: Sequence[str] = ()) -> list[str]:
        start = f"{' ' * column}-{gap}"
        if isinstance(value, str):
            return [f"{start}{self._scalar(value, style)}"]
        ordered = sorted(value.items(), key=lambda item: order.index(item[0]) if item[0] in order else len(order))
        first, *others = self._entries(dict(ordered))
        return [f"{start}{first}", *(f"{' ' * (column + 1 + len(gap))}{line}" for line in others)]

    def _entries(self, value: dict[str, Any]) -> list[str]:
        lines: list[str] = []
        for key, inside in value.items():
            if isinstance(inside, dict):
                lines += [f"{key}:", *(f"{_STEP}{line}" for line in self._entries(inside))]
            else:
                lines.append(f"{key}: {self._block_value(inside)}")
        return lines

    def _block_value(self, value: Any) -> str:
        return str(value).lower() if isinstance(value, bool) else self._scalar(value, "")

    def _insert_lines(self, end: int, lines: Sequence[str], column: int) -> None:
        """Put lines behind the line in which something ends, and behind comments that are indented further than they.

        `column`: of the lines, from 0.
        """
        at = end
        if not end or self._text[end - 1] not in "\r\n":
            at = self._next_line(end)
        while (comment := _COMMENT.match(self._text, at)) is not None and len(comment[1]) > column:
            at = self._next_line(comment.end())
        line_end = self._line_break(max(at - 2, 0))
        if at and self._text[at - 1] in "\r\n\x85\u2028\u2029":
            self._splices.append((at, at, "".join(f"{line}{line_end}" for line in lines)))
        else:
            self._splices.append((at, at, "".join(f"{line_end}{line}" for line in lines)))

    def _next_line(self, offset: int) -> int:
        found = BREAK.search(self._text, offset)
        return found.end() if found else len(self._text)

    def _line_break(self, offset: int) -> str:
        """Give the kind of line break that is used here: the line's own, or else the file's first."""
        found = BREAK.search(self._text, offset) or BREAK.search(self._text)
        return found[0] if found else "\n"

    def _end_of(self, node: Raw) -> int:
        """Find where what is written of a node ends: before line breaks that only follow it."""
        while node.style == "block" and node.children:
            node = node.children[-1]
        if node.style in {"|", ">"} and node.kind == "scalar":
            header = _BLOCK_HEADER.search(self._text, node.start)
            if header is not None and "+" in header[0].partition("#")[0]:
                return node.end
            return node.start + len(self._text[node.start : node.end].rstrip())
        return node.end

    def _add_entry(self, parent: Found, key: str, values: Sequence[Any], *, indents: bool) -> None:
        node = parent.node
        if not node.children:
            raise self._yaml.conflict(parent.line, "an empty mapping", "check the path")
        last_key, last = node.children[-2], node.children[-1]
        if node.style == "flow":
            shown = f"{self._scalar(key, '')}{': ' if self._is_spaced() else ':'}"
            shown += self._flow(list(values), last, self._step(node))
            self._insert_flow(last_key.start, last.end, [shown], node)
            return
        # A mapping that begins with an explicit key (? key) has its keys' columns there, not at the keys' texts.
        column = (node if self._text.startswith("?", node.start) else node.children[0]).at.column - 1
        items = self._list_lines(parent, column, values, indents=indents)
        self._insert_lines(self._end_of(last), [f"{' ' * column}{key}:", *items], column)

    def _list_lines(self, parent: Found, column: int, values: Sequence[Any], *, indents: bool) -> list[str]:
        """Lay a new list out as the mapping's other lists are, if it has any in block style; `column`: of its key."""
        node = parent.node
        others = [
            (value.at.column - name.at.column, value)
            for name, value in zip(node.children[::2], node.children[1::2], strict=True)
            if value.kind == "sequence" and value.style == "block" and not value.anchor and not value.tag
        ]
        offset = others[0][0] if others else len(_STEP) * indents
        return [line for value in values for line in self._item(value, column + offset, " ", "")]

    def _is_apart(self, found: Found) -> bool:
        """Whether lines below its key cannot replace an empty value: it stands on another line, or has an anchor."""
        node = found.node
        if found.key is None or node.anchor or node.tag:
            return True
        return BREAK.search(self._text, found.key.end, node.end) is not None

    def _fill(self, parent: Found, found: Found, values: Sequence[Any], *, indents: bool) -> None:
        """Put a list's items below its key, where it said ``[]`` or nothing."""
        node, key = found.node, found.key
        if key is None:
            raise self._yaml.conflict(found.line, "an entry without a key", "mend it")
        colon = self._text.index(":", key.end) + 1
        if node.end > colon:
            self._splices.append((colon, node.end, ""))
        column = key.at.column - 1
        self._insert_lines(node.end, self._list_lines(parent, column, values, indents=indents), column)

    # Flow style.

    def _insert_flow(self, start: int, end: int, shown: list[str], parent: Raw) -> None:
        """Put items, laid out already, behind the one that stands from `start` to `end`."""
        before = self._text[self._line_start(start) : start]
        behind = self._text[end : parent.end]
        space = len(behind) - len(behind.lstrip())
        has_comma = behind[space : space + 1] == ","
        if before.strip():  # several items a line
            separator = ", " if self._is_spaced() else ","
            self._splices.append((end, end, "".join(f"{separator}{one}" for one in shown)))
            return
        line = f"{self._line_break(start)}{before}"
        rest = _REST_OF_LINE.match(self._text, end + space + 1 if has_comma else end)
        at = rest.end() if rest is not None else end
        if rest is None or at >= parent.end:
            self._splices.append((end, end, "".join(f",{line}{one}" for one in shown)))
        elif has_comma:
            self._splices.append((at, at, "".join(f"{line}{one}," for one in shown)))
        else:
            self._splices += [(end, end, ","), (at, at, ",".join(f"{line}{one}" for one in shown))]

    def _flow(self, value: Any, sibling: Raw | None, step: str) -> str:
        """Lay a value out in flow style, over several lines if its sibling has them and the file is JSON."""
        if not self._is_json:
            return self._flow_yaml(value, sibling.style if sibling is not None and sibling.kind == "scalar" else "")
        if sibling is None or not step or isinstance(value, str):
            return json.dumps(value, ensure_ascii=False, separators=(", ", ": ") if self._is_spaced() else (",", ":"))
        if BREAK.search(self._text, sibling.start, sibling.end) is None and sibling.children:
            return json.dumps(value, ensure_ascii=False)
        start = self._line_start(sibling.start)
        indent = self._text[start : start + len(self._text[start:]) - len(self._text[start:].lstrip(" \t"))]
        lines = json.dumps(value, ensure_ascii=False, indent=step).split("\n")
        return f"{self._line_break(sibling.start)}{indent}".join(lines)

    def _flow_yaml(self, value: Any, style: str) -> str:
        if isinstance(value, dict):
            return "{" + ", ".join(f"{key}: {self._flow_yaml(inside, '')}" for key, inside in value.items()) + "}"
        if isinstance(value, list | tuple):
            return "[" + ", ".join(self._flow_yaml(inside, "") for inside in value) + "]"
        return str(value).lower() if isinstance(value, bool) else self._scalar(value, style)

    def _step(self, node: Raw) -> str:
        """Give what a flow collection's own items are indented by; empty: they stand on the same line."""
        if not node.children:
            return ""
        outer, inner = (self._indent(offset) for offset in (node.start, node.children[0].start))
        return inner.removeprefix(outer) if inner.startswith(outer) else ""

    def _indent(self, offset: int) -> str:
        start = self._line_start(offset)
        line = self._text[start:offset]
        return line[: len(line) - len(line.lstrip(" \t"))]

    def _is_spaced(self) -> bool:
        """Whether a space stands behind commas and colons; a file without any is kept as dense as it is."""
        return not self._is_json or re.search(r'"\s*:\s', self._text) is not None

    def _line_start(self, offset: int) -> int:
        breaks = [self._text.rfind(each, 0, offset) for each in "\r\n\x85\u2028\u2029"]
        return max(breaks) + 1


def _is_json(text: str) -> bool:
    if not text.lstrip().startswith("{"):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
