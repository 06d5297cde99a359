"""The policy that a manifest names: read from the host through the mounts, as that image's Kubernetes reads it."""

from __future__ import annotations

import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from decklog.errors import DecklogError
from decklog.policy.reader import load, read
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


def bytes_of(place: Path) -> bytes:
    """Read a policy's bytes. Raises PolicyError and DecklogError."""
    _refuse_what_is_waited_for(place)
    return read(str(place))


def _refuse_what_is_waited_for(place: Path) -> None:
    """Refuse a pipe or a device: on a node it is a slip, and to read it may take without end."""
    with suppress(OSError):  # what cannot be looked at is for who reads it to tell
        if not stat.S_ISREG(mode := place.stat().st_mode) and not stat.S_ISDIR(mode):
            raise DecklogError(f"{place} is no plain file: put the policy there")


def policy_of(pod: StaticPod, root: Path) -> Loaded | None:
    """Read the policy as kube-apiserver does; None: there is none. Raises PolicyError and DecklogError."""
    path = pod.value("--audit-policy-file")
    if not path:
        return None
    place = on_host(pod, path, root)
    if place is None:
        raise DecklogError(f"{pod.path}: no hostPath volume leads to the policy {path}: mount it")
    _refuse_what_is_waited_for(place)
    release = release_of(pod.image)
    return load(str(place), lenient=True, **({"kubernetes": str(release)} if release else {}))
