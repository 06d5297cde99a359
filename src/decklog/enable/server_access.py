"""Server access: how to reach the API server of a manifest: from the manifest itself, or by a kubeconfig.

From the manifest: its --advertise-address (that is what its certificate names) and --secure-port; trusted are its own
certificate (--tls-cert-file) and the CA of --client-ca-file, which with kubeadm has signed it, both read from the host
through the mounts. We are then nobody (system:anonymous), which is enough for /readyz unless --anonymous-auth=false.

By a kubeconfig we are its user. Behind a load balancer its server may be another control plane node: the kubeconfig
should name the node whose manifest is changed.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from decklog import kubeconfig as kubeconfigs
from decklog.access import Access
from decklog.audit.event import User
from decklog.certificates import identity
from decklog.errors import DecklogError
from decklog.kubeconfig import ClusterAccess

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from decklog.enable.manifest import StaticPod

ANONYMOUS: Final = User(username="system:anonymous", groups=("system:unauthenticated",))
AUTHENTICATED: Final = "system:authenticated"
_NAME: Final = "kubernetes"
"""A name that every API server's certificate bears, for where the address is not known to be one."""
_PORT: Final = "6443"


@dataclass(frozen=True, slots=True)
class ServerAccess:
    """The API server, and as whom we come."""

    cluster: ClusterAccess
    user: User | None
    """As far as it is known before asking; None: nobody is authenticated, and strangers are refused."""
    says: str
    """For a sentence: ``https://10.0.0.2:6443, as in the manifest``."""
    environ: Mapping[str, str]

    def open(self) -> Access:
        """Open it; each for one event loop."""
        return Access(lambda: self.cluster, environ=self.environ)


def by_kubeconfig(path: str, context: str, environ: Mapping[str, str]) -> ServerAccess:
    """Take a kubeconfig's cluster and user. Raises DecklogError."""
    cluster = kubeconfigs.load(path, context, allow_exec=True)
    return ServerAccess(cluster, _user(cluster), f"{cluster.server}, as in {path}", environ)


def by_manifest(pod: StaticPod, root: Path, environ: Mapping[str, str]) -> ServerAccess:
    """Take address and CA from a manifest whose host's file system is at `root`. Raises DecklogError."""
    host = _host(pod)
    authorities = [data for flag in ("--tls-cert-file", "--client-ca-file") if (data := _file(pod, flag, root))]
    if not authorities:
        raise DecklogError(
            f"{pod.path}: neither --tls-cert-file nor --client-ca-file leads to a file that can be read here, so that "
            "the API server's certificate cannot be checked: run as root on its node, or give --kubeconfig FILE"
        )
    shown = f"[{host}]" if ":" in host else host
    server = f"https://{shown}:{pod.value('--secure-port') or _PORT}"
    name = "" if pod.value("--advertise-address") else _NAME
    stranger = None if pod.value("--anonymous-auth") == "false" else ANONYMOUS
    cluster = ClusterAccess(server, b"\n".join(authorities), tls_server_name=name)
    return ServerAccess(cluster, stranger, f"{server}, as in the manifest", environ)


def _host(pod: StaticPod) -> str:
    for flag in ("--advertise-address", "--bind-address"):
        text = pod.value(flag)
        try:
            if text and not ipaddress.ip_address(text).is_unspecified:
                return text
        except ValueError:
            raise DecklogError(f"{pod.path}: {flag} {text[:60]!r} is no address: give --kubeconfig FILE") from None
    return "127.0.0.1"


def _file(pod: StaticPod, flag: str, root: Path) -> bytes:
    path = pod.value(flag)
    host = pod.host_of(path) if path else None
    if host is None:
        return b""
    try:
        return (root / host.path.lstrip("/")).read_bytes()
    except OSError:
        return b""


def _user(cluster: ClusterAccess) -> User | None:
    """Say as whom a kubeconfig comes; a token does not say it, and a plugin neither."""
    if cluster.client_certificate_pem:
        known = identity(cluster.client_certificate_pem)
        return User(username=known.common_name, groups=(*known.organizations, AUTHENTICATED))
    if cluster.has_credentials or cluster.plugin is not None:
        return User(username="", groups=(AUTHENTICATED,))
    return ANONYMOUS
