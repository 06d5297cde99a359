"""Changes: what is recorded less than its neighbours, being forgotten (DL108, DL112, DL113, DL520 to DL522)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import structs

from decklog.audit.event import Level
from decklog.policy.lint.probes import OTHER, SOMEBODY, ask, by_rule, more, request, sender
from decklog.policy.lint.remarks import listed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from decklog.audit.attributes import Attributes
    from decklog.policy.kinds import Kind
    from decklog.policy.lint.probes import Answer
    from decklog.policy.lint.remarks import Remark, Subject
    from decklog.policy.rules import Rule

_RBAC: Final = "/apis/rbac.authorization.k8s.io/v1"
_ADMISSION: Final = "/apis/admissionregistration.k8s.io/v1"
IMPORTANT: Final = (
    request("roles", "POST", f"{_RBAC}/namespaces/{OTHER}/roles"),
    request("rolebindings", "POST", f"{_RBAC}/namespaces/{OTHER}/rolebindings"),
    request("clusterroles", "PATCH", f"{_RBAC}/clusterroles/{OTHER}"),
    request("clusterrolebindings", "POST", f"{_RBAC}/clusterrolebindings"),
    request("mutatingwebhookconfigurations", "PATCH", f"{_ADMISSION}/mutatingwebhookconfigurations/{OTHER}"),
    request("validatingwebhookconfigurations", "PATCH", f"{_ADMISSION}/validatingwebhookconfigurations/{OTHER}"),
    request("validatingadmissionpolicies", "PATCH", f"{_ADMISSION}/validatingadmissionpolicies/{OTHER}"),
    request("apiservices", "POST", "/apis/apiregistration.k8s.io/v1/apiservices"),
    request("customresourcedefinitions", "POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"),
    request("networkpolicies", "PATCH", f"/apis/networking.k8s.io/v1/namespaces/{OTHER}/networkpolicies/{OTHER}"),
    request("ingresses", "PATCH", f"/apis/networking.k8s.io/v1/namespaces/{OTHER}/ingresses/{OTHER}"),
    request("deployments", "PATCH", f"/apis/apps/v1/namespaces/{OTHER}/deployments/{OTHER}"),
    request("daemonsets", "POST", f"/apis/apps/v1/namespaces/{OTHER}/daemonsets"),
    request("cronjobs", "POST", f"/apis/batch/v1/namespaces/{OTHER}/cronjobs"),
)
_CUSTOM: Final = request("every custom resource", "POST", f"/apis/decklog-other.example/v1/namespaces/{OTHER}/things")
_NOT_CHANGES: Final = frozenset(
    {"authentication.k8s.io", "authorization.k8s.io", "events.k8s.io", "metrics.k8s.io", "internal.apiserver.k8s.io"}
)
_WRITING: Final = ("create", "update", "patch", "delete", "deletecollection")
_TUNNELS: Final = ("exec", "attach", "portforward")
_FORGOTTEN: Final = {
    ("", "pods"): ("exec", "attach", "portforward", "proxy", "log", "ephemeralcontainers", "eviction", "resize"),
    ("", "serviceaccounts"): ("token",),
    ("", "nodes"): ("proxy",),
    ("", "services"): ("proxy",),
    ("apps", "deployments"): ("scale",),
    ("apps", "statefulsets"): ("scale",),
    ("certificates.k8s.io", "certificatesigningrequests"): ("approval",),
}
_VERB_OF: Final = {
    # How a subresource is used, where that is not create
    "log": "get",
    "proxy": "get",
    "scale": "patch",
    "resize": "patch",
    "ephemeralcontainers": "patch",
    "approval": "update",
}


def check(subject: Subject) -> Iterator[Remark]:
    """Find what is recorded less than what stands next to it."""
    for index, rule in subject.rules:
        if rule.level != Level.NONE:
            yield from _subresources(subject, index, rule)
            yield from _verbs(subject, index, rule)
    yield from _websockets(subject)
    yield from _important(subject)
    yield from _groups(subject)


def _subresources(subject: Subject, index: int, rule: Rule) -> Iterator[Remark]:
    for number, entry in enumerate(rule.resources):
        for place, resource in enumerate(entry.resources):
            below = _FORGOTTEN.get((entry.group, resource), ())
            if f"{resource}/*" in entry.resources or not below or entry.resource_names:
                continue
            missing = [name for name in below if not _mentioned(subject, entry.group, resource, name)]
            less = [
                name
                for name in missing
                if (not rule.verbs or _VERB_OF.get(name, "create") in rule.verbs)
                and _is_less(subject, rule, entry.group, resource, name)
            ]
            if less:
                path = f"rules[{index}].resources[{number}].resources[{place}]"
                names = [f"{resource}/{name}" for name in less]
                levels = listed(sorted({str(_level(subject, rule, entry.group, resource, name)) for name in less}))
                text = f"{resource} does not stand for {listed(names)}, recorded at {levels} and not at {rule.level}"
                instead = f"a rule that names {', '.join(names)} at the level that you want for them"
                yield subject.remark("DL108", path, text, instead)


def _mentioned(subject: Subject, group: str, resource: str, subresource: str) -> bool:
    specs = {f"{resource}/{subresource}", f"{resource}/*", f"*/{subresource}"}
    return any(
        entry.group in {group, "*"} and not specs.isdisjoint(entry.resources)
        for _, rule in subject.rules
        for entry in rule.resources
    )


def _is_less(subject: Subject, rule: Rule, group: str, resource: str, subresource: str) -> bool:
    return more(Level(rule.level), _level(subject, rule, group, resource, subresource))


def _level(subject: Subject, rule: Rule, group: str, resource: str, subresource: str) -> Level:
    """Give the level of a subresource's use by those, and where, that a rule is about."""
    probe = structs.replace(
        _PLAIN,
        api_group=group,
        resource=resource,
        subresource=subresource,
        verb=_VERB_OF.get(subresource, "create"),
        namespace=rule.namespaces[0] if rule.namespaces else OTHER,
    )
    return subject.evaluator.decide(probe, sender(rule)).level


