"""Summary: what is configured, for people: what is recorded, where it goes, how long it is kept, what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from msgspec import Struct

from decklog import kubeconfig
from decklog.amounts import binary_size
from decklog.audit.event import Stage
from decklog.enable import flag_checks
from decklog.enable.cis import checks
from decklog.enable.findings import Severity
from decklog.enable.growth import bytes_a_day
from decklog.enable.policy_of import on_host, policy_of, release_of
from decklog.enable.preflight import findings
from decklog.enable.sizes import kept, log_files, span_in_words
from decklog.enable.topics import topics
from decklog.errors import DecklogError

if TYPE_CHECKING:
    from pathlib import Path

    from decklog.enable.cis import Check
    from decklog.enable.findings import Finding
    from decklog.enable.manifest import StaticPod
    from decklog.enable.topics import Recorded

_POLICY: Final = "--audit-policy-file"
_LOG: Final = "--audit-log-path"
_WEBHOOK: Final = "--audit-webhook-config-file"
_ON_NODE: Final = "it lies on the node: run decklog status MANIFEST there"


class PolicySummary(Struct, frozen=True, rename="camel"):
    """What is recorded."""

    path: str
    problem: str
    """Why nothing can be said of it; empty: it was read."""
    rules: int = 0
    stages: tuple[str, ...] = ()
    """Those that the policy as a whole does not omit."""
    recorded: tuple[Recorded, ...] = ()


class Destination(Struct, frozen=True, rename="camel"):
    """Where events go."""

    kind: str
    """``log`` or ``webhook``."""
    where: str
    mode: str
    says: str
    """In words."""


class Keeps(Struct, frozen=True, rename="camel"):
    """How much of the log is kept; None: no limit, or not known."""

    max_bytes: int | None
    max_age_days: int | None
    files: int | None
    bytes: int | None
    bytes_a_day: float | None
    days: float | None
    """How many days it holds at that rate."""
    says: str
    """In words."""


class Summary(Struct, frozen=True, rename="camel"):
    """One API server's auditing."""

    source: str
    image: str
    kubernetes: str
    """Empty: the image does not say."""
    enabled: bool
    """Whether it records anything, as far as can be seen."""
    works: bool
    """Whether nothing is found that would keep it from starting, or from recording."""
    policy: PolicySummary | None
    destinations: tuple[Destination, ...]
    keeps: Keeps | None
    findings: tuple[Finding, ...]
    checks: tuple[Check, ...]
    counted: dict[str, float] = {}
    """What the API server has counted since it started, where it was asked: ``level Metadata``, ``errors log``."""


def summary(pod: StaticPod, root: Path | None, counted: dict[str, float] | None = None) -> Summary:
    """Sum up a manifest; `root`: where its host's file system is, None: not here."""
    release = release_of(pod.image)
    found = findings(pod, root) if root is not None else tuple(flag_checks.check(pod))
    off = {"policy-unset", "nowhere", "policy-DL501"}
    return Summary(
        pod.path,
        pod.image,
        str(release) if release else "",
        not any(each.code in off for each in found),
        not any(each.severity is Severity.GRAVE for each in found),
        _policy(pod, root),
        tuple(_destinations(pod, root)),
        _keeps(pod, root),
        found,
        checks(pod, root) if root is not None else (),
        counted or {},
    )


def _policy(pod: StaticPod, root: Path | None) -> PolicySummary | None:
    path = pod.value(_POLICY)
    if not path:
        return None
    if root is None:
        return PolicySummary(path, _ON_NODE)
    try:
        loaded = policy_of(pod, root)
    except DecklogError as error:
        return PolicySummary(path, str(error).splitlines()[0])
    if loaded is None:
        return None
    policy = loaded.policy
    stages = tuple(str(stage) for stage in Stage if stage not in policy.omit_stages)
    return PolicySummary(path, "", len(policy.rules), stages, topics(policy))


def _destinations(pod: StaticPod, root: Path | None) -> list[Destination]:
    found = []
    if path := pod.value(_LOG):
        mode = pod.value("--audit-log-mode") or "blocking"
        form = pod.value("--audit-log-format") or "json"
        place = on_host(pod, path, root) if root is not None else None
        where = "the container's output" if path == "-" else str(place or path)
        there = "" if path == "-" or root is None or place is not None else ", which is in the container only"
        found.append(Destination("log", where, mode, f"{where}{there}, as {form}, {_mode(mode)}"))
    if path := pod.value(_WEBHOOK):
        mode = pod.value("--audit-webhook-mode") or "batch"
        server = _server(pod, path, root)
        found.append(
            Destination("webhook", server or path, mode, f"{server or f'the receiver of {path}'}, {_mode(mode)}")
        )
    return found


def _mode(mode: str) -> str:
    return {
        "batch": "in batches: what overflows is dropped",
        "blocking": "before the answer goes out; failures are counted",
        "blocking-strict": "before the request is served; what cannot be recorded is refused",
    }.get(mode, f"in mode {mode}")


def _server(pod: StaticPod, path: str, root: Path | None) -> str:
    place = on_host(pod, path, root) if root is not None else None
    if place is None:
        return ""
    try:
        parts = urlsplit(kubeconfig.load(place).server)
    except DecklogError:
        return ""
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


def _keeps(pod: StaticPod, root: Path | None) -> Keeps | None:
    if pod.value(_LOG) in {"", "-"}:
        return None
    limits = kept(pod)
    files, rate = None, None
    if root is not None:
        try:
            files, rate = log_files(pod, root), bytes_a_day(pod, root)
        except OSError:
            files = None
    by_size = limits.max_bytes / rate if limits.max_bytes is not None and rate else None
    ends = [each for each in (by_size, limits.max_age_days) if each is not None]
    days = min(ends, default=None) if rate else None
    says = [_limits(limits.max_size_bytes, limits.max_backups, limits.max_age_days)]
    if files is not None:
        count = "there is 1 file" if files.count == 1 else f"there are {files.count} files"
        says.append(f"{count}, {binary_size(files.size_bytes)}" if files.count else "no file yet")
    if rate is not None:
        span = span_in_words(days) if days is not None else "all of it, until the disk is full"
        says.append(f"at the current rate, {binary_size(rate)} a day, that is {span}")
    return Keeps(
        limits.max_bytes,
        limits.max_age_days,
        files.count if files is not None else None,
        files.size_bytes if files is not None else None,
        rate,
        days,
        "; ".join(says),
    )


def _limits(size: int | None, backups: int | None, age: int | None) -> str:
    if size is None:
        return "one file without a limit"
    many = f"{backups + 1} files" if backups is not None else "any number of files"
    total = f" ({binary_size(size * (backups + 1))})" if backups is not None else ""
    return f"{many} of {binary_size(size)}{total}{f', for {age} days at most' if age is not None else ''}"
