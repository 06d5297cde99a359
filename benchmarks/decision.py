"""How long a decision takes: the index against the rules read one after another, on 30 rules and a cluster's requests.

`run()` gives measurements; `benchmarks/core.py` prints them. The policy is of the kind that kube-up and its descendants
install (noise first, secrets at Metadata, reads at Request, the rest at RequestResponse); the requests are what a small
cluster sends: controllers, kubelets, people, probes. Attributes are made anew for every round, as a server makes them
for every request, so that no string's hash is remembered from the round before.
"""

from __future__ import annotations

import gc
import random
import time
from typing import TYPE_CHECKING, Any

from decklog.audit.attributes import Attributes
from decklog.audit.event import User
from decklog.policy.evaluator import Evaluator
from decklog.policy.matching import matching_rule
from decklog.policy.rules import GroupResources, Policy, Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROUNDS = 9
REQUESTS = 4000

_READS = ("get", "list", "watch")
_WRITES = ("create", "update", "patch", "delete", "deletecollection")
_QUIET = ("RequestReceived",)
_GROUPS = tuple(
    GroupResources(group)
    for group in (
        *("", "admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io", "apps"),
        *("authentication.k8s.io", "authorization.k8s.io", "autoscaling", "batch", "certificates.k8s.io"),
        *("metrics.k8s.io", "networking.k8s.io", "node.k8s.io", "policy", "rbac.authorization.k8s.io"),
        *("scheduling.k8s.io", "storage.k8s.io"),
    )
)


def _core(*resources: str, names: tuple[str, ...] = ()) -> tuple[GroupResources, ...]:
    return (GroupResources("", resources, names),)


def _in(group: str, *resources: str) -> GroupResources:
    return GroupResources(group, resources)


def policy() -> Policy:
    """Give the 30 rules."""
    rbac = "rbac.authorization.k8s.io"
    rules = (
        Rule(
            "None",
            users=("system:kube-proxy",),
            verbs=("watch",),
            resources=_core("endpoints", "services", "services/status"),
        ),
        Rule(
            "None",
            users=("system:unsecured",),
            verbs=("get",),
            resources=_core("configmaps"),
            namespaces=("kube-system",),
        ),
        Rule("None", users=("kubelet",), verbs=("get",), resources=_core("nodes", "nodes/status")),
        Rule("None", user_groups=("system:nodes",), verbs=("get",), resources=_core("nodes", "nodes/status")),
        Rule(
            "None",
            users=(
                "system:kube-controller-manager",
                "system:kube-scheduler",
                "system:serviceaccount:kube-system:endpoint-controller",
            ),
            verbs=("get", "update"),
            resources=_core("endpoints"),
            namespaces=("kube-system",),
        ),
        Rule(
            "None",
            users=("system:apiserver",),
            verbs=("get",),
            resources=_core("namespaces", "namespaces/status", "namespaces/finalize"),
        ),
        Rule(
            "None",
            users=("cluster-autoscaler",),
            verbs=("get", "update"),
            resources=_core("configmaps", "endpoints"),
            namespaces=("kube-system",),
        ),
        Rule(
            "None",
            users=("system:kube-controller-manager",),
            verbs=("get", "list"),
            resources=(GroupResources("metrics.k8s.io"),),
        ),
        Rule("None", non_resource_urls=("/healthz*", "/livez*", "/readyz*", "/version", "/swagger*")),
        Rule("None", user_groups=("system:authenticated",), verbs=("get",), non_resource_urls=("/openapi*", "/api*")),
        Rule("None", resources=(*_core("events"), GroupResources("events.k8s.io"))),
        Rule("None", user_groups=("system:nodes", "system:masters"), resources=(_in("coordination.k8s.io", "leases"),)),
        Rule("None", resources=_core("configmaps", names=("controller-leader", "ingress-controller-leader"))),
        Rule(
            "None",
            users=("system:serviceaccount:kube-system:metrics-server",),
            verbs=("get",),
            resources=_core("nodes/metrics"),
        ),
        Rule(
            "Metadata", resources=_core("pods/exec", "pods/attach", "pods/portforward", "pods/proxy", "services/proxy")
        ),
        Rule("Metadata", resources=_core("pods/log"), omit_stages=_QUIET),
        Rule(
            "Request",
            users=(
                "kubelet",
                "system:node-problem-detector",
                "system:serviceaccount:kube-system:node-problem-detector",
            ),
            verbs=("update", "patch"),
            resources=_core("nodes/status", "pods/status"),
            omit_stages=_QUIET,
        ),
        Rule(
            "Request",
            user_groups=("system:nodes",),
            verbs=("update", "patch"),
            resources=_core("nodes/status", "pods/status"),
            omit_stages=_QUIET,
        ),
        Rule(
            "Request",
            users=("system:serviceaccount:kube-system:namespace-controller",),
            verbs=("deletecollection",),
            omit_stages=_QUIET,
        ),
        Rule(
            "Metadata",
            resources=(
                *_core("secrets", "configmaps", "serviceaccounts/token"),
                _in("authentication.k8s.io", "tokenreviews"),
            ),
            omit_stages=_QUIET,
        ),
        Rule("RequestResponse", verbs=_WRITES, resources=(_in(rbac, "*"),), omit_stages=_QUIET),
        Rule("RequestResponse", user_groups=("oidc:contractors",), omit_stages=_QUIET),
        Rule(
            "RequestResponse",
            verbs=_WRITES,
            resources=_core("*"),
            namespaces=("payments", "identity"),
            omit_stages=_QUIET,
        ),
        Rule("Request", verbs=("create",), resources=_core("pods/eviction", "bindings"), omit_stages=_QUIET),
        Rule("Metadata", resources=(_in("*", "*/status"),), omit_stages=_QUIET, omit_managed_fields=True),
        Rule("Metadata", verbs=_READS, resources=(_in("discovery.k8s.io", "endpointslices"),), omit_stages=_QUIET),
        Rule("Request", verbs=_READS, resources=_GROUPS, omit_stages=_QUIET),
        Rule("RequestResponse", resources=_GROUPS, omit_stages=_QUIET),
        Rule("Metadata", non_resource_urls=("/metrics", "/logs*", "/debug/*"), omit_stages=_QUIET),
        Rule("Metadata", omit_stages=_QUIET),
    )
    return Policy(rules=rules, omit_managed_fields=False)