_PLAIN: Final[Attributes] = request("", "POST", f"/api/v1/namespaces/{OTHER}/pods").attributes


def _verbs(subject: Subject, index: int, rule: Rule) -> Iterator[Remark]:
    """Find a rule for some of the writing verbs whose others are recorded less."""
    if not rule.verbs or rule.non_resource_urls or len(set(rule.verbs).intersection(_WRITING)) < 2:
        return
    forgotten = [verb for verb in _WRITING if verb not in rule.verbs and not _is_as_good(subject, index, rule, verb)]
    if forgotten:
        text = f"{listed(forgotten)} {'is' if len(forgotten) == 1 else 'are'} recorded less than {listed(rule.verbs)}"
        verbs = ", ".join([*rule.verbs, *forgotten])
        yield subject.remark("DL113", f"rules[{index}].verbs", text, f"verbs: [{verbs}]")


def _is_as_good(subject: Subject, index: int, rule: Rule, verb: str) -> bool:
    entry = next(iter(rule.resources), None)
    spec = entry.resources[0] if entry and entry.resources else OTHER
    resource, _, subresource = ("things" if spec == "*" else spec).partition("/")
    attributes = structs.replace(
        _PLAIN,
        verb=verb,
        api_group=entry.group if entry and entry.group != "*" else "" if entry else "decklog-other.example",
        resource=resource,
        subresource="" if subresource == "*" else subresource,
        namespace=rule.namespaces[0] if rule.namespaces else OTHER,
        name=entry.resource_names[0] if entry and entry.resource_names else "",
    )
    if verb == "deletecollection" and attributes.name:
        return True  # it has no name, and so cannot be one of the rule's
    level = subject.evaluator.decide(attributes, sender(rule)).level
    if verb in {"delete", "deletecollection"} and subject.level(index) is Level.REQUEST:
        return level.at_least(Level.METADATA)  # the request of a deletion has nothing in it
    return level.at_least(subject.level(index))


def _websockets(subject: Subject) -> Iterator[Remark]:
    less: dict[int | None, list[tuple[Answer, Answer]]] = {}
    for name in _TUNNELS:
        path = f"/api/v1/namespaces/{OTHER}/pods/{OTHER}/{name}"
        spdy, websocket = ask(subject, (request(name, "POST", path), request(name, "GET", path)))
        if more(spdy.level, websocket.level):
            less.setdefault(spdy.index, []).append((spdy, websocket))
    for index, pairs in less.items():
        spdy, websocket = pairs[0]
        names = [f"pods/{answer.probe.says}" for answer, _ in pairs]
        text = (
            f"{listed(names)} by WebSocket (get) {'is' if len(names) == 1 else 'are'} recorded at {websocket.level}"
            f" ({subject.where(websocket.index)}), by SPDY (create) at {spdy.level} by this rule"
        )
        instead = f"before it: level: {spdy.level}, verbs: [get, create], resources: {', '.join(names)}"
        yield subject.remark("DL112", f"rules[{index}]", text, instead)


def _important(subject: Subject) -> Iterator[Remark]:
    answers = ask(subject, IMPORTANT)
    takes_bodies = any(subject.level(index).at_least(Level.REQUEST) for index, _ in subject.rules)
    for index, same in by_rule(answers).items():
        names = listed([answer.probe.says for answer in same], 14)
        path = "rules" if index is None else f"rules[{index}]"
        if same[0].level is Level.NONE:
            text = f"changes of {names} are not recorded ({subject.where(index)})"
            yield subject.remark("DL521", path, text, "a rule for them at Request or more, before this one")
        elif same[0].level is Level.METADATA and takes_bodies:
            text = f"changes of {names} are recorded without their content ({subject.where(index)}, at Metadata)"
            instead = "before this rule: level: Request, verbs: [create, update, patch], with their groups"
            yield subject.remark("DL520", path, text, instead)


def _groups(subject: Subject) -> Iterator[Remark]:
    """Find the groups that a policy forgot which names groups for their bodies."""
    wanted = {
        entry.group
        for index, rule in subject.rules
        if subject.level(index).at_least(Level.REQUEST)
        for entry in rule.resources
        if not entry.resources
    }
    named = {entry.group for _, rule in subject.rules for entry in rule.resources}
    if len(wanted) < 4 or "*" in named:
        return
    served = [kind for kind in subject.kinds if kind.served(subject.release.minor)]
    forgotten = [
        group
        for group in dict.fromkeys(kind.group for kind in served)
        if group not in named | _NOT_CHANGES and _change_is_poor(subject, next(k for k in served if k.group == group))
    ]
    custom = ask(subject, [_CUSTOM])[0]
    if custom.level.at_least(Level.REQUEST) or not forgotten:
        return
    path = "rules" if custom.index is None else f"rules[{custom.index}]"
    text = f"changes of {listed(forgotten, 20)} and of every custom resource are recorded at {custom.level} only"
    yield subject.remark("DL522", path, text, 'their groups, or group: "*" since Kubernetes 1.36')


def _change_is_poor(subject: Subject, kind: Kind) -> bool:
    probe = structs.replace(_PLAIN, api_group=kind.group, resource=kind.resource)
    return not subject.evaluator.decide(probe, SOMEBODY).level.at_least(Level.REQUEST)
