"""What the sandbox serves: one row a resource, as discovery tells it.

Lives here: the values (`Resource`, `Subresource`) and the table. Verbs, short names and categories are Kubernetes'.
A resource that is not in the table is answered 404, as by a server that does not have it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

STANDARD_VERBS: Final = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
CREATE_ONLY: Final = ("create",)
CHANGE_VERBS: Final = ("get", "patch", "update")


@dataclass(frozen=True, slots=True)
class Subresource:
    """What stands behind ``/pods/NAME/log``: its name, the kind that it speaks, and the verbs that it takes."""

    name: str
    kind: str
    verbs: tuple[str, ...]
    group: str = ""
    """Of its kind, where that is not the resource's own (Scale is autoscaling/v1)."""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of one API group and version."""

    group: str
    version: str
    plural: str
    kind: str
    singular: str
    namespaced: bool = True
    verbs: tuple[str, ...] = STANDARD_VERBS
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[Subresource, ...] = ()
    generation: bool = False
    """metadata.generation counts the changes of spec."""
    returns_deleted: bool = False
    """A deletion is answered with the object instead of a Status."""

    @property
    def group_version(self) -> str:
        """``apps/v1``; ``v1`` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """The name in messages: ``deployments.apps``; ``pods`` for the core group."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def list_kind(self) -> str:
        """``PodList``."""
        return f"{self.kind}List"

    @property
    def stored(self) -> bool:
        """Objects are kept; without it a resource only answers (reviews, bindings)."""
        return "get" in self.verbs

    def subresource(self, name: str) -> Subresource | None:
        """Find a subresource by its name."""
        return next((sub for sub in self.subresources if sub.name == name), None)


def _status(kind: str) -> Subresource:
    return Subresource("status", kind, CHANGE_VERBS)


SCALE: Final = Subresource("scale", "Scale", CHANGE_VERBS, "autoscaling", "v1")
_POD_SUBRESOURCES: Final = (
    Subresource("attach", "PodAttachOptions", ("create", "get")),
    Subresource("binding", "Binding", CREATE_ONLY),
    Subresource("ephemeralcontainers", "Pod", CHANGE_VERBS),
    Subresource("eviction", "Eviction", CREATE_ONLY, "policy", "v1"),
    Subresource("exec", "PodExecOptions", ("create", "get")),
    Subresource("log", "Pod", ("get",)),
    Subresource("portforward", "PodPortForwardOptions", ("create", "get")),
    Subresource("proxy", "PodProxyOptions", ("create", "delete", "get", "patch", "update")),
    _status("Pod"),
)
_SERVICE_PROXY: Final = Subresource("proxy", "ServiceProxyOptions", ("create", "delete", "get", "patch", "update"))
_NODE_PROXY: Final = Subresource("proxy", "NodeProxyOptions", ("create", "delete", "get", "patch", "update"))
_TOKEN: Final = Subresource("token", "TokenRequest", CREATE_ONLY, "authentication.k8s.io", "v1")
_FINALIZE: Final = Subresource("finalize", "Namespace", ("update",))
_NO_COLLECTION: Final = tuple(verb for verb in STANDARD_VERBS if verb != "deletecollection")


def _workload(
    plural: str,
    kind: str,
    short: tuple[str, ...],
    *more: Subresource,
    group: str = "apps",
) -> Resource:
    return Resource(
        group,
        "v1",
        plural,
        kind,
        kind.lower(),
        short_names=short,
        categories=("all",),
        subresources=(*more, _status(kind)),
        generation=True,
    )


def _core(
    plural: str,
    kind: str,
    short: tuple[str, ...] = (),
    *subresources: Subresource,
    namespaced: bool = True,
    returns_deleted: bool = False,
    singular: str = "",
) -> Resource:
    return Resource(
        "",
        "v1",
        plural,
        kind,
        singular or kind.lower(),
        namespaced=namespaced,
        short_names=short,
        subresources=subresources,
        returns_deleted=returns_deleted,
    )


def _review(group: str, plural: str, kind: str, *, namespaced: bool = False) -> Resource:
    return Resource(group, "v1", plural, kind, kind.lower(), namespaced=namespaced, verbs=CREATE_ONLY)


def _rbac(plural: str, kind: str, *, namespaced: bool) -> Resource:
    return Resource("rbac.authorization.k8s.io", "v1", plural, kind, kind.lower(), namespaced=namespaced)


