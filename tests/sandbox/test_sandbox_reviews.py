from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from sandbox.client import Client

AUTHENTICATION = "/apis/authentication.k8s.io/v1"
AUTHORIZATION = "/apis/authorization.k8s.io/v1"


def test_self_subject_review_shows_who_one_is(client: Client) -> None:
    """`kubectl auth whoami` sees the user; impersonating, the impersonated one."""
    target = f"{AUTHENTICATION}/selfsubjectreviews"
    assert client.post(target, {}, user="bob").json == {
        "kind": "SelfSubjectReview",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"creationTimestamp": "2026-01-02T03:04:05Z"},
        "status": {"userInfo": {"username": "bob", "groups": ["developers", "system:authenticated"]}},
    }
    reply = client.post(target, {}, headers={"impersonate-user": "zoe", "impersonate-extra-a": "b"})
    assert reply.json["status"]["userInfo"]["extra"] == {"a": ["b"]}


@pytest.mark.parametrize(
    ("token", "status"),
    [
        (
            "bob",
            {
                "authenticated": True,
                "user": {"username": "bob", "groups": ["developers", "system:authenticated"]},
                "audiences": ["https://kubernetes.default.svc"],
            },
        ),
        ("nope", {"user": {}, "error": "invalid bearer token"}),
    ],
)
def test_token_review_tells_whose_a_token_is(client: Client, token: str, status: dict[str, Any]) -> None:
    """A TokenReview tells whose a token is, or that it is nobody's."""
    assert client.post(f"{AUTHENTICATION}/tokenreviews", {"spec": {"token": token}}).json["status"] == status


def test_access_reviews_ask_for_others(client: Client) -> None:
    """An administrator may ask what others may do; others may not ask."""
    target = f"{AUTHORIZATION}/subjectaccessreviews"
    spec = {
        "user": "carol",
        "nonResourceAttributes": {"path": "/version", "verb": "get"},
        "groups": ["system:authenticated"],
    }
    assert client.post(target, {"spec": spec}).json["status"]["allowed"] is True
    assert client.post(target, {"spec": spec}, user="bob").status == 403
    local = {
        "spec": {"user": "carol", "resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "default"}}
    }
    review = f"{AUTHORIZATION}/namespaces/default/localsubjectaccessreviews"
    assert client.post(review, local, user="alice").json["status"]["allowed"] is True
    local["spec"]["resourceAttributes"] = {"verb": "get", "resource": "pods", "namespace": "kube-system"}
    assert client.post(review, local).status == 400


@pytest.mark.parametrize(
    ("plural", "spec"),
    [
        ("selfsubjectaccessreviews", {}),
        ("selfsubjectaccessreviews", {"resourceAttributes": {}, "nonResourceAttributes": {}}),
        ("subjectaccessreviews", {"resourceAttributes": {"verb": "get"}}),
    ],
)
def test_reviews_without_a_question_are_invalid(client: Client, plural: str, spec: dict[str, Any]) -> None:
    """A review has to ask exactly one thing, about somebody."""
    assert client.post(f"{AUTHORIZATION}/{plural}", {"spec": spec}).status == 422


def test_rules_review_lists_what_one_may(client: Client) -> None:
    """`kubectl auth can-i --list` sees the rules of one's roles."""
    reply = client.post(f"{AUTHORIZATION}/selfsubjectrulesreviews", {"spec": {"namespace": "default"}}, user="carol")
    status = reply.json["status"]
    assert status["incomplete"] is False
    assert {
        "verbs": ["get", "list", "watch"],
        "apiGroups": ["discovery.k8s.io"],
        "resources": ["endpointslices"],
    } in status["resourceRules"]
    assert any("/version" in rule["nonResourceURLs"] for rule in status["nonResourceRules"])
    assert client.post(f"{AUTHORIZATION}/selfsubjectrulesreviews", {"spec": {}}).status == 400
