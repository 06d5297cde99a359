from __future__ import annotations

import msgspec
import pytest

from decklog.audit.event import Level
from decklog.policy.rules import GroupResources, Policy, Rule, policy_from, to_json

WHOLE = {
    "kind": "Policy",
    "apiVersion": "audit.k8s.io/v1",
    "metadata": {"name": "main"},
    "rules": [
        {
            "level": "Request",
            "users": ["jane"],
            "userGroups": ["dev"],
            "verbs": ["get"],
            "resources": [{"group": "apps", "resources": ["deployments"], "resourceNames": ["web"]}, {}],
            "namespaces": ["", "shop"],
            "omitStages": ["Panic"],
            "omitManagedFields": False,
        },
        {"level": "None", "nonResourceURLs": ["/healthz*"]},
    ],
    "omitStages": ["RequestReceived"],
    "omitManagedFields": True,
}


def test_there_and_back() -> None:
    """A policy object's fields become a Policy, and the Policy the same object, keys in kube-apiserver's order."""
    shown = to_json(policy_from(WHOLE), {"name": "main"})
    assert msgspec.json.encode(shown) == msgspec.json.encode(WHOLE)


def test_nothing_said() -> None:
    """An empty policy shows its kind, version, metadata and rules, which are null."""
    assert to_json(Policy()) == {"kind": "Policy", "apiVersion": "audit.k8s.io/v1", "metadata": {}, "rules": None}
    assert policy_from({}) == Policy()


def test_absent_null_and_empty_are_one() -> None:
    """A list that is absent, null or empty says the same, and is not shown."""
    expected = Policy((Rule("Metadata"),))
    for rule in ({"level": "Metadata"}, {"level": "Metadata", "users": None}, {"level": "Metadata", "users": []}):
        assert policy_from({"rules": [rule]}) == expected
    assert to_json(expected)["rules"] == [{"level": "Metadata"}]


def test_levels() -> None:
    """A known level is a member of Level; another one is kept as it is, for `validate` to find."""
    known, unknown, missing = policy_from({"rules": [{"level": "None"}, {"level": "none"}, {}]}).rules
    assert known.level is Level.NONE
    assert unknown.level == "none"
    assert missing.level == ""


def test_frozen() -> None:
    """A policy cannot be changed, and can be a key."""
    policy = Policy((Rule("None", resources=(GroupResources(),)),))
    with pytest.raises(AttributeError):
        policy.rules[0].level = "Metadata"  # type: ignore[misc]  # because: that it is refused is what is tested
    assert len({policy, Policy((Rule("None", resources=(GroupResources(),)),))}) == 1
