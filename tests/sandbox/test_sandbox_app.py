from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decklog.sandbox.app import SandboxPanic
from sandbox.client import (
    APPLY,
    CONFIG_MAPS,
    DEPLOYMENTS,
    JSON,
    JSON_PATCH,
    MERGE,
    PODS,
    PROTOBUF,
    STRATEGIC,
    TABLE,
    Client,
    Notes,
    config_map,
    deployment,
    pod,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


def forbidden(what: str, user: str, verb: str, resource: str, where: str) -> str:
    return f'{what} is forbidden: User "{user}" cannot {verb} resource "{resource}" in API group "" {where}'


@pytest.mark.parametrize(
    ("user", "method", "target", "code", "message"),
    [
        ("nobody", "GET", PODS, 401, "Unauthorized"),
        ("", "GET", PODS, 403, forbidden("pods", "system:anonymous", "list", "pods", 'in the namespace "default"')),
        (
            "carol",
            "GET",
            "/api/v1/secrets",
            403,
            forbidden("secrets", "carol", "list", "secrets", "at the cluster scope"),
        ),
        (
            "bob",
            "DELETE",
            "/api/v1/nodes/n",
            403,
            forbidden('nodes "n"', "bob", "delete", "nodes", "at the cluster scope"),
        ),
        ("", "GET", "/api", 403, 'forbidden: User "system:anonymous" cannot get path "/api"'),
        ("bob", "GET", "/debug/panic", 403, 'forbidden: User "bob" cannot get path "/debug/panic"'),
        ("admin", "GET", f"{CONFIG_MAPS}/nope", 404, 'configmaps "nope" not found'),
        ("admin", "GET", "/apis/apps/v1/namespaces/x/deployments/y", 404, 'deployments.apps "y" not found'),
        ("admin", "GET", "/api/v1/foos", 404, "the server could not find the requested resource"),
        ("admin", "GET", "/apis/apps/v9/deployments", 404, "the server could not find the requested resource"),
        ("admin", "GET", f"{CONFIG_MAPS}/a/status", 404, "the server could not find the requested resource"),
        ("admin", "PUT", CONFIG_MAPS, 405, "the server does not allow this method on the requested resource"),
        ("admin", "POST", "/api/v1/configmaps", 405, "the server does not allow this method on the requested resource"),
        (
            "admin",
            "DELETE",
            "/api/v1/namespaces",
            405,
            "the server does not allow this method on the requested resource",
        ),
        (
            "admin",
            "GET",
            f"{PODS}?timeout=x",
            400,
            'invalid timeout specified in the request URL - time: invalid duration "x"',
        ),
        ("admin", "GET", f"{PODS}?limit=abc", 400, 'strconv.ParseInt: parsing "abc": invalid syntax'),
    ],
)
def test_refusals_are_status_objects(
    client: Client, user: str, method: str, target: str, code: int, message: str
) -> None:
    """What may not be done, or is not there, is answered in the API server's words, as a Status."""
    reply = client.call(method, target, user=user)
    assert (reply.status, reply.message) == (code, message)
    assert (reply.json["kind"], reply.json["code"]) == ("Status", code)


@pytest.mark.parametrize(
    "target", ["/nonexistent", "/healthzfoo", "//version", "/apis/nope.example.com/v1", "/metrics"]
)
def test_paths_outside_the_api_are_plain_404(client: Client, target: str) -> None:
    """Outside every API group Go's router answers in plain text."""
    reply = client.get(target)
    assert (reply.status, reply.body) == (404, b"404 page not found\n")


@pytest.mark.parametrize(
    ("user", "target", "code"),
    [
        ("", "/healthz", 200),
        ("", "/livez", 200),
        ("", "/readyz?verbose", 200),
        ("", "/version", 200),
        ("carol", "/api", 200),
        ("carol", "/openapi/v3", 200),
        ("admin", "/", 200),
    ],
)
def test_public_paths(client: Client, user: str, target: str, code: int) -> None:
    """Health and version are for everybody, discovery for everybody who is somebody."""
    assert client.get(target, user=user).status == code


def test_audit_is_told_of_the_decision(client: Client) -> None:
    """The two authorization annotations are noted, with the binding that allowed a request."""
    notes = Notes()
    client.get(PODS, user="carol", notes=notes)
    allowed = 'RBAC: allowed by ClusterRoleBinding "carol-view" of ClusterRole "view" to User "carol"'
    assert notes.annotations == {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": allowed}
    notes = Notes()
    client.post(CONFIG_MAPS, config_map("a"), user="carol", notes=notes)
    assert notes.annotations == {"authorization.k8s.io/decision": "forbid", "authorization.k8s.io/reason": ""}


def test_nothing_is_noted_before_authorization(client: Client) -> None:
    """A request that ends in authentication leaves no authorization annotations."""
    notes = Notes()
    assert client.get(PODS, user="nobody", notes=notes).status == 401
    assert notes.annotations == {}


def test_impersonation_is_told_and_obeyed(client: Client) -> None:
    """After an allowed impersonation the request goes on as that user, and whoever audits is told."""
    notes = Notes()
    headers = {"impersonate-user": "carol", "impersonate-group": "g"}
    reply = client.get("/api/v1/namespaces/default/secrets", headers=headers, notes=notes)
    assert reply.status == 403
    assert 'User "carol"' in reply.message
    assert notes.user is not None
    assert (notes.user.username, notes.user.groups) == ("carol", ("g", "system:authenticated"))


@pytest.mark.parametrize("user", ["alice", "bob", "carol", ""])
def test_only_administrators_impersonate(client: Client, user: str) -> None:
    """Whoever may not impersonate gets a 403 about the user that they wanted to be, and nothing is told."""
    notes = Notes()
    reply = client.get(PODS, user=user, headers={"impersonate-user": "admin"}, notes=notes)
    assert reply.status == 403
    assert reply.message.startswith('users "admin" is forbidden: User "')
    assert reply.json["details"] == {"name": "admin", "kind": "users"}
    assert (notes.user, notes.annotations) == (None, {})


def test_panic_leaves_the_application(client: Client) -> None:
    """/debug/panic raises through the application, so that a server ends the connection and an audit sees a panic."""
    with pytest.raises(SandboxPanic):
        client.get("/debug/panic")


def test_not_acceptable_is_told_before_anything_is_done(client: Client) -> None:
    """A client that accepts nothing the sandbox writes gets a 406, and its object is not made."""
    reply = client.post(CONFIG_MAPS, config_map("a"), headers={"accept": "text/html"})
    assert (reply.status, reply.json["reason"]) == (406, "NotAcceptable")
    assert client.get(f"{CONFIG_MAPS}/a").status == 404


def test_bodies_have_a_limit(client: Client) -> None:
    """A body over 3 MiB is a 413."""
    reply = client.post(CONFIG_MAPS, b" " * ((3 << 20) + 1))
    assert (reply.status, reply.message) == (413, "Request entity too large: limit is 3145728")


def test_yaml_and_pretty_answers(client: Client) -> None:
    """An answer is YAML, or indented, where the client asks for it."""
    client.post(CONFIG_MAPS, config_map("a", k="v"))
    reply = client.get(f"{CONFIG_MAPS}/a", headers={"accept": "application/yaml"})
    assert reply.headers["content-type"] == "application/yaml"
    assert b"data:\n  k: v\n" in reply.body
    assert b'\n  "kind": "ConfigMap"' in client.get(f"{CONFIG_MAPS}/a?pretty=true").body


def test_table_of_an_empty_list_has_columns(client: Client) -> None:
    """`kubectl get` of nothing still learns the columns."""
    reply = client.get(PODS, headers={"accept": TABLE})
    assert reply.json["kind"] == "Table"
    assert [column["name"] for column in reply.json["columnDefinitions"]][:3] == ["Name", "Ready", "Status"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
FIELDS = st.sampled_from([
    "metadata", "spec", "status", "data", "containers", "template", "selector", "matchLabels", "labels", "name",
    "ports", "rules", "subjects", "roleRef", "managedFields", "ownerReferences", "finalizers", "$patch", "fieldsV1",
    "generateName", "volumes", "strategy", "rollingUpdate", "nodePort", "stringData", "env", "replicas",
    "$setElementOrder/containers", "$retainKeys", "$deleteFromPrimitiveList/finalizers",
])  # fmt: skip
HOSTILE = st.recursive(
    VALUES,
    lambda inner: st.dictionaries(FIELDS, inner, max_size=4) | st.lists(inner, max_size=3),
    max_leaves=20,
)
NAMESPACED = "/api/v1/namespaces/default"
APPS = "/apis/apps/v1/namespaces/default"
JOBS = "/apis/batch/v1/namespaces/default"
PLACES = st.sampled_from(
    [
        ("POST", f"{NAMESPACED}/pods", JSON),
        ("POST", f"{NAMESPACED}/services", JSON),
        ("POST", f"{NAMESPACED}/secrets", JSON),
        ("POST", f"{NAMESPACED}/serviceaccounts/default/token", JSON),
        ("POST", f"{APPS}/deployments", JSON),
        ("POST", f"{APPS}/statefulsets", JSON),
        ("POST", f"{JOBS}/jobs", JSON),
        ("POST", f"{JOBS}/cronjobs", JSON),
        ("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", JSON),
        ("POST", "/apis/networking.k8s.io/v1/namespaces/default/ingresses", JSON),
        ("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", JSON),
        ("PUT", f"{APPS}/deployments/web", JSON),
        ("PUT", f"{APPS}/deployments/web/scale", JSON),
        ("PUT", f"{NAMESPACED}/pods/p/status", JSON),
        ("PATCH", f"{APPS}/deployments/web", MERGE),
        ("PATCH", f"{APPS}/deployments/web", STRATEGIC),
        ("PATCH", f"{APPS}/deployments/web/status", MERGE),
        ("PATCH", f"{APPS}/deployments/new?fieldManager=m&force=true", APPLY),
        ("PATCH", f"{APPS}/deployments/web?fieldManager=m&force=true", APPLY),
        ("PATCH", f"{NAMESPACED}/pods/p", JSON_PATCH),
        ("DELETE", f"{NAMESPACED}/pods/p?dryRun=All", JSON),
    ]
)


def completed(target: str, body: Any) -> Any:
    """Give an applied configuration what it needs to get past the first check."""
    if isinstance(body, dict) and "fieldManager" in target:
        return {"kind": "Deployment", "apiVersion": "apps/v1", **body}
    return body


@pytest.fixture(scope="module")
def busy() -> Iterator[Client]:
    """A sandbox in which there is something to change."""
    made = Client()
    made.post(PODS, pod("p"))
    made.post(DEPLOYMENTS, deployment("web"))
    yield made
    made.close()


HOSTILITY = settings(max_examples=300, deadline=None)


@HOSTILITY
@given(place=PLACES, body=HOSTILE)
def test_no_body_gets_past_a_status(busy: Client, place: tuple[str, str, str], body: Any) -> None:
    """Whatever a body holds, the answer is JSON with a known status, never an internal error."""
    method, target, kind = place
    reply = busy.call(method, target, completed(target, body), kind=kind)
    assert reply.status < 500 or "resourceVersion should not be set" in reply.message
    assert isinstance(json.loads(reply.body), dict)


@HOSTILITY
@given(body=st.binary(max_size=60), kind=st.sampled_from([JSON, "application/yaml", PROTOBUF]))
def test_no_bytes_get_past_a_status(busy: Client, body: bytes, kind: str) -> None:
    """Whatever bytes a body holds, the answer is a Status."""
    prefix = b"k8s\x00" if kind == PROTOBUF else b""
    assert busy.post(CONFIG_MAPS, prefix + body, kind=kind).status in {400, 422}


@HOSTILITY
@given(query=st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#?%"), max_size=30))
def test_no_query_gets_past_a_status(busy: Client, query: str) -> None:
    """Whatever a query holds, a list answers itself or a Status."""
    for name in ("labelSelector", "fieldSelector", "continue", "limit", "resourceVersion", "timeout", ""):
        reply = busy.get(f"{PODS}?{name}={query}")
        # 500 is what a real server answers to a resourceVersion that is no number, 504 to one from the future.
        assert reply.status in ({200, 500, 504} if name == "resourceVersion" else {200, 400, 410})
        assert reply.json["kind"] in {"PodList", "Status"}
