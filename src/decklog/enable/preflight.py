"""Preflight: what would go wrong with a manifest's audit flags, found before kubelet finds it.

Everything is looked at as the API server will see it: through the mounts of the manifest, under the Kubernetes version
of its image. Grave is what keeps the API server from starting or from recording anything.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final

from decklog.amounts import binary_size
from decklog.enable import flag_checks, pod_checks
from decklog.enable.findings import Finding, Severity
from decklog.enable.flag_checks import line_of
from decklog.enable.policy_of import on_host, release_of
from decklog.enable.sizes import free_bytes, kept, log_files
from decklog.errors import DecklogError
from decklog.kubeconfig import named_files
from decklog.policy.findings import PolicyError
from decklog.policy.findings import Severity as PolicySeverity
from decklog.policy.lint import check as lint
from decklog.policy.reader import read
from decklog.policy.releases import NEWEST

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from decklog.enable.manifest import StaticPod
    from decklog.policy.lint import Remark, Report

_POLICY: Final = "--audit-policy-file"
_LOG: Final = "--audit-log-path"
_WEBHOOK: Final = "--audit-webhook-config-file"
NOTHING_RECORDED: Final = "DL501"
TOLD: Final = frozenset(
    {"DL001", "DL002", "DL301", "DL302", "DL304", "DL502", "DL503", "DL504", "DL511", "DL512", "DL513", "DL521"}
)
"""The codes of policy check that are told here one by one; others are counted."""
_PASSING: Final = ("/tmp/", "/var/tmp/", "/run/", "/var/run/", "/dev/shm/")  # noqa: S108  # because: a warning of them
_DIRECTORIES: Final = frozenset({"Directory", "DirectoryOrCreate"})


def findings(
    pod: StaticPod, root: Path, *, free: Callable[[Path], int] = free_bytes, policy: bytes | None = None
) -> tuple[Finding, ...]:
    """Find what is wrong with a manifest as it is, or as it would be written; the gravest first.

    `root`: where the file system of its host is. `free`: how many bytes are free at a path. `policy`: the policy's
    bytes, where it will only be put to its place.
    """
    found = [
        *flag_checks.check(pod),
        *pod_checks.check(pod),
        *_version(pod),
        *_policy(pod, root, policy),
        *_log(pod, root, free),
        *_webhook(pod, root),
    ]
    order = list(Severity)
    return tuple(sorted(found, key=lambda each: order.index(each.severity)))


def check_policy(pod: StaticPod, data: bytes, source: str) -> Report:
    """Check a policy for a manifest's image and mode."""
    release = release_of(pod.image)
    strict = "blocking-strict" in {pod.value("--audit-log-mode"), pod.value("--audit-webhook-mode")}
    return lint(data, source=source, kubernetes=[str(release)] if release else [f"1.{NEWEST}"], strict_mode=strict)


def _version(pod: StaticPod) -> Iterator[Finding]:
    if release_of(pod.image) is None:
        what = (
            f"the image {pod.image[:100]!r} does not say its version: the policy is read as Kubernetes 1.{NEWEST} does"
        )
        yield Finding(Severity.NOTE, "version-unknown", what, "give an image with a tag, as v1.30.0", pod.image_line)


def _policy(pod: StaticPod, root: Path, given: bytes | None) -> Iterator[Finding]:
    path = pod.value(_POLICY)
    line = line_of(pod, _POLICY)
    if not path:
        return
    place, problem = _reachable(pod, path, root, line, "policy", "the policy")
    if problem is not None and (given is None or problem.code == "policy-unmounted"):
        yield problem
    host = pod.host_of(path)
    if host is not None and host.path.startswith(_PASSING):
        what = f"the policy {host.path} lies where a restart of the host may remove it, and kube-apiserver with it"
        yield Finding(Severity.WARNING, "policy-volatile", what, "put it below /etc/kubernetes", line)
    if given is not None:
        yield from _judged(pod, given, str(place or path), line)
    elif place is not None and problem is None:
        try:
            data = read(str(place))
        except PolicyError as error:
            yield Finding(Severity.WARNING, "policy-unread", str(error), "run as root", line)
        else:
            yield from _judged(pod, data, str(place), line)


def _judged(pod: StaticPod, data: bytes, source: str, line: int) -> Iterator[Finding]:
    report = check_policy(pod, data, source)
    others = 0
    starts = all(verdict.starts for verdict in report.verdicts)
    for remark in report.remarks:
        if remark.severity is PolicySeverity.ERROR and (not starts or remark.code == "DL000"):
            yield _of(remark, Severity.GRAVE if not starts else Severity.WARNING, line)
        elif remark.code == NOTHING_RECORDED:
            yield _of(remark, Severity.GRAVE, line)
        elif remark.code in TOLD:
            yield _of(remark, Severity.WARNING, line)
        else:
            others += 1
    if others:
        what = f"policy check has {others} more remark{'s' * (others > 1)} on {source}"
        yield Finding(Severity.NOTE, "policy-remarks", what, f"decklog policy check {source}", line)


def _of(remark: Remark, severity: Severity, line: int) -> Finding:
    place = f"{remark.source}:{remark.line}" if remark.line else remark.source
    return Finding(severity, f"policy-{remark.code}", f"{place}: {remark.text}", f"write: {remark.write}", line)


