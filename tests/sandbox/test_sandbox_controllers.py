from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from decklog.sandbox.controllers import POD_LIMIT
from sandbox.client import CONFIG_MAPS, DEPLOYMENTS, PODS, STRATEGIC, config_map, deployment, pod, streaming

if TYPE_CHECKING:
    from sandbox.client import Client

REPLICA_SETS = "/apis/apps/v1/namespaces/default/replicasets"
STATEFUL_SETS = "/apis/apps/v1/namespaces/default/statefulsets"
DAEMON_SETS = "/apis/apps/v1/namespaces/default/daemonsets"
JOBS = "/apis/batch/v1/namespaces/default/jobs"


def items(client: Client, target: str) -> list[Any]:
    found: list[Any] = client.get(target).json["items"]
    return found


def names(client: Client, target: str) -> list[str]:
    return [item["metadata"]["name"] for item in items(client, target)]


def image(name: str) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": name}]}}}}


def test_a_pod_is_pending_when_made_and_runs_at_once(client: Client) -> None:
    """The answer to a creation says Pending, as on a real server; what is read next says Running, on the one node."""
    assert client.post(PODS, pod("p")).json["status"]["phase"] == "Pending"
    found = client.get(f"{PODS}/p").json
    assert (found["status"]["phase"], found["spec"]["nodeName"]) == ("Running", "sandbox-node")
    assert found["status"]["containerStatuses"][0]["ready"] is True


def test_a_deleted_pod_is_seen_terminating_then_gone(client: Client) -> None:
    """A watch sees the deletion of a pod as a modification, then as its end: what `kubectl delete` waits for."""
    client.post(PODS, pod("p"))
    version = client.get(PODS).json["metadata"]["resourceVersion"]

    async def main() -> list[tuple[str, bool]]:
        async with streaming(client, f"{PODS}?watch=1&resourceVersion={version}") as stream:
            await client.call_soon("DELETE", f"{PODS}/p")
            events = [await stream.event() for _ in range(2)]
            return [(event["type"], "deletionTimestamp" in event["object"]["metadata"]) for event in events]

    assert client.run(main()) == [("MODIFIED", True), ("DELETED", True)]


def test_a_deployment_has_replica_set_and_pods(client: Client) -> None:
    """A deployment gets a replica set with as many pods as it asks for, and counts them in its status."""
    client.post(DEPLOYMENTS, deployment("web", 2))
    status = client.get(f"{DEPLOYMENTS}/web").json["status"]
    assert (status["observedGeneration"], status["replicas"], status["availableReplicas"]) == (1, 2, 2)
    pods = items(client, PODS)
    assert len(pods) == 2
    assert {pod["metadata"]["ownerReferences"][0]["kind"] for pod in pods} == {"ReplicaSet"}
    assert len(names(client, REPLICA_SETS)) == 1


def test_scaling_makes_and_removes_pods(client: Client) -> None:
    """Replicas follow the spec, also through the scale subresource; negative ones are refused."""
    client.post(DEPLOYMENTS, deployment("web", 1))
    scale = client.patch(f"{DEPLOYMENTS}/web/scale", {"spec": {"replicas": 3}}).json
    assert (scale["kind"], scale["spec"], scale["status"]) == (
        "Scale",
        {"replicas": 3},
        {"replicas": 3, "selector": "app=web"},
    )
    assert len(names(client, PODS)) == 3
    client.patch(f"{DEPLOYMENTS}/web", {"spec": {"replicas": 0}})
    assert names(client, PODS) == []
    assert client.patch(f"{DEPLOYMENTS}/web/scale", {"spec": {"replicas": -1}}).status == 422


def test_a_new_template_rolls_over_and_an_old_one_back(client: Client) -> None:
    """Another template gets another replica set; the first one again gets the first set, as a new revision."""
    client.post(DEPLOYMENTS, deployment("web", 2))
    first = names(client, REPLICA_SETS)
    client.patch(f"{DEPLOYMENTS}/web", image("nginx:1.28"), kind=STRATEGIC)
    assert {pod["spec"]["containers"][0]["image"] for pod in items(client, PODS)} == {"nginx:1.28"}
    client.patch(f"{DEPLOYMENTS}/web", image("nginx:1.27"), kind=STRATEGIC)
    assert len(names(client, REPLICA_SETS)) == 2
    sets = {rs["metadata"]["name"]: rs for rs in items(client, REPLICA_SETS)}
    annotations = sets[first[0]]["metadata"]["annotations"]
    assert annotations["deployment.kubernetes.io/revision"] == "3"
    assert sets[first[0]]["spec"]["replicas"] == 2


def test_a_deleted_pod_of_a_workload_is_replaced(client: Client) -> None:
    """A pod that somebody deletes comes back under another name, as long as its owner wants it."""
    client.post(DEPLOYMENTS, deployment("web", 1))
    (name,) = names(client, PODS)
    client.delete(f"{PODS}/{name}")
    assert len(names(client, PODS)) == 1
    assert names(client, PODS) != [name]


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("", 0),
        ("?propagationPolicy=Foreground", 0),
        ("?propagationPolicy=Background", 0),
        ("?propagationPolicy=Orphan", 2),
    ],
)
def test_what_a_deployment_owns_goes_with_it(client: Client, query: str, left: int) -> None:
    """Pods go with their deployment, unless they are orphaned."""
    client.post(DEPLOYMENTS, deployment("web", 2))
    reply = client.delete(f"{DEPLOYMENTS}/web{query}")
    assert reply.status == 200
    # Foreground and Orphan keep a real object under a finalizer, so that the answer is the object.
    assert reply.json["kind"] == ("Status" if query in {"", "?propagationPolicy=Background"} else "Deployment")
    assert client.get(f"{DEPLOYMENTS}/web").status == 404
    assert len(names(client, PODS)) == left


