"""The policy that a manifest names: read from the host through the mounts, as that image's Kubernetes reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from decklog.errors import DecklogError
from decklog.policy.reader import load
from decklog.policy.releases import Release, parse_release

if TYPE_CHECKING:
    from pathlib import Path

    from decklog.enable.manifest import StaticPod
    from decklog.policy.reader import Loaded


def release_of(image: str) -> Release | None:
    """Read the version of Kubernetes from an image's tag; None: it does not say.

    ``registry.k8s.io/kube-apiserver:v1.30.0``, ``rancher/hardened-kubernetes:v1.29.3-rke2r1-build20240315``.
    """
    name, _, tag = image.partition("@")[0].rpartition(":")
    if not name or "/" in tag:
        return None
    try:
        return parse_release(tag)
    except DecklogError:
        return None


def on_host(pod: StaticPod, path: str, root: Path) -> Path | None:
    """Find a file of the container on the host; None: no mount leads there, or ``-``."""
    host = pod.host_of(path) if path.startswith("/") else None
    return root / host.path.lstrip("/") if host is not None else None


def policy_of(pod: StaticPod, root: Path) -> Loaded | None:
    """Read the policy as kube-apiserver does; None: there is none. Raises PolicyError and DecklogError."""
    path = pod.value("--audit-policy-file")
    if not path:
        return None
    place = on_host(pod, path, root)
    if place is None:
        raise DecklogError(f"{pod.path}: no hostPath volume leads to the policy {path}: mount it")
    release = release_of(pod.image)
    return load(str(place), lenient=True, **({"kubernetes": str(release)} if release else {}))
