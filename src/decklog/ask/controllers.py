"""Controllers: which requests the cluster's own parts made, by what people call them, and why they delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from decklog.audit.event import ObjectReference

if TYPE_CHECKING:
    from decklog.audit.event import Event

GARBAGE: Final = "generic-garbage-collector"
NAMESPACE: Final = "namespace-controller"
KUBELET: Final = "kubelet"
CONTROLLERS: Final = {
    GARBAGE: "garbage collector",
    NAMESPACE: "namespace controller",
    "replicaset-controller": "replica set controller",
    "replication-controller": "replication controller",
    "deployment-controller": "deployment controller",
    "statefulset-controller": "stateful set controller",
    "daemon-set-controller": "daemon set controller",
    "job-controller": "job controller",
    "cronjob-controller": "cron job controller",
    "ttl-after-finished-controller": "TTL controller",
    "pod-garbage-collector": "pod garbage collector",
    "node-controller": "node controller",
    "taint-eviction-controller": "taint eviction controller",
    "node-lifecycle-controller": "node lifecycle controller",
    "horizontal-pod-autoscaler": "horizontal pod autoscaler",
    "disruption-controller": "disruption controller",
    "persistent-volume-binder": "persistent volume binder",
    "pvc-protection-controller": "volume claim protection",
    "endpointslice-controller": "endpoint slice controller",
    "endpoint-controller": "endpoint controller",
}
ENDS: Final = {
    "ttl-after-finished-controller": "its ttlSecondsAfterFinished had passed",
    "pod-garbage-collector": "its node is gone, or it had ended and too many such pods were kept",
    "taint-eviction-controller": "its node bears a taint that it does not tolerate (not ready, unreachable, or set)",
    "node-lifecycle-controller": "its node is gone or not ready",
    "cronjob-controller": "its cron job keeps only so many ended jobs",
    "endpointslice-controller": "the service no longer needs it",
    "endpoint-controller": "the service no longer needs it",
}
"""Reasons that stand in no request of the log."""
SCHEDULER: Final = "system:kube-scheduler"
_ACCOUNT: Final = "system:serviceaccount:kube-system:"
_MANAGER: Final = "system:kube-controller-manager"
_NOTHING: Final = ObjectReference()


def controller(event: Event) -> str:
    """Give the key of the controller that sent a request; empty if it was none of the cluster's own."""
    name = event.user.username
    if name.startswith(_ACCOUNT):
        account = name.removeprefix(_ACCOUNT)
        return account if account in CONTROLLERS else ""
    if name == _MANAGER:  # without accounts of their own controllers are told apart by their clients' names only
        called = event.user_agent.rpartition("/")[2].removeprefix(_ACCOUNT)
        return called if called in CONTROLLERS else ""
    if name.startswith("system:node:"):
        return KUBELET
    return SCHEDULER if name == SCHEDULER else ""


def actor(event: Event) -> str:
    """Name who sent a request, as people would: ``garbage collector``, ``alice``."""
    key = controller(event)
    if key == KUBELET:
        return f"the kubelet of {event.user.username.removeprefix('system:node:')}"
    if key == SCHEDULER:
        return "the scheduler"
    return f"the {CONTROLLERS[key]}" if key else row_who(event)


def row_who(event: Event) -> str:
    """Give the user, and as whom the request went on."""
    other = event.impersonated_user.username if event.impersonated_user else ""
    return f"{event.user.username or '-'}{f' as {other}' if other else ''}"


def is_by_controller(event: Event) -> bool:
    """Tell whether a request deletes something (or evicts a pod) for a controller of the cluster."""
    return deletes(event) and controller(event) != ""


def deletes(event: Event) -> bool:
    """Tell whether a request deletes objects, or evicts a pod."""
    ref = event.object_ref or _NOTHING
    return event.verb in {"delete", "deletecollection"} or ref.subresource == "eviction"