def test_stateful_sets_number_their_pods(client: Client) -> None:
    """Pods of a stateful set are numbered, removed from the highest number down, and remade for a new template."""
    body = {**deployment("db", 11), "kind": "StatefulSet"}
    client.post(STATEFUL_SETS, body)
    assert set(names(client, PODS)) == {f"db-{number}" for number in range(11)}
    client.patch(f"{STATEFUL_SETS}/db", {"spec": {"replicas": 2}})
    assert names(client, PODS) == ["db-0", "db-1"]
    client.patch(f"{STATEFUL_SETS}/db", image("nginx:2"), kind=STRATEGIC)
    assert {pod["spec"]["containers"][0]["image"] for pod in items(client, PODS)} == {"nginx:2"}


def test_daemon_sets_have_one_pod(client: Client) -> None:
    """There is one node, so a daemon set has one pod."""
    body = {**deployment("agent"), "kind": "DaemonSet"}
    del body["spec"]["replicas"]
    client.post(DAEMON_SETS, body)
    assert len(names(client, PODS)) == 1
    assert client.get(f"{DAEMON_SETS}/agent").json["status"]["numberReady"] == 1


def test_jobs_complete_at_once(client: Client) -> None:
    """A job is complete as soon as it is made, with pods that have succeeded; nobody remakes them."""
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    client.post(JOBS, {"metadata": {"name": "j"}, "spec": {"completions": 2, "template": template}})
    status = client.get(f"{JOBS}/j").json["status"]
    assert (status["succeeded"], status["conditions"][-1]["type"]) == (2, "Complete")
    assert {pod["status"]["phase"] for pod in items(client, PODS)} == {"Succeeded"}
    client.delete(f"{PODS}/{names(client, PODS)[0]}")
    assert len(names(client, PODS)) == 1


def test_workloads_are_bounded(client: Client) -> None:
    """Whatever a workload asks for, it gets a bounded number of pods."""
    client.post(DEPLOYMENTS, deployment("web", 10**9))
    assert len(names(client, PODS)) == POD_LIMIT
    assert client.get(f"{DEPLOYMENTS}/web").json["status"]["replicas"] == POD_LIMIT


def test_a_namespace_takes_its_content_along(client: Client) -> None:
    """A deleted namespace is answered as Terminating, and goes with everything in it; new ones have an account."""
    client.post("/api/v1/namespaces", {"metadata": {"name": "shop"}})
    assert client.get("/api/v1/namespaces/shop/serviceaccounts/default").status == 200
    client.post("/api/v1/namespaces/shop/configmaps", config_map("a"))
    reply = client.delete("/api/v1/namespaces/shop")
    assert (reply.json["kind"], reply.json["status"]) == ("Namespace", {"phase": "Terminating"})
    assert client.get("/api/v1/namespaces/shop").status == 404
    assert client.get("/api/v1/namespaces/shop/configmaps").json["items"] == []


def test_a_held_namespace_takes_nothing_new(client: Client) -> None:
    """While something in it is held by a finalizer a namespace is Terminating, and nothing can be made in it."""
    client.post("/api/v1/namespaces", {"metadata": {"name": "shop"}})
    held = {"metadata": {"name": "held", "finalizers": ["example.com/hold"]}}
    client.post("/api/v1/namespaces/shop/configmaps", held)
    client.delete("/api/v1/namespaces/shop")
    reply = client.post("/api/v1/namespaces/shop/configmaps", config_map("new"))
    assert (reply.status, reply.json["details"]["causes"][0]["reason"]) == (403, "NamespaceTerminating")
    client.patch("/api/v1/namespaces/shop/configmaps/held", {"metadata": {"finalizers": None}})
    assert client.get("/api/v1/namespaces/shop").status == 404


def test_protected_namespaces_stay(client: Client) -> None:
    """The namespaces of the system cannot be deleted."""
    reply = client.delete("/api/v1/namespaces/kube-system")
    assert reply.message == 'namespaces "kube-system" is forbidden: this namespace may not be deleted'


def test_an_object_with_two_owners_stays_for_the_second(client: Client) -> None:
    """What two objects own goes with the last of them."""
    owners = []
    for name in ("a", "b"):
        uid = client.post(CONFIG_MAPS, config_map(name)).json["metadata"]["uid"]
        owners.append({"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": uid})
    client.post(CONFIG_MAPS, {"metadata": {"name": "owned", "ownerReferences": owners}})
    client.delete(f"{CONFIG_MAPS}/a")
    assert names(client, CONFIG_MAPS) == ["b", "owned"]
    client.delete(f"{CONFIG_MAPS}/b")
    assert names(client, CONFIG_MAPS) == []
