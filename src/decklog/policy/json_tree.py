"""JSON → tree, with the line and column of every node and Go's words for what is wrong.

Python's decoder tells neither places nor duplicate keys. A file counts as JSON when its first byte that is no space is
``{`` (spec §2.2); what is not JSON then is not tried as YAML.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Final

from decklog.audit.documents.tree import (
    MAX_DEPTH,
    MAX_NODES,
    Document,
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
from decklog.audit.quoting import quote

_SPACE: Final = re.compile(r"[ \t\r\n]*")
_PLAIN: Final = re.compile(r'[^"\\\x00-\x1f]*')
_HEX: Final = re.compile(r"[0-9a-fA-F]*")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?", re.ASCII)
_ESCAPES: Final = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_LITERALS: Final[dict[str, tuple[str, bool | None]]] = {"t": ("true", True), "f": ("false", False), "n": ("null", None)}
_LONE: Final = re.compile("[\ud800-\udfff]")


def is_json(data: bytes) -> bool:
    """Whether kube-apiserver takes a file for JSON; a byte order mark is no space, so that one makes it YAML."""
    return data.decode(errors="replace").lstrip().startswith("{")


def read_json(data: bytes) -> Document:
    """Read a JSON document; bytes that are no UTF-8 become U+FFFD, one each, as Go has it. Raises Unreadable."""
    text = data.decode(errors="surrogateescape")
    bad = _LONE.search(text)
    reader = _Reader(_LONE.sub("\ufffd", text))
    return Document(reader.document(), replaced=reader.position(bad.start()) if bad else None)


class _Reader:
    """One pass over the text; `self._offset` is where it stands."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._offset = 0
        self._nodes = 0
        self._lines = [0, *(newline.end() for newline in re.finditer("\n", text))]

    def document(self) -> Node:
        root = self._value(0)
        self._space()
        if self._offset < len(self._text):
            raise self._invalid("after top-level value")
        return root

    def position(self, offset: int) -> Position:
        line = bisect_right(self._lines, offset)
        return Position(line, offset - self._lines[line - 1] + 1)

    def _space(self) -> str:
        """Skip spaces; give the character that follows, empty at the end."""
        self._offset = _SPACE.match(self._text, self._offset).end()  # type: ignore[union-attr]  # because: it matches ""
        return self._text[self._offset : self._offset + 1]

    def _invalid(self, context: str) -> Unreadable:
        """Say what stands at the offset that may not stand there."""
        at = self.position(self._offset)
        if self._offset >= len(self._text):
            return Unreadable(at, "not JSON: the text ends too early", f"{_JSON}unexpected end of JSON input")
        problem = f"invalid character {_go_character(self._text[self._offset])} {context}"
        return Unreadable(at, f"not JSON: {problem}", f"{_JSON}{problem}")

    def _value(self, depth: int) -> Node:
        first = self._space()
        at = self.position(self._offset)
        self._nodes += 1
        if depth > MAX_DEPTH:
            raise too_deep(at)
        if self._nodes > MAX_NODES:
            raise too_much(at)
        if first == "{":
            return Mapping(at, self._entries(depth))
        if first == "[":
            return Sequence(at, self._items(depth))
        start = self._offset
        value = self._scalar(first)
        return Scalar(at, value, value if isinstance(value, str) else self._text[start : self._offset])

    def _entries(self, depth: int) -> list[Entry]:
        entries: list[Entry] = []
        self._offset += 1
        if self._space() == "}":
            self._offset += 1
            return entries
        while True:
            if self._space() != '"':
                raise self._invalid("looking for beginning of object key string")
            at = self.position(self._offset)
            key = self._string()
            if self._space() != ":":
                raise self._invalid("after object key")
            self._offset += 1
            entries.append(Entry(key, at, self._value(depth + 1)))
            if self._ends("}", "after object key:value pair"):
                return entries

    def _items(self, depth: int) -> list[Node]:
        items: list[Node] = []
        self._offset += 1
        if self._space() == "]":
            self._offset += 1
            return items
        while True:
            items.append(self._value(depth + 1))
            if self._ends("]", "after array element"):
                return items

    def _ends(self, closing: str, context: str) -> bool:
        following = self._space()
        if following not in {",", closing}:
            raise self._invalid(context)
        self._offset += 1
        return following == closing

    def _scalar(self, first: str) -> str | float | bool | None:
        if first == '"':
            return self._string()
        if first in _LITERALS:
            return self._literal(*_LITERALS[first])
        if first == "-" or (first.isascii() and first.isdecimal()):
            return self._number()
        raise self._invalid("looking for beginning of value")

    def _literal(self, word: str, value: bool | None) -> bool | None:
        for expected in word:
            if self._text[self._offset : self._offset + 1] != expected:
                raise self._invalid(f"in literal {word} (expecting {_go_character(expected)})")
            self._offset += 1
        return value

    def _number(self) -> float:
        match = _NUMBER.match(self._text, self._offset)
        if match is None:
            self._offset += 1
            raise self._invalid("in numeric literal")
        self._offset = match.end()
        following = self._text[self._offset : self._offset + 1]
        if following == "." and match[1] is None and match[2] is None:
            self._offset += 1
            raise self._invalid("after decimal point in numeric literal")
        if following in {"e", "E"} and match[2] is None:
            self._offset += 1
            if self._text[self._offset : self._offset + 1] in {"+", "-"}:
                self._offset += 1
            raise self._invalid("in exponent of numeric literal")
        whole = match[1] is None and match[2] is None
        return int(match[0]) if whole and len(match[0]) < 25 else float(match[0])

    def _string(self) -> str:
        self._offset += 1
        parts: list[str] = []
        while True:
            run = _PLAIN.match(self._text, self._offset)
            if run is not None:
                parts.append(run[0])
                self._offset = run.end()
            character = self._text[self._offset : self._offset + 1]
            if character == '"':
                self._offset += 1
                return _joined("".join(parts))
            if character != "\\":
                raise self._invalid("in string literal")
            self._offset += 1
            parts.append(self._escape())

    def _escape(self) -> str:
        character = self._text[self._offset : self._offset + 1]
        if character != "u":
            if character not in _ESCAPES:
                raise self._invalid("in string escape code")
            self._offset += 1
            return _ESCAPES[character]
        digits = _HEX.match(self._text, self._offset + 1, self._offset + 5)
        if digits is None or len(digits[0]) < 4:
            self._offset += 1 + len(digits[0] if digits else "")
            raise self._invalid("in \\u hexadecimal character escape")
        self._offset += 5
        return chr(int(digits[0], 16))


_JSON: Final = "couldn't get version/kind; json parse error: "


def _joined(text: str) -> str:
    """Make pairs of escaped surrogates one character, lone ones U+FFFD."""
    if _LONE.search(text) is None:
        return text
    return _LONE.sub("\ufffd", text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass"))


def _go_character(character: str) -> str:
    """Quote the first byte of a character as Go's scanner does."""
    if character == "'":
        return "'\\''"
    if character == '"':
        return "'\"'"
    return f"'{quote(chr(character.encode()[0]))[1:-1]}'"
