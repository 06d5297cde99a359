"""Policy, Rule, GroupResources: what a policy file says, as frozen values in Python's spelling.

An absent list and an empty one mean the same (spec §1.3), so both are the empty tuple. `level` and `omit_stages` are
texts: a value can be built that `validate` then finds fault with, as the conformance tables do. What `reader` hands out
has been validated; its levels are members of `Level`.

Only this module and `schema` know Kubernetes' spelling of the fields.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from decklog.audit.event import Level

if TYPE_CHECKING:
    from collections.abc import Mapping


class GroupResources(Struct, frozen=True):
    """Resources of one API group (spec §1.3, §3)."""

    group: str = ""
    """Without a version; empty: the core group; ``*``: every group (since Kubernetes 1.36)."""
    resources: tuple[str, ...] = ()
    """``pods``, ``pods/log``, ``pods/*`` (pods and all their subresources), ``*/scale``, ``*``; empty: all."""
    resource_names: tuple[str, ...] = ()
    """Names of objects; a request that names none (create, list) has the name ````. Empty: any."""


class Rule(Struct, frozen=True):
    """One rule; every list that is not empty has to match (spec §3)."""

    level: str
    users: tuple[str, ...] = ()
    user_groups: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()
    resources: tuple[GroupResources, ...] = ()
    namespaces: tuple[str, ...] = ()
    """An empty string stands for requests without a namespace: cluster-scoped objects and lists over all namespaces."""
    non_resource_urls: tuple[str, ...] = ()
    omit_stages: tuple[str, ...] = ()
    """Added to the policy's own."""
    omit_managed_fields: bool | None = None
    """None: as the policy says."""


class Policy(Struct, frozen=True):
    """An audit policy: the first rule that matches decides (spec §3)."""

    rules: tuple[Rule, ...] = ()
    omit_stages: tuple[str, ...] = ()
    omit_managed_fields: bool = False


def policy_from(fields: Mapping[str, Any]) -> Policy:
    """Make a Policy of a policy object's fields in Kubernetes' spelling, each of its right type or None.

    Nothing is validated: that is what `validate` is for.
    """
    return Policy(
        rules=tuple(_rule_from(rule) for rule in fields.get("rules") or ()),
        omit_stages=tuple(fields.get("omitStages") or ()),
        omit_managed_fields=bool(fields.get("omitManagedFields")),
    )


def _rule_from(fields: Mapping[str, Any]) -> Rule:
    return Rule(
        level=_level_from(fields.get("level") or ""),
        users=tuple(fields.get("users") or ()),
        user_groups=tuple(fields.get("userGroups") or ()),
        verbs=tuple(fields.get("verbs") or ()),
        resources=tuple(_resources_from(entry) for entry in fields.get("resources") or ()),
        namespaces=tuple(fields.get("namespaces") or ()),
        non_resource_urls=tuple(fields.get("nonResourceURLs") or ()),
        omit_stages=tuple(fields.get("omitStages") or ()),
        omit_managed_fields=fields.get("omitManagedFields"),
    )


def _resources_from(fields: Mapping[str, Any]) -> GroupResources:
    return GroupResources(
        group=fields.get("group") or "",
        resources=tuple(fields.get("resources") or ()),
        resource_names=tuple(fields.get("resourceNames") or ()),
    )


def _level_from(text: str) -> str:
    try:
        return Level(text)
    except ValueError:
        return text


def to_json(policy: Policy, metadata: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Give the policy as kube-apiserver would write it: key order and presence of spec §1.3.

    `metadata` is the object's own, which a Policy does not keep (`reader.Loaded` does).
    """
    shown: dict[str, Any] = {
        "kind": "Policy",
        "apiVersion": "audit.k8s.io/v1",
        "metadata": dict(metadata or {}),
        "rules": [_rule_to_json(rule) for rule in policy.rules] or None,
    }
    if policy.omit_stages:
        shown["omitStages"] = list(policy.omit_stages)
    if policy.omit_managed_fields:
        shown["omitManagedFields"] = True
    return shown


def _rule_to_json(rule: Rule) -> dict[str, Any]:
    shown: dict[str, Any] = {"level": str(rule.level)}
    lists = {
        "users": rule.users,
        "userGroups": rule.user_groups,
        "verbs": rule.verbs,
        "resources": [_resources_to_json(entry) for entry in rule.resources],
        "namespaces": rule.namespaces,
        "nonResourceURLs": rule.non_resource_urls,
        "omitStages": rule.omit_stages,
    }
    shown |= {key: list(value) for key, value in lists.items() if value}
    if rule.omit_managed_fields is not None:
        shown["omitManagedFields"] = rule.omit_managed_fields
    return shown


def _resources_to_json(entry: GroupResources) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    if entry.group:
        shown["group"] = entry.group
    if entry.resources:
        shown["resources"] = list(entry.resources)
    if entry.resource_names:
        shown["resourceNames"] = list(entry.resource_names)
    return shown
