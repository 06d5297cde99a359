from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml

from cli.running import run
from enable.control_plane import AUDIT, manifest, node, process, server_flags
from enable.scripted_server import ScriptedServer

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = "etc/kubernetes/manifests/kube-apiserver.yaml"
POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  verbs: [get, list, watch]
  resources: [{group: "", resources: [secrets, pods]}]
- level: RequestResponse
  resources: [{group: rbac.authorization.k8s.io}]
- level: Metadata
"""


def at(root: Path, flags: dict[str, str] = AUDIT, policy: str = POLICY) -> Path:
    node(root, b"", policy)
    path = root / MANIFEST
    path.parent.mkdir()
    path.write_bytes(manifest(server_flags(6443) | flags))
    return path


def event(time: str) -> bytes:
    return (
        b'{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"a","stage":"ResponseComplete",'
        b'"requestURI":"/","verb":"get","user":{"username":"a"},"requestReceivedTimestamp":"%b",'
        b'"stageTimestamp":"%b"}\n' % (time.encode(), time.encode())
    )


def test_what_is_configured_is_said_in_words(tmp_path: Path) -> None:
    """Levels by topic, where events go, what is kept: from the manifest, its policy and its log."""
    at(tmp_path)
    ran = run("status", "--root", tmp_path)
    assert ran.code == 0, ran.err
    told = ran.out.splitlines()
    assert told[0].endswith("(Kubernetes 1.30): auditing is on")
    assert "policy     /etc/kubernetes/audit-policy.yaml, 3 rules; stages ResponseStarted" in told[1]
    said = {line[11:39].strip(): line[39:] for line in told[2:17]}
    assert said["reading secrets"] == "not at all"
    assert said["changes of RBAC"] == "RequestResponse"
    assert said["exec, attach, port-forward"] == "Metadata"
    assert said["reading the rest"] == "get pods: not at all, list nodes: Metadata"
    assert "keeps      11 files of 100 MiB (1.1 GiB), for 30 days at most; no file yet" in told
    assert "fail 3.2.2 the audit policy covers key security concerns: not recorded: get secrets" in ran.out


def test_the_rate_is_that_of_the_log(tmp_path: Path) -> None:
    """How many days it keeps comes from how fast the log has grown."""
    at(tmp_path)
    folder = tmp_path / "var/log/kubernetes/audit"
    (folder / "audit-2026-01-01T12-00-00.000.log").write_bytes(event("2026-01-01T00:00:00.000000Z") * 400)
    (folder / "audit.log").write_bytes(event("2026-01-01T12:00:00.000000Z") + event("2026-01-02T00:00:00.000000Z"))
    told = json.loads(run("status", "--root", tmp_path, "-o", "json").out)
    size = 402 * len(event("2026-01-02T00:00:00.000000Z"))
    assert told["keeps"]["files"] == 2
    assert told["keeps"]["bytesADay"] == size
    assert told["keeps"]["days"] == 30
    assert "at the current rate, " in told["keeps"]["says"]


def test_what_is_off_is_said_with_exit_code_1(tmp_path: Path) -> None:
    """A manifest without audit flags records nothing: code 1, and what is missing."""
    at(tmp_path, {})
    ran = run("status", tmp_path / MANIFEST, "--root", tmp_path)
    assert ran.code == 1
    assert "nothing is recorded" in ran.out.splitlines()[0]
    assert "missing    grave: no policy is set (--audit-policy-file): auditing is off" in ran.out


def test_a_policy_of_level_none_is_off(tmp_path: Path) -> None:
    """Enabled but logging nothing, as RKE2 is by default, is not called on."""
    at(tmp_path, policy="apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: None\n")
    ran = run("status", "--root", tmp_path)
    assert ran.code == 1
    assert "nothing is recorded" in ran.out.splitlines()[0]
    assert "fail 3.2.1" in ran.out


def test_a_webhook_is_named_by_its_server(tmp_path: Path) -> None:
    """Of a webhook's kubeconfig only the server's address is told."""
    mounts = (("k", "/etc/kubernetes", "Directory", True),)
    node(tmp_path, b"")
    (tmp_path / "etc/kubernetes/w.yaml").write_text(
        "current-context: a\ncontexts: [{name: a, context: {cluster: c, user: u}}]\n"
        "clusters: [{name: c, cluster: {server: 'https://receiver:8443/k8s'}}]\n"
        "users: [{name: u, user: {token: s3cret}}]\n"
    )
    flags = {
        "--audit-policy-file": "/etc/kubernetes/audit-policy.yaml",
        "--audit-webhook-config-file": "/etc/kubernetes/w.yaml",
    }
    (tmp_path / "m.yaml").write_bytes(manifest(flags, mounts))
    ran = run("status", tmp_path / "m.yaml", "--root", tmp_path)
    assert "goes to    https://receiver:8443/k8s, in batches: what overflows is dropped" in ran.out
    assert "s3cret" not in ran.out


def kubeconfig(root: Path, server: ScriptedServer) -> Path:
    (root / "ca.crt").write_bytes(server.authority.certificate_pem)
    path = root / "admin.conf"
    path.write_text(
        "kind: Config\ncurrent-context: a\ncontexts: [{name: a, context: {cluster: c, user: u}}]\n"
        f"clusters: [{{name: c, cluster: {{server: 'https://127.0.0.1:{server.port}', "
        "certificate-authority: ca.crt}}]\nusers: [{name: u, user: {token: abc}}]\n"
    )
    return path


def test_a_kubeconfig_is_asked_for_the_pods_and_counts(tmp_path: Path) -> None:
    """From a kubeconfig come the flags of the API server's pod, and what it has counted."""
    with ScriptedServer([200]) as server:
        pod = yaml.safe_load(manifest(AUDIT)) | {"kind": None}
        pod = {key: value for key, value in pod.items() if value is not None}
        server.pages["/api/v1/namespaces/kube-system/pods"] = json.dumps({"kind": "PodList", "items": [pod]}).encode()
        server.pages["/metrics"] = (
            b'# HELP x\napiserver_audit_level_total{level="Metadata"} 12345\napiserver_audit_event_total 2.5e+06\n'
            b'apiserver_audit_error_total{plugin="log"} 7\nother 1\n' * 1
        )
        ran = run("status", kubeconfig(tmp_path, server))
    assert ran.code == 0, ran.err
    assert "pod kube-system/kube-apiserver (Kubernetes 1.30): auditing is on" in ran.out
    assert "policy     /etc/kubernetes/audit-policy.yaml: it lies on the node" in ran.out
    assert "counted    errors log: 7\ncounted    events: 2,500,000\ncounted    level Metadata: 12,345\n" in ran.out


