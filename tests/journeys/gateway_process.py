"""A gateway as a process in front of a sandbox, for tests: both are killed when the block ends."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import yaml

from decklog import certificates
from decklog.audit.wire import decode_event
from journeys.sandbox_process import METADATA, certificates_of, sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from decklog.audit.event import Event
    from journeys.sandbox_process import Running

GATEWAY = (sys.executable, "-m", "decklog", "gateway", "--listen", "127.0.0.1:0", "--workers", "1")


class RunningGateway:
    """A gateway that is up; `upstream` is the sandbox behind it."""

    def __init__(self, process: subprocess.Popen[str], folder: Path, said: list[str], upstream: Running) -> None:
        self.process = process
        self.folder = folder
        self.said = said
        self.upstream = upstream
        self.url = said[-1].removeprefix("listening on ")

    @property
    def kubeconfig(self) -> Path:
        """The sandbox's users, pointed at the gateway."""
        return self.folder / "gateway.kubeconfig"

    def events(self) -> list[Event]:
        """What is in the gateway's log, without a line that is being written just now."""
        whole = (self.folder / "gateway.log").read_bytes().rpartition(b"\n")[0]
        return [decode_event(line) for line in whole.splitlines()]


@contextlib.contextmanager
def gateway(folder: Path, policy: str = METADATA, *flags: str) -> Iterator[RunningGateway]:
    """Run a gateway with TLS in front of a sandbox of its own, which takes the users' certificates as the sandbox."""
    with sandbox(folder) as upstream:
        config = yaml.safe_load((folder / "kubeconfig").read_text())
        authority = _listener(folder)
        cluster = config["clusters"][0]["cluster"]
        (folder / "users-ca.crt").write_text(certificates_of(cluster["certificate-authority-data"]))
        (folder / "gateway-policy.yaml").write_text(policy)
        command = [
            *GATEWAY,
            *("--kubeconfig", str(folder / "kubeconfig")),
            *("--tls-cert-file", str(folder / "tls.crt"), "--tls-private-key-file", str(folder / "tls.key")),
            *("--client-ca-file", str(folder / "users-ca.crt")),
            *("--audit-policy-file", str(folder / "gateway-policy.yaml")),
            *("--audit-log-path", str(folder / "gateway.log")),
            *flags,
        ]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            try:
                said = []
                for line in process.stderr or ():
                    said.append(line.rstrip())
                    if line.startswith("listening on "):
                        break
                running = RunningGateway(process, folder, said, upstream)
                del cluster["certificate-authority-data"]
                cluster |= {"server": running.url, "certificate-authority": str(authority)}
                running.kubeconfig.write_text(yaml.safe_dump(config))
                yield running
            finally:
                process.kill()


def _listener(folder: Path) -> Path:
    """Write the gateway's own pair, signed by an authority of its own; answers the authority's file."""

    def clock() -> datetime:
        return datetime.now(UTC)

    authority = certificates.authority("gateway", clock=clock, lifetime=timedelta(hours=1))
    pair = certificates.server_certificate(authority, ["127.0.0.1"], clock=clock, lifetime=timedelta(hours=1))
    certificates.write(pair, folder / "tls.crt", folder / "tls.key")
    path = folder / "gateway-ca.crt"
    path.write_bytes(authority.certificate_pem)
    return path
