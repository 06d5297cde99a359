"""Shapes: what is wanted of a YAML file, as data; what a file says once it is there, and how it is written.

| Wanted | Means |
|---|---|
| a text, `Plain` | this scalar; one that says something else is replaced |
| a mapping | these keys; others stay |
| `Named` | a list whose items are told apart by a field: ``- name: …`` |
| `Words` | a list of ``name=value`` |
| `Patches` | a list of YAML documents, each a block of text |
| `Whole` | exactly this value, given as YAML text with its comments |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Plain(str):
    """A scalar that is no text, written as it is: ``true``."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Named:
    """Items with these fields; each is told by the field `by`."""

    by: str
    items: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Words:
    """Items ``name=value``."""

    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Patches:
    """Items that are YAML in a block of text. One that is there with all that is wanted in it counts as there."""

    texts: tuple[str, ...]
    clash: Callable[[Any], tuple[str, str] | None]
    """Given an item that is there (as data), says why the wanted one cannot stand beside it, and what to do."""


@dataclass(frozen=True, slots=True)
class Whole:
    """Exactly this, as YAML text."""

    text: str


def read(text: str) -> Any:
    """Read one document; every scalar is a text. Raises yaml.YAMLError."""
    return yaml.load(text, Loader=_Texts)  # noqa: S506  # because: it makes texts, lists and mappings only


def read_all(text: str) -> list[Any]:
    """Read all documents. Raises yaml.YAMLError."""
    return list(yaml.load_all(text, Loader=_Texts))


class _Texts(yaml.SafeLoader):
    """Every scalar is a text: what is compared is what is written."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: ARG002  # because: PyYAML's signature
        if isinstance(node, yaml.ScalarNode):
            return node.value
        return super().construct_object(node, deep=True)


def holds(there: Any, wanted: Any) -> bool:
    """Whether data has all in it that is wanted."""
    if isinstance(wanted, dict):
        return isinstance(there, dict) and all(key in there and holds(there[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list):
        return isinstance(there, list) and all(any(holds(each, item) for each in there) for item in wanted)
    return bool(there == wanted)


def meant(there: Any, wanted: Any) -> Any:
    """Give the data that a merge has to lead to."""
    match wanted:
        case Whole(text=text):
            return read(text)
        case str():
            return wanted
        case Named(by=by, items=items):
            found = list(there or [])
            for fields in items:
                places = [i for i, item in enumerate(found) if isinstance(item, dict) and item.get(by) == fields[by]]
                if places:
                    found[places[-1]] = meant(found[places[-1]], fields)
                else:
                    found.append(meant(None, fields))
            return found
        case Words(items=items):
            return _meant_words(list(there or []), items)
        case Patches(texts=texts):
            found = list(there or [])
            for text in texts:
                document = read(text)
                if not any(holds(one, document) for each in found for one in read_all(each)):
                    found.append(text)
            return found
        case _:
            known = dict(there) if isinstance(there, dict) else {}
            return known | {key: meant(known.get(key), value) for key, value in wanted.items()}


def _meant_words(found: list[Any], items: tuple[tuple[str, str], ...]) -> list[Any]:
    for name, value in items:
        places = [i for i, item in enumerate(found) if str(item).lstrip("-").partition("=")[0] == name]
        if not places:
            found.append(f"{name}={value}")
        elif found[places[0]].partition("=")[2] != value:
            dashes = found[places[0]][: len(found[places[0]]) - len(found[places[0]].lstrip("-"))]
            found[places[0]] = f"{dashes}{name}={value}"
    return found


# Writing.


def lines_of(wanted: Mapping[str, Any], indent: int, step: int) -> list[str]:
    """Write a mapping whose keys stand at `indent`; each level is `step` deeper."""
    lines = []
    for key, value in wanted.items():
        if isinstance(value, str):
            lines.append(f"{' ' * indent}{key}: {scalar_text(value)}")
        else:
            lines += [f"{' ' * indent}{key}:", *below(value, indent, step)]
    return lines


def below(value: Any, indent: int, step: int, *, hang: bool = False) -> list[str]:
    """Write a value under its key, which stands at `indent`."""
    inner = indent if hang else indent + step
    match value:
        case Whole(text=text):
            return [f"{' ' * (indent + step)}{line}" if line.strip() else "" for line in text.strip("\n").splitlines()]
        case Named(items=items):
            return [line for item in items for line in item_lines(item, inner, step)]
        case Words(items=items):
            return [line for name, text in items for line in item_lines(f"{name}={text}", inner, step)]
        case Patches(texts=texts):
            return [line for text in texts for line in item_lines(Whole(text), inner, step)]
        case _:
            return lines_of(value, indent + step, step)


def item_lines(item: Any, indent: int, step: int) -> list[str]:
    """Write an item whose dash stands at `indent`."""
    dash = f"{' ' * indent}- "
    if isinstance(item, str):
        return [f"{dash}{scalar_text(item)}"]
    if isinstance(item, Whole):
        return [f"{dash}|", *(f"{' ' * (indent + 2)}{line}" for line in item.text.rstrip("\n").splitlines())]
    first, *rest = lines_of(item, indent + 2, step)
    return [dash + first.lstrip(" "), *rest]


def scalar_text(value: str, style: str | None = None) -> str:
    """Write a text; in quotes where YAML would read something else, or where quotes stood."""
    if style == "'" and value.isprintable():
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, Plain):
        return str(value)
    plain = value and all(letter.isalnum() or letter in "-_./=@+" for letter in value) and value[0] not in "-=@"
    is_text = plain and isinstance(yaml.safe_load(value), str)
    if style is None and is_text:
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
