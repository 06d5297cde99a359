"""Names: groups, resources and subresources that no request bears (DL101 to DL109, DL116).

What a group outside Kubernetes' own holds is known only from a cluster's discovery; without it such a group is checked
for spelling alone (a kind's capital letters), and nothing is said of names that a custom resource could have.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from decklog.policy.lint.remarks import listed
from decklog.policy.wording import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from decklog.policy.kinds import Kind
    from decklog.policy.lint.remarks import Remark, Subject
    from decklog.policy.rules import GroupResources, Rule

_VERSION: Final = re.compile(r"v\d+((alpha|beta)\d+)?", re.ASCII)
_WHOLE: Final = ("", "apps", "rbac.authorization.k8s.io")
"""Discovery that has these groups is a whole cluster's: it serves no other groups."""
_CALLED_CORE: Final = frozenset({"core", "api", "legacy"})
_NOT_RESOURCES: Final = {
    # What people take for a resource, and where the request is really made
    "tokenrequests": "serviceaccounts/token in the core group",
    "tokenrequest": "serviceaccounts/token in the core group",
    "users": "nothing: users are no objects of Kubernetes; name them in the rule's users",
    "groups": "nothing: groups are no objects of Kubernetes; name them in the rule's userGroups",
    "containers": "pods: containers are no resource",
    "container": "pods: containers are no resource",
}
_RESERVED: Final = ".k8s.io"
_KUBERNETES_CRDS: Final = (
    # Groups under k8s.io that are no part of the API server: add-ons' and custom resources'
    "snapshot.storage.k8s.io",
    "gateway.networking.k8s.io",
    "policy.networking.k8s.io",
    "custom.metrics.k8s.io",
    "external.metrics.k8s.io",
    "autoscaling.k8s.io",
    "x-k8s.io",
    "cluster.k8s.io",
    "networking.x-k8s.io",
    "config.k8s.io",
    "node.k8s.io",
    "kubelet.config.k8s.io",
    "topology.node.k8s.io",
    "nfd.k8s-sigs.io",
)


def check(subject: Subject) -> Iterator[Remark]:
    """Check every entry of every rule."""
    for index, rule in subject.rules:
        for number, entry in enumerate(rule.resources):
            yield from _entry(subject, entry, f"rules[{index}].resources[{number}]")
        yield from _cluster_scoped(subject, index, rule)


def _entry(subject: Subject, entry: GroupResources, path: str) -> Iterator[Remark]:
    wrong = list(_group(subject, entry, path)) if entry.group != "*" else []
    yield from wrong
    if wrong:
        return
    for number, spec in enumerate(entry.resources):
        where = f"{path}.resources[{number}]"
        resource, slash, subresource = spec.partition("/")
        if slash and subresource == "*" and resource not in {"", "*"}:
            yield _family(subject, entry, spec, where)
        if resource == "*":
            if slash:
                yield from _any_subresource(subject, entry.group, subresource, where)
        elif "*" not in resource:
            yield from _resource(subject, entry.group, resource, subresource if slash else "", where)


def _group(subject: Subject, entry: GroupResources, path: str) -> Iterator[Remark]:
    group, kinds, minor = entry.group, subject.kinds, subject.release.minor
    where = f"{path}.group"
    known = kinds.of_group(group)
    if subject.discovered.issuperset(_WHOLE) and group not in subject.discovered:
        text = f"the cluster does not serve the group {shown(group)}"
        near = kinds.near_group(group)
        instead = f"group: {near}" if near in subject.discovered else "a group that kubectl api-resources shows"
        yield subject.remark("DL106" if known else "DL102", where, text, instead)
        return
    if known:
        if not any(kind.served(minor) for kind in known):
            yield _group_not_served(subject, group, known, where)
        return
    if _VERSION.fullmatch(group):
        instead = '"" for the core group (pods, secrets …), or the name of the group'
        yield subject.remark("DL101", where, f"{shown(group)} is a version, not a group", instead)
    elif group.lower() in _CALLED_CORE:
        yield subject.remark("DL102", where, f"{shown(group)} is no group: the core group has no name", 'group: ""')
    elif near := _misspelled(subject, group):
        yield subject.remark("DL102", where, f"there is no group {shown(group)}", f"group: {near}")
    elif "." not in group:
        text = f"there is no group {shown(group)}: Kubernetes has none, and one of custom resources has a dot in it"
        at_home = kinds.named(group) or kinds.spelled(group)
        instead = f"group: {_quoted(at_home[0].group)}" if at_home else "the group that kubectl api-resources shows"
        yield subject.remark("DL102", where, text, instead)


