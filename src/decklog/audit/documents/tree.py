"""The tree: a document as kube-apiserver's JSON decoder would see it, every node with its place in the file.

YAML is turned into JSON before it is decoded (spec §2.2), and both parsers end here. A mapping's entries stand in the
order in which the decoder meets them: as written in JSON, where a key may come twice; sorted by key in YAML, where the
last of equal keys has won and the others are kept aside as `Duplicate`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple

MAX_BYTES: Final = 1 << 20
"""Of a policy file. The largest public one has 8 KB."""
MAX_NODES: Final = 100_000
"""Of a document, aliases expanded: a few hundred bytes of YAML can stand for billions."""
MAX_DEPTH: Final = 128
"""Of nesting. A policy needs seven levels; the readers take two frames of the stack for each."""


class Position(NamedTuple):
    """A place in a file; both count from 1, columns in characters."""

    line: int
    column: int


class Unreadable(Exception):  # noqa: N818  # because: it says of a document what it is, `PolicyError` is the error
    """A document that cannot be made into a tree: where, why, and what kube-apiserver says of it."""

    def __init__(self, at: Position | None, text: str, reference: str = "") -> None:
        super().__init__(at, text, reference)
        self.at = at
        self.text = text
        self.reference = reference


def too_deep(at: Position) -> Unreadable:
    """Give the refusal of a document that is nested deeper than any file that people write."""
    return Unreadable(at, f"nested deeper than {MAX_DEPTH} levels: take out what nobody reads")


def too_much(at: Position) -> Unreadable:
    """Give the refusal of a document that has more nodes than any file that people write."""
    return Unreadable(at, f"more than {MAX_NODES:,} nodes, aliases expanded: split it, or generate less")


@dataclass(frozen=True, slots=True)
class Scalar:
    """A string, number, boolean or null, as go-yaml resolves it."""

    at: Position
    value: str | float | bool | None
    text: str
    """As written, without quotes."""


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    at: Position
    items: list[Node]


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a mapping with its value."""

    key: str
    at: Position
    """Of the key."""
    value: Node
    scalar: bool | float | None = None
    """What the key is when it is no string; kube-apiserver makes one of it."""
    merged: bool = False
    """It came by a merge key."""


class Clash(Enum):
    """How a key came to be there twice."""

    TWICE = "written twice in one mapping"
    OVERRIDE = "written after a merge that brought it: what merge keys are for, though kube-apiserver warns"
    OVERRIDDEN = "brought by a merge after it was written: the merge wins, contrary to YAML"


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A key that a mapping has twice; `entry` is the one that wins, `first` where the other stands."""

    entry: Entry
    first: Position
    clash: Clash


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping."""

    at: Position
    entries: list[Entry]
    duplicates: list[Duplicate] = field(default_factory=list)


Node = Scalar | Sequence | Mapping


@dataclass(frozen=True, slots=True)
class Document:
    """One file's first document."""

    root: Node
    yaml_duplicates: list[str] = field(default_factory=list)
    """go-yaml's own lines about keys that are set already, in its order."""
    ignored: Position | None = None
    """Where a second document begins that is not empty: nobody reads it."""
    replaced: Position | None = None
    """Where bytes begin that are no UTF-8 and were read as U+FFFD."""


def kind_of(node: Node) -> str:
    """Name a node's JSON type as Go's decoder does: object, array, string, number, bool, null."""
    match node:
        case Mapping():
            return "object"
        case Sequence():
            return "array"
        case Scalar(value=None):
            return "null"
        case Scalar(value=bool()):
            return "bool"
        case Scalar(value=str()):
            return "string"
        case _:
            return "number"


_CALLED: Final = {
    "object": "a mapping",
    "array": "a list",
    "null": "null",
    "bool": "a boolean",
    "string": "a string",
    "number": "a number",
}


def called(node: Node) -> str:
    """Name a node's type as people do, with its article."""
    return _CALLED[kind_of(node)]
