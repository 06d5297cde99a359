"""Site: what stands round a replayed webhook: certificates, the kubeconfig as recorded, and a receiver at its address.

Paths and addresses of the recorded kubeconfig are of the machine that recorded; each is replaced by one of ours that
means the same. Which certificate the receiver shows follows from what the recorded server said of it.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Self

import yaml

from decklog import certificates

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

    from conformance.webhook_scenario import Scenario
    from decklog.certificates import KeyPair

_DAY: Final = timedelta(days=1)
_HOSTS: Final = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Trust:
    """An authority, the pairs that it signed, and a stranger's: made once for all scenarios."""

    ca: KeyPair
    server: KeyPair
    elsewhere: KeyPair
    """Of the same authority, for another host."""
    expired: KeyPair
    stranger: KeyPair
    """For the right hosts, of an authority that nobody trusts."""
    client: KeyPair

    @classmethod
    def make(cls) -> Self:
        """Make all of it."""
        ca = certificates.authority("conformance", clock=_now, lifetime=_DAY)
        other = certificates.authority("stranger", clock=_now, lifetime=_DAY)
        return cls(
            ca,
            certificates.server_certificate(ca, _HOSTS, clock=_now, lifetime=_DAY),
            certificates.server_certificate(ca, ["elsewhere.invalid"], clock=_now, lifetime=_DAY),
            certificates.server_certificate(ca, _HOSTS, clock=_long_ago, lifetime=_DAY),
            certificates.server_certificate(other, _HOSTS, clock=_now, lifetime=_DAY),
            certificates.client_certificate(ca, "audit-webhook", clock=_now, lifetime=_DAY),
        )

    def context(self, scenario: Scenario) -> ssl.SSLContext | None:
        """Make the receiver's side of TLS; None: plain HTTP."""
        if not _server(scenario).startswith("https://"):
            return None
        return certificates.server_context(self._shown(scenario), self.ca.certificate_pem)

    def _shown(self, scenario: Scenario) -> KeyPair:
        log = "\n".join(scenario.log)
        if "signed by unknown authority" in log:
            return self.stranger
        if "certificate has expired" in log:
            return self.expired
        if "x509: " in log and re.search("is valid for|IP SANs|not valid for any names", log):
            return self.elsewhere
        return self.server


def _now() -> datetime:
    return datetime.now(UTC)


def _long_ago() -> datetime:
    return _now() - 30 * _DAY


def is_down(scenario: Scenario) -> bool:
    """Whether nobody listened at the recorded address."""
    return not scenario.rows and any("connection refused" in line for line in scenario.log)


def write_kubeconfig(scenario: Scenario, trust: Trust, port: int, folder: Path) -> Path:
    """Write the recorded kubeconfig with our port and our certificates; answers where it is."""
    config = yaml.safe_load(scenario.meta["kubeconfig"])
    for cluster in _inner(config, "clusters", "cluster"):
        cluster["server"] = re.sub(r":\d+(?=[/?]|$)", f":{port}", cluster.get("server", ""), count=1)
        _replace(cluster, "certificate-authority", trust.ca.certificate_pem, folder)
    for user in _inner(config, "users", "user"):
        _replace(user, "client-certificate", trust.client.certificate_pem, folder)
        _replace(user, "client-key", trust.client.key_pem, folder)
        if "tokenFile" in user:
            user["tokenFile"] = str(_write(folder / "token", _token(scenario).encode()))
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config), "utf-8")
    return path


def _server(scenario: Scenario) -> str:
    clusters = _inner(yaml.safe_load(scenario.meta["kubeconfig"]), "clusters", "cluster")
    return next((str(cluster.get("server", "")) for cluster in clusters), "")


def _inner(config: dict[str, Any], entries: str, key: str) -> list[dict[str, Any]]:
    return [entry[key] for entry in config.get(entries) or () if isinstance(entry.get(key), dict)]


def _replace(entry: dict[str, Any], key: str, pem: bytes, folder: Path) -> None:
    if key in entry:
        entry[key] = str(_write(folder / f"{key}.pem", pem))
    if f"{key}-data" in entry:
        entry[f"{key}-data"] = base64.b64encode(pem).decode()


def _write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _token(scenario: Scenario) -> str:
    """Read the token of a token file from the header that it ended in."""
    for post in scenario.posts:
        for name, value in post.row["headers"]:
            if name == "Authorization" and value.startswith("Bearer "):
                return str(value.removeprefix("Bearer "))
    return "token"
