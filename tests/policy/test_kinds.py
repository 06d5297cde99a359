from __future__ import annotations

import pytest

from decklog.policy.kinds import Kind, Kinds, built_in
from decklog.sandbox.resources import RESOURCES

# (group, resource, kind, singular, namespaced, subresources): as a server of 1.36 answers to GET /api and /apis.
SERVED_BY_1_36 = [
    (
        "",
        "pods",
        "Pod",
        "pod",
        True,
        "attach binding ephemeralcontainers eviction exec log portforward proxy resize status",
    ),
    ("", "serviceaccounts", "ServiceAccount", "serviceaccount", True, "token"),
    ("", "namespaces", "Namespace", "namespace", False, "finalize status"),
    ("", "nodes", "Node", "node", False, "proxy status"),
    ("", "endpoints", "Endpoints", "endpoints", True, ""),
    ("", "componentstatuses", "ComponentStatus", "componentstatus", False, ""),
    ("apps", "controllerrevisions", "ControllerRevision", "controllerrevision", True, ""),
    ("apps", "deployments", "Deployment", "deployment", True, "scale status"),
    ("authentication.k8s.io", "tokenreviews", "TokenReview", "tokenreview", False, ""),
    (
        "certificates.k8s.io",
        "certificatesigningrequests",
        "CertificateSigningRequest",
        "certificatesigningrequest",
        False,
        "approval status",
    ),
    ("networking.k8s.io", "servicecidrs", "ServiceCIDR", "servicecidr", False, "status"),
    ("resource.k8s.io", "resourceclaims", "ResourceClaim", "resourceclaim", True, "status"),
    (
        "admissionregistration.k8s.io",
        "mutatingadmissionpolicies",
        "MutatingAdmissionPolicy",
        "mutatingadmissionpolicy",
        False,
        "",
    ),
    ("storage.k8s.io", "volumeattributesclasses", "VolumeAttributesClass", "volumeattributesclass", False, ""),
]


@pytest.mark.parametrize("row", SERVED_BY_1_36, ids=lambda row: f"{row[1]}.{row[0]}")
def test_the_table_says_what_a_real_server_says(row: tuple[str, str, str, str, bool, str]) -> None:
    """Kind, singular, scope and subresources are those of a real server's discovery."""
    group, resource, kind, singular, namespaced, subresources = row
    found = built_in().find(group, resource)
    assert found is not None
    assert found.served(36)
    assert (found.kind, found.singular, found.namespaced) == (kind, singular, namespaced)
    assert list(found.subresources) == subresources.split()


@pytest.mark.parametrize("served", RESOURCES, ids=lambda row: row.qualified)
def test_the_table_has_what_the_sandbox_serves(served: object) -> None:
    """The two tables of resources in the house agree."""
    row = next(each for each in RESOURCES if each is served)
    found = built_in().find(row.group, row.plural)
    assert found is not None
    assert (found.kind, found.singular, found.namespaced) == (row.kind, row.singular, row.namespaced)
    assert {sub.name for sub in row.subresources} <= set(found.subresources)


@pytest.mark.parametrize(
    ("group", "resource", "releases"),
    [
        ("policy", "podsecuritypolicies", [24]),
        ("extensions", "ingresses", []),
        ("settings.k8s.io", "podpresets", []),
        ("networking.k8s.io", "clustercidrs", [25, 26, 27, 28]),
        ("resource.k8s.io", "resourceclasses", [26, 27, 28, 29, 30]),
        ("admissionregistration.k8s.io", "validatingadmissionpolicies", list(range(26, 38))),
        ("apps", "deployments", list(range(24, 38))),
    ],
)
def test_resources_come_and_go_with_releases(group: str, resource: str, releases: list[int]) -> None:
    """A resource is served from its first to its last release."""
    found = built_in().find(group, resource)
    assert found is not None
    assert [minor for minor in range(24, 38) if found.served(minor)] == releases


def test_a_kind_a_singular_and_a_short_name_lead_to_the_resource() -> None:
    """What people write for a resource is found, in their group first."""
    for text in ("Deployment", "deployment", "deploy"):
        assert built_in().spelled(text, "apps")[0].qualified == "deployments.apps"
    assert {kind.group for kind in built_in().spelled("Ingress")} == {"extensions", "networking.k8s.io"}


def test_near_names_are_found() -> None:
    """A misspelled resource or group is answered with the right one, nonsense with nothing."""
    kinds = built_in()
    assert kinds.near("", "replicacontrollers") == "replicationcontrollers"
    assert kinds.near("", "xyz") == ""
    assert kinds.near_group("rbac") == "rbac.authorization.k8s.io"
    assert kinds.near_group("network.k8s.io") == "networking.k8s.io"
    assert kinds.near_group("unheard.of") == ""


def test_what_a_cluster_serves_is_added_and_counts() -> None:
    """A custom resource is known after it was added; a cluster's word on a resource beats the table's."""
    own = Kind("shop.example", "carts", "Cart", "cart")
    pods = Kind("", "pods", "Pod", "pod", subresources=("dance",))
    kinds = built_in() | (own, pods)
    assert kinds.find("shop.example", "carts") == own
    assert kinds.find("", "pods") == pods
    assert kinds.with_subresource("dance") == (pods,)
    assert isinstance(kinds, Kinds)
