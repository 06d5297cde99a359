"""Volume: what fills the log and answers no question (DL401 to DL407).

Asked of requests as clusters see them by the thousand, from the identities that send them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from decklog.audit.event import Level, Stage, User
from decklog.policy.lint.probes import (
    ANONYMOUS,
    KUBELET,
    SCHEDULER,
    Probe,
    ask,
    by_rule,
    request,
    service_account,
)
from decklog.policy.lint.remarks import listed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from decklog.policy.lint.remarks import Remark, Subject

_CONTROLLER: Final = service_account("deployment-controller")
_PROXY: Final = service_account("kube-proxy")
_MONITORING: Final = service_account("prometheus", "monitoring")
_EVERYBODY: Final = User(username="decklog:somebody", groups=("system:authenticated",))


class _Noise(Struct, frozen=True):
    code: str
    probes: tuple[Probe, ...]
    instead: str


_LEASE: Final = "/apis/coordination.k8s.io/v1/namespaces"
_NOISES: Final = (
    _Noise(
        "DL402",
        (
            request("a kubelet's lease", "PUT", f"{_LEASE}/kube-node-lease/leases/node-1", KUBELET),
            request("the scheduler's lease", "PUT", f"{_LEASE}/kube-system/leases/kube-scheduler", SCHEDULER),
        ),
        "level: None, verbs: [get, update], resources: [{group: coordination.k8s.io, resources: [leases]}]"
        ", for userGroups [system:nodes] and the users of the control plane",
    ),
    _Noise(
        "DL403",
        (
            request("core events", "POST", "/api/v1/namespaces/shop/events", KUBELET),
            request(
                "events of events.k8s.io",
                "PATCH",
                "/apis/events.k8s.io/v1/namespaces/shop/events/web.1",
                _CONTROLLER,
            ),
        ),
        'level: None, resources: [{group: "", resources: [events]}, {group: events.k8s.io, resources: [events]}]',
    ),
    _Noise(
        "DL404",
        (
            request("/livez", "GET", "/livez", ANONYMOUS),
            request("/readyz", "GET", "/readyz", ANONYMOUS),
            request("/healthz", "GET", "/healthz", ANONYMOUS),
            request("/livez/ping", "GET", "/livez/ping", ANONYMOUS),
        ),
        "level: None, nonResourceURLs: [/livez*, /readyz*, /healthz*]",
    ),
    _Noise(
        "DL405",
        (
            request("/openapi/v2", "GET", "/openapi/v2", _CONTROLLER),
            request("/openapi/v3", "GET", "/openapi/v3", _EVERYBODY),
            request("/version", "GET", "/version", _EVERYBODY),
            request("/apis (discovery)", "GET", "/apis", _EVERYBODY),
            request("/metrics", "GET", "/metrics", _MONITORING),
        ),
        "level: None, userGroups: [system:authenticated], nonResourceURLs: [/openapi/*, /version, /api*, /metrics]",
    ),
    _Noise(
        "DL406",
        (
            request(
                "selfsubjectaccessreviews", "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", _EVERYBODY
            ),
            request(
                "selfsubjectrulesreviews", "POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", _EVERYBODY
            ),
            request("selfsubjectreviews", "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", _EVERYBODY),
        ),
        "level: None for these resources of authorization.k8s.io and authentication.k8s.io",
    ),
    _Noise(
        "DL407",
        (
            request("a kubelet's node status", "PATCH", "/api/v1/nodes/node-1/status", KUBELET),
            request("a kubelet's pod status", "PATCH", "/api/v1/namespaces/shop/pods/web/status", KUBELET),
            request(
                "kube-proxy's watch of endpointslices",
                "GET",
                "/apis/discovery.k8s.io/v1/endpointslices?watch=1",
                _PROXY,
            ),
            request("kube-proxy's watch of services", "GET", "/api/v1/services?watch=1", _PROXY),
            request(
                "the autoscaler's reading of metrics",
                "GET",
                "/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods",
                service_account("horizontal-pod-autoscaler"),
            ),
        ),
        "level: None for these identities (userGroups: [system:nodes]; users: [system:serviceaccount:kube-system:…])"
        " with these verbs and resources",
    ),
)


def check(subject: Subject, *, strict_mode: bool) -> Iterator[Remark]:
    """Find noise that is recorded, and requests that are recorded twice.

    `strict_mode`: the log is written blocking-strict, which needs RequestReceived.
    """
    if not strict_mode:
        yield from _twice(subject)
    for noise in _NOISES:
        for index, answers in by_rule(ask(subject, noise.probes)).items():
            level = subject.level(index)
            if index is not None and level is not Level.NONE:
                names = listed([answer.probe.says for answer in answers])
                text = f"records {names} at {level} (the rule on line {subject.line(index)} decides)"
                yield subject.remark(noise.code, f"rules[{index}]", text, f"before this rule: {noise.instead}")


def _twice(subject: Subject) -> Iterator[Remark]:
    if Stage.REQUEST_RECEIVED in subject.policy.omit_stages:
        return
    twice = [
        index
        for index, rule in subject.rules
        if rule.level != Level.NONE and Stage.REQUEST_RECEIVED not in rule.omit_stages
    ]
    recorded = sum(rule.level != Level.NONE for _, rule in subject.rules)
    instead = "omitStages: [RequestReceived] at the top of the policy"
    if recorded and len(twice) == recorded:
        text = "RequestReceived is omitted nowhere: every request is recorded twice, about double the volume"
        yield subject.remark("DL401", "rules", text, instead)
        return
    for index in twice:
        text = "this rule does not omit RequestReceived, and others do: its requests are recorded twice"
        yield subject.remark("DL401", f"rules[{index}]", text, instead)
