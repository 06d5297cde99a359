"""Described: what a rule matches, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from decklog.policy.lint.remarks import listed
from decklog.policy.wording import shown

if TYPE_CHECKING:
    from decklog.policy.rules import GroupResources, Rule


def described(rule: Rule) -> str:
    """Say what a rule matches: ``get of all resources of the group 'apps' in namespace 'shop'``."""
    said = [listed(_shown(rule.verbs)) if rule.verbs else "every request", _what(rule)]
    if rule.namespaces:
        said.append(f"in {listed(_shown(rule.namespaces))}")
    if rule.users:
        said.append(f"by {listed(_shown(rule.users))}")
    if rule.user_groups:
        said.append(f"by the groups {listed(_shown(rule.user_groups))}")
    return " ".join(filter(None, said))


def _what(rule: Rule) -> str:
    if rule.resources:
        return "for " + listed([entry_described(entry) for entry in rule.resources])
    if rule.non_resource_urls:
        return "for " + listed(_shown(rule.non_resource_urls))
    return "for resources" if rule.namespaces else ""


def entry_described(entry: GroupResources) -> str:
    """Say what an entry of resources stands for: ``all of the group 'apps'``."""
    group = f"the group {shown(entry.group)}" if entry.group else "the core group"
    if not entry.resources:
        return f"all of {group}"
    names = f" named {listed(_shown(entry.resource_names))}" if entry.resource_names else ""
    return f"{listed(entry.resources)} of {group}{names}"


def _shown(words: tuple[str, ...]) -> list[str]:
    return [shown(word) for word in words]
