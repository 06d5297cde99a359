"""A gateway as a process, for tests: in front of a sandbox, over TLS, with files in a folder; killed at the end."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from decklog import certificates

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from decklog.certificates import KeyPair
    from journeys.sandbox_process import Running

DEADLINE_S = 20.0
METADATA = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n"


def until(condition: Callable[[], object]) -> None:
    """Wait for it, with a deadline."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)  # a condition of other processes


def now() -> datetime:
    return datetime.now(UTC)


class Authority:
    """A CA of the test's own, and what it signs."""

    def __init__(self, name: str = "test-ca") -> None:
        self.pair = certificates.authority(name, clock=now, lifetime=timedelta(days=400))

    def server(self, folder: Path, days: float = 300) -> KeyPair:
        """Write the listener's files."""
        pair = certificates.server_certificate(self.pair, ["127.0.0.1"], clock=now, lifetime=timedelta(days=days))
        certificates.write(pair, folder / "tls.crt", folder / "tls.key")
        return pair

    def client(self, folder: Path, name: str, *groups: str) -> ssl.SSLContext:
        """Make a client's context with a certificate of its own."""
        pair = certificates.client_certificate(self.pair, name, groups, clock=now, lifetime=timedelta(days=1))
        certificates.write(pair, folder / f"{name}.crt", folder / f"{name}.key")
        context = self.context()
        context.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")
        return context

    def context(self) -> ssl.SSLContext:
        return certificates.client_context(self.pair.certificate_pem)


class Gateway:
    """A gateway that is up."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path, upstream: Running, tls: ssl.SSLContext) -> None:
        self.process = process
        self.folder = folder
        self.upstream = upstream
        self.tls = tls
        until(lambda: "listening on " in self.said or process.poll() is not None)

    @property
    def said(self) -> str:
        return (self.folder / "gateway.err").read_text()

    @property
    def port(self) -> int:
        return int(re.findall(r"listening on \S+:(\d+)", self.said)[0])

    @property
    def metrics(self) -> str:
        found: str = re.findall(r"metrics on (\S+)/metrics", self.said)[0]
        return found

    def connect(self, tls: ssl.SSLContext | None = None) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=tls or self.tls, timeout=DEADLINE_S)

    def headers(self, user: str = "admin") -> dict[str, str]:
        return {"Authorization": f"Bearer {self.upstream.tokens[f'{user}-token']}"}

    def get(self, path: str, user: str = "admin", tls: ssl.SSLContext | None = None) -> int:
        """Ask once, on a connection of its own."""
        with contextlib.closing(self.connect(tls)) as connection:
            connection.request("GET", path, headers=self.headers(user) if user else {})
            answer = connection.getresponse()
            answer.read()
            return answer.status

    def create(self, name: str, user: str = "admin") -> int:
        """Create a config map."""
        body = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
        with contextlib.closing(self.connect()) as connection:
            headers = self.headers(user) | {"Content-Type": "application/json"}
            connection.request("POST", "/api/v1/namespaces/default/configmaps", body, headers)
            return connection.getresponse().status

    @contextlib.contextmanager
    def watch(self) -> Iterator[http.client.HTTPResponse]:
        """Watch config maps until the block ends."""
        with contextlib.closing(self.connect()) as connection:
            connection.request("GET", "/api/v1/namespaces/default/configmaps?watch=1", headers=self.headers())
            with connection.getresponse() as answer:
                assert answer.status == 200
                yield answer

    def page(self, path: str) -> tuple[int, str]:
        """Ask the supervisor's own listener."""
        try:
            with urllib.request.urlopen(f"{self.metrics}{path}", timeout=DEADLINE_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def counted(self) -> dict[str, float]:
        """Every series."""
        text = self.page("/metrics")[1]
        return {key: float(value) for key, value in re.findall(r"^([^#\s]\S*) (\S+)$", text, re.MULTILINE)}

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "audit.log").read_bytes().splitlines()]

    def workers(self) -> list[int]:
        """The processes of the workers, in no order."""
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as children:  # noqa: PTH123  # because: no file of a folder
            return [int(pid) for pid in children.read().split()]


@contextlib.contextmanager
def gateway(folder: Path, upstream: Running, *flags: str, policy: str = METADATA) -> Iterator[Gateway]:
    """Run a gateway until the block ends; its certificate is the test's own."""
    authority = Authority()
    authority.server(folder)
    (folder / "policy.yaml").write_text(policy)
    command = [
        *(sys.executable, "-m", "decklog", "gateway", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"),
        *("--kubeconfig", str(upstream.folder / "kubeconfig"), "--context", "admin-token"),
        *("--tls-cert-file", str(folder / "tls.crt"), "--tls-private-key-file", str(folder / "tls.key")),
        *("--audit-policy-file", str(folder / "policy.yaml"), "--audit-log-path", str(folder / "audit.log")),
        *flags,
    ]
    with (
        (folder / "gateway.err").open("wb") as errors,
        subprocess.Popen(command, stderr=errors) as process,
    ):
        try:
            yield Gateway(process, folder, upstream, authority.context())
        finally:
            process.kill()
