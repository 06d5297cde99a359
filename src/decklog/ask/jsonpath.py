r"""JSONPath as kubectl's ``-o jsonpath=`` has it: a template with expressions in braces, filled from one value.

::

    {.user}{"\t"}{.verb} {.resource}/{.name}        fields; text in quotes knows \n and \t
    {.sourceIPs[-1]}  {.stages[0:2]}  {.groups[*]}  items, slices, all of them
    {.annotations['authorization\.k8s\.io/reason']} a key with dots in it, in quotes or with backslashes
    {..name}  {['user','verb']}  {@}                at any depth; several keys; the whole
    {.groups[?(@=="ops")]}                          items for which a comparison holds (== != < <= > >=), or a path is
    {range .stages[*]}{@}{"\n"}{end}                the text once for each item

What is not there prints nothing. Several results stand beside each other with a space between; objects and lists are
written as JSON. A template without any brace is one expression (``.user``), for which kubectl asks for braces.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from decklog.errors import DecklogError

Values = Iterator[Any]

DEEPEST: Final = 100
"""Levels of nesting that ``..`` goes down."""

_IDENTIFIER: Final = re.compile(r"(?:[^\s.\[\]{}()'\"@$,:?*=!<>|\\]|\\.)+")
_QUOTED: Final = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"")
_NUMBER: Final = re.compile(r"-?\d+(?:\.\d+)?")
_SLICE: Final = re.compile(r"\s*(-?\d*)\s*(?::\s*(-?\d*)\s*)?(?::\s*(-?\d*)\s*)?\]")
_OPERATOR: Final = re.compile(r"\s*(==|!=|<=|>=|<|>)\s*")
_SPACE: Final = re.compile(r"\s*")
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r"}


class TemplateError(DecklogError):
    """A template that cannot be read; the message says where."""


@dataclass(frozen=True, slots=True)
class _Keys:
    """``.name``, ``['a','b']``; no keys: all of them (``*``)."""

    names: tuple[str, ...]

    def of(self, value: Any) -> Values:
        if not self.names:
            yield from value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        elif isinstance(value, dict):
            yield from (value[name] for name in self.names if name in value)


@dataclass(frozen=True, slots=True)
class _Items:
    """``[2]``, ``[-1]``, ``[0:3]``, ``[0,2]``: slices of a list."""

    slices: tuple[slice, ...]

    def of(self, value: Any) -> Values:
        if isinstance(value, list):
            for each in self.slices:
                yield from value[each]


@dataclass(frozen=True, slots=True)
class _Deep:
    """``..``: the value and all that is in it."""

    def of(self, value: Any) -> Values:
        waiting = [(value, 0)]
        while waiting:
            each, depth = waiting.pop()
            yield each
            if depth < DEEPEST:
                inner = each.values() if isinstance(each, dict) else each if isinstance(each, list) else ()
                waiting += [(item, depth + 1) for item in reversed(list(inner))]


@dataclass(frozen=True, slots=True)
class _Filter:
    """``[?(left op right)]``; without an operator: whether the left is there."""

    left: Any
    operator: str
    right: Any

    def of(self, value: Any) -> Values:
        items = value if isinstance(value, list) else value.values() if isinstance(value, dict) else ()
        yield from (item for item in items if self._holds(item))

    def _holds(self, item: Any) -> bool:
        left = _operand(self.left, item)
        if not self.operator:
            return bool(left)
        return bool(left) and any(_compare(left[0], self.operator, other) for other in _operand(self.right, item)[:1])


@dataclass(frozen=True, slots=True)
class _Path:
    steps: tuple[_Keys | _Items | _Deep | _Filter, ...]

    def of(self, value: Any) -> list[Any]:
        found = [value]
        for step in self.steps:
            found = [inner for each in found for inner in step.of(each)]
        return found


@dataclass(frozen=True, slots=True)
class _Range:
    """``{range PATH}…{end}``."""

    path: _Path
    parts: tuple[Any, ...]


def _operand(operand: Any, item: Any) -> list[Any]:
    return operand.of(item) if isinstance(operand, _Path) else [operand]


def _compare(left: Any, operator: str, right: Any) -> bool:
    numbers = all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in (left, right))
    if not numbers and type(left) is not type(right):
        return operator == "!="
    if operator in {"==", "!="}:
        return bool((left == right) is (operator == "=="))
    if not numbers and not isinstance(left, str):
        return False
    return bool(
        (operator in {"<", "<="} and left < right)
        or (operator in {">", ">="} and left > right)
        or ("=" in operator and left == right)
    )


def written(value: Any) -> str:
    """Write a value as kubectl prints it: texts bare, the rest as JSON; null as nothing."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class Template:
    """A template that has been read; raises TemplateError when it cannot be."""

    def __init__(self, text: str) -> None:
        self._parts = _Reader(text if "{" in text else f"{{{text}}}").parts()

    def filled(self, value: Any, write: Callable[[Any], str] = written) -> str:
        """Fill the template from a value; `write` says how what is found in it is printed."""
        return "".join(_pieces(self._parts, value, write))


def _pieces(parts: tuple[Any, ...], value: Any, write: Callable[[Any], str]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, str):
            yield part
        elif isinstance(part, _Range):
            for item in part.path.of(value):
                yield from _pieces(part.parts, item, write)
        else:
            yield " ".join(map(write, part.of(value)))


