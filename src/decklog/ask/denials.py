"""Denials: who was refused (403) what, how often, and whether that reads as a missing permission or as a probe.

The verdict is a reading of the pattern, not knowledge: it says which of a few plain rules it comes from. What admission
refused is told apart by the recorded decision of authorization: that was allowed, so no permission is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from decklog.ask.moments import seconds_between
from decklog.ask.rows import Row, row
from decklog.audit.query import CodePattern, Query

if TYPE_CHECKING:
    from collections.abc import Iterable

    from decklog.ask.requests import Request

DENIED: Final = Query(codes=(CodePattern(403, 403),))
"""What is asked of the log."""

ADMISSION: Final = "refused by admission"
IMPERSONATION: Final = "may not impersonate"
ANONYMOUS: Final = "nobody logged in"
PROBE: Final = "probe?"
MISSING: Final = "missing permission?"
ONCE: Final = "single"

PROBED_THINGS: Final = 5
"""So many different things within `PROBED_S` seconds read as a probe."""
PROBED_S: Final = 600
REPEATED: Final = 3
"""The same refusal so often reads as a missing permission."""
_KEPT: Final = 5
_GROUPS_KEPT: Final = 100_000
"""Past so many different refusals further kinds are counted under a last one."""

_MACHINES: Final = ("system:serviceaccount:", "system:node:", "system:kube-")


class Denial(Struct, frozen=True, omit_defaults=True, rename={"source_ips": "sourceIPs", "user_agent": "userAgent"}):
    """Refusals of one kind: the same user, verb, resource and namespace."""

    user: str
    impersonated: str
    verb: str
    what: str
    """The resource, as ``deployments.apps/scale``; else the path."""
    namespace: str
    decision: str
    count: int
    first: str
    last: str
    names: tuple[str, ...]
    """Of the objects; the first few."""
    source_ips: tuple[str, ...]
    """As the server saw them; the first few."""
    user_agent: str
    """Of the last."""
    message: str
    """Of the last."""
    verdict: str = ""
    why: str = ""
    """Which rule the verdict comes from."""

    @property
    def who(self) -> str:
        """The user, and as whom."""
        return f"{self.user or '-'}{f' as {self.impersonated}' if self.impersonated else ''}"


_Key = tuple[str, str, str, str, str, str]


def denials(requests: Iterable[Request]) -> list[Denial]:
    """Group refusals and judge each group; most frequent first."""
    groups: dict[_Key, Denial] = {}
    for request in requests:
        found = row(request)
        key = _key(found)
        if key not in groups and len(groups) >= _GROUPS_KEPT:
            key = ("", "", "", "(others)", "", "")
        groups[key] = _counted(groups.get(key), key, found)
    probers = _probers(groups.values())
    judged = [_judged(denial, probers) for denial in groups.values()]
    return sorted(judged, key=lambda denial: (-denial.count, denial.first, denial.who, denial.what))


def _key(found: Row) -> _Key:
    what = found.resource_path or found.request_uri.partition("?")[0]
    return (found.user, found.impersonated_user, found.verb, what, found.namespace, found.decision)


def _counted(known: Denial | None, key: _Key, found: Row) -> Denial:
    time = found.time or ""
    if known is None:
        known = Denial(*key, 0, time, time, (), (), "", "")
    return replace(
        known,
        count=known.count + 1,
        first=min(known.first, time),
        last=max(known.last, time),
        names=_with(known.names, found.name),
        source_ips=_with(known.source_ips, found.source_ip),
        user_agent=found.user_agent,
        message=found.message,
    )


def _with(kept: tuple[str, ...], value: str) -> tuple[str, ...]:
    return kept if not value or value in kept or len(kept) >= _KEPT else (*kept, value)


def _probers(groups: Iterable[Denial]) -> dict[str, int]:
    """Name those who were refused many different things within minutes, with the number of things."""
    times: dict[str, list[str]] = {}
    for denial in groups:
        if not _is_other_matter(denial):
            times.setdefault(denial.who, []).append(denial.first)
    most = {who: _within(sorted(firsts)) for who, firsts in times.items()}
    return {who: number for who, number in most.items() if number >= PROBED_THINGS}


def _within(times: list[str]) -> int:
    """Count the most of `times` that lie within `PROBED_S` seconds."""
    start = most = 0
    for end, time in enumerate(times):
        while (seconds_between(times[start], time) or 0) > PROBED_S:
            start += 1
        most = max(most, end - start + 1)
    return most


def _is_other_matter(denial: Denial) -> bool:
    return denial.decision == "allow" or _is_about_impersonation(denial)


def _is_about_impersonation(denial: Denial) -> bool:
    return "impersonate" in denial.message and not denial.decision


def _judged(denial: Denial, probers: dict[str, int]) -> Denial:
    verdict, why = _verdict(denial, probers)
    return replace(denial, verdict=verdict, why=why)


def _verdict(denial: Denial, probers: dict[str, int]) -> tuple[str, str]:
    if denial.decision == "allow":
        return ADMISSION, "authorization allowed it: a quota, a policy or a webhook refused"
    if _is_about_impersonation(denial):
        return IMPERSONATION, "the user asked to act as another"
    if denial.user == "system:anonymous":
        return ANONYMOUS, "the client showed no credentials: a health check, a misconfigured client, or a scan"
    if denial.who in probers:
        return PROBE, f"{probers[denial.who]} different things within {PROBED_S // 60} minutes"
    if denial.user.startswith(_MACHINES) or denial.count >= REPEATED:
        machine = "a program asks for it" if denial.user.startswith(_MACHINES) else "the same again and again"
        return MISSING, machine
    return ONCE, "too little to tell"
