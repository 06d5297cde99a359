from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sandbox.client import PODS, SECRETS, pod

if TYPE_CHECKING:
    from sandbox.client import Client

ACCESS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
ROLES = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles"
BINDINGS = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings"
WHO = ("admin", "alice", "bob", "carol")


def may(client: Client, user: str, verb: str, resource: str, group: str = "", namespace: str = "default") -> bool:
    plural, _, sub = resource.partition("/")
    wanted = {"verb": verb, "group": group, "resource": plural, "subresource": sub, "namespace": namespace}
    reply = client.post(ACCESS, {"spec": {"resourceAttributes": wanted}}, user=user)
    return bool(reply.json["status"]["allowed"])


@pytest.mark.parametrize(
    ("verb", "resource", "group", "allowed"),
    [
        ("get", "pods", "", "admin alice bob carol"),
        ("get", "pods/log", "", "admin alice bob carol"),
        ("list", "deployments", "apps", "admin alice bob carol"),
        ("get", "namespaces", "", "admin alice bob carol"),
        ("get", "secrets", "", "admin alice bob"),
        ("create", "pods", "", "admin alice bob"),
        ("create", "pods/exec", "", "admin alice bob"),
        ("update", "deployments/scale", "apps", "admin alice bob"),
        ("deletecollection", "configmaps", "", "admin alice bob"),
        ("get", "roles", "rbac.authorization.k8s.io", "admin alice"),
        ("create", "rolebindings", "rbac.authorization.k8s.io", "admin alice"),
        ("create", "namespaces", "", "admin"),
        ("list", "nodes", "", "admin"),
        ("create", "clusterroles", "rbac.authorization.k8s.io", "admin"),
        ("impersonate", "users", "", "admin"),
        ("impersonate", "serviceaccounts", "", "admin"),
        ("create", "subjectaccessreviews", "authorization.k8s.io", "admin"),
    ],
)
def test_who_may_do_what(client: Client, verb: str, resource: str, group: str, allowed: str) -> None:
    """The accounts may do what cluster-admin, admin, edit and view mean in Kubernetes."""
    assert " ".join(who for who in WHO if may(client, who, verb, resource, group)) == allowed


def test_a_written_role_takes_effect(client: Client) -> None:
    """A role and a binding that an administrator writes allow what they say, in their namespace, for that name."""
    rules = [{"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["open"]}]
    client.post(ROLES, {"metadata": {"name": "reader"}, "rules": rules})
    subject = {"kind": "Group", "name": "auditors"}
    reference = {"kind": "Role", "name": "reader", "apiGroup": "rbac.authorization.k8s.io"}
    client.post(BINDINGS, {"metadata": {"name": "readers"}, "subjects": [subject], "roleRef": reference})
    for name in ("open", "closed"):
        client.post(SECRETS, {"metadata": {"name": name}})
    assert client.get(f"{SECRETS}/open", user="carol").status == 200
    assert client.get(f"{SECRETS}/closed", user="carol").status == 403
    assert client.get(SECRETS, user="carol").status == 403
    assert client.get("/api/v1/namespaces/kube-system/secrets/open", user="carol").status == 403


def test_reason_names_the_binding(client: Client) -> None:
    """The reason of an allowance names the binding, its namespace, the role and the subject."""
    account = {"kind": "ServiceAccount", "name": "default", "namespace": "default"}
    reference = {"kind": "ClusterRole", "name": "view"}
    client.post(BINDINGS, {"metadata": {"name": "viewers"}, "subjects": [account], "roleRef": reference})
    spec = {"user": "system:serviceaccount:default:default", "resourceAttributes": {"verb": "get", "resource": "pods"}}
    spec["resourceAttributes"]["namespace"] = "default"  # type: ignore[index]  # because: a dict of both
    status = client.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", {"spec": spec}).json["status"]
    assert status == {
        "allowed": True,
        "reason": 'RBAC: allowed by RoleBinding "viewers/default" of ClusterRole "view" to '
        'ServiceAccount "default/default"',
    }


def role(*rules: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": "r"}, "rules": list(rules)}


@pytest.mark.parametrize(
    ("rule", "status"),
    [
        ({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}, 201),
        ({"verbs": ["get"], "apiGroups": ["apps"], "resources": ["*/scale"]}, 403),
        ({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}, 403),
        ({"verbs": ["get"], "apiGroups": [""], "resources": ["nodes"]}, 403),
        ({"verbs": ["get"] * 200, "apiGroups": [""] * 200, "resources": ["pods"] * 200}, 403),
    ],
    ids=["held", "wider", "everything", "not held", "too many to look at"],
)
def test_nobody_grants_what_they_do_not_have(client: Client, rule: dict[str, Any], status: int) -> None:
    """Alice (admin of namespaces) may write roles, but only with what she may do herself; cluster-admin may all."""
    assert client.post(ROLES, role(rule), user="alice").status == status
    assert client.post(f"{ROLES}?dryRun=All", {**role(rule), "metadata": {"name": "other"}}).status == 201


def test_nobody_binds_what_they_do_not_have(client: Client) -> None:
    """A binding to a role that its writer does not have is refused, with the missing rules."""
    subject = {"kind": "User", "name": "alice"}

    def bound(role: str) -> dict[str, Any]:
        reference = {"kind": "ClusterRole", "name": role}
        return {"metadata": {"name": role}, "subjects": [subject], "roleRef": reference}

    assert client.post(BINDINGS, bound("view"), user="alice").status == 201
    reply = client.post(BINDINGS, bound("cluster-admin"), user="alice")
    assert reply.status == 403
    assert "is attempting to grant RBAC permissions not currently held" in reply.message


def test_watch_and_log_are_asked_for(client: Client) -> None:
    """A watch needs the verb watch, a log the subresource: who has neither is refused before anything streams."""
    client.post(PODS, pod("p"))
    assert 'cannot watch resource "pods"' in client.get(f"{PODS}?watch=1", user="").message
    assert 'cannot get resource "pods/log"' in client.get(f"{PODS}/p/log", user="").message
