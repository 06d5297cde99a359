"""Explain: why a policy decides on a request as it does, rule by rule, and what is then written.

It goes the way of `matching`: one rule after another, and in each the fields in the same order. Where a rule does not
match, the first field that differs is named with what the request has and what the rule wants; of several entries of
``resources`` the one that comes nearest.

Stages are those of an ordinary end; a handler that panics leaves Panic instead of ResponseComplete. Bodies that a
request of this kind never has are told apart from those that the level leaves out (spec §5.9).
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from decklog.audit.attributes import Attributes, is_long_running
from decklog.audit.event import Level, Stage, User
from decklog.policy.matching import first_match, matches, matches_resource
from decklog.policy.rules import GroupResources, Rule
from decklog.policy.wording import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from decklog.audit.decision import Decision
    from decklog.policy.reader import Loaded

_WRITES: Final = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_CONNECTS: Final = frozenset({"exec", "attach", "portforward", "proxy"})
_STREAMS: Final = frozenset({"watch", "proxy"})
_STREAMED: Final = frozenset({*_CONNECTS, "log"})
_LISTED: Final = 8
"""So many texts of a list are shown."""


class Body(StrEnum):
    """What becomes of a body."""

    KEPT = "kept"
    LEFT_OUT = "left out"
    NONE = "none"


class Difference(Struct, frozen=True):
    """The first field in which a rule and a request differ."""

    field: str
    """In Kubernetes' spelling, with an index where there are several: ``resources[1].resourceNames``."""
    value: str | tuple[str, ...] | None
    """What the request has; None: nobody is authenticated, or the request is of the other kind."""
    wants: tuple[str, ...]
    """What the rule wants, one of these."""
    text: str
    """Both in one sentence."""


class Considered(Struct, frozen=True):
    """One rule and what it says of the request."""

    index: int
    line: int
    """Of the file, from 1; 0: not known."""
    column: int
    level: str
    difference: Difference | None
    """None: the rule matches."""


class Explanation(Struct, frozen=True):
    """Why, and what is written."""

    attributes: Attributes
    user: User | None
    decision: Decision
    rules: tuple[Considered, ...]
    """Every rule up to the one that matches; without one, all."""
    stages: tuple[str, ...]
    """Written at an ordinary end, in the order of the request's life."""
    panic: bool
    """Whether a handler's panic is written."""
    omitted: tuple[tuple[str, str], ...]
    """(stage, ``policy`` or ``rule``) of each stage that is left out; a stage that both omit is the policy's."""
    request_body: Body
    response_body: Body
    managed_fields_by: str
    """``rule``, ``policy`` or ``default``: who said whether they are omitted."""


def explain(loaded: Loaded, attributes: Attributes, user: User | None) -> Explanation:
    """Explain a policy's decision on one request; `user` is the authenticated one, None where there is none."""
    policy = loaded.policy
    decision = first_match(policy, attributes, user)
    rule = None if decision.rule is None else policy.rules[decision.rule]
    last = len(policy.rules) if decision.rule is None else decision.rule + 1
    written = decision.level is not Level.NONE
    return Explanation(
        attributes=attributes,
        user=user,
        decision=decision,
        rules=tuple(consider(loaded, index, attributes, user) for index in range(last)),
        stages=tuple(s for s in _life(attributes, user) if written and s not in decision.omit_stages),
        panic=written and user is not None and Stage.PANIC not in decision.omit_stages,
        omitted=tuple(
            (str(stage), "policy" if stage in policy.omit_stages else "rule")
            for stage in Stage
            if stage in decision.omit_stages
        ),
        request_body=_body(has_request_body(attributes, user), decision.level.at_least(Level.REQUEST)),
        response_body=_body(has_response_body(attributes, user), decision.level.at_least(Level.REQUEST_RESPONSE)),
        managed_fields_by=_managed_fields_by(rule, said=policy.omit_managed_fields),
    )


def consider(loaded: Loaded, index: int, attributes: Attributes, user: User | None) -> Considered:
    """Say of one rule, whatever stands before it, whether it matches, and if not, why."""
    rule = loaded.policy.rules[index]
    at = loaded.positions.get(f"rules[{index}]")
    line, column = (at.line, at.column) if at else (0, 0)
    return Considered(index, line, column, str(rule.level), difference(rule, attributes, user))


# Fields


def difference(rule: Rule, attributes: Attributes, user: User | None) -> Difference | None:
    """Find the first field in which a rule differs from a request; None: it matches."""
    if matches(rule, attributes, user):
        return None
    if rule.users and (user is None or user.username not in rule.users):
        return _of_user(rule.users, user)
    if rule.user_groups and (user is None or not set(user.groups) & set(rule.user_groups)):
        return _of_groups(rule.user_groups, user)
    if rule.verbs and attributes.verb not in rule.verbs:
        return _plain("verbs", "the verb", attributes.verb, rule.verbs)
    if rule.namespaces or rule.resources:
        return _of_resource(rule, attributes)
    return _of_url(rule, attributes)


def _plain(field: str, called: str, value: str, wants: tuple[str, ...]) -> Difference:
    return Difference(field, value, wants, f"{called} is {shown(value)}, the rule wants {one_of(wants)}")


