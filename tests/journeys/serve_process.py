"""`decklog serve` in front of a sandbox, for tests: gateway, receiver and pages on one store; its whole tree is killed
when the block ends."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import ssl
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from journeys.receiver_process import DECKLOG

if TYPE_CHECKING:
    from collections.abc import Iterator

    from journeys.sandbox_process import Running

CONFIG = """\
store: {folder}/store
serve:
  metrics-listen: 127.0.0.1:{metrics}
  upkeep-every: 1s
{more}
gateway:
  listen: 127.0.0.1:0
  kubeconfig: {folder}/kubeconfig
  kubeconfig-out: {folder}/users.kubeconfig
  audit-policy-file: {folder}/policy.yaml
  workers: 2
receive:
  listen: 127.0.0.1:0
  tls-cert-file: {folder}/pki/server.crt
  tls-private-key-file: {folder}/pki/server.key
  client-ca-file: {folder}/pki/ca.crt
  allowed-clients: kube-apiserver
  min-free-bytes: 0
  workers: 1
web:
  listen: 127.0.0.1:0
"""
_LISTENING = re.compile(r"listening on https?://127\.0\.0\.1:(\d+)\S* \((\w+)\)")


class Serving:
    """A tree that is up, as its users see it."""

    def __init__(self, process: subprocess.Popen[str], folder: Path, said: list[str], upstream: Running) -> None:
        self.process = process
        self.folder = folder
        self.said = said
        self.ports = {found[2]: int(found[1]) for line in said if (found := _LISTENING.match(line))}
        self._token = upstream.tokens["admin-token"]

    def through_gateway(self, method: str, path: str, body: dict[str, Any] | None = None) -> int:
        """Make a request to the sandbox as admin, through the gateway."""
        context = ssl._create_unverified_context()  # its certificate is new at each start
        connection = http.client.HTTPSConnection("127.0.0.1", self.ports["gateway"], context=context, timeout=10)
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        with contextlib.closing(connection):
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            answer.read()
            return answer.status

    def create(self, name: str) -> int:
        """Create a ConfigMap through the gateway; its name is in the URI, too, hence in the events of all stages."""
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
        return self.through_gateway("POST", f"/api/v1/namespaces/default/configmaps?fieldManager={name}", body)

    def post(self, body: bytes) -> int:
        """Post an EventList to the receiver, as kube-apiserver."""
        pki = self.folder / "pki"
        context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        context.load_cert_chain(pki / "kube-apiserver.crt", pki / "kube-apiserver.key")
        connection = http.client.HTTPSConnection("127.0.0.1", self.ports["receive"], context=context, timeout=10)
        with contextlib.closing(connection):
            connection.request("POST", "/events", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            return answer.status

    def read(self, path: str) -> tuple[int, str]:
        """Ask the listener of the metrics."""
        address = next(line for line in self.said if line.startswith("metrics on ")).split("/")[2]
        connection = http.client.HTTPConnection(address, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def status(self) -> dict[str, Any]:
        """Give the page of the state, as a reader has it who came by the one-time address."""
        address = next(found for line in self.said if (found := re.search(r"(\S+)/\?token=(\S+)", line)))
        connection = http.client.HTTPConnection(address[1].removeprefix("http://"), timeout=30)
        with contextlib.closing(connection):
            connection.request("GET", f"/?token={address[2]}")
            answer = connection.getresponse()
            answer.read()
            cookie = (answer.getheader("set-cookie") or "").partition(";")[0]
            connection.request("GET", "/status.json", headers={"Cookie": cookie})
            page: dict[str, Any] = json.loads(connection.getresponse().read())
            return page

    def children(self) -> dict[int, str]:
        """Give the processes of the tree below the first, with what they are started as."""
        return _below(self.process.pid)

    def kill(self) -> None:
        """Kill the whole tree at once."""
        _kill(self.process)


@contextlib.contextmanager
def serving(folder: Path, upstream: Running, *, more: str = "", metrics: int = 0) -> Iterator[Serving]:
    """Serve until the block ends; ``pki`` has to be there."""
    config = folder / "decklog.yaml"
    config.write_text(CONFIG.format(folder=folder, more=more, metrics=metrics))
    command = [*DECKLOG, "serve", "--config", str(config)]
    # A session of its own, so that the tree can be killed at once; a file, so that nobody has to read what it says.
    with (folder / "said").open("w+") as said:
        process = subprocess.Popen(command, stderr=said, text=True, start_new_session=True)
        try:
            yield Serving(process, folder, _all_said(process, folder / "said"), upstream)
        finally:
            _kill(process)


def _below(pid: int) -> dict[int, str]:
    told = subprocess.run(("ps", "-o", "pid=,args=", "--ppid", str(pid)), capture_output=True, text=True, check=False)
    return {int(line.split()[0]): line for line in told.stdout.splitlines()}


def _kill(process: subprocess.Popen[str]) -> None:
    """Kill the tree; returns when nobody of it holds a lock any more, be it that its disk is slow."""
    children = _below(process.pid)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    while any(map(_lives, children)):
        time.sleep(0.01)


def _lives(pid: int) -> bool:
    try:
        state = Path("/proc", str(pid), "stat").read_text()
    except OSError:
        return False
    return not state.rpartition(") ")[2].startswith(("Z", "X"))  # nobody may be there to bury it


def _all_said(process: subprocess.Popen[str], path: Path) -> list[str]:
    """Wait until it has told of all its doors."""
    while True:
        said = path.read_text().splitlines()
        if any(line.startswith("upkeep: ") for line in said):
            return said
        if process.poll() is not None:
            raise AssertionError("\n".join(said))
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