class _Reader:
    """Reads a template, from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def parts(self, *, inner: bool = False) -> tuple[Any, ...]:
        """Read text and expressions up to the end, or to the ``{end}`` of a range."""
        found: list[Any] = []
        while self._at < len(self._text):
            brace = self._text.find("{", self._at)
            if brace != self._at:
                stop = brace if brace >= 0 else len(self._text)
                found.append(self._text[self._at : stop])
                self._at = stop
                continue
            self._at += 1
            part = self._expression()
            if part is None:
                if not inner:
                    raise self._error("{end} without a {range} before it")
                return tuple(found)
            found.append(part)
        if inner:
            raise self._error("{range} without its {end}")
        return tuple(found)

    def _expression(self) -> Any:
        """Read what stands between braces; None for ``end``."""
        self._skip(_SPACE)
        if (quoted := self._take(_QUOTED)) is not None:
            self._close()
            return _unescaped(quoted[1] if quoted[1] is not None else quoted[2])
        word = re.compile(r"(range\s|end\s*\})").match(self._text, self._at)
        if word is not None and word[0].startswith("end"):
            self._at = word.end()
            return None
        if word is not None:
            self._at = word.end()
            self._skip(_SPACE)
            path = self._path()
            self._close()
            return _Range(path, self.parts(inner=True))
        path = self._path()
        self._close()
        return path

    def _path(self) -> _Path:
        steps: list[Any] = []
        if self._peek() in {"$", "@"}:
            self._at += 1
        elif self._peek() not in {".", "["}:
            raise self._error("an expression begins with a dot, as in {.user}")
        while True:
            if self._text.startswith("..", self._at):
                self._at += 2
                steps.append(_Deep())
                if self._peek() != "[":
                    steps.append(self._name())
            elif self._peek() == ".":
                self._at += 1
                if self._peek() == "[" or self._ends():
                    continue
                steps.append(self._name())
            elif self._peek() == "[":
                self._at += 1
                steps.append(self._brackets())
            else:
                return _Path(tuple(steps))

    def _name(self) -> _Keys:
        if self._peek() == "*":
            self._at += 1
            return _Keys(())
        name = self._take(_IDENTIFIER)
        if name is None:
            raise self._error("a name is missing")
        return _Keys((re.sub(r"\\(.)", r"\1", name[0]),))

    def _brackets(self) -> _Keys | _Items | _Filter:
        self._skip(_SPACE)
        if self._text.startswith("?(", self._at):
            return self._filter()
        if self._peek() == "*":
            self._at += 1
            self._expect("]")
            return _Keys(())
        if self._peek() in {"'", '"'}:
            return self._quoted_keys()
        return self._slices()

    def _quoted_keys(self) -> _Keys:
        names = []
        while (quoted := self._take(_QUOTED)) is not None:
            names.append(re.sub(r"\\(.)", r"\1", quoted[1] if quoted[1] is not None else quoted[2]))
            self._skip(_SPACE)
            if self._peek() != ",":
                break
            self._at += 1
            self._skip(_SPACE)
        self._expect("]")
        return _Keys(tuple(names))

    def _slices(self) -> _Items:
        end = self._text.find("]", self._at)
        inside = self._text[self._at : end] if end >= 0 else ""
        slices = [_slice(part) for part in inside.split(",")]
        if not inside or any(each is None for each in slices):
            raise self._error("in brackets stand a number, a slice (0:2), *, a key in quotes or a filter (?(@.x==1))")
        self._at = end + 1
        return _Items(tuple(each for each in slices if each is not None))

    def _filter(self) -> _Filter:
        self._at += 2
        left = self._value()
        operator = self._take(_OPERATOR)
        right = self._value() if operator is not None else None
        self._skip(_SPACE)
        self._expect(")")
        self._expect("]")
        return _Filter(left, operator[1] if operator is not None else "", right)

    def _value(self) -> Any:
        self._skip(_SPACE)
        if (quoted := self._take(_QUOTED)) is not None:
            return _unescaped(quoted[1] if quoted[1] is not None else quoted[2])
        if (number := self._take(_NUMBER)) is not None:
            return json.loads(number[0]) if not re.match(r"-?0\d", number[0]) else float(number[0])
        if (word := self._take(re.compile(r"true|false|null"))) is not None:
            return json.loads(word[0])
        return self._path()

    # Text

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _ends(self) -> bool:
        return self._peek() in {"", "}", ")", " "} or _OPERATOR.match(self._text, self._at) is not None

    def _skip(self, pattern: re.Pattern[str]) -> None:
        found = pattern.match(self._text, self._at)
        self._at = found.end() if found else self._at

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return found

    def _expect(self, char: str) -> None:
        if self._peek() != char:
            raise self._error(f"{char!r} is missing")
        self._at += 1

    def _close(self) -> None:
        self._skip(_SPACE)
        self._expect("}")

    def _error(self, problem: str) -> TemplateError:
        return TemplateError(f"-o jsonpath: {problem}, at character {self._at + 1} of {self._text!r}")


def _slice(text: str) -> slice | None:
    found = _SLICE.fullmatch(f"{text}]")
    if found is None or not text.strip():
        return None
    first, last, step = (int(part) if part and part != "-" else None for part in found.groups())
    if found[2] is None:
        return None if first is None else slice(first, first + 1 if first != -1 else None)
    return None if step == 0 else slice(first, last, step)


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), text)