def _misspelled(subject: Subject, group: str) -> str:
    """Give the group that was meant, where it cannot well be a group of custom resources."""
    if group.endswith(_KUBERNETES_CRDS):
        return ""
    near = subject.kinds.near_group(group)
    if not near:
        return ""
    return near if "." not in group or group.endswith(_RESERVED) or f"{group}{_RESERVED}" == near else ""


def _group_not_served(subject: Subject, group: str, known: tuple[Kind, ...], where: str) -> Remark:
    last = max(kind.last for kind in known)
    said = f"since 1.{last + 1}" if last < subject.release.minor else "yet"
    text = f"the group {shown(group)} is not served {said}"
    moved = dict.fromkeys(
        _quoted(other.group)
        for kind in known
        for other in subject.kinds.named(kind.resource)
        if other.group != group and other.served(subject.release.minor) and other.group != "metrics.k8s.io"
    )
    instead = f"nothing, unless the policy is for older clusters, too; its resources are now in {listed(tuple(moved))}"
    return subject.remark("DL106", where, text, instead if moved else "nothing: take the entry out")


def _family(subject: Subject, entry: GroupResources, spec: str, where: str) -> Remark:
    resource = spec[:-2]
    if resource in entry.resources:
        text = f"{shown(spec)} stands for {shown(resource)}, too"
        return subject.remark("DL109", where, text, f"{spec} alone: the {resource} next to it adds nothing")
    kind = subject.kinds.find(entry.group, resource)
    below = kind.subresources if kind else ()
    named = listed([f"{resource}/{name}" for name in below], 3) if below else f"{resource}/status and the like"
    text = f"{shown(spec)} stands for {shown(resource)} itself, too, not only for its subresources"
    return subject.remark("DL109", where, text, f"the subresources by name ({named}), if {resource} are not meant")


def _resource(subject: Subject, group: str, resource: str, subresource: str, where: str) -> Iterator[Remark]:
    kind = _known(subject, group, resource)
    if kind is None:
        remark = _unknown(subject, group, resource, subresource, where)
        if remark is not None:
            yield remark
    elif not kind.served(subject.release.minor):
        minor = subject.release.minor
        said = f"is gone since 1.{kind.last + 1}" if kind.last < minor else f"comes with 1.{kind.first}"
        text = f"{kind.qualified} {said}"
        yield subject.remark("DL106", where, text, "nothing, unless the policy is for other releases, too")
    elif subresource and subresource != "*" and subresource not in kind.subresources:
        text = f"{shown(resource)} has no subresource {shown(subresource)}"
        has = listed([f"{resource}/{name}" for name in kind.subresources], 10)
        yield subject.remark("DL107", where, text, f"one of {has}" if has else f"{resource}: it has no subresources")


def _known(subject: Subject, group: str, resource: str) -> Kind | None:
    if group != "*":
        return subject.kinds.find(group, resource)
    everywhere = subject.kinds.named(resource)
    served = [kind for kind in everywhere if kind.served(subject.release.minor)]
    return next(iter(served or everywhere), None)


