from __future__ import annotations

import pytest
import yaml

from decklog.audit.documents.tree import Unreadable
from decklog.audit.documents.yaml_events import Events

libyaml = pytest.mark.skipif(
    not yaml.__with_libyaml__, reason="PyYAML was built without libyaml, whose words these are"
)


def unreadable(data: bytes) -> Unreadable:
    with pytest.raises(Unreadable) as raised:
        Events(data).first_document()
    return raised.value


@libyaml
@pytest.mark.parametrize(
    ("text", "at", "reference"),
    [
        ("a:\n - b\n c: [\n", (3, 2), "yaml: line 2: did not find expected '-' indicator"),
        ("a:\n\tb: 2\n", (2, 1), "yaml: line 2: found character that cannot start any token"),
        ("a: 1\n\tb: 2\n", (2, 1), "yaml: line 2: found a tab character that violates indentation"),
        ("a: [1\n", (2, 1), "yaml: line 1: did not find expected ',' or ']'"),
        ("a: [*]\n", (1, 6), "yaml: did not find expected alphabetic or numeric character"),
        ("a: 1\nb: [*]\n", (2, 6), "yaml: line 2: did not find expected alphabetic or numeric character"),
        ("a: b: c\n", (1, 5), "yaml: mapping values are not allowed in this context"),
        ("a: 'b\n", (2, 1), "yaml: line 2: found unexpected end of stream"),
        ('a: "\\q"\n', (1, 5), "yaml: found unknown escape character"),
        ("%YAML 1.2\n---\na: 1\n", (1, 1), "yaml: found incompatible YAML document"),
        ("# x\n\n%YAML 1.3\n---\na: 1\n", (3, 1), "yaml: line 2: found incompatible YAML document"),
        ("a: 1\nb\n", (3, 1), "yaml: line 3: could not find expected ':'"),
    ],
)
def test_syntax(text: str, at: tuple[int, int], reference: str) -> None:
    """A syntax error is told at its place; beside it stand go-yaml's words, with the line as go-yaml counts it."""
    error = unreadable(text.encode())
    assert (error.at, error.reference) == (at, reference)
    assert error.text.startswith(("not YAML: ", "a %YAML directive"))


@libyaml
@pytest.mark.parametrize(
    ("data", "at", "reference"),
    [
        (b"a: \x00\n", (1, 4), "yaml: control characters are not allowed"),
        (b"a: \xc3\xa4 \x1b[31m\n", (1, 6), "yaml: control characters are not allowed"),
        (b"a: b\nc: \xff\n", (2, 4), "yaml: invalid leading UTF-8 octet"),
        (b"a: \xc3(\n", (1, 4), "yaml: invalid trailing UTF-8 octet"),
        (b"a: \xe2\x82", (1, 4), "yaml: incomplete UTF-8 octet sequence"),
    ],
)
def test_bytes(data: bytes, at: tuple[int, int], reference: str) -> None:
    """A byte that is no text is told at its place, which is counted in characters."""
    error = unreadable(data)
    assert (error.at, error.reference) == (at, reference)
    assert error.text.startswith("not a text file: ")


def test_without_libyaml() -> None:
    """PyYAML's own parser refuses the same, at the same place."""
    for text, at in (("a:\n\tb: 2\n", (2, 1)), ("a: [*]\n", (1, 6)), ("a: \0", (1, 4)), ("a: b: c\n", (1, 5))):
        with pytest.raises(Unreadable) as raised:
            Events(text.encode(), yaml.SafeLoader).first_document()
        assert raised.value.at == at


def test_utf_16() -> None:
    """A file in UTF-16 with its byte order mark is read, as go-yaml reads it."""
    root = Events("a: ä\n".encode("utf-16")).first_document()
    assert root is not None
    assert root.children[1].text == "ä"
