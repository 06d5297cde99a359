"""Pod checks: what of the container's mounts and the pod's volumes Kubernetes refuses, whoever has written it.

kubelet runs nothing of a pod that is not valid, and says so in its own log only. Looked at is what a hand slips on
beside the audit flags; the whole of a pod's validation is kubelet's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from decklog.audit.documents.yaml_scalars import resolve
from decklog.enable.findings import Finding, Severity
from decklog.enable.manifest import is_null

if TYPE_CHECKING:
    from collections.abc import Iterator

    from decklog.enable.manifest import StaticPod
    from decklog.enable.yaml_text import Found

_TEXTS: Final = {
    "mount": ("name", "mountPath", "subPath", "subPathExpr"),
    "volume": ("name",),
    "host": ("path", "type"),
}
_TYPES: Final = frozenset(
    {"", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket", "CharDevice", "BlockDevice"}
)


def check(pod: StaticPod) -> Iterator[Finding]:
    """Check mounts and volumes of a manifest."""
    mounts = _items(pod, pod.container, "volumeMounts")
    volumes = _items(pod, pod.spec, "volumes")
    for mount in mounts:
        yield from _texts(pod, mount, "mount")
        yield from _read_only(pod, mount)
    for volume in volumes:
        yield from _texts(pod, volume, "volume")
        host = pod.text.entry(volume, "hostPath")
        if host is not None:
            yield from _texts(pod, host, "host")
            yield from _type(pod, host)
    yield from _twice(pod, volumes, "name", "volumes are called")
    yield from _twice(pod, mounts, "mountPath", "mounts have the path")
    yield from _missing(pod)


def _items(pod: StaticPod, parent: Found, key: str) -> list[Found]:
    found = pod.text.entry(parent, key)
    return pod.text.items(found) if found is not None and found.kind == "sequence" else []


def _texts(pod: StaticPod, parent: Found, kind: str) -> Iterator[Finding]:
    for key in _TEXTS[kind]:
        found = pod.text.entry(parent, key)
        if found is not None and not is_null(found) and not isinstance(_value(found), str):
            what = f"{key} is {found.node.text[:60]!r}, and no text: Kubernetes refuses the pod"
            yield Finding(Severity.GRAVE, "pod-type", what, "put it in quotes", found.line)


def _read_only(pod: StaticPod, mount: Found) -> Iterator[Finding]:
    found = pod.text.entry(mount, "readOnly")
    if found is not None and not is_null(found) and not isinstance(_value(found), bool):
        what = f"readOnly is {found.node.text[:60]!r}, and neither true nor false: Kubernetes refuses the pod"
        yield Finding(Severity.GRAVE, "pod-type", what, "write true or false, without quotes", found.line)


def _type(pod: StaticPod, host: Found) -> Iterator[Finding]:
    found = pod.text.entry(host, "type")
    if found is not None and isinstance(value := _value(found), str) and value not in _TYPES:
        what = f"there is no type {value[:60]!r} of a hostPath: Kubernetes refuses the pod"
        yield Finding(Severity.GRAVE, "pod-type", what, "write one of File, DirectoryOrCreate, Directory", found.line)


def _twice(pod: StaticPod, items: list[Found], key: str, says: str) -> Iterator[Finding]:
    lines: dict[str, list[int]] = {}
    for item in items:
        found = pod.text.entry(item, key)
        if found is not None:
            lines.setdefault(found.node.text, []).append(item.line)
    for text, places in lines.items():
        if len(places) > 1:
            shown = ", ".join(map(str, places))
            what = f"{len(places)} {says} {text[:60]!r} (lines {shown}): Kubernetes refuses the pod"
            yield Finding(Severity.GRAVE, "pod-twice", what, "keep one of them, or rename it", places[1])


def _missing(pod: StaticPod) -> Iterator[Finding]:
    for mount in pod.mounts:
        if pod.volume(mount.name) is None:
            what = f"{mount.path} is mounted from a volume {mount.name!r} that is not there: Kubernetes refuses the pod"
            yield Finding(Severity.GRAVE, "pod-volume-missing", what, "add the volume, or remove the mount", mount.line)


def _value(found: Found) -> object:
    """Give a scalar's value; of a list or mapping nothing that would be a text or a switch."""
    node = found.node
    return resolve(node.tag, plain=node.plain, text=node.text) if node.kind == "scalar" else None
