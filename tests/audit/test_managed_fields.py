from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from decklog.audit.managed_fields import without_managed_fields
from decklog.recorder.objects import drop_managed_fields

FIELDS = [{"manager": "kubectl", "fieldsV1": {"f:spec": {"managedFields": 1}}}]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"metadata":{"managedFields":[1],"name":"a"}}', '{"metadata":{"name":"a"}}'),
        ('{"metadata":{"name":"a","managedFields":[1]}}', '{"metadata":{"name":"a"}}'),
        ('{"metadata":{"managedFields":[1]},"x":"<"}', '{"metadata":{},"x":"<"}'),
        ('{"spec":{"managedFields":[1]}}', '{"spec":{"managedFields":[1]}}'),
        (
            '{"metadata":{"managedFields":[1]},"spec":{"managedFields":[1]}}',
            '{"metadata":{},"spec":{"managedFields":[1]}}',
        ),
        (
            '{"items":[{"metadata":{"managedFields":[1]}},{"metadata":{}}]}',
            '{"items":[{"metadata":{}},{"metadata":{}}]}',
        ),
        ('{"rows":[{"object":{"metadata":{"managedFields":[1]}}}]}', '{"rows":[{"object":{"metadata":{}}}]}'),
        ('{"metadata": {"managedFields": [1]}, "a": 1}', '{"metadata":{},"a":1}'),
        ('{"metadata":"managedFields"}', '{"metadata":"managedFields"}'),
        ('["managedFields"]', '["managedFields"]'),
        ('{"metadata":{"managedFields":[1]},"\\u003c":"\\ud800"}', '{"metadata":{},"\\u003c":"\\ud800"}'),
    ],
)
def test_they_go_and_the_rest_keeps_its_bytes(before: str, after: str) -> None:
    """Fields of metadata go, at each place where an object stands, and nothing of that name elsewhere."""
    assert without_managed_fields(before.encode()).decode() == after


NAMES = st.sampled_from(["metadata", "managedFields", "items", "rows", "object", "a"])
OBJECTS = st.recursive(
    st.sampled_from([None, 1, "managedFields", "x"]),
    lambda inner: st.dictionaries(NAMES, inner, max_size=4) | st.lists(inner, max_size=3),
    max_leaves=12,
)


@given(OBJECTS)
def test_it_agrees_with_the_recorder(value: Any) -> None:
    """What is taken out after the fact is what is left out when recording."""
    raw = json.dumps(value, separators=(",", ":")).encode()
    ours = without_managed_fields(raw)
    assert json.loads(ours) == json.loads(bytes(drop_managed_fields(Raw(raw))))
