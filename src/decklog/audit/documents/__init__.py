"""Documents as Kubernetes reads them: YAML by the rules of go-yaml v2, turned into what JSON would say.

Here live the tree of a document with the place of every node (tree), YAML's events, scalars and nodes (yaml_events,
yaml_scalars, yaml_tree) and `load`, which gives plain values. Policies and request bodies are both read with them. What
never lives here: what a document means.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from decklog.audit.documents.tree import Mapping, Scalar, Sequence, Unreadable
from decklog.audit.documents.yaml_tree import read_yaml

if TYPE_CHECKING:
    from decklog.audit.documents.tree import Node


def load(data: bytes) -> Any:
    """Read the first YAML document (JSON is YAML) as plain values; ValueError says what is wrong.

    Limits hold against hostile documents: see `tree`.
    """
    try:
        return _value(read_yaml(data).root)
    except Unreadable as unreadable:
        raise ValueError(unreadable.text) from None


def _value(node: Node) -> Any:
    match node:
        case Scalar():
            return node.value
        case Sequence():
            return [_value(item) for item in node.items]
        case Mapping():
            return {entry.key: _value(entry.value) for entry in node.entries}
