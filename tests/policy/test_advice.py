from __future__ import annotations

import json
from typing import Any

import pytest

from decklog.policy.advice import tell
from decklog.policy.binding import bind
from decklog.policy.json_tree import read_json
from decklog.policy.releases import parse_release
from decklog.policy.schema import policy_schema


def advice(rule: dict[str, Any]) -> list[str]:
    root = read_json(json.dumps({"rules": [rule]}).encode()).root
    return [tell(issue, parse_release("1.37")) for issue in bind(root, policy_schema()).issues]


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("Level", "level"),
        ("user", "users"),
        ("usergroup", "userGroups"),
        ("user_groups", "userGroups"),
        ("verb", "verbs"),
        ("resource", "resources"),
        ("namespace", "namespaces"),
        ("nonResourceURL", "nonResourceURLs"),
        ("nonResourceUrls", "nonResourceURLs"),
        ("omitstage", "omitStages"),
        ("omit_managed_fields", "omitManagedFields"),
    ],
)
def test_did_you_mean(key: str, meant: str) -> None:
    """A field that is nearly one is told with the one that it nearly is."""
    assert advice({key: []}) == [f"{key!r} is not a field of a rule: did you mean {meant!r}?"]


@pytest.mark.parametrize("key", ["group", "resourceNames"])
def test_misplaced(key: str) -> None:
    """A field that belongs elsewhere is told with where."""
    assert advice({key: "x"})[0].endswith("it belongs to an entry of resources: write resources: [{group: …}]")


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ({"level": 1}, "'1' is a number here, and a string is wanted: quote it, \"1\""),
        ({"level": True}, "'true' is a boolean here, and a string is wanted: quote it, \"true\""),
        ({"level": {}}, "a string is wanted, not a mapping"),
        ({"verbs": "get"}, "a list is wanted, not a string: write ['get']"),
        ({"verbs": 1}, "a list is wanted, not a number: write ['1']"),
        ({"resources": {"group": "apps"}}, "a list is wanted, not a mapping: begin each item with '- '"),
        ({"resources": ["pods"]}, "a mapping is wanted, not a string; its fields are group, resources, resourceNames"),
        ({"omitManagedFields": "yes"}, "true or false is wanted, not a string: write it without quotes"),
        ({"omitManagedFields": 1}, "true or false is wanted, not a number"),
        ({"omitManagedFields": []}, "true or false is wanted, not a list"),
    ],
)
def test_wrong_types(rule: dict[str, Any], text: str) -> None:
    """A value of a wrong type is told with what is wanted, and how to write it."""
    assert advice(rule) == [text]
