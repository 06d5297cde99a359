"""Identities: users, groups and objects that nobody bears on a cluster of today, or too many do (DL201 to DL204)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from decklog.audit.event import Level
from decklog.policy.wording import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from decklog.policy.lint.remarks import Remark, Subject
    from decklog.policy.rules import Rule

_DEAD_USERS: Final = {
    "system:unsecured": ("the insecure port is gone since 1.20", "the service account of the client that was meant"),
    "kubelet": ("kubelets come as system:node:NAME", "userGroups: [system:nodes]"),
    "kubecfg": ("the scripts that made this user are gone", "the user of your kubeconfig"),
    "cluster-autoscaler": (
        "the autoscaler runs as a service account",
        "system:serviceaccount:kube-system:cluster-autoscaler",
    ),
    "system:kube-proxy": (
        "kubeadm's kube-proxy is a service account, and most others' are",
        "system:serviceaccount:kube-system:kube-proxy, and endpointslices of discovery.k8s.io for what it watches",
    ),
    "system:serviceaccount:kube-system:heapster": ("Heapster is gone", "nothing: take it out"),
    "system:serviceaccount:kube-system:tiller": ("Tiller is gone since Helm 3", "nothing: take it out"),
    "system:serviceaccount:kube-system:kube-dns": (
        "kube-dns has become CoreDNS",
        "system:serviceaccount:kube-system:coredns",
    ),
}
_HPA: Final = "system:serviceaccount:kube-system:horizontal-pod-autoscaler"
_MASTERS: Final = frozenset({"system:kube-controller-manager", "system:kube-scheduler"})
_CROWDS: Final = {
    "system:authenticated": "everybody",
    "system:unauthenticated": "everybody without credentials",
    "system:masters": "the cluster's administrators",
    "system:nodes": "every node",
    "system:serviceaccounts": "every service account",
    "system:serviceaccounts:kube-system": "every controller and add-on of kube-system, some of which may do anything",
}


def check(subject: Subject) -> Iterator[Remark]:
    """Check the users and groups of every rule, and the objects that dead components used."""
    for index, rule in subject.rules:
        for number, user in enumerate(rule.users):
            if user in _DEAD_USERS:
                because, instead = _DEAD_USERS[user]
                text = f"nobody is {shown(user)} any more: {because}"
                yield subject.remark("DL201", f"rules[{index}].users[{number}]", text, instead)
        yield from _metrics(subject, index, rule)
        yield from _crowd(subject, index, rule)
        yield from _locks(subject, index, rule)


def _metrics(subject: Subject, index: int, rule: Rule) -> Iterator[Remark]:
    groups = {entry.group for entry in rule.resources}
    if "system:kube-controller-manager" in rule.users and "metrics.k8s.io" in groups and _HPA not in rule.users:
        where = f"rules[{index}].users[{rule.users.index('system:kube-controller-manager')}]"
        text = "the autoscaler asks for metrics as a service account of its own, not as the controller manager"
        yield subject.remark("DL202", where, text, _HPA)


def _crowd(subject: Subject, index: int, rule: Rule) -> Iterator[Remark]:
    if rule.level != Level.NONE or rule.verbs or rule.resources or rule.non_resource_urls or rule.namespaces:
        return
    for number, group in enumerate(rule.user_groups):
        if group in _CROWDS:
            text = f"no request of {_CROWDS[group]} is recorded (all of {shown(group)} at None)"
            instead = "which of their requests are noise: verbs and resources; keep secrets, RBAC and exec"
            yield subject.remark("DL203", f"rules[{index}].userGroups[{number}]", text, instead)


def _locks(subject: Subject, index: int, rule: Rule) -> Iterator[Remark]:
    """Find the locks of leader election, which are leases since 1.20."""
    for number, entry in enumerate(rule.resources):
        path = f"rules[{index}].resources[{number}]"
        if entry.group:
            continue
        if "configmaps" in entry.resources and "controller-leader" in entry.resource_names:
            where = f"{path}.resourceNames[{entry.resource_names.index('controller-leader')}]"
            text = "leader election no longer writes the ConfigMap 'controller-leader': it keeps a lease"
            yield subject.remark("DL204", where, text, _LEASES)
        elif entry.resources == ("endpoints",) and "update" in rule.verbs and _MASTERS.intersection(rule.users):
            text = "leader election no longer writes endpoints: it keeps a lease"
            yield subject.remark("DL204", f"{path}.resources[0]", text, _LEASES)


_LEASES: Final = "leases of coordination.k8s.io, for the users that hold them"