def _log(pod: StaticPod, root: Path, free: Callable[[Path], int]) -> Iterator[Finding]:
    path = pod.value(_LOG)
    line = line_of(pod, _LOG)
    if path == "-":
        what = "the log goes to the container's output, among the API server's own diagnostics, and is cut with it"
        yield Finding(Severity.NOTE, "log-stdout", what, f"give {_LOG} FILE for a log of its own", line)
    if not path or path == "-":
        return
    host = pod.host_of(path)
    if host is None:
        what = f"no hostPath volume leads to the log {path}: it would be in the container, and gone with it"
        yield Finding(Severity.GRAVE, "log-unmounted", what, "mount its directory, writable", line)
        return
    if host.read_only:
        what = f"the log {path} lies in a mount that is read-only: kube-apiserver could not write it"
        yield Finding(Severity.GRAVE, "log-read-only", what, "set readOnly: false", host.line)
    if host.mounted_at == path or host.type in {"File", "FileOrCreate"}:
        what = f"the log {path} is mounted as a file: it cannot be renamed, and so is never rotated"
        yield Finding(Severity.WARNING, "log-file-mounted", what, "mount its directory instead", host.line)
    folder = (root / host.path.lstrip("/")).parent
    try:
        blocked = next((each for each in (folder, *folder.parents) if not _is_folder_or_none(each)), None)
        is_there = _stat(folder) is not None
    except OSError as error:
        what = f"the log's directory {folder} cannot be looked at ({error.strerror})"
        yield Finding(Severity.WARNING, "log-unread", what, "run as root", host.line)
        return
    if blocked is not None:
        what = f"the log's directory cannot be made: {blocked} is a file"
        yield Finding(Severity.GRAVE, "log-directory", what, "move the file away", host.line)
        return
    if host.type == "Directory" and not is_there:
        what = f"{folder} is not there, and a volume of type Directory does not make it: the pod would not start"
        yield Finding(Severity.GRAVE, "log-directory", what, "make it, or use DirectoryOrCreate", host.line)
    yield from _space(pod, root, folder, free, line)


def _space(pod: StaticPod, root: Path, folder: Path, free: Callable[[Path], int], line: int) -> Iterator[Finding]:
    limits = kept(pod)
    if limits.max_bytes is None:
        what = "the log may grow without end: " + (
            "it is never rotated (maxsize 0)"
            if limits.max_size_bytes is None
            else "any number of rotated files is kept"
        )
        if limits.max_age_days is not None and limits.max_size_bytes is not None:
            what += f", for {limits.max_age_days} days"
        yield Finding(
            Severity.WARNING, "log-unbounded", what, "give --audit-log-maxsize and --audit-log-maxbackup", line
        )
        return
    try:
        there = log_files(pod, root)
        room = free(folder) + (there.size_bytes if there is not None else 0)
    except OSError as error:
        what = f"how much room there is at {folder} cannot be told ({error.strerror})"
        yield Finding(Severity.NOTE, "disk-unknown", what, "run as root", line)
        return
    if limits.max_bytes > room:
        what = (
            f"the log may take {binary_size(limits.max_bytes)} (maxsize, times maxbackup + 1), and {folder} has room "
            f"for {binary_size(room)}"
        )
        do = "give a smaller --audit-log-maxsize or --audit-log-maxbackup, or another --audit-log-path"
        yield Finding(Severity.WARNING, "disk-space", what, do, line)


def _webhook(pod: StaticPod, root: Path) -> Iterator[Finding]:
    path = pod.value(_WEBHOOK)
    line = line_of(pod, _WEBHOOK)
    if not path:
        return
    place, problem = _reachable(pod, path, root, line, "webhook", "the webhook's kubeconfig")
    if problem is not None or place is None:
        yield from [problem] if problem else []
        return
    try:
        named = named_files(place, path)
    except OSError as error:
        what = f"the webhook's kubeconfig {place} cannot be read ({error.strerror})"
        yield Finding(Severity.WARNING, "webhook-unread", what, "run as root", line)
        return
    except DecklogError as error:
        yield Finding(Severity.GRAVE, "webhook-kubeconfig", str(error), "mend it", line)
        return
    for each in named:
        _, problem = _reachable(pod, each, root, line, "webhook-file", "the webhook's kubeconfig names")
        if problem is not None:
            yield problem


def _reachable(
    pod: StaticPod, path: str, root: Path, line: int, code: str, called: str
) -> tuple[Path | None, Finding | None]:
    """Follow a path of the container to the host, and say what stands in the way."""
    host = pod.host_of(path)
    place = on_host(pod, path, root)
    if host is None or place is None:
        what = f"{called} {path}: no hostPath volume leads there, so that the container does not have it"
        return None, Finding(Severity.GRAVE, f"{code}-unmounted", what, "mount it, read-only, as a File", line)
    try:
        found = _stat(place)
        if found is None:
            what = f"{called} {path}: {place} is not there, and kube-apiserver would not start"
            return None, Finding(Severity.GRAVE, f"{code}-missing", what, "put it there first", host.line or line)
        if stat.S_ISDIR(found.st_mode):
            what = f"{called} {path}: {place} is a directory"
            hint = " (kubelet makes one where a volume of type DirectoryOrCreate finds nothing)"
            return None, Finding(
                Severity.GRAVE, f"{code}-directory", what + hint * (host.type in _DIRECTORIES), "put a file there", line
            )
        if not stat.S_ISREG(found.st_mode):
            what = f"{called} {path}: {place} is no plain file, and kube-apiserver might wait for it without end"
            return None, Finding(Severity.GRAVE, f"{code}-no-file", what, "put a file there", line)
    except OSError as error:
        what = f"{called} {path}: {place} cannot be looked at ({error.strerror})"
        return place, Finding(Severity.WARNING, f"{code}-unread", what, "run as root", line)
    return place, None


def _stat(path: Path) -> os.stat_result | None:
    """Look at a path; None: it is not there. Raises OSError where it may not be looked at."""
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _is_folder_or_none(path: Path) -> bool:
    found = _stat(path)
    return found is None or stat.S_ISDIR(found.st_mode)
