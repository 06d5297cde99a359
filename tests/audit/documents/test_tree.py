from __future__ import annotations

import pytest

from decklog.audit.documents.tree import called, kind_of
from decklog.policy.json_tree import read_json


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("{}", "object", "a mapping"),
        ("[]", "array", "a list"),
        ('""', "string", "a string"),
        ("1", "number", "a number"),
        ("1.5", "number", "a number"),
        ("false", "bool", "a boolean"),
        ("null", "null", "null"),
    ],
)
def test_names_of_types(text: str, kind: str, name: str) -> None:
    """A node's type has Go's name, and one for people."""
    root = read_json(text.encode()).root
    assert (kind_of(root), called(root)) == (kind, name)