_NODE = User("system:node:n1", groups=("system:nodes", "system:authenticated"))
_CONTROLLER = User("system:kube-controller-manager", groups=("system:authenticated",))
_OPERATOR = User(
    "system:serviceaccount:shop:operator",
    groups=("system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"),
)
_PERSON = User("jane@example.com", groups=("oidc:developers", "oidc:on-call", "system:authenticated"))

_MIX: tuple[tuple[int, User | None, str, str, str, str, str, str], ...] = (
    # share, who, verb, group, resource, subresource, namespace, name; without a resource the name is the path
    (14, _NODE, "update", "coordination.k8s.io", "leases", "", "kube-node-lease", "n1"),
    (10, _CONTROLLER, "update", "coordination.k8s.io", "leases", "", "kube-system", "kube-controller-manager"),
    (7, _NODE, "patch", "", "nodes", "status", "", "n1"),
    (7, _NODE, "patch", "", "pods", "status", "shop", "web-0"),
    (6, _NODE, "get", "", "nodes", "", "", "n1"),
    (6, _NODE, "get", "", "configmaps", "", "shop", "web"),
    (4, _NODE, "get", "", "secrets", "", "shop", "web"),
    (3, _NODE, "create", "", "serviceaccounts", "token", "shop", "web"),
    (5, _CONTROLLER, "watch", "apps", "replicasets", "", "", ""),
    (5, _CONTROLLER, "update", "apps", "deployments", "status", "shop", "web"),
    (5, _CONTROLLER, "create", "", "pods", "", "shop", ""),
    (5, _CONTROLLER, "create", "", "events", "", "shop", ""),
    (4, _CONTROLLER, "list", "", "pods", "", "", ""),
    (4, _CONTROLLER, "update", "discovery.k8s.io", "endpointslices", "", "shop", "web-1"),
    (4, _OPERATOR, "get", "example.com", "shops", "", "shop", "main"),
    (4, _OPERATOR, "update", "example.com", "shops", "status", "shop", "main"),
    (3, _OPERATOR, "list", "", "services", "", "shop", ""),
    (3, _PERSON, "get", "", "pods", "", "shop", "web-0"),
    (3, _PERSON, "get", "", "pods", "log", "shop", "web-0"),
    (2, _PERSON, "list", "apps", "deployments", "", "shop", ""),
    (1, _PERSON, "patch", "apps", "deployments", "", "shop", "web"),
    (1, _PERSON, "create", "", "pods", "exec", "shop", "web-0"),
    (1, _PERSON, "delete", "", "configmaps", "", "payments", "rates"),
    (1, _PERSON, "create", "rbac.authorization.k8s.io", "rolebindings", "", "shop", ""),
    (4, None, "get", "", "", "", "", "/readyz"),
    (4, _PERSON, "get", "", "", "", "", "/openapi/v3"),
    (2, _OPERATOR, "get", "", "", "", "", "/metrics"),
    (2, _PERSON, "get", "", "", "", "", "/apis/apps/v1"),
)


