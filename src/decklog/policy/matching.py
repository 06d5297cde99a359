"""What it means that a rule matches a request: spec §3, written to be read aloud.

This is the slow way, one rule after another. `evaluator` gives the same answers from an index and shares no code with
it, so that each proves the other; whoever wants to *explain* a decision rule by rule asks here.

Comparisons are exact and mind case. ``*`` means something in resources, groups and non-resource URLs only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from decklog.audit.decision import Decision
from decklog.audit.event import Level

if TYPE_CHECKING:
    from decklog.audit.attributes import Attributes
    from decklog.audit.event import User
    from decklog.policy.rules import GroupResources, Policy, Rule


def first_match(policy: Policy, attributes: Attributes, user: User | None) -> Decision:
    """Decide by the first rule that matches, also when its level is None; without one, the level is None."""
    index = matching_rule(policy, attributes, user)
    if index is None:
        return Decision(Level.NONE, frozenset(policy.omit_stages), policy.omit_managed_fields)
    rule = policy.rules[index]
    return Decision(
        level=Level(rule.level),
        omit_stages=frozenset(policy.omit_stages) | frozenset(rule.omit_stages),
        omit_managed_fields=(
            policy.omit_managed_fields if rule.omit_managed_fields is None else rule.omit_managed_fields
        ),
        rule=index,
    )


def matching_rule(policy: Policy, attributes: Attributes, user: User | None) -> int | None:
    """Give the index of the first rule that matches."""
    return next((index for index, rule in enumerate(policy.rules) if matches(rule, attributes, user)), None)


def matches(rule: Rule, attributes: Attributes, user: User | None) -> bool:
    """Whether `rule` matches; `user` is the authenticated one, None where there is none."""
    if rule.users and (user is None or user.username not in rule.users):
        return False
    if rule.user_groups and (user is None or not any(group in rule.user_groups for group in user.groups)):
        return False
    if rule.verbs and attributes.verb not in rule.verbs:
        return False
    if rule.namespaces or rule.resources:
        return matches_resource(rule, attributes)
    if rule.non_resource_urls:
        return matches_url(rule, attributes)
    return True


def matches_resource(rule: Rule, attributes: Attributes) -> bool:
    """Whether the rule's namespaces and resources match; a non-resource request never does."""
    if not attributes.resource_request:
        return False
    if rule.namespaces and attributes.namespace not in rule.namespaces:
        return False
    return not rule.resources or any(_entry_matches(entry, attributes) for entry in rule.resources)


def _entry_matches(entry: GroupResources, attributes: Attributes) -> bool:
    if entry.group not in {attributes.api_group, "*"}:
        return False
    if not entry.resources:
        return True  # the whole group; resourceNames are not looked at
    if entry.resource_names and attributes.name not in entry.resource_names:
        return False
    return any(_resource_matches(spec, attributes) for spec in entry.resources)


def _resource_matches(spec: str, attributes: Attributes) -> bool:
    resource, subresource = attributes.resource, attributes.subresource
    if spec in {"*", f"{resource}/{subresource}" if subresource else resource}:
        return True
    if subresource and spec.startswith("*/") and spec[2:] == subresource:
        return True
    return spec.endswith("/*") and spec[:-2] == resource  # "pods/*" is plain pods, too


def matches_url(rule: Rule, attributes: Attributes) -> bool:
    """Whether one of the rule's non-resource URLs matches the decoded path; a resource request never does."""
    return not attributes.resource_request and any(
        _url_matches(spec, attributes.path) for spec in rule.non_resource_urls
    )


def _url_matches(spec: str, path: str) -> bool:
    if spec in {"*", path}:
        return True
    return spec.endswith("*") and path.startswith(spec.rstrip("*"))
