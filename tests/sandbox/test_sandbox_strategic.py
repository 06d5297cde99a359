from __future__ import annotations

from typing import Any

import pytest

from decklog.sandbox.documents import Malformed, copied
from decklog.sandbox.strategic import strategic_merge


def spec(*containers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {"containers": list(containers), **more}}}}


C, D = {"name": "c", "image": "1"}, {"name": "d", "image": "1"}


@pytest.mark.parametrize(
    ("target", "patch", "expected"),
    [
        (spec(C, D), spec({"name": "d", "image": "2"}), spec(C, {"name": "d", "image": "2"})),
        (spec(C), spec(D), spec(C, D)),
        (spec(C, D), spec({"name": "c", "$patch": "delete"}), spec(D)),
        (spec(C, D), spec({"$patch": "replace"}, {"name": "e"}), spec({"name": "e"})),
        (
            spec(C, D),
            {"spec": {"template": {"spec": {"$setElementOrder/containers": [{"name": "d"}, {"name": "c"}]}}}},
            spec(D, C),
        ),
        (
            spec({**C, "ports": [{"containerPort": 80}]}),
            spec({"name": "c", "ports": [{"containerPort": 80, "name": "http"}, {"containerPort": 81}]}),
            spec({**C, "ports": [{"containerPort": 80, "name": "http"}, {"containerPort": 81}]}),
        ),
        (
            spec({**C, "env": [{"name": "A", "value": "1"}]}),
            spec({"name": "c", "env": [{"name": "A", "value": None}, {"name": "B", "value": "2"}]}),
            spec({**C, "env": [{"name": "A"}, {"name": "B", "value": "2"}]}),
        ),
        (spec(C, tolerations=[1]), spec(tolerations=[2]), spec(C, tolerations=[2])),
        (
            {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}},
            {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}},
            {"spec": {"strategy": {"type": "Recreate"}}},
        ),
        ({"a": {"b": 1, "c": 2}}, {"a": {"$patch": "replace", "d": 3}}, {"a": {"d": 3}}),
        ({"a": {"b": 1}}, {"a": {"$patch": "delete"}}, {"a": {}}),
        ({"a": 1, "b": 2}, {"a": None}, {"b": 2}),
        (
            {"metadata": {"finalizers": ["a", "b"]}},
            {"metadata": {"finalizers": ["c"], "$deleteFromPrimitiveList/finalizers": ["a"]}},
            {"metadata": {"finalizers": ["b", "c"]}},
        ),
        (
            {"spec": {"ports": [{"port": 80, "targetPort": 1}, {"port": 81}]}},
            {"spec": {"ports": [{"port": 80, "targetPort": 2}]}},
            {"spec": {"ports": [{"port": 80, "targetPort": 2}, {"port": 81}]}},
        ),
    ],
    ids=[
        "item by name",
        "new item",
        "delete item",
        "replace list",
        "order",
        "ports of containers",
        "null in item",
        "atomic list",
        "retain keys",
        "replace map",
        "delete map",
        "null",
        "finalizers",
        "ports of services",
    ],
)
def test_strategic_merges(target: Any, patch: Any, expected: Any) -> None:
    """Lists of known items are merged by their keys, directives do what they say, and the target is not touched."""
    before = copied(target)
    assert strategic_merge(target, patch) == expected
    assert target == before


@pytest.mark.parametrize("patch", [[], 1, spec({"image": "x"}), spec({"name": ["x"]}), {"a": {"$patch": "fly"}}])
def test_patches_without_meaning(patch: Any) -> None:
    """An item without its key, an unknown directive, or no object at all is malformed."""
    with pytest.raises(Malformed):
        strategic_merge(spec(C), patch)
