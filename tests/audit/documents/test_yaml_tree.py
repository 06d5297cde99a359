from __future__ import annotations

from typing import Any

import pytest
import yaml

from decklog.audit.documents.tree import MAX_DEPTH, MAX_NODES, Clash, Mapping, Position, Unreadable
from decklog.audit.documents.yaml_tree import read_yaml
from decklog.policy.binding import plain

LOADERS = [yaml.SafeLoader, *([yaml.CSafeLoader] if yaml.__with_libyaml__ else [])]

pytestmark = pytest.mark.parametrize("loader", LOADERS)


def value(text: str, loader: Any) -> Any:
    return plain(read_yaml(text.encode(), loader).root)


def unreadable(text: str, loader: Any) -> Unreadable:
    with pytest.raises(Unreadable) as raised:
        read_yaml(text.encode(), loader)
    return raised.value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [1, x, ~]\nb: {c: no}\n", {"a": [1, "x", None], "b": {"c": False}}),
        ("", None),
        ("# nothing\n", None),
        ("--- x\n--- y\n", "x"),
        ("a: &x 1\nb: *x\n", {"a": 1, "b": 1}),
        ("a: &x 1\nb: &x 2\nc: *x\n", {"a": 1, "b": 2, "c": 2}),
        ("a: [system:kube-proxy, 12:30, /healthz*]\n", {"a": ["system:kube-proxy", "12:30", "/healthz*"]}),
        ("y: 1\n2: 1\n1.0: 1\n", {"1": 1, "2": 1, "true": 1}),
        ('"y": 1\n', {"y": 1}),
        ("a: !!binary aGk=\n", {"a": "hi"}),
        ("a: !!python/object/apply:os.system [ls]\n", {"a": ["ls"]}),
    ],
)
def test_values(text: str, expected: Any, loader: Any) -> None:
    """A document's values, as go-yaml and JSON make them; no tag makes anything else."""
    assert value(text, loader) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("b: &b {x: 1, y_: 1}\na: {<<: *b, z: 2}\n", {"x": 1, "y_": 1, "z": 2}),
        ("b: &b {x: 1}\na: {<<: *b, x: 2}\n", {"x": 2}),
        ("b: &b {x: 1}\na: {x: 2, <<: *b}\n", {"x": 1}),
        ("b: [&b {x: 1}, &c {x: 2, y_: 3}]\na: {<<: [*b, *c]}\n", {"x": 1, "y_": 3}),
        ("b: 1\na: {<<: {x: 1}}\n", {"x": 1}),
        ("b: &b {x: 1}\nc: &c {<<: *b}\na: {<<: *c}\n", {"x": 1}),
        ("b: &b {x: 1}\na: {'<<': *b}\n", {"<<": {"x": 1}}),
        ("b: &b {x: 1}\na: {!!merge '<<': *b}\n", {"x": 1}),
    ],
)
def test_merges(text: str, expected: Any, loader: Any) -> None:
    """A merge sets its keys where it stands; of several mappings in one, the first wins; quoted, it is none."""
    assert value(text, loader)["a"] == expected


def test_clashes(loader: Any) -> None:
    """A key that is there twice is kept aside, with how it came about; the value that counts is the last one."""
    text = "b: &b {x: 1, y_: 1}\na: {y_: 2, <<: *b, x: 3, x: 4}\nb: 5\n"
    document = read_yaml(text.encode(), loader)
    root = document.root
    assert isinstance(root, Mapping)
    inner = next(entry.value for entry in root.entries if entry.key == "a")
    assert isinstance(inner, Mapping)
    assert [(twice.entry.key, twice.entry.at, twice.first, twice.clash) for twice in inner.duplicates] == [
        ("y_", (1, 14), (2, 5), Clash.OVERRIDDEN),
        ("x", (2, 20), (1, 8), Clash.OVERRIDE),
        ("x", (2, 26), (2, 20), Clash.TWICE),
    ]
    assert [(twice.entry.key, twice.clash) for twice in root.duplicates] == [("b", Clash.TWICE)]
    assert document.yaml_duplicates == [
        'line 1: key "y_" already set in map',
        'line 2: key "x" already set in map',
        'line 2: key "x" already set in map',
        'line 3: key "b" already set in map',
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [("1: a\n1: b\n", "line 2: key 1 already set in map"), ("y: a\non:\n  b\n", "line 3: key true already set in map")],
)
def test_keys_that_are_no_strings(text: str, line: str, loader: Any) -> None:
    """Equal keys are equal before they become strings, and are named on the line of their value."""
    assert read_yaml(text.encode(), loader).yaml_duplicates == [line]