def _of_user(wants: tuple[str, ...], user: User | None) -> Difference:
    if user is None:
        return Difference("users", None, wants, f"nobody is authenticated, the rule wants {one_of(wants)}")
    return _plain("users", "the user", user.username, wants)


def _of_groups(wants: tuple[str, ...], user: User | None) -> Difference:
    if user is None:
        return Difference("userGroups", None, wants, f"nobody is authenticated, the rule wants {one_of(wants)}")
    has = f"the user is in {listed(user.groups)}" if user.groups else "the user is in no group"
    return Difference("userGroups", user.groups, wants, f"{has}, the rule wants {one_of(wants)}")


def _of_resource(rule: Rule, attributes: Attributes) -> Difference:
    if not attributes.resource_request:
        field = "namespaces" if rule.namespaces else "resources"
        text = f"{shown(attributes.path)} is no resource, and the rule is about resources"
        return Difference(field, None, rule.namespaces, text)
    if rule.namespaces and attributes.namespace not in rule.namespaces:
        if attributes.namespace:
            return _plain("namespaces", "the namespace", attributes.namespace, rule.namespaces)
        text = f"the request is in no namespace, the rule wants {one_of(rule.namespaces)}"
        return Difference("namespaces", "", rule.namespaces, text)
    nearest = max(enumerate(rule.resources), key=lambda item: _nearness(item[1], attributes))
    return _of_entry(*nearest, attributes, rule)


def _nearness(entry: GroupResources, attributes: Attributes) -> int:
    """Give how many of an entry's fields fit, in the order in which they are asked."""
    if entry.group not in {attributes.api_group, "*"}:
        return 0
    return 2 if _fits(GroupResources(entry.group, entry.resources), attributes) else 1


def _fits(entry: GroupResources, attributes: Attributes) -> bool:
    return matches_resource(Rule(Level.NONE, resources=(entry,)), attributes)


def _of_entry(index: int, entry: GroupResources, attributes: Attributes, rule: Rule) -> Difference:
    place = f"resources[{index}]"
    match _nearness(entry, attributes):
        case 0:
            groups = tuple(dict.fromkeys(each.group for each in rule.resources))
            value = attributes.api_group
            text = f"the API group is {_group(value)}, the rule wants {one_of(groups, _group)}"
            return Difference(f"{place}.group", value, groups, text)
        case 1:
            same = [each for each in rule.resources if _nearness(each, attributes)]
            wants = tuple(dict.fromkeys(spec for each in same for spec in each.resources))
            value = "/".join(filter(None, (attributes.resource, attributes.subresource)))
            return _plain(f"{place}.resources", "the resource", value, wants)
        case _:
            names = entry.resource_names
            if attributes.name:
                return _plain(f"{place}.resourceNames", "the name", attributes.name, names)
            text = f"the request names no object, the rule wants {one_of(names)}"
            return Difference(f"{place}.resourceNames", "", names, text)


def _of_url(rule: Rule, attributes: Attributes) -> Difference:
    wants = rule.non_resource_urls
    if attributes.resource_request:
        text = "the request is about a resource, and the rule is about other paths"
        return Difference("nonResourceURLs", None, wants, text)
    return _plain("nonResourceURLs", "the path", attributes.path, wants)


def _group(name: str) -> str:
    return shown(name) if name else "'' (the core group)"


def listed(words: Iterable[str], quoted: Callable[[str], str] = shown) -> str:
    """List texts of a policy or a request, quoted; of very many the first."""
    texts = [quoted(word) for word in words]
    return ", ".join(texts[:_LISTED]) + (f" and {len(texts) - _LISTED} more" if len(texts) > _LISTED else "")


def one_of(words: tuple[str, ...], quoted: Callable[[str], str] = shown) -> str:
    """Say that one of some texts is wanted."""
    return f"{'one of ' * (len(words) > 1)}{listed(words, quoted)}"


# What is written


def _life(attributes: Attributes, user: User | None) -> tuple[Stage, ...]:
    """Give the stages of an ordinary end (spec §5.3)."""
    if user is None:  # who fails to authenticate gets one event, at this stage (spec §5.7)
        return (Stage.RESPONSE_STARTED,)
    if is_long_running(attributes):
        return Stage.REQUEST_RECEIVED, Stage.RESPONSE_STARTED, Stage.RESPONSE_COMPLETE
    return Stage.REQUEST_RECEIVED, Stage.RESPONSE_COMPLETE


def _body(there: bool, at_level: bool) -> Body:
    return Body.NONE if not there else Body.KEPT if at_level else Body.LEFT_OUT


def has_request_body(attributes: Attributes, user: User | None) -> bool:
    """Tell whether a request of this kind has a body that the server would record (spec §5.9)."""
    changes = attributes.resource_request and attributes.verb in _WRITES and attributes.subresource not in _CONNECTS
    return changes and user is not None


def has_response_body(attributes: Attributes, user: User | None) -> bool:
    """Tell whether the answer has a body that the server would record: no stream, no log, no proxied bytes."""
    streamed = attributes.resource_request and attributes.subresource in _STREAMED
    return user is not None and attributes.verb not in _STREAMS and not streamed


def _managed_fields_by(rule: Rule | None, *, said: bool) -> str:
    if rule is not None and rule.omit_managed_fields is not None:
        return "rule"
    return "policy" if said else "default"
