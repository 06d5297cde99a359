from __future__ import annotations

from decklog.policy.schema import ListOf, Record, internal_schema, policy_schema


def rule_of(schema: Record, key: str = "rules") -> Record:
    rules = schema.fields[key]
    assert isinstance(rules, ListOf)
    assert isinstance(rules.item, Record)
    return rules.item


def test_fields() -> None:
    """A policy and a rule have the fields of audit.k8s.io/v1."""
    schema = policy_schema()
    assert set(schema.fields) == {"kind", "apiVersion", "metadata", "rules", "omitStages", "omitManagedFields"}
    assert set(rule_of(schema).fields) == {
        *("level", "users", "userGroups", "verbs", "resources", "namespaces", "nonResourceURLs"),
        *("omitStages", "omitManagedFields"),
    }


def test_before_managed_fields() -> None:
    """Before 1.23, neither a policy nor a rule has omitManagedFields."""
    schema = policy_schema(omit_managed_fields=False)
    assert "omitManagedFields" not in schema.fields
    assert "omitManagedFields" not in rule_of(schema).fields


def test_go_names() -> None:
    """The version is in Go's names of the types."""
    assert rule_of(policy_schema("v1beta1")).fields["level"].go == "v1beta1.Level"
    assert rule_of(internal_schema(), "Rules").fields["Level"].go == "audit.Level"