def requests(count: int = REQUESTS) -> list[tuple[Attributes, User | None]]:
    """Give `count` requests of the mix, in a shuffled but repeatable order."""
    chosen = random.Random(37).choices(_MIX, weights=[kind[0] for kind in _MIX], k=count)
    return [(_attributes(*about), user) for _, user, *about in chosen]


def _attributes(verb: str, group: str, resource: str, subresource: str, namespace: str, name: str) -> Attributes:
    if not resource:
        return Attributes(_fresh(verb), _fresh(name))
    return Attributes(
        verb=verb,  # resolve() takes verbs from a table: the same object every time
        path="",
        resource_request=True,
        api_group=_fresh(group),
        resource=_fresh(resource),
        subresource=_fresh(subresource),
        namespace=_fresh(namespace),
        name=_fresh(name),
    )


def _fresh(text: str) -> str:
    """Give an equal string that is a new object, as cut from a request line."""
    return (text + " ")[:-1]


def _round(decide: Callable[[Attributes, User | None], Any]) -> float:
    """Measure one decision in nanoseconds over fresh requests, the loop itself taken off."""
    mix = requests()
    gc.disable()  # as timeit does: what the making of the mix left behind is not the decision's
    start = time.perf_counter_ns()
    for attributes, user in mix:
        decide(attributes, user)
    took = time.perf_counter_ns() - start
    start = time.perf_counter_ns()
    for _ in mix:
        pass
    loop = time.perf_counter_ns() - start
    gc.enable()
    return (took - loop) / REQUESTS


def _flood() -> Iterator[tuple[Attributes, User]]:
    """Give requests on resources that nobody has heard of: each one is a key that is not kept yet."""
    for number in range(REQUESTS):
        yield Attributes("get", "", resource_request=True, api_group="x.example", resource=f"r{number}"), _PERSON


def run() -> list[dict[str, Any]]:
    """Measure the index and the plain reading of the same rules, in turns, and the index under a flood of new keys."""
    rules = policy()
    evaluator = Evaluator(rules)
    linear = indexed = flooded = float("inf")
    for _ in range(ROUNDS):
        indexed = min(indexed, _round(evaluator.decide))
        linear = min(linear, _round(lambda attributes, user: matching_rule(rules, attributes, user)))
        flood, fresh = list(_flood()), Evaluator(rules)
        start = time.perf_counter_ns()
        for attributes, user in flood:
            fresh.decide(attributes, user)
        flooded = min(flooded, (time.perf_counter_ns() - start) / REQUESTS)
    name = "decision, 30 rules"
    return [
        _measured(name, indexed / 1000, "us", "<= 0.5", "kube-apiserver 0.06 to 0.5"),
        _measured(f"{name}, against one after another", linear / indexed, "x", ">= 8", f"{linear / 1000:.2f} us"),
        _measured(f"{name}, every key new", flooded / 1000, "us", "-", f"one after another {linear / 1000:.2f} us"),
    ]


def _measured(name: str, value: float, unit: str, target: str, peer: str) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "target": target, "peer": peer}


if __name__ == "__main__":
    for measured in run():
        print(measured)
