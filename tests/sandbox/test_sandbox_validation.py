from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sandbox.client import CONFIG_MAPS, DEPLOYMENTS, PODS, SECRETS, config_map, deployment, pod

if TYPE_CHECKING:
    from sandbox.client import Client

SERVICES = "/api/v1/namespaces/default/services"
JOBS = "/apis/batch/v1/namespaces/default/jobs"


def labelled(**labels: str) -> dict[str, Any]:
    return {"metadata": {"name": "x", "labels": labels}}


def service(*ports: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "x"}, "spec": {"ports": list(ports), **spec}}


def container(**fields: Any) -> dict[str, Any]:
    return {"metadata": {"name": "x"}, "spec": {"containers": [{"name": "c", "image": "i", **fields}]}}


def job(policy: str | None) -> dict[str, Any]:
    spec = {"containers": [{"name": "c", "image": "i"}], **({"restartPolicy": policy} if policy else {})}
    return {"metadata": {"name": "j"}, "spec": {"template": {"spec": spec}}}


@pytest.mark.parametrize(
    ("target", "body", "field", "part"),
    [
        (CONFIG_MAPS, config_map("Bad_Name!"), "metadata.name", "a lowercase RFC 1123 subdomain must consist of"),
        (CONFIG_MAPS, config_map("a" * 254), "metadata.name", "must be no more than 253 characters"),
        (CONFIG_MAPS, labelled(a="b c"), "metadata.labels", "a valid label must be an empty string or consist of"),
        (CONFIG_MAPS, labelled(a="b" * 64), "metadata.labels", "must be no more than 63 characters"),
        (CONFIG_MAPS, {"metadata": {"name": "x", "labels": {"/a": "b"}}}, "metadata.labels", "prefix part"),
        (
            CONFIG_MAPS,
            {"metadata": {"name": "x", "labels": {"a/": "b"}}},
            "metadata.labels",
            "name part must be non-empty",
        ),
        (
            CONFIG_MAPS,
            {"metadata": {"name": "x"}, "data": {"bad key": "v"}},
            "data[bad key]",
            "a valid config key must",
        ),
        (
            SECRETS,
            {"metadata": {"name": "x"}, "stringData": {"k": "v" * (1 << 20)}},
            "[]",
            "may not be more than 1048576 bytes",
        ),
        ("/api/v1/namespaces", {"metadata": {"name": "a.b"}}, "metadata.name", "a lowercase RFC 1123 label must"),
        (
            SERVICES,
            {"metadata": {"name": "1x"}, "spec": {"ports": [{"port": 1}]}},
            "metadata.name",
            "a DNS-1035 label must",
        ),
        (SERVICES, service(), "spec.ports", "Required value"),
        (SERVICES, service({"port": 0}), "spec.ports[0].port", "must be between 1 and 65535, inclusive"),
        (SERVICES, service({"port": 1}, {"port": 2}), "spec.ports[0].name", "Required value"),
        (
            SERVICES,
            service({"port": 1, "protocol": "ICMP"}),
            "spec.ports[0].protocol",
            'supported values: "SCTP", "TCP", "UDP"',
        ),
        (SERVICES, service({"port": 1}, type="Magic"), "spec.type", 'Unsupported value: "Magic"'),
        (
            PODS,
            container(volumeMounts=[{"name": "v", "mountPath": "/"}]),
            "spec.containers[0].volumeMounts[0].name",
            'Not found: "v"',
        ),
        (PODS, container(name=""), "spec.containers[0].name", "Required value"),
        (PODS, container(name="A"), "spec.containers[0].name", "a lowercase RFC 1123 label must"),
        (PODS, container(ports=[{}]), "spec.containers[0].ports[0].containerPort", "Required value"),
        (DEPLOYMENTS, {"metadata": {"name": "x"}}, "spec.selector", "Required value"),
        (DEPLOYMENTS, deployment("x", -1), "spec.replicas", "must be greater than or equal to 0"),
        (JOBS, job(None), "spec.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"'),
    ],
)
def test_what_is_wrong_is_told_with_its_field(
    client: Client, target: str, body: dict[str, Any], field: str, part: str
) -> None:
    """A mistake is a 422 that names the field and says what would be right."""
    reply = client.post(target, body)
    assert (reply.status, reply.json["reason"]) == (422, "Invalid")
    told = {cause["field"]: cause["message"] for cause in reply.json["details"]["causes"]}
    assert part in told[field]


def test_template_labels_have_to_match_the_selector(client: Client) -> None:
    """A workload whose selector does not select its own pods is refused."""
    body = deployment("x")
    body["spec"]["selector"]["matchLabels"] = {"app": "y"}
    assert "`selector` does not match template `labels`" in client.post(DEPLOYMENTS, body).message


def test_defaults_are_kubernetes_own(client: Client) -> None:
    """What a real server adds to common kinds is added here."""
    made = client.post(PODS, pod("p", "nginx")).json["spec"]
    assert (made["restartPolicy"], made["dnsPolicy"], made["serviceAccountName"]) == (
        "Always",
        "ClusterFirst",
        "default",
    )
    assert made["containers"][0]["imagePullPolicy"] == "Always"
    tagged = client.post(PODS, pod("q", "registry:5000/nginx:1.27")).json["spec"]
    assert tagged["containers"][0]["imagePullPolicy"] == "IfNotPresent"
    strategy = client.post(DEPLOYMENTS, deployment("web")).json["spec"]["strategy"]
    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}}
    made = client.post(SERVICES, service({"port": 80}, type="NodePort")).json["spec"]
    assert made["ports"][0]["targetPort"] == 80
    assert made["ports"][0]["nodePort"] >= 30000
    assert made["clusterIP"].startswith("10.")
    secret = client.post(SECRETS, {"metadata": {"name": "s"}, "stringData": {"k": "v"}}).json
    assert (secret["type"], secret["data"], "stringData" in secret) == ("Opaque", {"k": "dg=="}, False)


def test_services_keep_their_address(client: Client) -> None:
    """An update that does not name address and node port keeps them."""
    made = client.post(SERVICES, service({"port": 80}, type="NodePort")).json["spec"]
    after = client.put(f"{SERVICES}/x", service({"port": 80}, type="NodePort")).json["spec"]
    assert (after["clusterIP"], after["ports"]) == (made["clusterIP"], made["ports"])


@pytest.mark.parametrize(
    ("resources", "quality"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1"}}, "Guaranteed"),
        ({"limits": {"cpu": "1", "memory": "1"}, "requests": {"cpu": "1"}}, "Guaranteed"),
        ({"limits": {"cpu": "2", "memory": "1"}, "requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": "x"}, "Burstable"),
    ],
)
def test_quality_of_service(client: Client, resources: dict[str, Any], quality: str) -> None:
    """A pod's class follows from its limits and its requests, which are its limits where it names none."""
    assert client.post(PODS, container(resources=resources)).json["status"]["qosClass"] == quality


def test_a_stateful_set_mounts_what_it_claims(client: Client) -> None:
    """A claim template is a volume of its pods; anything else is none."""
    body = {**deployment("db"), "kind": "StatefulSet"}
    template = body["spec"]["template"]["spec"]
    template["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    claim = {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}
    body["spec"] |= {"serviceName": "db", "volumeClaimTemplates": [claim]}
    target = DEPLOYMENTS.replace("deployments", "statefulsets")
    assert client.post(target, body).status == 201
    claim["metadata"] = {"name": "other"}
    body["metadata"]["name"] = "db2"
    assert "spec.template.spec.containers[0].volumeMounts[0].name" in client.post(target, body).message
