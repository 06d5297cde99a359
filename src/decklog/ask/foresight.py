"""Foresight: whether a policy would have recorded what a question asks for. Three answers: yes, no, and that depends.

A question describes many requests at once, so a rule matches all of them, none, or some; what is not said (the user, a
namespace) may be anything. Rules are gone through in their order, until one matches all; the levels of those that match
some or all are what may be. What a policy compares beyond that (spec §3) is as in `decklog.policy.matching`.

A type without its group (``deploy``) is in the groups in which Kubernetes has it; one that it does not know in any.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from decklog.audit.attributes import Attributes, ResolveError, resolve
from decklog.audit.event import Level
from decklog.audit.query import admits
from decklog.policy.kinds import built_in
from decklog.policy.matching import matches_resource, matches_url
from decklog.policy.rules import GroupResources, Rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from decklog.audit.query import Pattern, Query, ResourcePattern
    from decklog.policy.reader import Loaded

_SERVICE_ACCOUNT: Final = "system:serviceaccount:"
_NODE: Final = "system:node:"
_ANONYMOUS: Final = "system:anonymous"


class _Match(IntEnum):
    NONE = 0
    SOME = 1
    ALL = 2


class Foreseen(Struct, frozen=True):
    """What a policy would have done."""

    levels: tuple[tuple[Level, int | None], ...]
    """What may be: levels, each with the first rule that gives it (None: no rule matches)."""
    text: str

    @property
    def never(self) -> bool:
        """Whether no such request would have been recorded."""
        return all(level is Level.NONE for level, _ in self.levels)

    @property
    def always(self) -> bool:
        """Whether every such request would have been recorded."""
        return all(level is not Level.NONE for level, _ in self.levels)


def foreseen(loaded: Loaded, queries: Sequence[Query], source: str) -> Foreseen:
    """Say what a policy would have done with the requests that the queries ask for; `source` is the policy's name."""
    may: dict[Level, int | None] = {}
    for query in queries:
        for level, rule in _levels(loaded.policy.rules, query):
            may.setdefault(level, rule)
    levels = tuple(may.items())
    stages = _left_out(loaded.policy.omit_stages, queries)
    return Foreseen(((Level.NONE, None),) if stages else levels, stages or _text(levels, loaded, source))


def _left_out(omitted: tuple[str, ...], queries: Sequence[Query]) -> str:
    """Say that the stages asked for are never written."""
    wanted = {pattern.text for query in queries for pattern in query.stages if not (pattern.negated or pattern.prefix)}
    every = all(any(not (p.negated or p.prefix) for p in query.stages) for query in queries)
    return f"the policy omits the stage {' and '.join(sorted(wanted))}" if every and wanted <= set(omitted) else ""


def _levels(rules: Sequence[Rule], query: Query) -> Iterable[tuple[Level, int | None]]:
    for index, rule in enumerate(rules):
        match = _match(rule, query)
        if match is not _Match.NONE:
            yield Level(rule.level), index
        if match is _Match.ALL:
            return
    yield Level.NONE, None


def _text(levels: tuple[tuple[Level, int | None], ...], loaded: Loaded, source: str) -> str:
    said = [f"{level} ({_place(rule, loaded)})" for level, rule in levels]
    if all(level is Level.NONE for level, _ in levels):
        return f"by {source} such a request is not recorded ({_place(levels[0][1], loaded)})"
    if len(levels) == 1:
        return f"by {source} such a request is recorded at level {said[0]}"
    return f"by {source} such a request has, by what else it is, the level {' or '.join(said)}"


def _place(rule: int | None, loaded: Loaded) -> str:
    if rule is None:
        return "no rule matches"
    position = loaded.positions.get(f"rules[{rule}]")
    return f"rule {rule}, line {position.line}" if position else f"rule {rule}"


# One rule


def _match(rule: Rule, query: Query) -> _Match:
    checks = (
        _Match.ALL if not rule.users else _of_texts(query.users, rule.users),
        _Match.ALL if not rule.user_groups else _of_groups(query, frozenset(rule.user_groups)),
        _Match.ALL if not rule.verbs else _of_texts(query.verbs, rule.verbs),
        _of_thing(rule, query),
    )
    return min(checks)


def _of_texts(asked: tuple[Pattern, ...], wants: tuple[str, ...]) -> _Match:
    if not any(admits(asked, text) for text in wants):
        return _Match.NONE
    exact = _literals(asked)
    return _Match.ALL if exact is not None and all(text in wants for text in exact) else _Match.SOME


def _literals(asked: tuple[Pattern, ...]) -> tuple[str, ...] | None:
    """Give the only values that a field may have; None: it may have others."""
    wanted = [pattern for pattern in asked if not pattern.negated]
    if any(pattern.negated and pattern.prefix and not pattern.text for pattern in asked) and not wanted:
        return ("",)
    if not wanted or any(pattern.prefix for pattern in wanted):
        return None
    return tuple(pattern.text for pattern in wanted if admits(asked, pattern.text))


def _of_groups(query: Query, wants: frozenset[str]) -> _Match:
    users = _literals(query.users)
    if users is None or not users:
        return _Match.SOME
    return _common(_of_user(user, wants) for user in users)


