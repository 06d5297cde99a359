"""CIS: the benchmark's checks on auditing, as a report: passed or not, and why.

Numbers and limits are those of the CIS Kubernetes Benchmark 1.7 to 1.10 (1.2.16 to 1.2.19, 3.2.1, 3.2.2). A scanner
looks whether a flag or a file is there; here it is also asked what comes of it: a policy that records nothing fails.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from decklog.audit.event import Level
from decklog.enable.policy_of import bytes_of, on_host
from decklog.enable.preflight import NOTHING_RECORDED, check_policy
from decklog.enable.sizes import kept, minor_of
from decklog.enable.wanted import Takes, meaning
from decklog.errors import DecklogError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from decklog.enable.manifest import StaticPod
    from decklog.policy.lint import Report

_POLICY: Final = "--audit-policy-file"
_LIMITS: Final = (
    ("1.2.17", "--audit-log-maxage", 30, "days"),
    ("1.2.18", "--audit-log-maxbackup", 10, "files"),
    ("1.2.19", "--audit-log-maxsize", 100, "MiB"),
)


class Check(Struct, frozen=True, rename="camel"):
    """One check of the benchmark."""

    id: str
    title: str
    passed: bool
    reason: str


def checks(pod: StaticPod, root: Path, policy: bytes | None = None) -> tuple[Check, ...]:
    """Go through the benchmark's checks on auditing; `policy` as for `preflight.findings`."""
    path = pod.value("--audit-log-path")
    where = "the container's output" if path == "-" else path
    first = Check("1.2.16", "--audit-log-path is set", bool(path), f"it is {where}" if path else "it is not set")
    return (first, *(_limit(pod, *limit) for limit in _LIMITS), *_policies(pod, root, policy))


def _limit(pod: StaticPod, number: str, flag: str, least: int, unit: str) -> Check:
    title = f"{flag} is {least} or as appropriate"
    text = pod.value(flag)
    value = meaning(Takes.NUMBER, text) if text else None
    if not text:
        limits = kept(pod)
        default = {"1.2.17": limits.max_age_days, "1.2.18": limits.max_backups}.get(number, 100)
        shown = f"{default} {unit}" if default is not None else "no limit"
        return Check(number, title, passed=False, reason=f"it is not set (Kubernetes 1.{minor_of(pod)}: {shown})")
    if not isinstance(value, int) or value < 0:
        return Check(number, title, passed=False, reason=f"{text[:40]!r} is no number that kube-apiserver takes")
    if value == 0:
        return Check(number, title, passed=False, reason="0 is no limit: a full disk ends the API server's log")
    reason = f"{value} {unit}" if value >= least else f"{value} {unit} are fewer than {least}"
    return Check(number, title, passed=value >= least, reason=reason)


def _policies(pod: StaticPod, root: Path, given: bytes | None) -> Iterator[Check]:
    created, covers = "a minimal audit policy is created", "the audit policy covers key security concerns"
    path = pod.value(_POLICY)
    if not path:
        for number, title in (("3.2.1", created), ("3.2.2", covers)):
            yield Check(number, title, passed=False, reason=f"{_POLICY} is not set")
        return
    place = on_host(pod, path, root)
    try:
        data = given if given is not None else bytes_of(place) if place is not None else None
    except DecklogError as error:
        data, why = None, str(error)
    else:
        why = f"no hostPath volume leads to {path}"
    if data is None:
        for number, title in (("3.2.1", created), ("3.2.2", covers)):
            yield Check(number, title, passed=False, reason=why)
        return
    yield from _judged(check_policy(pod, data, path), created, covers)


def _judged(report: Report, created: str, covers: str) -> Iterator[Check]:
    if any(not verdict.starts for verdict in report.verdicts) or not report.topics:
        first = next((remark.text for remark in report.remarks), "it cannot be read")
        for number, title in (("3.2.1", created), ("3.2.2", covers)):
            yield Check(number, title, passed=False, reason=f"the policy does not load: {first}")
        return
    if any(remark.code == NOTHING_RECORDED for remark in report.remarks):
        reason = "there is one, and every rule of it is at None: a scanner is content, and nothing is recorded"
        yield Check("3.2.1", created, passed=False, reason=reason)
    else:
        yield Check("3.2.1", created, passed=True, reason="there is one, and it records something")
    missing = [topic.request for topic in report.topics if topic.level is Level.NONE]
    more = f" and {len(missing) - 6} more" if len(missing) > 6 else ""
    reason = f"not recorded: {', '.join(missing[:6])}{more}" if missing else f"all {len(report.topics)} are recorded"
    yield Check("3.2.2", covers, passed=not missing, reason=reason)
