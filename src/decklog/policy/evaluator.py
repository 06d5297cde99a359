"""Evaluator: a policy compiled to an index; the request path asks it once a request.

What a request is about, (group, resource, subresource, verb) or (path, verb), selects the rules that can match at all.
That selection is made once a key and kept: the rules up to the first that needs no further look at the request, each
with what is left to ask (user, groups, namespace, name). Most keys leave little to ask. `matching` says the same in
words; a property test holds the two equal.

The keys are chosen by whoever sends requests, so the memory that they may take is bounded: `KEPT_KEYS` keys a kind, of
at most `KEPT_KEY_LENGTH` characters. When they are full they are all dropped. That costs a sender of invented resources
thousands of requests, and everybody else one slow decision a key; keeping the first ones instead would let a flood lock
the honest out for good.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from decklog.audit.decision import Decision
from decklog.audit.event import Level

if TYPE_CHECKING:
    from collections.abc import Iterable

    from decklog.audit.attributes import Attributes
    from decklog.audit.event import User
    from decklog.policy.rules import GroupResources, Policy, Rule

    Strings = frozenset[str]
    Condition = tuple[Strings | None, Strings | None, Strings | None, Strings | None, Decision]
    """Users, groups, namespaces and names to ask for (None: any), and what it then is."""
    Selection = tuple[tuple[Condition, ...], Decision]
    """What is left to ask, in order, and what it is when none of it holds."""

KEPT_KEYS: Final = 4096
KEPT_KEY_LENGTH: Final = 512

_Key = TypeVar("_Key", bound=tuple[str, ...])
_ANY_NAME: Final = None
_NO_NAME: Final[frozenset[str]] = frozenset()


class Evaluator:
    """Decides by the first rule that matches (spec §3). Reads the policy, never changes it.

    Decisions are made here, once a rule, and shared by all requests. `decide` may be called from several threads: a
    selection is a value, and two threads that make the same one put equal ones.
    """

    __slots__ = ("_by_path", "_by_resource", "_otherwise", "_rules")

    def __init__(self, policy: Policy) -> None:
        """Compile a validated policy; a level that does not exist is a ValueError."""
        self._rules = [_CompiledRule(policy, index) for index in range(len(policy.rules))]
        self._otherwise = Decision(Level.NONE, frozenset(policy.omit_stages), policy.omit_managed_fields)
        self._by_resource: dict[tuple[str, str, str, str], Selection] = {}
        self._by_path: dict[tuple[str, str], Selection] = {}

    def decide(self, attributes: Attributes, user: User | None) -> Decision:
        """Decide on one request; `user` is the authenticated one, None where there is none."""
        # Flat and without helpers: this is the request path, where a call costs a third of the whole answer.
        if attributes.resource_request:
            key = (attributes.api_group, attributes.resource, attributes.subresource, attributes.verb)
            try:
                conditions, decision = self._by_resource[key]
            except KeyError:
                conditions, decision = self._select_by_resource(key)
        else:
            url = (attributes.path, attributes.verb)
            try:
                conditions, decision = self._by_path[url]
            except KeyError:
                conditions, decision = self._select_by_path(url)
        for users, groups, namespaces, names, then in conditions:
            if users is not None and (user is None or user.username not in users):
                continue
            if groups is not None and (user is None or groups.isdisjoint(user.groups)):
                continue
            if namespaces is not None and attributes.namespace not in namespaces:
                continue
            if names is not None and attributes.name not in names:
                continue
            return then
        return decision

    def _select_by_resource(self, key: tuple[str, str, str, str]) -> Selection:
        return _keep(self._by_resource, key, self._select(rule.for_resource(*key) for rule in self._rules))

    def _select_by_path(self, key: tuple[str, str]) -> Selection:
        return _keep(self._by_path, key, self._select(rule.for_path(*key) for rule in self._rules))

    def _select(self, candidates: Iterable[Condition | None]) -> Selection:
        conditions: list[Condition] = []
        for condition in candidates:
            if condition is None:
                continue
            if condition[:4] == (None, None, None, None):
                return tuple(conditions), condition[4]
            conditions.append(condition)
        return tuple(conditions), self._otherwise


def _keep(kept: dict[_Key, Selection], key: _Key, selection: Selection) -> Selection:
    if sum(map(len, key)) <= KEPT_KEY_LENGTH:
        if len(kept) >= KEPT_KEYS:
            kept.clear()
        kept[key] = selection
    return selection


class _CompiledRule:
    """One rule, its lists as sets, split by what is known of a key and what is only known of a request."""

    __slots__ = (
        "_conditions",
        "_decision",
        "_entries",
        "_groups",
        "_namespaces",
        "_resources",
        "_urls",
        "_users",
        "_verbs",
    )

    def __init__(self, policy: Policy, index: int) -> None:
        rule = policy.rules[index]
        inherited = policy.omit_managed_fields
        self._decision = Decision(
            level=Level(rule.level),
            omit_stages=frozenset(policy.omit_stages).union(rule.omit_stages),
            omit_managed_fields=inherited if rule.omit_managed_fields is None else rule.omit_managed_fields,
            rule=index,
        )
        self._users = frozenset(rule.users) or None
        self._groups = frozenset(rule.user_groups) or None
        self._verbs = frozenset(rule.verbs) or None
        self._namespaces = frozenset(rule.namespaces) or None
        self._entries = [_CompiledEntry(entry) for entry in rule.resources]
        about_resources = bool(rule.namespaces or rule.resources)
        self._resources = about_resources or not rule.non_resource_urls
        self._urls = _CompiledUrls(rule) if not about_resources else None
        self._conditions: dict[frozenset[str] | None, Condition] = {}

    def for_resource(self, group: str, resource: str, subresource: str, verb: str) -> Condition | None:
        """Give what is left to ask of a request on this resource; None: the rule cannot match."""
        if not self._resources or (self._verbs is not None and verb not in self._verbs):
            return None
        names = self._names(group, resource, subresource) if self._entries else _ANY_NAME
        return None if names is _NO_NAME else self._condition(names)

    def for_path(self, path: str, verb: str) -> Condition | None:
        """Give what is left to ask of a request for this path; None: the rule cannot match."""
        if self._urls is None or (self._verbs is not None and verb not in self._verbs) or not self._urls.match(path):
            return None
        return self._condition(_ANY_NAME)

    def _names(self, group: str, resource: str, subresource: str) -> frozenset[str] | None:
        """Unite the names of all entries that match; None: any name; `_NO_NAME`: no entry matches."""
        found = _NO_NAME
        for entry in self._entries:
            if entry.match(group, resource, subresource):
                if entry.names is _ANY_NAME:
                    return _ANY_NAME
                found = found | entry.names if found else entry.names
        return found

    def _condition(self, names: frozenset[str] | None) -> Condition:
        # Kept by its names, so that the selections of thousands of keys share it.
        condition = self._conditions.get(names)
        if condition is None:
            condition = (self._users, self._groups, self._namespaces, names, self._decision)
            self._conditions[names] = condition
        return condition


class _CompiledEntry:
    """One GroupResources: which of its kinds of wildcard can match is found out once."""

    __slots__ = ("_all", "_exact", "_families", "_group", "_subresources", "names")

    def __init__(self, entry: GroupResources) -> None:
        self._group = None if entry.group == "*" else entry.group
        self._all = not entry.resources or "*" in entry.resources
        self._exact = frozenset(entry.resources)
        self._subresources = frozenset(spec[2:] for spec in entry.resources if spec.startswith("*/"))
        self._families = frozenset(spec[:-2] for spec in entry.resources if spec.endswith("/*"))
        # Names are looked at only together with resources (spec §3), though validation refuses them without.
        self.names = frozenset(entry.resource_names) or None if entry.resources else None

    def match(self, group: str, resource: str, subresource: str) -> bool:
        if self._group is not None and self._group != group:
            return False
        if self._all or resource in self._families:
            return True
        if not subresource:
            return resource in self._exact
        return subresource in self._subresources or f"{resource}/{subresource}" in self._exact


class _CompiledUrls:
    """The non-resource URLs of one rule; a rule about neither kind of request matches every path."""

    __slots__ = ("_all", "_exact", "_prefixes")

    def __init__(self, rule: Rule) -> None:
        specs = rule.non_resource_urls
        self._all = not specs or "*" in specs
        self._exact = frozenset(specs)
        # Without *all* trailing stars (spec §3): validation refuses "/a**", evaluation still has a meaning for it.
        self._prefixes = tuple({spec.rstrip("*") for spec in specs if spec.endswith("*")})

    def match(self, path: str) -> bool:
        return self._all or path in self._exact or path.startswith(self._prefixes)
