from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sandbox.client import DEPLOYMENTS, PODS, STRATEGIC, deployment, pod, streaming

if TYPE_CHECKING:
    from sandbox.client import Client

LOG = f"{PODS}/p/log"
UPGRADE = {"connection": "Upgrade", "upgrade": "SPDY/3.1"}


def stream(client: Client, target: str) -> tuple[int, bytes]:
    reply = client.get(target)
    return reply.status, reply.body


def test_logs_are_there_and_say_that_they_are_invented(client: Client) -> None:
    """A log has a few lines, names its pod and container, and says that nothing runs."""
    client.post(PODS, pod("p"))
    status, body = stream(client, LOG)
    assert status == 200
    assert b"container c of pod default/p" in body
    assert b"this log is invented" in body


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("tailLines=1", b"sandbox: ready\n"),
        ("tailLines=0", b""),
        ("tailLines=1&timestamps=true", b"2026-01-02T03:04:05Z sandbox: ready\n"),
        ("limitBytes=7", b"sandbox"),
        ("container=c&tailLines=1", b"sandbox: ready\n"),
    ],
)
def test_options_of_logs(client: Client, query: str, expected: bytes) -> None:
    """A log is cut and stamped as asked."""
    client.post(PODS, pod("p"))
    assert stream(client, f"{LOG}?{query}") == (200, expected)


def test_a_followed_log_goes_on_a_little_and_ends(client: Client) -> None:
    """A followed log brings a few more lines, then ends."""
    client.post(PODS, pod("p"))
    _, body = stream(client, f"{LOG}?follow=true&tailLines=0")
    assert body.startswith(b"invented line 1 of 5")
    assert body.count(b"\n") == 5


def test_a_followed_log_ends_with_its_client(client: Client) -> None:
    """A client that goes away ends its log, whatever was still to come."""
    client.post(PODS, pod("p"))

    async def main() -> None:
        async with streaming(client, f"{LOG}?follow=true"):
            pass

    client.run(main())


@pytest.mark.parametrize(
    ("query", "code", "message"),
    [
        ("container=zzz", 400, "container zzz is not valid for pod p"),
        ("previous=true", 400, 'previous terminated container "c" in pod "p" not found'),
        (
            "tailLines=-1",
            422,
            'PodLogOptions "p" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0',
        ),
    ],
)
def test_refused_logs(client: Client, query: str, code: int, message: str) -> None:
    """A log that cannot be shown is refused in the server's words."""
    client.post(PODS, pod("p"))
    reply = client.get(f"{LOG}?{query}")
    assert (reply.status, reply.message) == (code, message)


def test_a_log_of_two_containers_needs_a_name(client: Client) -> None:
    """With several containers, one has to be named."""
    body = pod("two")
    body["spec"]["containers"].append({"name": "d", "image": "i"})
    client.post(PODS, body)
    message = "a container name must be specified for pod two, choose one of: [c d]"
    assert client.get(f"{PODS}/two/log").message == message


@pytest.mark.parametrize("sub", ["exec", "attach", "portforward"])
def test_connections_into_containers_are_refused_honestly(client: Client, sub: str) -> None:
    """What needs a running container is refused with a Status that says so; the pod has to be there all the same."""
    client.post(PODS, pod("p"))
    reply = client.post(f"{PODS}/p/{sub}", None, headers=UPGRADE)
    assert (reply.status, reply.message.partition(":")[0]) == (501, "the sandbox runs no containers")
    assert client.post(f"{PODS}/p/{sub}", None).message == "Upgrade request required"
    assert client.post(f"{PODS}/nope/{sub}", None, headers=UPGRADE).status == 404
    assert client.post(f"{PODS}/p/{sub}", None, headers=UPGRADE, user="carol").status == 403


def test_evictions_delete(client: Client) -> None:
    """An eviction deletes its pod, a dry run does not; another name in the body is refused."""
    client.post(PODS, pod("p"))
    body: dict[str, Any] = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
    assert client.post(f"{PODS}/p/eviction?dryRun=All", body).json["status"] == "Success"
    other = {**body, "metadata": {"name": "z"}}
    assert client.post(f"{PODS}/p/eviction", other).message == "name in URL does not match name in Eviction object"
    assert client.post(f"{PODS}/p/eviction", body).status == 201
    assert client.get(f"{PODS}/p").status == 404


def test_a_pod_is_bound_already(client: Client) -> None:
    """A pod has its node at once, so that a binding is a conflict."""
    client.post(PODS, pod("p"))
    body = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}
    message = 'Operation cannot be fulfilled on pods/binding "p": pod p is already assigned to node "sandbox-node"'
    assert client.post(f"{PODS}/p/binding", body).message == message
    assert client.post("/api/v1/namespaces/default/bindings", body).message == message


def test_scale_is_read_and_put(client: Client) -> None:
    """Scale shows what is asked for and what is there; a PUT with an old version is a conflict."""
    client.post(DEPLOYMENTS, deployment("web", 2))
    scale = client.get(f"{DEPLOYMENTS}/web/scale").json
    assert (scale["spec"], scale["status"]) == ({"replicas": 2}, {"replicas": 2, "selector": "app=web"})
    scale["spec"]["replicas"] = 4
    assert client.put(f"{DEPLOYMENTS}/web/scale", scale).json["status"]["replicas"] == 4
    assert client.put(f"{DEPLOYMENTS}/web/scale", scale).status == 409
    assert client.get(f"{DEPLOYMENTS}/nope/scale").message == 'deployments.apps "nope" not found'


def test_ephemeral_containers_are_added_to_a_running_pod(client: Client) -> None:
    """`kubectl debug` adds a container where an ordinary update may not."""
    client.post(PODS, pod("p"))
    patch = {"spec": {"ephemeralContainers": [{"name": "dbg", "image": "busybox"}]}}
    reply = client.patch(f"{PODS}/p/ephemeralcontainers", patch, kind=STRATEGIC)
    assert (reply.status, reply.json["spec"]["ephemeralContainers"][0]["name"]) == (200, "dbg")


def test_proxies_are_refused(client: Client) -> None:
    """There is nothing to reach behind a pod, a service or a node."""
    client.post(PODS, pod("p"))
    for target in (
        f"{PODS}/p/proxy/some/path",
        "/api/v1/namespaces/default/services/kubernetes/proxy/",
        "/api/v1/nodes/sandbox-node/proxy/x",
    ):
        assert client.get(target).status == 501
