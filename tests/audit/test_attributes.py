from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decklog.audit.attributes import Attributes, ResolveError, deadline_problem, resolve
from decklog.audit.quoting import internal_error

_FIELDS = ("namespace", "resource", "subresource", "name", "api_group", "field_selector", "label_selector")


def _told(attributes: Attributes) -> dict[str, Any]:
    """What is not empty, in few words."""
    told: dict[str, Any] = {"verb": attributes.verb}
    told |= {name: getattr(attributes, name) for name in _FIELDS if getattr(attributes, name)}
    if attributes.long_running:
        told["long_running"] = True
    return told


_RESOURCES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "an object": (
        "GET",
        "/api/v1/namespaces/ns/pods/p",
        {"verb": "get", "namespace": "ns", "resource": "pods", "name": "p"},
    ),
    "HEAD is a get": ("HEAD", "/api/v1/nodes/n", {"verb": "get", "resource": "nodes", "name": "n"}),
    "a list": ("GET", "/api/v1/namespaces/ns/pods", {"verb": "list", "namespace": "ns", "resource": "pods"}),
    "a list over all namespaces": ("GET", "/api/v1/pods", {"verb": "list", "resource": "pods"}),
    "of a group": (
        "GET",
        "/apis/apps/v1/deployments",
        {"verb": "list", "api_group": "apps", "resource": "deployments"},
    ),
    "create": ("POST", "/api/v1/namespaces/ns/pods", {"verb": "create", "namespace": "ns", "resource": "pods"}),
    "update": (
        "PUT",
        "/api/v1/nodes/n/status",
        {"verb": "update", "resource": "nodes", "name": "n", "subresource": "status"},
    ),
    "patch without a name": ("PATCH", "/api/v1/pods", {"verb": "patch", "resource": "pods"}),
    "delete": ("DELETE", "/api/v1/nodes/n", {"verb": "delete", "resource": "nodes", "name": "n"}),
    "deletecollection": ("DELETE", "/api/v1/nodes", {"verb": "deletecollection", "resource": "nodes"}),
    "an unknown method": ("OPTIONS", "/api/v1/pods", {"verb": "", "resource": "pods"}),
    "methods are case-sensitive": ("get", "/api/v1/pods", {"verb": "", "resource": "pods"}),
    "a namespace": (
        "GET",
        "/api/v1/namespaces/ns",
        {"verb": "get", "namespace": "ns", "resource": "namespaces", "name": "ns"},
    ),
    "all namespaces": ("GET", "/api/v1/namespaces/", {"verb": "list", "resource": "namespaces"}),
    "a namespace's status": (
        "PUT",
        "/api/v1/namespaces/ns/status",
        {"verb": "update", "namespace": "ns", "resource": "namespaces", "name": "ns", "subresource": "status"},
    ),
    "a resource called like a namespace's subresource": (
        "GET",
        "/api/v1/namespaces/ns/finalizers",
        {"verb": "list", "namespace": "ns", "resource": "finalizers"},
    ),
    "a log is long": (
        "GET",
        "/api/v1/namespaces/ns/pods/p/log",
        {"verb": "get", "namespace": "ns", "resource": "pods", "name": "p", "subresource": "log", "long_running": True},
    ),
    "an escaped slash parts": (
        "GET",
        "/api/v1/namespaces/ns/configmaps/cm%2Fa",
        {"verb": "get", "namespace": "ns", "resource": "configmaps", "name": "cm", "subresource": "a"},
    ),
    "an escaped prefix": ("GET", "/api%2Fv1/nodes/%6E", {"verb": "get", "resource": "nodes", "name": "n"}),
    "an empty resource": ("GET", "/api/v1//pods", {"verb": "get", "name": "pods"}),
    "an empty resource and a namespace": (
        "GET",
        "/api/v1//namespaces/ns",
        {"verb": "get", "name": "namespaces", "subresource": "ns"},
    ),
    "an empty name": (
        "DELETE",
        "/api/v1/namespaces/ns/pods//status",
        {"verb": "deletecollection", "namespace": "ns", "resource": "pods", "subresource": "status"},
    ),
    "watch": ("GET", "/api/v1/pods?watch", {"verb": "watch", "resource": "pods", "long_running": True}),
    "watch, whatever its value": (
        "GET",
        "/api/v1/pods?watch=f",
        {"verb": "watch", "resource": "pods", "long_running": True},
    ),
    "no watch": ("GET", "/api/v1/pods?watch=FALSE&watch=1", {"verb": "list", "resource": "pods"}),
    "no watch of an object": ("GET", "/api/v1/nodes/n?watch=1", {"verb": "get", "resource": "nodes", "name": "n"}),
    "a list of one": (
        "GET",
        "/api/v1/pods?fieldSelector=metadata.name%3Dp&labelSelector=a",
        {"verb": "list", "resource": "pods", "name": "p", "field_selector": "metadata.name=p", "label_selector": "a"},
    ),
    "a list of one, options broken": (
        "GET",
        "/api/v1/pods?watch=1&limit=&fieldSelector=metadata.name%3Dp",
        {"verb": "watch", "resource": "pods", "field_selector": "metadata.name=p", "long_running": True},
    ),
    "a list of one, labels broken": (
        "GET",
        "/api/v1/pods?labelSelector=a%3D%3D%3Db&fieldSelector=metadata.name%3Dp",
        {"verb": "list", "resource": "pods", "field_selector": "metadata.name=p", "label_selector": "a===b"},
    ),
    "a name that cannot be one": (
        "GET",
        "/api/v1/pods?fieldSelector=metadata.name%3D..",
        {"verb": "list", "resource": "pods", "field_selector": "metadata.name=.."},
    ),
    "deletecollection has selectors, but no name": (
        "DELETE",
        "/api/v1/pods?fieldSelector=metadata.name%3Dp",
        {"verb": "deletecollection", "resource": "pods", "field_selector": "metadata.name=p"},
    ),
    "an object has no selectors": (
        "GET",
        "/api/v1/nodes/n?fieldSelector=metadata.name%3Dp",
        {"verb": "get", "resource": "nodes", "name": "n"},
    ),
    "the old watch": (
        "DELETE",
        "/api/v1/watch/namespaces/ns/pods?fieldSelector=metadata.name%3Dp",
        {"verb": "watch", "namespace": "ns", "resource": "pods", "long_running": True},
    ),
    "the old proxy has no subresource": (
        "GET",
        "/api/v1/proxy/namespaces/ns/pods/p/sub",
        {"verb": "proxy", "namespace": "ns", "resource": "pods", "name": "p", "long_running": True},
    ),
    "bytes that are no UTF-8": ("GET", "/api/v1/nodes/%ff", {"verb": "get", "resource": "nodes", "name": "\udcff"}),
}