def _of_user(user: str, wants: frozenset[str]) -> _Match:
    """Say of a known user whether one of its groups is wanted; of people only one group is known."""
    if user == _ANONYMOUS:
        return _either(wants, {"system:unauthenticated"})
    known = {"system:authenticated"}
    if user.startswith(_SERVICE_ACCOUNT):
        space = user.removeprefix(_SERVICE_ACCOUNT).partition(":")[0]
        return _either(wants, {*known, "system:serviceaccounts", f"system:serviceaccounts:{space}"})
    if user.startswith(_NODE):
        return _either(wants, {*known, "system:nodes"})
    return _Match.ALL if wants & known else _Match.SOME


def _either(wants: frozenset[str], has: set[str]) -> _Match:
    return _Match.ALL if wants & has else _Match.NONE


def _common(matches: Iterable[_Match]) -> _Match:
    found = set(matches)
    return found.pop() if len(found) == 1 else _Match.SOME if found else _Match.NONE


# The object, or the path


def _of_thing(rule: Rule, query: Query) -> _Match:
    about = _about_resource(query)
    if rule.namespaces or rule.resources:
        if about is False:
            return _Match.NONE
        checks = (
            _Match.SOME if about is None else _Match.ALL,
            _Match.ALL if not rule.namespaces else _of_texts(query.namespaces, rule.namespaces),
            _Match.ALL if not rule.resources else _of_resources(rule.resources, query),
        )
        return min(checks)
    if rule.non_resource_urls:
        paths = _literals(query.paths)
        if about is True:
            return _Match.NONE
        if about is None or paths is None:
            return _Match.SOME
        return _common(_yes(matches_url(rule, Attributes("get", path))) for path in paths)
    return _Match.ALL


def _about_resource(query: Query) -> bool | None:
    """Tell whether the requests are about resources; None: some may be."""
    if any(not pattern.negated for pattern in query.resources):
        return True
    fields = (*query.subresources, *query.names, *query.namespaces)
    if any(not pattern.negated and (pattern.text or pattern.prefix) for pattern in fields):
        return True
    paths = _literals(query.paths)
    if not paths:
        return None
    kinds = {_is_resource(path) for path in paths}
    return kinds.pop() if len(kinds) == 1 else None


def _is_resource(path: str) -> bool:
    try:
        return resolve("GET", path).resource_request
    except (ResolveError, UnicodeError):
        return False


def _of_resources(entries: tuple[GroupResources, ...], query: Query) -> _Match:
    wanted = [pattern for pattern in query.resources if not pattern.negated]
    if not wanted or any(pattern.resource.prefix for pattern in wanted):
        return _Match.ALL if any(_takes_all(entry) for entry in entries) else _Match.SOME
    targets = [(group, pattern) for pattern in wanted for group in _groups(pattern)]
    return _common(max(_of_entry(entry, group, pattern, query) for entry in entries) for group, pattern in targets)


def _takes_all(entry: GroupResources) -> bool:
    return entry.group == "*" and (not entry.resources or ("*" in entry.resources and not entry.resource_names))


def _groups(pattern: ResourcePattern) -> tuple[str | None, ...]:
    """Give the groups that a type may be of; None stands for one that is not known."""
    if pattern.group is not None:
        return (pattern.group,)
    known = [kind for kind in built_in() if kind.resource == pattern.resource.text]
    below = _literals((pattern.subresource,)) if pattern.subresource is not None else None
    having = [kind for kind in known if not below or set(below) & {"", *kind.subresources}]
    return tuple(dict.fromkeys(kind.group for kind in having or known)) or (None,)


def _of_entry(entry: GroupResources, group: str | None, pattern: ResourcePattern, query: Query) -> _Match:
    if group is not None and entry.group not in {group, "*"}:
        return _Match.NONE
    certain = _Match.ALL if group is not None or entry.group == "*" else _Match.SOME
    if not entry.resources:
        return certain
    below = _literals((pattern.subresource,) if pattern.subresource is not None else query.subresources)
    if below is None:
        below = _below(group, pattern.resource.text)
    names = _Match.ALL if not entry.resource_names else _of_texts(query.names, entry.resource_names)
    return min(certain, names, _of_specs(entry.resources, pattern.resource.text, below))


def _below(group: str | None, resource: str) -> tuple[str, ...] | None:
    """Give what a request for a type may be about: the type itself or one of its subresources; None: not known."""
    known = [kind for kind in built_in() if (kind.group, kind.resource) == (group, resource)]
    return ("", *known[0].subresources) if known else None


def _of_specs(specs: tuple[str, ...], resource: str, below: tuple[str, ...] | None) -> _Match:
    """Compare what an entry lists with a type, of which the subresource may be unknown."""
    if below is None:
        if "*" in specs or f"{resource}/*" in specs:
            return _Match.ALL
        near = any(spec == resource or spec.startswith((f"{resource}/", "*/")) for spec in specs)
        return _Match.SOME if near else _Match.NONE
    rule = Rule(Level.NONE, resources=(GroupResources("", specs),))
    return _common(
        _yes(matches_resource(rule, Attributes("get", "", resource_request=True, resource=resource, subresource=each)))
        for each in below
    )


def _yes(matches: bool) -> _Match:
    return _Match.ALL if matches else _Match.NONE
