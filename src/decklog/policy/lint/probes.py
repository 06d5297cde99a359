"""Probes: the requests that checks ask a policy about, and who is decided by which rule.

A probe is a request that clusters really see, from an identity that they really have. `Probe.index` is the rule that
decides, by first match.
"""

from __future__ import annotations

from itertools import islice, product
from typing import TYPE_CHECKING, Final

from msgspec import Struct, structs

from decklog.audit.attributes import Attributes, resolve
from decklog.audit.event import Level, User
from decklog.policy.matching import matches

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from decklog.policy.lint.remarks import Subject
    from decklog.policy.rules import Rule

AUTHENTICATED: Final = "system:authenticated"
SOMEBODY: Final = User(username="decklog:somebody", groups=(AUTHENTICATED,))
"""A person whom no policy names."""
ANONYMOUS: Final = User(username="system:anonymous", groups=("system:unauthenticated",))
KUBELET: Final = User(username="system:node:node-1", groups=("system:nodes", AUTHENTICATED))
SCHEDULER: Final = User(username="system:kube-scheduler", groups=(AUTHENTICATED,))
OTHER: Final = "decklog-other"
"""A name of a namespace or object that no policy names."""

_ENOUGH: Final = 600
"""Concrete requests that are tried for one rule; past it the rule is taken not to match (no remark is made)."""
_BATCH: Final = 64


def service_account(name: str, namespace: str = "kube-system") -> User:
    """Give the identity of a service account."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED)
    return User(username=f"system:serviceaccount:{namespace}:{name}", groups=groups)


def identity(username: str, group: str = "") -> User:
    """Give a user with the groups that come with the name, and one more."""
    if username.startswith("system:serviceaccount:") and username.count(":") == 3:
        _, _, namespace, name = username.split(":")
        groups = service_account(name, namespace).groups
    elif username == ANONYMOUS.username:
        groups = ANONYMOUS.groups
    else:
        groups = KUBELET.groups if username.startswith("system:node:") else (AUTHENTICATED,)
    return User(username=username, groups=tuple(dict.fromkeys(filter(None, (group, *groups)))))


def sender(rule: Rule) -> User:
    """Give somebody whom a rule matches."""
    username = rule.users[0] if rule.users else SOMEBODY.username
    return identity(username, rule.user_groups[0] if rule.user_groups else "")


class Probe(Struct, frozen=True):
    """One request and who sends it; None: nobody was authenticated."""

    says: str
    """What it is, for a sentence."""
    attributes: Attributes
    user: User | None = SOMEBODY


class Answer(Struct, frozen=True):
    """What the policy says of a probe."""

    probe: Probe
    index: int | None
    level: Level
    omitted: frozenset[str]


def request(says: str, method: str, target: str, user: User | None = SOMEBODY) -> Probe:
    """Make a probe of an HTTP request."""
    return Probe(says, resolve(method, target), user)


def ask(subject: Subject, probes: Iterable[Probe]) -> list[Answer]:
    """Ask the policy about each probe."""
    answers = []
    for probe in probes:
        decision = subject.evaluator.decide(probe.attributes, probe.user)
        answers.append(Answer(probe, decision.rule, decision.level, decision.omit_stages))
    return answers


def by_rule(answers: Iterable[Answer]) -> dict[int | None, list[Answer]]:
    """Group answers by the rule that decided."""
    grouped: dict[int | None, list[Answer]] = {}
    for answer in answers:
        grouped.setdefault(answer.index, []).append(answer)
    return grouped


def first_for(subject: Subject, index: int, group: str, resource: str, subresource: str, verbs: tuple[str, ...]) -> str:
    """Give a verb with which some request for this resource is decided by this very rule; empty: none was found.

    Only the rule's own names are tried where it names any, and one that no policy names where it does not: an earlier
    rule that matches the latter matches all.
    """
    rule = subject.policy.rules[index]
    if (rule.non_resource_urls and not rule.resources) or not any(
        entry.group in {group, "*"} for entry in rule.resources or [_ANY]
    ):
        return ""
    kind = subject.kinds.find(group, resource)
    requests = _requests(rule, group, resource, subresource, verbs, namespaced=kind is None or kind.namespaced)
    for attributes, user in islice(requests, _ENOUGH):
        if not matches(rule, attributes, user):
            continue
        if subject.evaluator.decide(attributes, user).rule == index:
            return attributes.verb
    return ""


class _Entry(Struct, frozen=True):
    group: str


_ANY: Final = _Entry("*")


def _requests(
    rule: Rule, group: str, resource: str, subresource: str, verbs: tuple[str, ...], *, namespaced: bool
) -> Iterator[tuple[Attributes, User]]:
    given = [name for entry in rule.resources for name in entry.resource_names][:_BATCH]
    users = rule.users[:_BATCH] or (SOMEBODY.username,)
    groups = rule.user_groups[:_BATCH] or (AUTHENTICATED,)
    plain = Attributes(
        "", "/", resource_request=True, api_group=group, resource=resource, subresource=subresource, api_version="v1"
    )
    wanted = [verb for verb in verbs if not rule.verbs or verb in rule.verbs]
    spaces = (rule.namespaces[:_BATCH] or (OTHER,)) if namespaced else ("",)
    for verb in wanted:
        # What is created, and a whole collection, has no name yet.
        names = [""] if verb in {"create", "deletecollection"} and not subresource else [OTHER, *given]
        for name, space, user, of in product(names, spaces, users, groups):
            yield structs.replace(plain, verb=verb, name=name, namespace=space), identity(user, of)


def more(level: Level, than: Level) -> bool:
    """Whether a level records more than another."""
    return not than.at_least(level)
