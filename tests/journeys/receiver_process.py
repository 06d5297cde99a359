"""`decklog receive` as a process, for tests: with certificates of its own making, killed when the block ends."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DECKLOG = (sys.executable, "-m", "decklog")


class RunningReceiver:
    """A receiver that is up."""

    def __init__(self, process: subprocess.Popen[str], folder: Path, said: list[str]) -> None:
        self.process = process
        self.folder = folder
        self.said = said
        self.url = said[-1].removeprefix("listening on ")
        self.port = int(self.url.rpartition(":")[2])

    @property
    def metrics(self) -> str:
        """HOST:PORT of /metrics and /readyz."""
        return next(line for line in self.said if line.startswith("metrics on ")).split("/")[2]


def lines(folder: Path) -> list[bytes]:
    """Give what is in all journals of the store, without a line that is being written just now."""
    files = sorted((folder / "store" / "journal").glob("*/*.ndjson"))
    return [line for file in files for line in file.read_bytes().rpartition(b"\n")[0].splitlines()]


def certify(folder: Path) -> None:
    """Have the command make certificates in ``pki``."""
    names = ("--server-name", "127.0.0.1", "--client", "kube-apiserver", "--client", "stranger")
    subprocess.run((*DECKLOG, "certificates", str(folder / "pki"), *names), check=True, stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def receiver(folder: Path, *flags: str, port: int = 0) -> Iterator[RunningReceiver]:
    """Receive over TLS until the block ends; ``pki`` has to be there."""
    pki = folder / "pki"
    command = [
        *(*DECKLOG, "receive", "--listen", f"127.0.0.1:{port}", "--store", str(folder / "store")),
        *("--tls-cert-file", str(pki / "server.crt"), "--tls-private-key-file", str(pki / "server.key")),
        *("--client-ca-file", str(pki / "ca.crt"), "--allowed-clients", "kube-apiserver"),
        *("--kubeconfig-out", str(folder / "webhook.yaml"), "--min-free-bytes", "0"),
        *("--sender-cert-file", str(pki / "kube-apiserver.crt")),
        *("--sender-private-key-file", str(pki / "kube-apiserver.key")),
        *flags,
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            said = []
            for line in process.stderr or ():
                said.append(line.rstrip())
                if line.startswith("listening on "):
                    break
            assert said[-1].startswith("listening on "), "".join(said)
            yield RunningReceiver(process, folder, said)
        finally:
            process.kill()
