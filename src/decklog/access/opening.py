"""Opening: what an `Access` is made from: a kubeconfig, or the service account of the pod that we run in."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from decklog import kubeconfig
from decklog.access.upstream import Access
from decklog.errors import DecklogError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from decklog.access.options import UpstreamOptions

SERVICE_ACCOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
"""Where kubelet puts a pod's own token and the cluster's CA."""


def from_options(options: UpstreamOptions, *, environ: Mapping[str, str]) -> Access:
    """Open what the flags name: a kubeconfig, else the pod's own cluster. Raises DecklogError when neither is there."""
    if options.kubeconfig:
        return from_kubeconfig(options.kubeconfig, options.context, environ=environ)
    if options.context:
        raise DecklogError("--context names a context of a kubeconfig: give --kubeconfig FILE as well")
    return in_cluster(environ)


def from_kubeconfig(path: str | Path, context: str = "", *, environ: Mapping[str, str], **settings: Any) -> Access:
    """Open the cluster of a kubeconfig's context, or of its current one; its exec plugin gets `environ`.

    `settings` are those of `Access`. Raises DecklogError that names file and key.
    """

    def load() -> kubeconfig.ClusterAccess:
        return kubeconfig.load(path, context, allow_exec=True)

    return Access(load, environ=environ, **settings)


def in_cluster(environ: Mapping[str, str], root: str | Path = SERVICE_ACCOUNT, **settings: Any) -> Access:
    """Open the cluster of the pod that we run in, as its service account. Raises DecklogError when this is no pod."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "")
    if not host or not port:
        raise DecklogError("there is no API server to stand before: give --kubeconfig FILE, or run in a pod")
    server = f"https://{_bracketed(host)}:{port}"
    authority, token = Path(root, "ca.crt"), Path(root, "token")

    def load() -> kubeconfig.ClusterAccess:
        return kubeconfig.ClusterAccess(
            server, _read_authority(authority), token_file=str(token), files=(str(authority),)
        )

    return Access(load, environ=environ, **settings)


def _read_authority(path: Path) -> bytes:
    try:
        authority = path.read_bytes()
    except OSError as error:
        raise DecklogError(
            f"cannot read the cluster's CA {path}: {error.strerror}: set automountServiceAccountToken: true for the pod"
        ) from error
    if not authority.strip():
        raise DecklogError(f"{path} is empty: it should hold the cluster's CA")
    return authority


def _bracketed(host: str) -> str:
    try:
        return f"[{host}]" if ipaddress.ip_address(host).version == 6 else host
    except ValueError:
        return host