def test_a_managed_cluster_shows_nothing(tmp_path: Path) -> None:
    """A control plane without pods is said to be one that cannot be looked into."""
    with ScriptedServer([200]) as server:
        server.pages["/api/v1/namespaces/kube-system/pods"] = b'{"items": []}'
        ran = run("status", kubeconfig(tmp_path, server))
    assert ran.code == 2
    assert "no pod of kube-apiserver is shown: a managed control plane" in ran.err


STRANGE: dict[str, bytes] = {
    "items are no pods": b'{"items": [1, null, {}, {"metadata": []}, {"metadata": {"name": {}}}]}',
    "no list": b'{"items": {}}',
    "nested without end": b'{"items": ' + b"[" * 100_000,
    "no JSON": b"<html>",
}


@pytest.mark.parametrize("body", STRANGE.values(), ids=STRANGE)
def test_an_api_server_that_answers_strangely_is_not_believed(body: bytes, tmp_path: Path) -> None:
    """What is no list of pods shows no pod, and numbers that are none are not counted."""
    with ScriptedServer([200]) as server:
        server.pages["/api/v1/namespaces/kube-system/pods"] = body
        server.pages["/metrics"] = b"apiserver_audit_event_total e+e\napiserver_audit_event_total 1.2.3\n"
        ran = run("status", kubeconfig(tmp_path, server))
    assert ran.code == 2
    assert "no pod of kube-apiserver is shown" in ran.err


def test_a_process_without_a_manifest_is_read(tmp_path: Path) -> None:
    """Where no manifest lies at a usual place, the process's own flags are told; its paths are the host's."""
    node(tmp_path, b"")
    process(tmp_path, AUDIT)
    ran = run("status", "--root", tmp_path)
    assert ran.code == 0, ran.out
    assert ran.out.startswith("the process kube-apiserver (image not said): auditing is on\n")
    assert "reading secrets             Metadata" in ran.out


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    """Without a manifest at the usual place the user is told what to name."""
    ran = run("status", "--root", tmp_path)
    assert ran.code == 2
    assert "name the manifest, or a kubeconfig" in ran.err
