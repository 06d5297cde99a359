"""The sandbox and a real `kubectl`: the words of users, end to end."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from decklog.sandbox.identities import DEMO, issue

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.journey

LEAST = (1, 28)
SERVE = """
import pickle, sys
from decklog import certificates, listen
from decklog.sandbox.app import Sandbox
from decklog.sandbox.identities import DEMO
credentials = pickle.load(sys.stdin.buffer)
box = Sandbox(DEMO, credentials.tokens, log_interval_s=0.01)
tls = certificates.server_context(credentials.server, credentials.authority.certificate_pem)
listen.run(listen.until_stopped(box, "127.0.0.1:0", tls=tls, on_stop=box.stop))
"""
MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop, labels: {app: shop}}
spec:
  replicas: 1
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      containers:
      - {name: c, image: "nginx:1.27", ports: [{containerPort: 80}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {colour: blue}
"""


def kubectl_path() -> str:
    """Find a kubectl that is new enough, or skip and say why."""
    path = shutil.which("kubectl")
    if path is None:
        pytest.skip("no kubectl on PATH")
    shown = subprocess.run([path, "version", "--client", "-o", "json"], capture_output=True, text=True, check=False)
    found = re.search(r'"gitVersion":\s*"v(\d+)\.(\d+)', shown.stdout)
    if found is None or (int(found[1]), int(found[2])) < LEAST:
        pytest.skip(f"kubectl is older than {LEAST[0]}.{LEAST[1]}, or does not tell its version")
    return path


class Kubectl:
    """Runs kubectl against one sandbox, in a home of its own."""

    def __init__(self, path: str, home: Path) -> None:
        self._path = path
        self._home = home

    def run(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._command(words), input=stdin, capture_output=True, text=True, check=False, timeout=60, env=self._env()
        )

    def __call__(self, line: str, *more: str, stdin: str = "") -> str:
        """Run a command that has to succeed; answers what it printed."""
        done = self.run(*line.split(), *more, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def refused(self, line: str) -> str:
        """Run a command that has to fail; answers what it complained."""
        done = self.run(*line.split())
        assert done.returncode != 0, done.stdout
        return done.stderr

    def open(self, line: str) -> subprocess.Popen[str]:
        return subprocess.Popen(self._command(line.split()), stdout=subprocess.PIPE, text=True, env=self._env())

    def json(self, line: str) -> Any:
        return json.loads(self(f"{line} -o json"))

    def _command(self, words: Any) -> list[str]:
        return [self._path, f"--cache-dir={self._home / 'cache'}", *words]

    def _env(self) -> dict[str, str]:
        return {**os.environ, "HOME": str(self._home), "KUBECONFIG": str(self._home / "kubeconfig")}


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    """A kubectl with a sandbox of its own, in another process."""
    path = kubectl_path()
    home = tmp_path_factory.mktemp("home")
    credentials = issue(DEMO, ["127.0.0.1"], clock=lambda: datetime.now(UTC))
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "HOME": str(home)},
    )
    with process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(pickle.dumps(credentials))
        process.stdin.close()
        url = process.stderr.readline().decode().split()[-1]
        (home / "kubeconfig").write_text(credentials.kubeconfig(url))
        yield Kubectl(path, home)
        process.terminate()
        assert process.wait(10) == 0


def test_who_one_is(kubectl: Kubectl) -> None:
    """`auth whoami` knows the certificate's user and groups, and whom one impersonates; `auth can-i` the role."""
    info = kubectl.json("auth whoami")["status"]["userInfo"]
    assert (info["username"], info["groups"]) == ("admin", ["system:masters", "system:authenticated"])
    assert kubectl.json("auth whoami --context carol-token")["status"]["userInfo"]["username"] == "carol"
    assert kubectl.json("auth whoami --as zoe --as-group g")["status"]["userInfo"]["groups"] == [
        "g",
        "system:authenticated",
    ]
    assert kubectl("auth can-i create pods --context bob").strip() == "yes"
    assert kubectl.run("auth", "can-i", "get", "secrets", "--context", "carol").stdout.strip() == "no"
    assert "cannot impersonate resource" in kubectl.refused("get pods --context bob --as carol")


