"""What a run stands on: certificates of both sides, a kubeconfig, a policy of 30 rules, a core for each part."""

from __future__ import annotations

import json
import os
import resource
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from benchmarks import decision
from decklog import certificates

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from pathlib import Path

    from decklog.policy.rules import GroupResources, Rule

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Ground:
    """Files of a run, all in one folder that somebody else removes."""

    folder: Path

    def file(self, name: str) -> Path:
        """Give the path of a file: ca.crt, and NAME.crt, NAME.key, NAME.pem (both) of server, client, own."""
        return self.folder / name

    def make_certificates(self) -> None:
        """Make an authority, the servers' certificate, that of the clients, and the proxies' own."""
        about: dict[str, Any] = {"clock": lambda: datetime.now(UTC), "lifetime": timedelta(days=2)}
        ca = certificates.authority("bench", **about)
        self.file("ca.crt").write_bytes(ca.certificate_pem)
        pairs = {
            "server": certificates.server_certificate(ca, [HOST], **about),
            "client": certificates.client_certificate(ca, "alice", ["dev"], **about),
            "own": certificates.client_certificate(ca, "gateway", **about),
        }
        for name, pair in pairs.items():
            certificates.write(pair, self.file(f"{name}.crt"), self.file(f"{name}.key"))
            self.file(f"{name}.pem").write_bytes(pair.certificate_pem + pair.key_pem)

    def client_context(self) -> ssl.SSLContext:
        """Give the clients' side of TLS, which shows alice's certificate."""
        ca = self.file("ca.crt").read_bytes()
        return certificates.client_context(ca, certificates.read(self.file("client.crt"), self.file("client.key")))

    def write_policy(self) -> Path:
        """Write the policy of the benchmark of decisions, with both stages recorded."""
        rules = [_rule(rule) for rule in decision.policy().rules]
        path = self.file("policy.yaml")
        path.write_text(json.dumps({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": rules}, indent=1))
        return path

    def write_kubeconfig(self, port: int, *, tls: bool) -> Path:
        """Write the kubeconfig that the gateway uses for the upstream."""
        cluster: dict[str, Any] = {"server": f"{'https' if tls else 'http'}://{HOST}:{port}"}
        user: dict[str, Any] = {}
        if tls:
            cluster["certificate-authority"] = str(self.file("ca.crt"))
            user = {"client-certificate": str(self.file("own.crt")), "client-key": str(self.file("own.key"))}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "up", "cluster": cluster}],
            "users": [{"name": "own", "user": user}],
            "contexts": [{"name": "up", "context": {"cluster": "up", "user": "own"}}],
            "current-context": "up",
        }
        path = self.file(f"kubeconfig-{port}.yaml")
        path.write_text(json.dumps(document, indent=1))
        path.chmod(0o600)
        return path


def _rule(rule: Rule) -> dict[str, Any]:
    fields = {
        "level": str(rule.level),
        "users": rule.users,
        "userGroups": rule.user_groups,
        "verbs": rule.verbs,
        "resources": [_resources(entry) for entry in rule.resources],
        "namespaces": rule.namespaces,
        "nonResourceURLs": rule.non_resource_urls,
    }
    return {name: value for name, value in fields.items() if value}


def _resources(entry: GroupResources) -> dict[str, Any]:
    fields = {"group": entry.group, "resources": entry.resources, "resourceNames": entry.resource_names}
    return {name: value for name, value in fields.items() if value}


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Be on one core; what is started meanwhile stays there."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cores() -> tuple[int, int]:
    """Give the proxy's core, and that of load and upstream: two if there are two."""
    mine = sorted(os.sched_getaffinity(0))
    return mine[0], mine[-1]


def raise_file_limit() -> int:
    """Raise the limit of open files as far as this process may; children inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
