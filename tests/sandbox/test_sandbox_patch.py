from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decklog.sandbox.documents import Malformed, copied
from decklog.sandbox.patch import Rejected, json_patch, merge_patch

VALUES = st.recursive(
    st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=4), VALUES, max_size=4)


@pytest.mark.parametrize(
    ("target", "patch", "expected"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c"], ["c"]),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch_examples(target: Any, patch: Any, expected: Any) -> None:
    """The examples of RFC 7386 come out as it says."""
    assert merge_patch(target, patch) == expected


@given(target=OBJECTS, patch=OBJECTS)
def test_merge_patch_is_idempotent_and_changes_no_argument(target: Any, patch: Any) -> None:
    """Merging twice is merging once, an empty patch is none, and neither argument is touched."""
    before = copied(target), copied(patch)
    once = merge_patch(target, patch)
    assert merge_patch(once, patch) == once
    assert merge_patch(target, {}) == target
    assert (target, patch) == before


@pytest.mark.parametrize(
    ("target", "operations", "expected"),
    [
        ({"a": 1}, [{"op": "add", "path": "/b", "value": 2}], {"a": 1, "b": 2}),
        ({"a": [1, 3]}, [{"op": "add", "path": "/a/1", "value": 2}], {"a": [1, 2, 3]}),
        ({"a": [1]}, [{"op": "add", "path": "/a/-", "value": 2}], {"a": [1, 2]}),
        ({"a": 1}, [{"op": "add", "path": "", "value": {"b": 2}}], {"b": 2}),
        ({"a": 1, "b": 2}, [{"op": "remove", "path": "/a"}], {"b": 2}),
        ({"a": [1, 2]}, [{"op": "remove", "path": "/a/0"}], {"a": [2]}),
        ({"a": 1}, [{"op": "replace", "path": "/a", "value": 2}], {"a": 2}),
        ({"a": [1]}, [{"op": "replace", "path": "/a/0", "value": 2}], {"a": [2]}),
        ({"a": {"b": 1}}, [{"op": "move", "from": "/a/b", "path": "/c"}], {"a": {}, "c": 1}),
        ({"a": [1, 2, 3]}, [{"op": "move", "from": "/a/0", "path": "/a/2"}], {"a": [2, 3, 1]}),
        ({"a": {"b": 1}}, [{"op": "copy", "from": "/a", "path": "/c"}], {"a": {"b": 1}, "c": {"b": 1}}),
        ({"a/b": {"~": 1}}, [{"op": "replace", "path": "/a~1b/~0", "value": 2}], {"a/b": {"~": 2}}),
        ({"a": 1}, [{"op": "test", "path": "/a", "value": 1}], {"a": 1}),
        ({"a": [{"b": None}]}, [{"op": "test", "path": "/a", "value": [{"b": None}]}], {"a": [{"b": None}]}),
    ],
)
def test_json_patch_examples(target: Any, operations: Any, expected: Any) -> None:
    """Every operation of RFC 6902 does what it says, and the target is not touched."""
    before = copied(target)
    assert json_patch(target, operations) == expected
    assert target == before


@pytest.mark.parametrize(
    "operations",
    [
        [{"op": "remove", "path": "/nope"}],
        [{"op": "replace", "path": "/nope", "value": 1}],
        [{"op": "add", "path": "/nope/x", "value": 1}],
        [{"op": "add", "path": "/list/9", "value": 1}],
        [{"op": "add", "path": "/list/01", "value": 1}],
        [{"op": "add", "path": "/a/b", "value": 1}],
        [{"op": "test", "path": "/a", "value": True}],
        [{"op": "test", "path": "/list", "value": [1]}],
        [{"op": "move", "from": "/list", "path": "/list/0"}],
        [{"op": "remove", "path": ""}],
        [{"op": "copy", "from": "/list", "path": "/list/-"}] * 40,
    ],
    ids=lambda operations: f"{operations[0]['op']} {operations[0]['path']}",
)
def test_json_patches_that_do_not_fit(operations: Any) -> None:
    """A path that leads nowhere, a failed test (1 is not true), or endless copies are rejected."""
    with pytest.raises(Rejected):
        json_patch({"a": 1, "list": [1, 2]}, operations)


@pytest.mark.parametrize(
    "operations",
    [
        {},
        [1],
        [{"op": "fly", "path": "/a"}],
        [{"op": "add", "path": "a", "value": 1}],
        [{"op": "add", "path": "/a"}],
        [{}],
    ],
)
def test_json_patches_that_cannot_be_read(operations: Any) -> None:
    """What is no list of operations is malformed."""
    with pytest.raises(Malformed):
        json_patch({"a": 1}, operations)