def _unknown(subject: Subject, group: str, resource: str, subresource: str, where: str) -> Remark | None:
    kinds = subject.kinds
    tail = f"/{subresource}" if subresource else ""
    complete = group == "*" or not kinds.is_open(group)
    spelled = [kind for kind in kinds.spelled(resource, group) if complete]
    here = [kind for kind in spelled if group in {kind.group, "*"}]
    if resource != resource.lower():
        right = next(iter(here or spelled), None)
        instead = _right(right, group, tail) if right else "the resource: the plural, in lower case"
        return subject.remark("DL103", where, f"{shown(resource)} is no resource; a kind is written so", instead)
    if not complete:
        if resource.endswith("s") or not resource:
            return None
        text = f"{shown(resource)} looks like a singular: custom resources are named in the plural, too"
        return subject.remark("DL104", where, text, "the name that kubectl api-resources shows")
    if here:
        said = "a short name" if resource in here[0].short_names else "a singular"
        return subject.remark("DL104", where, f"{shown(resource)} is {said}", _right(here[0], group, tail))
    if resource in _NOT_RESOURCES:
        text = f"there is no resource {shown(resource)}"
        return subject.remark("DL105", where, text, _NOT_RESOURCES[resource])
    if group == "*" and not subject.discovered:
        return None  # it may be a custom resource's
    return _elsewhere(subject, group, resource, tail, spelled, where)


def _elsewhere(subject: Subject, group: str, resource: str, tail: str, spelled: list[Kind], where: str) -> Remark:
    kinds, called = subject.kinds, _called(group)
    homes = [kind for kind in kinds.named(resource) if kind.served(subject.release.minor)] or spelled
    if homes:
        groups = listed([_quoted(kind.group) for kind in homes])
        text = f"{shown(resource)} is not in {called} but in {groups}"
        return subject.remark("DL105", where, text, f"{homes[0].resource}{tail} below group: {_quoted(homes[0].group)}")
    text = f"{called} has no resource {shown(resource)}"
    if near := kinds.near(group, resource):
        return subject.remark("DL105", where, text, f"{near}{tail}")
    if parents := kinds.with_subresource(resource):
        instead = f"{parents[0].resource}/{resource} below group: {_quoted(parents[0].group)}"
        return subject.remark("DL105", where, f"{text}; there is a subresource of this name", instead)
    has = listed([kind.resource for kind in kinds.of_group(group) if kind.served(subject.release.minor)], 6)
    return subject.remark("DL105", where, text, f"what it has: {has}")


def _right(kind: Kind, group: str, tail: str) -> str:
    if group in {kind.group, "*"}:
        return f"{kind.resource}{tail}"
    return f"{kind.resource}{tail} below group: {_quoted(kind.group)}"


def _called(group: str) -> str:
    return f"the group {shown(group)}" if group else "the core group"


def _quoted(group: str) -> str:
    return group or '""'


def _any_subresource(subject: Subject, group: str, subresource: str, where: str) -> Iterator[Remark]:
    kinds = subject.kinds.of_group(group) if group != "*" else tuple(subject.kinds)
    if subresource == "*" or (not subject.discovered if group == "*" else subject.kinds.is_open(group)):
        return
    if not any(subresource in kind.subresources for kind in kinds):
        has = listed(sorted({f"*/{name}" for kind in kinds for name in kind.subresources}), 12)
        text = f"{_called(group)} has no subresource {shown(subresource)}"
        yield subject.remark("DL107", where, text, f"one of {has}" if has else "nothing: it has no subresources")


def _cluster_scoped(subject: Subject, index: int, rule: Rule) -> Iterator[Remark]:
    """Find resources without a namespace in a rule that is about named namespaces only."""
    if not rule.namespaces or "" in rule.namespaces:
        return
    for number, entry in enumerate(rule.resources):
        for place, spec in enumerate(entry.resources):
            kind = subject.kinds.find(entry.group, spec.partition("/")[0])
            # A namespace is in itself, as requests see it.
            if kind is None or kind.namespaced or kind.resource == "namespaces":
                continue
            text = f"{kind.qualified} have no namespace, and the rule is about some"
            instead = f"{spec} in a rule without namespaces"
            yield subject.remark("DL116", f"rules[{index}].resources[{number}].resources[{place}]", text, instead)
