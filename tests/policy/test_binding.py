from __future__ import annotations

import json
from typing import Any

import pytest

from decklog.policy.binding import Problem, bind
from decklog.policy.json_tree import read_json
from decklog.policy.schema import internal_schema, policy_schema


def bound(written: Any) -> Any:
    text = written if isinstance(written, str) else json.dumps(written)
    return bind(read_json(text.encode()).root, policy_schema())


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ('{"rules":[{"level":"None"}]}', {"rules": [{"level": "None"}]}),
        ('{"rules":[null,{}]}', {"rules": [{}, {}]}),
        ('{"omitStages":[null]}', {"omitStages": [""]}),
        ('{"omitStages":["a"],"omitStages":null}', {"omitStages": None}),
        ('{"kind":"a","kind":null}', {"kind": "a"}),
        ('{"omitManagedFields":true,"omitManagedFields":null}', {"omitManagedFields": True}),
        (
            '{"rules":[{"omitManagedFields":true}],"rules":[{"omitManagedFields":null}]}',
            {"rules": [{"omitManagedFields": None}]},
        ),
        # Decoded into what is there, index by index, and cut to the length of the last
        ('{"omitStages":["a","b"],"omitStages":["c"]}', {"omitStages": ["c"]}),
        ('{"omitStages":["a","b"],"omitStages":[null,"c"]}', {"omitStages": ["a", "c"]}),
        (
            '{"metadata":{"labels":{"a":"1"}},"metadata":{"name":"n","labels":{"b":"2"}}}',
            {"metadata": {"labels": {"a": "1", "b": "2"}, "name": "n"}},
        ),
        # A wrong type leaves what is there
        ('{"kind":"a","kind":1,"rules":{}}', {"kind": "a", "rules": None}),
        ('{"omitStages":["a",1,{}]}', {"omitStages": ["a", "", ""]}),
        (
            '{"metadata":{"generation":7,"deletionGracePeriodSeconds":null,"managedFields":[{"fieldsV1":{"f:x":[1]}}]}}',
            {
                "metadata": {
                    "generation": 7,
                    "deletionGracePeriodSeconds": None,
                    "managedFields": [{"fieldsV1": {"f:x": [1]}}],
                }
            },
        ),
    ],
)
def test_fields(text: str, fields: Any) -> None:
    """A document's fields are what Go's decoder makes of them, nulls, duplicates and wrong types included."""
    assert bound(text).fields == fields


@pytest.mark.parametrize(
    ("written", "issues"),
    [
        ({"a": 1, "rules": [{"b": 1}]}, [(Problem.UNKNOWN, "a"), (Problem.UNKNOWN, "rules[0].b")]),
        (
            '{"kind":"","kind":"","x":1,"x":2}',
            [(Problem.DUPLICATE, "kind"), (Problem.UNKNOWN, "x"), (Problem.UNKNOWN, "x")],
        ),
        ({"rules": [1, {"users": [1]}]}, [(Problem.TYPE, "rules[0]"), (Problem.TYPE, "rules[1].users[0]")]),
        ({"metadata": {"creationTimestamp": 1}}, [(Problem.TIME, "metadata.creationTimestamp")]),
        ({"metadata": {"creationTimestamp": None, "generation": 2**63}}, [(Problem.TYPE, "metadata.generation")]),
        ({"metadata": {"generation": True}}, [(Problem.TYPE, "metadata.generation")]),
        ('{"metadata":{"labels":{"a":"","a":""}}}', [(Problem.DUPLICATE, "metadata.labels.a")]),
        ([], [(Problem.TYPE, "")]),
    ],
)
def test_issues(written: Any, issues: list[tuple[Problem, str]]) -> None:
    """What does not fit is told in the order of the document, by its path."""
    assert [(issue.problem, issue.path) for issue in bound(written).issues] == issues


def test_internal_spelling() -> None:
    """Kubernetes' internal type is spelled as in Go, the metadata's fields among its own."""
    text = '{"Rules":[{"Level":"None","NonResourceURLs":[],"Resources":[{"Group":""}]}],"name":"x","OmitStages":[]}'
    assert bind(read_json(text.encode()).root, internal_schema()).issues == []
    text = '{"rules":[],"metadata":{},"Rules":[{"level":"None","Users":[1]}]}'
    assert [issue.reference for issue in bind(read_json(text.encode()).root, internal_schema()).issues] == [
        'unknown field "rules"',
        'unknown field "metadata"',
        'unknown field "Rules[0].level"',
        "json: cannot unmarshal number into Go struct field PolicyRule.Rules.Users of type string",
    ]
