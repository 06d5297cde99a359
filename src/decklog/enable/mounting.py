"""Mounting: what kube-apiserver has to find in its container, and what is put in so that it does.

A path that a mount leads to already is covered. Otherwise there is a mount of our own: a file read-only, as File; a
log's directory writable, as DirectoryOrCreate, because rotation renames within it.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from decklog.enable.conflict import Conflict
from decklog.enable.draft import Change, Draft
from decklog.enable.manifest import is_within, plain
from decklog.enable.wanted import DEFAULT_LOG, STDOUT

if TYPE_CHECKING:
    from decklog.enable.manifest import Mount, StaticPod, Volume
    from decklog.enable.wanted import AuditWanted

_OF_THE_IMAGE: Final = frozenset(
    {
        "/",
        "/bin",
        "/boot",
        "/dev",
        "/etc",
        "/lib",
        "/lib64",
        "/proc",
        "/root",
        "/run",
        "/sbin",
        "/sys",
        "/usr",
        "/usr/bin",
    }
    | {"/usr/lib", "/usr/local", "/usr/local/bin", "/usr/sbin", "/usr/share", "/var"}
)
"""Directories that the container's image fills; a mount there would hide what kube-apiserver is started from."""
_FILES: Final = frozenset({"File", "FileOrCreate", "Socket", "CharDevice", "BlockDevice"})
_DIRECTORIES: Final = frozenset({"Directory", "DirectoryOrCreate"})


@dataclass(frozen=True, slots=True)
class Need:
    """A path that kube-apiserver has to find in its container."""

    flag: str
    path: str
    """Of the file, or for a log of the file that will be made."""
    name: str
    """Of the volume, if there has to be one."""
    is_log: bool = False

    @property
    def mounted(self) -> str:
        """Give what is to be mounted: the file, or the log's directory, where rotation needs to rename."""
        return posixpath.dirname(self.path) if self.is_log else self.path

    @property
    def type(self) -> str:
        """Give the type of the hostPath."""
        return "DirectoryOrCreate" if self.is_log else "File"


def needs(pod: StaticPod, wanted: AuditWanted) -> list[Need]:
    """List what has to be found in the container, by the flags as they will be."""
    told = wanted.over(pod.values)
    asked = wanted.given()
    needs = [
        Need("--audit-policy-file", told.get("--audit-policy-file", ""), "audit"),
        Need("--audit-webhook-config-file", told.get("--audit-webhook-config-file", ""), "audit-webhook"),
        *(Need("the webhook's", path, f"audit-webhook-{_slug(path)}") for path in wanted.webhook_files),
        Need("--audit-log-path", told.get("--audit-log-path", ""), "audit-log", is_log=True),
    ]
    log = needs[-1]
    for need in needs[:-1]:
        if need.path and plain(need.path) == plain(log.path):
            what = f"{need.flag} and {log.flag} name the same file, {log.path}"
            raise Conflict(pod.path, 0, what, "give the log a file of its own")
    # What the manifest says on its own, and no mount could serve, is for the preflight to tell.
    return [
        need
        for need in needs
        if need.path not in {"", STDOUT}
        and (need.flag in asked or (need.path.startswith("/") and "$(" not in need.path))
    ]


def _slug(path: str) -> str:
    """Give a file's name as a part of a volume's: a DNS label."""
    return re.sub(r"[^a-z0-9]+", "-", posixpath.basename(path).lower()).strip("-")[:40].strip("-") or "file"


def cover(pod: StaticPod, draft: Draft, need: Need) -> None:
    """See that the container finds the path: by what is mounted, or by a mount of our own."""
    mount = _mount_of(pod, need.path)
    if mount is None:
        if not any(is_within(need.path, plain(added["mountPath"])) for added in draft.mounts):
            _mount(pod, draft, need)
        return
    volume = pod.volume(mount.name)
    if volume is None:
        _missing_volume(pod, draft, need, mount)
    elif volume.host_path is None:
        _foreign_volume(pod, need, mount, volume)
    else:
        _refuse_type(pod, need, mount, volume)
        _refuse_read_only(pod, need, mount)


def _mount_of(pod: StaticPod, path: str) -> Mount | None:
    mount = pod.mount_of(path)
    if mount is None:
        return None
    twins = [each for each in pod.mounts if each.path == mount.path]
    if len(twins) > 1:
        lines = ", ".join(str(each.line) for each in twins)
        raise pod.text.conflict(
            twins[1].line,
            f"{mount.path} is mounted twice (lines {lines}), which Kubernetes refuses",
            "keep one of them",
        )
    if mount.expands:
        raise pod.text.conflict(
            mount.line, f"{path} lies in a mount whose subPathExpr depends on the environment", "mount it plainly"
        )
    return mount


