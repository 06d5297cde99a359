"""Suggest: from recorded traffic, a policy that keeps what matters and drops the noise that this log really shows.

It keeps: every change with its body, ways into containers and nodes, secrets and tokens without their bodies, and at
Metadata everything that it does not know as noise. It drops: the stage RequestReceived, and what `noise` finds, each
with its share of the log in a comment. What no policy can do is said in the file: it decides before there is an answer,
so it cannot keep the denials of what it drops; kinds of requests that were refused in this log are never dropped.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from decklog.policy.noise import Noise, noise
from decklog.policy.rules import GroupResources, Policy, Rule
from decklog.policy.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LEAST_SHARE: Final = 0.01
"""Noise of a smaller share is not worth a rule."""
CHANGES: Final = ("create", "update", "patch", "delete", "deletecollection")

_WAYS_IN: Final = Rule(
    "Metadata",
    resources=(
        GroupResources(
            "",
            (
                *("pods/exec", "pods/attach", "pods/portforward", "pods/proxy", "pods/ephemeralcontainers"),
                *("services/proxy", "nodes/proxy"),
            ),
        ),
    ),
)
_SECRET: Final = Rule(
    "Metadata",
    resources=(
        GroupResources("", ("secrets", "serviceaccounts/token")),
        GroupResources("authentication.k8s.io", ("tokenreviews",)),
    ),
)
_LARGE: Final = Rule("Metadata", resources=(GroupResources("", ("configmaps", "nodes/status", "pods/status")),))
_CHANGES: Final = Rule("Request", verbs=CHANGES)
_REST: Final = Rule("Metadata")
_CANNOT: Final = (
    "# A policy decides before there is an answer: it cannot keep the denials among what it drops. No kind of",
    "# request that was refused in this log is dropped here; to drop by response code, see docs/policy/apply.md.",
    "# A rule that drops also hides a component's stolen credentials, as far as they are used for the same.",
)


class Suggestion(Struct, frozen=True):
    """A policy, why each rule is there, and the file that says both."""

    policy: Policy
    comments: tuple[str, ...]
    """One for each rule."""
    dropped: tuple[Noise, ...]
    text: str
    """YAML, with the comments."""


def suggest(lines: Iterable[bytes], *, least_share: float = LEAST_SHARE) -> Suggestion:
    """Suggest a policy for the log whose `lines` these are (each an event, without its line feed).

    `least_share`: of the log's events or bytes, 0 to 1, below which noise gets no rule.
    """
    traffic = Traffic()
    traffic.extend(lines)
    return suggestion(traffic, least_share=least_share)


def suggestion(traffic: Traffic, *, least_share: float = LEAST_SHARE) -> Suggestion:
    """Suggest a policy for counted traffic."""
    dropped = noise(traffic, least_share)
    rules = (
        (_WAYS_IN, "ways into containers and nodes: who, where, and the command in the URI"),
        (_SECRET, "secrets and tokens: who touched them, never what is in them"),
        *((each.rule, f"{each.title}: {_share(each.events, each.bytes, traffic)}") for each in dropped),
        (_LARGE, "configuration that may hold credentials, and status that says little: without bodies"),
        (_CHANGES, f"every other change, with what was asked for{_bodies(traffic)}"),
        (_REST, "everything else: who did what to what"),
    )
    policy = Policy(tuple(rule for rule, _ in rules), omit_stages=("RequestReceived",))
    comments = tuple(comment for _, comment in rules)
    return Suggestion(policy, comments, dropped, "\n".join(_text(policy, comments, traffic)) + "\n")


def _share(events: int, size: int, traffic: Traffic) -> str:
    total = traffic.total
    return f"{_percent(events, total.events)} of this log's events, {_percent(size, total.bytes)} of its bytes"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole if whole else 0:.1f} %"


def _bodies(traffic: Traffic) -> str:
    return "" if traffic.with_bodies else " (this log holds no bodies: what they cost cannot be told from it)"


# The file


def _text(policy: Policy, comments: tuple[str, ...], traffic: Traffic) -> Iterator[str]:
    yield from _head(traffic)
    yield "apiVersion: audit.k8s.io/v1"
    yield "kind: Policy"
    received = _share(traffic.received.events, traffic.received.bytes, traffic)
    yield "# Each request has an event when it arrives; the one at its end says the same and more."
    yield f"# RequestReceived: {received}"
    yield f"omitStages: {_flow(policy.omit_stages)}"
    yield "rules:"
    for rule, comment in zip(policy.rules, comments, strict=True):
        yield f"# {comment}"
        yield from _rule(rule)


def _head(traffic: Traffic) -> Iterator[str]:
    yield "# An audit policy suggested by decklog from recorded traffic. Read it before you use it; then see"
    yield "#   decklog policy check FILE; decklog policy replay FILE LOG"
    span = f", from {_plain(traffic.first)} to {_plain(traffic.last)}" if traffic.first and traffic.last else ""
    yield f"# The log: {traffic.total.events:,} events, {traffic.total.bytes:,} bytes{span}"
    if traffic.unreadable:
        yield f"# {traffic.unreadable:,} lines could not be read and are counted nowhere."
    if traffic.uncounted:
        yield f"# {traffic.uncounted:,} events of rare kinds are in the totals only."
    yield from _CANNOT
    yield ""


def _plain(time: str) -> str:
    """Give a time only if it looks like one: a comment ends where foreign text has a line break."""
    return time if all(char in "0123456789-:.TZ+" for char in time) else "?"


def _rule(rule: Rule) -> Iterator[str]:
    yield f"- level: {rule.level}"
    lists = (
        ("users", rule.users),
        ("userGroups", rule.user_groups),
        ("verbs", rule.verbs),
        ("nonResourceURLs", rule.non_resource_urls),
    )
    for name, values in lists:
        if values:
            yield f"  {name}: {_flow(values)}"
    if rule.resources:
        yield "  resources:"
        for entry in rule.resources:
            yield f"  - group: {json.dumps(entry.group)}"
            yield f"    resources: {_flow(entry.resources)}"


def _flow(values: tuple[str, ...]) -> str:
    return f"[{', '.join(map(json.dumps, values))}]"