@pytest.mark.parametrize(("method", "target", "expected"), _RESOURCES.values(), ids=_RESOURCES)
def test_requests_for_resources(method: str, target: str, expected: dict[str, Any]) -> None:
    """Verb, namespace, resource, name and selectors are read as kube-apiserver reads them."""
    attributes = resolve(method, target.encode())
    assert _told(attributes) == expected
    assert attributes.resource_request
    assert attributes == resolve(method, target)


_OTHERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "root": ("GET", "/", {"verb": "get"}),
    "nothing": ("GET", "", {"verb": "get"}),
    "health": ("GET", "/healthz", {"verb": "get"}),
    "the method is the verb": ("POST", "/version", {"verb": "post"}),
    "discovery": ("GET", "/api/v1/", {"verb": "get"}),
    "discovery of a group": ("GET", "/apis/apps/v1", {"verb": "get"}),
    "the prefix is case-sensitive": ("GET", "/API/v1/pods", {"verb": "get"}),
    "profiles are long": ("GET", "/debug/pprof/profile", {"verb": "get", "long_running": True}),
    "but not their index": ("GET", "/debug/pprof", {"verb": "get"}),
    "a method called watch": ("WATCH", "/healthz", {"verb": "watch", "long_running": True}),
}


@pytest.mark.parametrize(("method", "target", "expected"), _OTHERS.values(), ids=_OTHERS)
def test_other_requests(method: str, target: str, expected: dict[str, Any]) -> None:
    """A path that names no resource has its method as verb, and nothing else."""
    attributes = resolve(method, target)
    assert _told(attributes) == expected
    assert not attributes.resource_request


