"""The beginning: what is there before the first request.

Lives here: the namespaces, node, service and roles that a new cluster has, and a binding for each account's role.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from decklog.sandbox import discovery
from decklog.sandbox import resources as known
from decklog.sandbox.controllers import NODE, blank
from decklog.sandbox.rbac import seed_bindings, seed_roles

if TYPE_CHECKING:
    from collections.abc import Iterable

    from decklog.sandbox.cluster import Cluster
    from decklog.sandbox.identities import Account
    from decklog.sandbox.objects import Object

NAMESPACES: Final = ("default", "kube-node-lease", "kube-public", "kube-system")


def seed(cluster: Cluster, accounts: Iterable[Account]) -> None:
    """Fill an empty cluster."""
    for name in NAMESPACES:
        cluster.create(known.NAMESPACES, blank(known.NAMESPACES, name))
    cluster.create(known.NODES, _node(cluster.now()))
    cluster.create(known.SERVICES, _service())
    for role in seed_roles():
        cluster.create(known.CLUSTER_ROLES, role)
    for binding in seed_bindings((account.name, account.role) for account in accounts if account.role):
        cluster.create(known.CLUSTER_ROLE_BINDINGS, binding)


def _node(now: str) -> Object:
    node = blank(known.NODES, NODE)
    node["metadata"]["labels"] = {"kubernetes.io/hostname": NODE, "decklog/sandbox": "true"}
    node["spec"] = {}
    ready = {"type": "Ready", "status": "True", "reason": "Invented", "lastTransitionTime": now}
    node["status"] = {
        "conditions": [ready],
        "addresses": [{"type": "InternalIP", "address": "192.0.2.1"}, {"type": "Hostname", "address": NODE}],
        "nodeInfo": {
            "kubeletVersion": discovery.VERSION["gitVersion"],
            "osImage": "none: a sandbox",
            "kernelVersion": "none",
            "containerRuntimeVersion": "none://",
            "architecture": "amd64",
            "operatingSystem": "linux",
        },
    }
    return node


def _service() -> Object:
    service = blank(known.SERVICES, "kubernetes", "default")
    service["metadata"]["labels"] = {"component": "apiserver", "provider": "kubernetes"}
    ports = [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": 6443}]
    service["spec"] = {"type": "ClusterIP", "clusterIP": "10.96.0.1", "ports": ports}
    return service
