from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decklog.ask.fields import HIDDEN, changes, set_by_patch

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=15,
)
OBJECTS = st.dictionaries(st.sampled_from(["spec", "metadata", "data", "x"]), JSON, max_size=4)


def told(found: Any) -> list[str]:
    """Write changes shortly: + added, - removed, ~ changed."""
    return [
        f"- {change.path} {change.old!r}"
        if change.removed
        else f"+ {change.path} {change.new!r}"
        if change.added
        else f"~ {change.path} {'?' if change.unknown else repr(change.old)} {change.new!r}"
        for change in found
    ]


def containers(*pairs: tuple[str, str]) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": name, "image": image} for name, image in pairs]}}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"spec": {"a": 1}}, {"spec": {"a": 1}}, []),
        ({"spec": {"a": 1}}, {"spec": {"a": 2}}, ["~ spec.a 1 2"]),
        ({"spec": {"a": 1}}, {"spec": {"a": True}}, ["~ spec.a 1 True"]),
        ({"spec": {}}, {"spec": {"a": 2}}, ["+ spec.a 2"]),
        ({"spec": {"a": {"b": 1}}}, {"spec": {}}, ["- spec.a.b 1"]),
        ({"spec": {"a": None}}, {"spec": {}}, []),
        ({"spec": {"a": [1, 2]}}, {"spec": {"a": [2]}}, ["~ spec.a [1, 2] [2]"]),
        (
            containers(("app", "x:1")),
            containers(("side", "y"), ("app", "x:2")),
            ["~ spec.containers[app].image 'x:1' 'x:2'", "+ spec.containers[side] {'name': 'side', 'image': 'y'}"],
        ),
        ({"metadata": {"resourceVersion": "1", "uid": "a", "managedFields": []}}, {"metadata": {}}, []),
        ({"metadata": {}}, {"metadata": {"labels": {"a/x": "1"}}}, ["+ metadata.labels[\"a/x\"] '1'"]),
        ({"status": {"phase": "Pending"}}, {"status": {"phase": "Running"}}, []),
        ({"kind": "A", "apiVersion": "v1"}, {"kind": "A", "apiVersion": "v2"}, []),
    ],
)
def test_versions_differ_field_by_field(old: Any, new: Any, expected: list[str]) -> None:
    """Named items are compared by name; what every write changes is no change."""
    assert told(changes(old, new)) == expected


@pytest.mark.parametrize(
    ("patch", "known", "expected"),
    [
        ({"spec": {"replicas": 0}}, {"spec": {"replicas": 3}}, ["~ spec.replicas 3 0"]),
        ({"spec": {"replicas": 0}}, None, ["~ spec.replicas ? 0"]),
        ({"spec": {"replicas": 3}}, {"spec": {"replicas": 3}}, []),
        ({"spec": {"paused": None}}, {"spec": {"paused": True}}, ["- spec.paused True"]),
        (
            {"spec": {"$setElementOrder/containers": [{"name": "app"}], **containers(("app", "z"))["spec"]}},
            containers(("app", "x")),
            ["~ spec.containers[app].image 'x' 'z'"],
        ),
        ({"kind": "X", "apiVersion": "v1", "metadata": {"labels": {"a": "b"}}}, None, ["~ metadata.labels.a ? 'b'"]),
        (
            [{"op": "add", "path": "/spec/replicas", "value": 0}, {"op": "remove", "path": "/labels/a~1b"}],
            None,
            ["~ spec.replicas ? 0", '- labels["a/b"] None'],
        ),
        (
            [{"op": "test", "path": "/a/0", "value": 1}, {"op": "move", "from": "/a", "path": "/b"}],
            None,
            ["~ a[0] (test) ? 1", "~ b ? 'move from /a'"],
        ),
        ([1, {}], None, ["~ (the whole) ? None"]),
        ("nonsense", None, ["~ (the whole) ? 'nonsense'"]),
    ],
)
def test_a_patch_says_what_it_sets(patch: Any, known: Any, expected: list[str]) -> None:
    """Each kind of patch is told by its fields, with what was before where that is known."""
    assert told(set_by_patch(patch, known)) == expected


@pytest.mark.parametrize(
    "found",
    [
        changes({"data": {"a": "c2VjcmV0"}}, {"data": {"a": "c2VjcmV0Mg=="}}, secret=True),
        changes({}, {"data": {"a": "c2VjcmV0"}}, secret=True),
        changes({"data": "c2VjcmV0"}, {"data": {"a": "c2VjcmV0Mg=="}}, secret=True),
        changes({}, {"data": {"a": "x"}, "stringData": {"a": "secret"}}, secret=True),
        set_by_patch({"data": {"a": "c2VjcmV0"}}, secret=True),
        set_by_patch({"stringData": {"a": "secret"}}, {"stringData": {"a": "secret0"}}, secret=True),
        set_by_patch([{"op": "add", "path": "/data/a", "value": "c2VjcmV0"}], secret=True),
        set_by_patch([{"op": "add", "path": "", "value": {"data": {"a": "c2VjcmV0"}}}], secret=True),
    ],
)
def test_values_of_secrets_are_hidden(found: Any) -> None:
    """That they changed is told, what they are is not."""
    assert found
    assert all({change.old, change.new} <= {None, HIDDEN} for change in found)


def test_a_copy_in_an_annotation_is_no_change() -> None:
    """kubectl apply keeps all that was applied, secrets too, in an annotation: it says nothing new."""
    applied = {"metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": '{"data":"secret"}'}}}
    assert not changes({"metadata": {}}, applied)
    assert not set_by_patch(applied)
    assert not changes({}, applied)


@given(OBJECTS, OBJECTS)
def test_no_change_if_and_only_if_the_versions_are_equal(old: Any, new: Any) -> None:
    """Any two versions can be compared, and a version is equal to itself."""
    assert not changes(old, old)
    assert (changes(old, new) == []) <= (_stripped(old) == _stripped(new))
    set_by_patch(new, old)


def _stripped(value: Any) -> Any:
    """Leave out what is empty: null is no value, and an object without members says nothing."""
    if isinstance(value, dict):
        kept = {key: _stripped(member) for key, member in value.items()}
        return {key: member for key, member in kept.items() if member not in (None, {})}
    return [value, type(value).__name__] if isinstance(value, bool | int) else value
