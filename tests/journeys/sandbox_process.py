"""A sandbox as a process, for tests: started with a policy and a log in a folder, killed when the block ends."""

from __future__ import annotations

import base64
import contextlib
import http.client
import ssl
import subprocess
import sys
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

METADATA = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n"
SANDBOX = (sys.executable, "-m", "decklog", "sandbox", "--listen", "127.0.0.1:0")


class Running:
    """A sandbox that is up."""

    def __init__(self, process: subprocess.Popen[str], folder: Path, said: list[str]) -> None:
        self.process = process
        self.folder = folder
        self.said = said
        config = yaml.safe_load((folder / "kubeconfig").read_text())
        self.url = config["clusters"][0]["cluster"]["server"]
        authority = certificates_of(config["clusters"][0]["cluster"]["certificate-authority-data"])
        self.context = ssl.create_default_context(cadata=authority)
        self.tokens = {entry["name"]: entry["user"].get("token") for entry in config["users"]}

    def get(self, path: str, user: str = "admin") -> tuple[int, bytes]:
        host = self.url.removeprefix("https://")
        connection = http.client.HTTPSConnection(host, context=self.context, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", path, headers={"Authorization": f"Bearer {self.tokens[f'{user}-token']}"})
            answer = connection.getresponse()
            return answer.status, answer.read()

    def lines(self) -> list[bytes]:
        return (self.folder / "audit.log").read_bytes().splitlines()


def certificates_of(data: str) -> str:
    """Decode certificate data of a kubeconfig."""
    return base64.b64decode(data).decode()


@contextlib.contextmanager
def sandbox(folder: Path, policy: str = METADATA, *flags: str) -> Iterator[Running]:
    """Run a sandbox until the block ends."""
    (folder / "policy.yaml").write_text(policy)
    command = [
        *SANDBOX,
        *("--audit-policy-file", str(folder / "policy.yaml")),
        *("--kubeconfig-out", str(folder / "kubeconfig")),
        *("--audit-log-path", str(folder / "audit.log")),
        *flags,
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            said = []
            for line in process.stderr or ():
                said.append(line.rstrip())
                if line.startswith("listening on "):
                    break
            yield Running(process, folder, said)
        finally:
            process.kill()
