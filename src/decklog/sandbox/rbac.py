"""Roles: the ones every cluster begins with, as far as the sandbox needs them.

Lives here: tables of verbs by resources with Kubernetes' meaning of ``admin``, ``edit`` and ``view``, and the objects
that the store begins with. They are ordinary ClusterRoles and ClusterRoleBindings, so that
`kubectl get clusterrole view -o yaml` shows them, and a binding that an administrator writes takes effect.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from decklog.sandbox.objects import Object

API_GROUP: Final = "rbac.authorization.k8s.io"

_READ: Final = ("get", "list", "watch")
_WRITE: Final = ("create", "delete", "deletecollection", "patch", "update")


@dataclass(frozen=True, slots=True)
class Rule:
    """What a role allows: verbs on resources of groups, or on paths."""

    verbs: tuple[str, ...]
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    def rendered(self) -> dict[str, Any]:
        """Render the rule as a role's ``rules`` have it."""
        fields = {
            "verbs": self.verbs,
            "apiGroups": self.groups,
            "resources": self.resources,
            "resourceNames": self.names,
            "nonResourceURLs": self.paths,
        }
        return {key: list(value) for key, value in fields.items() if value}


def _rule(verbs: tuple[str, ...], group: str, resources: str) -> Rule:
    return Rule(verbs, (group,), tuple(resources.split()))


_VIEW: Final = (
    _rule(
        _READ,
        "",
        "bindings configmaps endpoints events limitranges namespaces namespaces/status persistentvolumeclaims "
        "persistentvolumeclaims/status pods pods/log pods/status resourcequotas resourcequotas/status serviceaccounts "
        "services services/status",
    ),
    _rule(
        _READ,
        "apps",
        "daemonsets daemonsets/status deployments deployments/scale deployments/status replicasets replicasets/scale "
        "replicasets/status statefulsets statefulsets/scale statefulsets/status",
    ),
    _rule(_READ, "autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status"),
    _rule(_READ, "batch", "cronjobs cronjobs/status jobs jobs/status"),
    _rule(_READ, "discovery.k8s.io", "endpointslices"),
    _rule(_READ, "networking.k8s.io", "ingresses ingresses/status networkpolicies"),
    _rule(_READ, "policy", "poddisruptionbudgets poddisruptionbudgets/status"),
)
_EDIT: Final = (
    *_VIEW,
    _rule(_READ, "", "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy"),
    _rule(
        _WRITE,
        "",
        "configmaps events persistentvolumeclaims pods pods/attach pods/exec pods/portforward pods/proxy secrets "
        "serviceaccounts services services/proxy",
    ),
    _rule(("create",), "", "pods/eviction serviceaccounts/token"),
    _rule(
        _WRITE,
        "apps",
        "daemonsets deployments deployments/scale replicasets replicasets/scale statefulsets statefulsets/scale",
    ),
    _rule(_WRITE, "autoscaling", "horizontalpodautoscalers"),
    _rule(_WRITE, "batch", "cronjobs jobs"),
    _rule((*_READ, *_WRITE), "coordination.k8s.io", "leases"),
    _rule(_WRITE, "networking.k8s.io", "ingresses networkpolicies"),
    _rule(_WRITE, "policy", "poddisruptionbudgets"),
)
_ADMIN: Final = (
    *_EDIT,
    _rule((*_READ, *_WRITE), API_GROUP, "rolebindings roles"),
    _rule(("create",), "authorization.k8s.io", "localsubjectaccessreviews"),
)
_DISCOVERY_PATHS: Final = (
    "/api",
    "/api/*",
    "/apis",
    "/apis/*",
    "/healthz",
    "/livez",
    "/openapi",
    "/openapi/*",
    "/readyz",
    "/version",
    "/version/",
)

CLUSTER_ROLES: Final[dict[str, tuple[Rule, ...]]] = {
    "cluster-admin": (Rule(("*",), ("*",), ("*",)), Rule(("*",), paths=("*",))),
    "admin": _ADMIN,
    "edit": _EDIT,
    "view": _VIEW,
    "system:basic-user": (
        _rule(("create",), "authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews"),
        _rule(("create",), "authentication.k8s.io", "selfsubjectreviews"),
    ),
    "system:discovery": (Rule(("get",), paths=_DISCOVERY_PATHS),),
    "system:public-info-viewer": (Rule(("get",), paths=("/healthz", "/livez", "/readyz", "/version", "/version/")),),
}
_GROUP_BINDINGS: Final = {
    "cluster-admin": ("system:masters",),
    "system:basic-user": ("system:authenticated",),
    "system:discovery": ("system:authenticated",),
    "system:public-info-viewer": ("system:authenticated", "system:unauthenticated"),
}

ROLES: Final = ("cluster-admin", "admin", "edit", "view")
"""The roles that an account can be given."""


def seed_roles() -> Iterator[Object]:
    """Make the ClusterRoles that exist from the start."""
    for name, rules in CLUSTER_ROLES.items():
        yield _object("ClusterRole", name) | {"rules": [rule.rendered() for rule in rules]}


def seed_bindings(accounts: Iterable[tuple[str, str]]) -> Iterator[Object]:
    """Make the ClusterRoleBindings that exist from the start: Kubernetes' own, and one for each (user, role)."""
    for role, groups in _GROUP_BINDINGS.items():
        yield _binding(role, role, [_subject("Group", group) for group in groups])
    for user, role in accounts:
        yield _binding(f"{user}-{role}", role, [_subject("User", user)])


def _object(kind: str, name: str) -> Object:
    return {"kind": kind, "apiVersion": f"{API_GROUP}/v1", "metadata": {"name": name}}


def _subject(kind: str, name: str) -> dict[str, str]:
    return {"kind": kind, "apiGroup": API_GROUP, "name": name}


def _binding(name: str, role: str, subjects: list[dict[str, str]]) -> Object:
    reference = {"apiGroup": API_GROUP, "kind": "ClusterRole", "name": role}
    return _object("ClusterRoleBinding", name) | {"subjects": subjects, "roleRef": reference}