def laughs(levels: int, item: str, listed: str) -> str:
    """Ten aliases a level: 10 to the power of `levels` in a few hundred bytes."""
    head = f"a0: &a0 {item}\n"
    return head + "".join(
        f"a{level}: &a{level} " + listed % ", ".join([f"*a{level - 1}"] * 10) + "\n" for level in range(1, levels)
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(laughs(10, "[x, x, x]", "[%s]"), "nearly all of this document is made by aliases", id="lists"),
        pytest.param(laughs(10, "{k: x}", "{<<: [%s]}"), "nearly all of this document is made by aliases", id="merges"),
        pytest.param(
            "a: &a [" + "x, " * 2000 + "x]\nb: [" + "*a, " * 40 + "*a]\nc: [" + "y, " * 30000 + "y]",
            f"more than {MAX_NODES:,} nodes",
            id="large",
        ),
        pytest.param("- " * (MAX_DEPTH + 1) + "x", f"nested deeper than {MAX_DEPTH} levels", id="deep"),
        pytest.param("[" * 500_000, f"nested deeper than {MAX_DEPTH} levels", id="brackets"),
        pytest.param("a: {" * 100_000, f"nested deeper than {MAX_DEPTH} levels", id="braces"),
        pytest.param("? " * 300_000, f"nested deeper than {MAX_DEPTH} levels", id="question marks"),
        pytest.param(
            "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 500)),
            f"nested deeper than {MAX_DEPTH} levels",
            id="chain",
        ),
        pytest.param("a: &a [*a]\n", "the anchor &a contains itself", id="itself"),
        pytest.param("a: &a {b: {c: *a}}\n", "the anchor &a contains itself", id="itself further down"),
        pytest.param("a: &a {<<: *a}\n", "the anchor &a contains itself", id="itself merged"),
    ],
)
def test_bombs(text: str, said: str, loader: Any) -> None:
    """A document that is small to write and large to read is refused with its place, and soon."""
    error = unreadable(text, loader)
    assert error.text.startswith(said)
    assert error.at is not None


def test_many_aliases_of_little(loader: Any) -> None:
    """A policy that uses one anchor in every rule is no bomb."""
    text = "rules:\n- &a {verbs: &v [get]}\n" + "- {verbs: *v}\n" * 2000 + "- *a\n" * 300
    assert len(value(text, loader)["rules"]) == 2301


@pytest.mark.parametrize(
    ("text", "at", "reference"),
    [
        ("a: *x\n", (1, 4), "yaml: unknown anchor 'x' referenced"),
        ("a: &a [*a]\n", (1, 8), "yaml: anchor 'a' value contains itself"),
        ("a: !!int x\n", (1, 4), "yaml: cannot decode !!str `x` as a !!int"),
        ("a: !!binary '*'\n", (1, 4), "yaml: !!binary value contains invalid base64 data"),
        ("a: .inf\n", (1, 4), "json: unsupported value: +Inf"),
        ("- -.inf\n", (1, 3), "json: unsupported value: -Inf"),
        ("a: .nan\n", (1, 4), "json: unsupported value: NaN"),
        ("{}: 1\n", (1, 1), "yaml: invalid map key"),
        ("~: 1\n", (1, 1), "unsupported map key of type"),
        ("<<: 1\n", (1, 5), "yaml: map merge requires map or sequence of maps as the value"),
        ("a: &a [1]\nb: {<<: *a}\n", (2, 9), "yaml: map merge requires map or sequence of maps as the value"),
    ],
)
def test_unreadable(text: str, at: tuple[int, int], reference: str, loader: Any) -> None:
    """What go-yaml or Go's JSON cannot make anything of is refused at its place, in their words, too."""
    error = unreadable(text, loader)
    assert (error.at, error.reference) == (at, reference)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("a: 1\n", None),
        ("a: 1\n---\n", None),
        ("a: 1\n---\n# no\n---\n~\n", Position(5, 1)),
        ("a: 1\n---\nb: 1\n", Position(3, 1)),
        ("a: 1\n...\nb: 1\n", Position(3, 1)),
        ("---\n---\nb: 1\n", Position(3, 1)),
    ],
)
def test_second_document(text: str, at: Position | None, loader: Any) -> None:
    """Where a second document begins is known, if it says anything."""
    assert read_yaml(text.encode(), loader).ignored == at