NAMESPACES: Final = Resource(
    "",
    "v1",
    "namespaces",
    "Namespace",
    "namespace",
    namespaced=False,
    verbs=_NO_COLLECTION,
    short_names=("ns",),
    subresources=(_FINALIZE, _status("Namespace")),
    returns_deleted=True,
)
PODS: Final = Resource(
    "",
    "v1",
    "pods",
    "Pod",
    "pod",
    short_names=("po",),
    categories=("all",),
    subresources=_POD_SUBRESOURCES,
    generation=True,
    returns_deleted=True,
)
SERVICES: Final = Resource(
    "",
    "v1",
    "services",
    "Service",
    "service",
    short_names=("svc",),
    categories=("all",),
    subresources=(_SERVICE_PROXY, _status("Service")),
    returns_deleted=True,
)
BINDINGS: Final = Resource("", "v1", "bindings", "Binding", "binding", verbs=CREATE_ONLY)
CONFIG_MAPS: Final = _core("configmaps", "ConfigMap", ("cm",))
SECRETS: Final = _core("secrets", "Secret")
NODES: Final = _core("nodes", "Node", ("no",), _NODE_PROXY, _status("Node"), namespaced=False)
SERVICE_ACCOUNTS: Final = _core("serviceaccounts", "ServiceAccount", ("sa",), _TOKEN, returns_deleted=True)
EVENTS: Final = _core("events", "Event", ("ev",))
DEPLOYMENTS: Final = _workload("deployments", "Deployment", ("deploy",), SCALE)
REPLICA_SETS: Final = _workload("replicasets", "ReplicaSet", ("rs",), SCALE)
STATEFUL_SETS: Final = _workload("statefulsets", "StatefulSet", ("sts",), SCALE)
DAEMON_SETS: Final = _workload("daemonsets", "DaemonSet", ("ds",))
JOBS: Final = _workload("jobs", "Job", (), group="batch")
ROLES: Final = _rbac("roles", "Role", namespaced=True)
ROLE_BINDINGS: Final = _rbac("rolebindings", "RoleBinding", namespaced=True)
CLUSTER_ROLES: Final = _rbac("clusterroles", "ClusterRole", namespaced=False)
CLUSTER_ROLE_BINDINGS: Final = _rbac("clusterrolebindings", "ClusterRoleBinding", namespaced=False)
SELF_SUBJECT_REVIEWS: Final = _review("authentication.k8s.io", "selfsubjectreviews", "SelfSubjectReview")
TOKEN_REVIEWS: Final = _review("authentication.k8s.io", "tokenreviews", "TokenReview")
LOCAL_ACCESS_REVIEWS: Final = _review(
    "authorization.k8s.io", "localsubjectaccessreviews", "LocalSubjectAccessReview", namespaced=True
)
SELF_ACCESS_REVIEWS: Final = _review("authorization.k8s.io", "selfsubjectaccessreviews", "SelfSubjectAccessReview")
SELF_RULES_REVIEWS: Final = _review("authorization.k8s.io", "selfsubjectrulesreviews", "SelfSubjectRulesReview")
ACCESS_REVIEWS: Final = _review("authorization.k8s.io", "subjectaccessreviews", "SubjectAccessReview")

RESOURCES: Final = (
    BINDINGS,
    CONFIG_MAPS,
    _core("endpoints", "Endpoints", ("ep",)),
    EVENTS,
    _core("limitranges", "LimitRange", ("limits",)),
    NAMESPACES,
    NODES,
    _core(
        "persistentvolumeclaims",
        "PersistentVolumeClaim",
        ("pvc",),
        _status("PersistentVolumeClaim"),
        returns_deleted=True,
    ),
    _core(
        "persistentvolumes",
        "PersistentVolume",
        ("pv",),
        _status("PersistentVolume"),
        namespaced=False,
        returns_deleted=True,
    ),
    PODS,
    _core("resourcequotas", "ResourceQuota", ("quota",), _status("ResourceQuota"), returns_deleted=True),
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    DAEMON_SETS,
    DEPLOYMENTS,
    REPLICA_SETS,
    STATEFUL_SETS,
    SELF_SUBJECT_REVIEWS,
    TOKEN_REVIEWS,
    LOCAL_ACCESS_REVIEWS,
    SELF_ACCESS_REVIEWS,
    SELF_RULES_REVIEWS,
    ACCESS_REVIEWS,
    Resource(
        "autoscaling",
        "v2",
        "horizontalpodautoscalers",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscaler",
        short_names=("hpa",),
        categories=("all",),
        subresources=(_status("HorizontalPodAutoscaler"),),
    ),
    _workload("cronjobs", "CronJob", ("cj",), group="batch"),
    JOBS,
    Resource("coordination.k8s.io", "v1", "leases", "Lease", "lease"),
    Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", "endpointslice", generation=True),
    Resource(
        "networking.k8s.io",
        "v1",
        "ingressclasses",
        "IngressClass",
        "ingressclass",
        namespaced=False,
        generation=True,
    ),
    Resource(
        "networking.k8s.io",
        "v1",
        "ingresses",
        "Ingress",
        "ingress",
        short_names=("ing",),
        subresources=(_status("Ingress"),),
        generation=True,
    ),
    Resource(
        "networking.k8s.io",
        "v1",
        "networkpolicies",
        "NetworkPolicy",
        "networkpolicy",
        short_names=("netpol",),
        generation=True,
    ),
    Resource(
        "policy",
        "v1",
        "poddisruptionbudgets",
        "PodDisruptionBudget",
        "poddisruptionbudget",
        short_names=("pdb",),
        subresources=(_status("PodDisruptionBudget"),),
        generation=True,
    ),
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    ROLE_BINDINGS,
    ROLES,
    Resource(
        "scheduling.k8s.io",
        "v1",
        "priorityclasses",
        "PriorityClass",
        "priorityclass",
        namespaced=False,
        short_names=("pc",),
        generation=True,
    ),
    Resource(
        "storage.k8s.io",
        "v1",
        "storageclasses",
        "StorageClass",
        "storageclass",
        namespaced=False,
        short_names=("sc",),
    ),
)
"""Every resource, core first, then the groups in the order in which discovery lists them."""

BY_PATH: Final = {(row.group, row.version, row.plural): row for row in RESOURCES}
BY_KIND: Final = {(row.group_version, row.kind): row for row in RESOURCES}
GROUPS: Final = tuple(dict.fromkeys(row.group for row in RESOURCES))
"""API groups in the order of discovery; the core group is the empty one."""