def test_create_get_and_delete(kubectl: Kubectl) -> None:
    """Objects that kubectl makes are there, in every output form, and gone when it deletes them."""
    kubectl("create namespace one")
    kubectl("create deployment web --image=nginx --replicas=2 -n one")
    kubectl("create configmap c --from-literal=a=b -n one")
    kubectl("create secret generic s --from-literal=p=q -n one")
    assert re.search(r"^web +2/2 +2 +2 ", kubectl("get deploy -n one"), re.MULTILINE)
    assert kubectl("get pods -n one -o wide").count("Running") == 2
    assert "kind: ConfigMap" in kubectl("get cm c -n one -o yaml")
    assert kubectl("get secret s -n one -o jsonpath={.data.p}") == "cQ=="
    assert kubectl("get all -n one -o name").count("pod/") == 2
    assert "already exists" in kubectl.refused("create configmap c -n one")
    assert "deleted" in kubectl("delete deployment web -n one")
    assert kubectl("get pods -n one -o name") == ""
    assert "deleted" in kubectl("delete namespace one")
    assert "NotFound" in kubectl.refused("get namespace one")


def test_apply_both_ways(kubectl: Kubectl) -> None:
    """Applying makes, changes and leaves alone, client-side and server-side, and conflicts are told."""
    assert kubectl("apply -f -", stdin=MANIFEST).count("created") == 2
    assert kubectl("apply -f -", stdin=MANIFEST).count("unchanged") == 2
    changed = MANIFEST.replace("nginx:1.27", "nginx:1.28").replace("blue", "red")
    assert kubectl("apply -f -", stdin=changed).count("configured") == 2
    assert kubectl("get deploy shop -o jsonpath={..image}") == "nginx:1.28"
    assert kubectl("apply --server-side -f -", stdin=changed).count("serverside-applied") == 2
    kubectl("set image deploy/shop c=nginx:2")
    done = kubectl.run("apply", "--server-side", "-f", "-", stdin=changed)
    assert "conflict" in done.stderr
    kubectl("apply --server-side --force-conflicts -f -", stdin=changed)
    assert kubectl("get deploy shop -o jsonpath={..image}") == "nginx:1.28"
    assert "unknown field" in kubectl.run("apply", "-f", "-", stdin=MANIFEST.replace("image:", "imag:")).stderr
    kubectl("delete -f -", stdin=MANIFEST)


def test_change_scale_and_logs(kubectl: Kubectl) -> None:
    """Patches, labels, scale, rollouts and logs do what their words say."""
    kubectl("create deployment web --image=nginx:1 --replicas=1")
    kubectl("scale deployment/web --replicas=3")
    assert kubectl("get deploy web -o jsonpath={.status.readyReplicas}") == "3"
    kubectl("set image deploy/web nginx=nginx:2")
    assert "successfully rolled out" in kubectl("rollout status deploy/web --timeout=20s")
    kubectl("rollout undo deploy/web")
    assert kubectl("get deploy web -o jsonpath={..image}") == "nginx:1"
    assert "this log is invented" in kubectl("logs deploy/web")
    kubectl("label deploy web tier=front")
    kubectl("annotate deploy web note=x")
    kubectl("patch deploy web --type=merge -p", '{"spec":{"replicas":1}}')
    kubectl("patch deploy web --type=json -p", '[{"op":"remove","path":"/metadata/annotations/note"}]')
    assert kubectl("get deploy -l tier=front -o jsonpath={.items[*].spec.replicas}") == "1"
    assert "the sandbox runs no containers" in kubectl.refused("exec deploy/web -- ls")
    kubectl("wait --for=condition=Available deploy/web --timeout=20s")
    kubectl("delete deployment web")


def test_watching(kubectl: Kubectl) -> None:
    """`get -w` shows objects as they come and go."""
    with kubectl.open("get configmaps -w --no-headers -o custom-columns=N:.metadata.name") as watching:
        assert watching.stdout is not None
        # The first object may come with the list or with the watch: both are shown.
        kubectl("create configmap seen --from-literal=a=b")
        lines = iter(watching.stdout.readline, "")
        assert any(line.strip() == "seen" for line in lines)
        kubectl("delete configmap seen")
        watching.terminate()


def test_roles_end_where_they_should(kubectl: Kubectl) -> None:
    """The viewer may read and not write, and sees no secrets; refusals are in the server's words."""
    kubectl("run p --image=nginx --context bob")
    kubectl("get pods --context carol")
    assert 'User "carol" cannot list resource "secrets"' in kubectl.refused("get secrets --context carol")
    assert 'User "carol" cannot delete resource "pods"' in kubectl.refused("delete pod p --context carol")
    kubectl("delete pod p --context bob")


def test_discovery_and_explanations(kubectl: Kubectl) -> None:
    """kubectl finds resources by their short names, and explains the fields that the sandbox knows."""
    assert re.search(r"^deployments +deploy +apps/v1 +true +Deployment$", kubectl("api-resources"), re.MULTILINE)
    assert "FIELD: replicas <integer>" in kubectl("explain deploy.spec.replicas")
    assert "the server doesn't have a resource type" in kubectl.refused("get widgets")
    assert "decklog-sandbox" in kubectl("version")