def _refuse_type(pod: StaticPod, need: Need, mount: Mount, volume: Volume) -> None:
    path = plain(need.path)
    if need.is_log and mount.path == path:
        raise pod.text.conflict(
            mount.line,
            f"the log {path} is mounted as a file of its own, which cannot be renamed, and so not rotated",
            f"mount its directory {posixpath.dirname(path)} instead",
        )
    if mount.path == path and volume.type in _DIRECTORIES and not mount.sub_path:
        raise pod.text.conflict(
            volume.line,
            f"the volume {volume.name!r} of {path} has the type {volume.type}, and the file would be a directory",
            "make it File",
        )
    if mount.path != path and volume.type in _FILES and not mount.sub_path:
        raise pod.text.conflict(
            volume.line,
            f"the volume {volume.name!r} has the type {volume.type}, and {path} has to lie in a directory there",
            "make it DirectoryOrCreate" if need.is_log else "make it Directory",
        )


def _refuse_read_only(pod: StaticPod, need: Need, mount: Mount) -> None:
    if need.is_log and mount.read_only:
        raise pod.text.conflict(
            mount.line,
            f"{mount.path} is mounted read-only, and {need.flag} {need.path} is to be written there",
            "choose another directory for the log, or take readOnly away",
        )


def _foreign_volume(pod: StaticPod, need: Need, mount: Mount, volume: Volume) -> None:
    if need.is_log and pod.value(need.flag) == need.path:
        _refuse_read_only(pod, need, mount)
        return  # somebody has decided so, and it works
    why = "the log would go with the pod" if need.is_log else "nobody puts the file there"
    raise pod.text.conflict(
        mount.line,
        f"{need.path} lies in the volume {volume.name!r}, which is no hostPath but {volume.kind or 'nothing'}: {why}",
        "choose another path, or make it a hostPath",
    )


def _missing_volume(pod: StaticPod, draft: Draft, need: Need, mount: Mount) -> None:
    """Complete a half-done edit: the mount is there, its volume is not, and Kubernetes refuses the pod."""
    _refuse_read_only(pod, need, mount)
    if any(added["name"] == mount.name for added in draft.volumes):
        return
    if need.is_log and mount.path == plain(need.path):
        raise pod.text.conflict(
            mount.line,
            f"the log {need.path} is mounted as a file of its own, and could not be rotated",
            "mount its directory",
        )
    if mount.sub_path:
        raise pod.text.conflict(
            mount.line,
            f"the volume {mount.name!r} of this mount is missing, and it wants a part of it",
            "add the volume",
        )
    kind = "DirectoryOrCreate" if need.is_log else "File" if mount.path == plain(need.path) else "Directory"
    _volume(draft, mount.name, mount.path, kind)


def _mount(pod: StaticPod, draft: Draft, need: Need) -> None:
    path = plain(need.mounted)
    if need.is_log and path in _OF_THE_IMAGE:
        raise Conflict(
            pod.path,
            0,
            f"{need.flag} {need.path}: to mount {path} would hide what the image has there",
            "give - for the container's output"
            if path == "/dev"
            else f"give the log a directory of its own, as in {DEFAULT_LOG}",
        )
    name = _volume_at(pod, draft, need, path)
    draft.mounts.append({"mountPath": path, "name": name, "readOnly": not need.is_log})
    mode = "writable" if need.is_log else "read-only"
    draft.changes.append(Change("mount", f"{path} is mounted {mode} from the volume {name!r}", 0))


def _volume_at(pod: StaticPod, draft: Draft, need: Need, path: str) -> str:
    """Find a volume of just this path, or add one."""
    for volume in pod.volumes:
        if volume.host_path == path:
            if volume.type in (_FILES if need.is_log else _DIRECTORIES):
                raise pod.text.conflict(
                    volume.line,
                    f"the volume {volume.name!r} has {path} as {volume.type}, and it is needed as {need.type}",
                    f"make it {need.type}",
                )
            return volume.name
    taken = {volume.name for volume in pod.volumes} | {mount.name for mount in pod.mounts}
    taken |= {added["name"] for added in draft.volumes}
    name = next(name for name in (need.name, *(f"{need.name}-{n}" for n in range(2, 10_000))) if name not in taken)
    _volume(draft, name, path, need.type)
    return name


def _volume(draft: Draft, name: str, path: str, kind: str) -> None:
    draft.volumes.append({"hostPath": {"path": path, "type": kind}, "name": name})
    draft.changes.append(Change("volume", f"the volume {name!r} is the host's {path} ({kind})", 0))
