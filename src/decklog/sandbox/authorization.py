"""Authorization: may this user do that? Answered from the roles and bindings in the store, as RBAC does.

Lives here: the question, the verdict with its reason (which lands in the audit log), the walk over bindings, and the
rule that nobody may hand out what they do not have.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from decklog.sandbox import resources as known
from decklog.sandbox.documents import dicts, text, texts
from decklog.sandbox.rbac import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from decklog.audit.attributes import Attributes
    from decklog.audit.event import User
    from decklog.sandbox.objects import Object
    from decklog.sandbox.store import Store

PARTS_LIMIT: Final = 10_000
"""How many single permissions of a role are looked at; a larger role can be granted by whoever may do everything."""

_MASTERS: Final = "system:masters"


@dataclass(frozen=True, slots=True)
class Question:
    """What somebody wants to do: a verb on a resource, or on a path."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    """Set for what is not a resource."""

    @classmethod
    def of(cls, attributes: Attributes) -> Question:
        """Ask about a request."""
        if not attributes.resource_request:
            return cls(attributes.verb, path=attributes.path)
        return cls(
            attributes.verb,
            attributes.api_group,
            attributes.resource,
            attributes.subresource,
            attributes.namespace,
            attributes.name,
        )

    @property
    def full_resource(self) -> str:
        """``pods/log``."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer, with the reason that kube-apiserver would give; a denial mostly has none."""

    allowed: bool
    reason: str = ""


class Authorizer:
    """Decides from the RBAC objects of a store, at the time of the question."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def decide(self, user: User, question: Question) -> Verdict:
        """Answer whether `user` may; the first binding that allows it is the reason."""
        if _MASTERS in user.groups:
            return Verdict(allowed=True)
        for rules, reason in self._grants(user, question.namespace):
            if any(_covers(rule, question) for rule in rules):
                return Verdict(allowed=True, reason=reason)
        return Verdict(allowed=False)

    def rules_for(self, user: User, namespace: str) -> list[Rule]:
        """List every rule that holds for `user` in a namespace."""
        if _MASTERS in user.groups:
            return [Rule(("*",), ("*",), ("*",)), Rule(("*",), paths=("*",))]
        return [rule for rules, _ in self._grants(user, namespace) for rule in rules]

    def missing(self, user: User, rules: Sequence[Rule], namespace: str) -> list[Rule]:
        """List the parts of `rules` that `user` does not have: they may not be granted by that user."""
        held = self.rules_for(user, namespace)
        parts = list(islice((part for rule in rules for part in _parts(rule)), PARTS_LIMIT + 1))
        if len(parts) > PARTS_LIMIT:
            return [] if Rule(("*",), ("*",), ("*",)) in held else list(rules)
        return [part for part in parts if not any(_includes(rule, part) for rule in held)]

    def role_rules(self, reference: Any, namespace: str) -> list[Rule]:
        """Read the rules of the role that a ``roleRef`` names; none if there is no such role."""
        if text(reference, "kind") == "ClusterRole":
            role = self._store.get(known.CLUSTER_ROLES, "", text(reference, "name"))
        else:
            role = self._store.get(known.ROLES, namespace, text(reference, "name"))
        return [] if role is None else rules_of(role)

    def _grants(self, user: User, namespace: str) -> Iterator[tuple[list[Rule], str]]:
        for binding in self._store.objects(known.CLUSTER_ROLE_BINDINGS):
            yield from self._granted(user, binding, "")
        if namespace:
            for binding in self._store.objects(known.ROLE_BINDINGS, namespace):
                yield from self._granted(user, binding, namespace)

    def _granted(self, user: User, binding: Object, namespace: str) -> Iterator[tuple[list[Rule], str]]:
        subject = next((s for s in dicts(binding, "subjects") if _is_subject(s, user, namespace)), None)
        if subject is None:
            return
        role = binding.get("roleRef")
        name = text(binding, "metadata", "name")
        bound = f'{binding["kind"]} "{name}/{namespace}"' if namespace else f'{binding["kind"]} "{name}"'
        reason = (
            f'RBAC: allowed by {bound} of {text(role, "kind")} "{text(role, "name")}" to {_shown(subject, namespace)}'
        )
        yield self.role_rules(role, namespace), reason


def rules_of(role: Object) -> list[Rule]:
    """Read the rules of a Role or ClusterRole."""
    return [
        Rule(
            tuple(texts(rule, "verbs")),
            tuple(texts(rule, "apiGroups")),
            tuple(texts(rule, "resources")),
            tuple(texts(rule, "nonResourceURLs")),
            tuple(texts(rule, "resourceNames")),
        )
        for rule in dicts(role, "rules")
    ]


def _is_subject(subject: dict[str, Any], user: User, namespace: str) -> bool:
    name = text(subject, "name")
    match text(subject, "kind"):
        case "User":
            return name == user.username
        case "Group":
            return name in user.groups
        case "ServiceAccount":
            home = text(subject, "namespace") or namespace
            return user.username == f"system:serviceaccount:{home}:{name}"
        case _:
            return False


def _shown(subject: dict[str, Any], namespace: str) -> str:
    kind, name = text(subject, "kind"), text(subject, "name")
    return (
        f'{kind} "{name}/{text(subject, "namespace") or namespace}"' if kind == "ServiceAccount" else f'{kind} "{name}"'
    )


def _covers(rule: Rule, question: Question) -> bool:
    if not _has(rule.verbs, question.verb):
        return False
    if question.path:
        return any(_path_matches(pattern, question.path) for pattern in rule.paths)
    return (
        _has(rule.groups, question.group)
        and _resource_matches(rule.resources, question.full_resource, question.subresource)
        and (not rule.names or question.name in rule.names)
    )


def _has(allowed: tuple[str, ...], wanted: str) -> bool:
    return "*" in allowed or wanted in allowed


def _path_matches(pattern: str, path: str) -> bool:
    return pattern in {"*", path} or (pattern.endswith("*") and path.startswith(pattern[:-1]))


def _resource_matches(allowed: tuple[str, ...], resource: str, subresource: str) -> bool:
    return _has(allowed, resource) or (bool(subresource) and f"*/{subresource}" in allowed)


def _parts(rule: Rule) -> Iterator[Rule]:
    """Take a rule apart into its single permissions, so that each can be looked for by itself."""
    for verb in rule.verbs:
        yield from (Rule((verb,), paths=(path,)) for path in rule.paths)
        for group in rule.groups:
            for resource in rule.resources:
                single = Rule((verb,), (group,), (resource,))
                yield from (replace(single, names=(name,)) for name in rule.names) if rule.names else (single,)


def _includes(held: Rule, part: Rule) -> bool:
    if not _has(held.verbs, part.verbs[0]):
        return False
    if part.paths:
        return any(_path_matches(pattern, part.paths[0]) for pattern in held.paths)
    resource = part.resources[0]
    return (
        _has(held.groups, part.groups[0])
        and _resource_matches(held.resources, resource, resource.partition("/")[2])
        and (not held.names or (bool(part.names) and part.names[0] in held.names))
    )