def test_prefix_version_and_parts_are_kept() -> None:
    """The rest of what the server knows of a request."""
    attributes = resolve("GET", "/apis/g/v1/namespaces/ns/widgets/w/sub/extra?x=1")
    assert (attributes.api_prefix, attributes.api_version) == ("apis", "v1")
    assert attributes.parts == ("widgets", "w", "sub", "extra")
    assert attributes.path == "/apis/g/v1/namespaces/ns/widgets/w/sub/extra"
    assert attributes.request_uri == attributes.path + "?x=1"
    assert resolve("GET", "/apis/g/v1").api_prefix == "apis"
    assert resolve("GET", "/apis/g").api_prefix == ""


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("/api/v1/proxy", "/api/v1/proxy"),
        ("/apis/apps/v1/watch/?x=<1>", "/apis/apps/v1/watch/?x=<1>"),
        ("http://host/api/v1/watch", "http://host/api/v1/watch"),
    ],
)
def test_a_prefix_alone_is_an_error_of_the_server(target: str, shown: str) -> None:
    """A watch or proxy of nothing is answered with 500, and never audited."""
    with pytest.raises(ResolveError) as caught:
        resolve("GET", target)
    assert caught.value.status == 500
    assert str(caught.value) == f"unable to determine kind and namespace from url, {shown}"


def test_the_servers_answer_to_it_can_be_built() -> None:
    """The client sees the quoted target and the reason."""
    with pytest.raises(ResolveError) as caught:
        resolve("GET", "/api/v1/proxy")
    assert internal_error("/api/v1/proxy", f"failed to create RequestInfo: {caught.value}") == (
        'Internal Server Error: "/api/v1/proxy": failed to create RequestInfo: '
        "unable to determine kind and namespace from url, /api/v1/proxy"
    )


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("/api/v1/nodes/n?timeout=bogus", 'time: invalid duration "bogus"'),
        ("/api/v1/nodes/n?timeout=10", 'time: missing unit in duration "10"'),
        ("/api/v1/nodes/n?%74imeout=1%20s", 'time: unknown unit " s" in duration "1 s"'),
        ("/healthz?timeout=x", 'time: invalid duration "x"'),
        ("/api/v1/nodes/n?timeout=5s", None),
        ("/api/v1/nodes/n?timeout=-1s", None),
        ("/api/v1/nodes/n?timeout=0", None),
        ("/api/v1/nodes/n?timeout=", None),
        ("/api/v1/nodes/n?timeout=5s&timeout=bogus", None),
        ("/api/v1/nodes/n?timeout=a;b", None),
        ("/api/v1/nodes/n?Timeout=bogus", None),
        ("/api/v1/nodes/n", None),
        ("/api/v1/nodes?watch=1&timeout=bogus", None),
        ("/api/v1/namespaces/ns/pods/p/log?timeout=bogus", None),
    ],
)
def test_a_timeout_has_to_be_a_duration(target: str, problem: str | None) -> None:
    """A bad one is told in the server's words, but for long-running requests, which have no deadline."""
    expected = None if problem is None else f"invalid timeout specified in the request URL - {problem}"
    for given_target in (target, target.encode()):
        assert deadline_problem(resolve("GET", given_target), given_target) == expected


_SEGMENTS = st.sampled_from(
    [
        b"api",
        b"apis",
        b"v1",
        b"namespaces",
        b"ns",
        b"pods",
        b"watch",
        b"proxy",
        b"status",
        b"",
        b"%2F",
        b"%ff",
        b"\xff",
        b"..",
        b"a%",
    ]
)
_PAIRS = st.sampled_from(
    [
        b"watch",
        b"watch=0",
        b"limit=x",
        b"fieldSelector=metadata.name%3Dx",
        b"labelSelector=a%20in%20(",
        b"timeout=%zz",
        b"timeout=1x",
        b"%",
        b";",
    ]
)


@given(
    st.sampled_from(["GET", "HEAD", "POST", "DELETE", "CONNECT", "odd"]),
    st.binary(max_size=40)
    | st.builds(
        lambda path, query: b"/" + b"/".join(path) + b"?" + b"&".join(query),
        st.lists(_SEGMENTS, max_size=8),
        st.lists(_PAIRS, max_size=3),
    ),
)
def test_any_bytes_resolve_or_are_refused(method: str, target: bytes) -> None:
    """No client brings the resolver to raise anything but its own error."""
    try:
        attributes = resolve(method, target)
    except ResolveError:
        return
    deadline_problem(attributes, target)
    assert attributes.resource_request or not attributes.resource
    assert not attributes.parts or attributes.parts[0] == attributes.resource
