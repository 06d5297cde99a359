from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from ask.logs import ref
from ask.workloads import asking, at
from decklog.ask.denials import DENIED, Denial, denials
from decklog.audit.event import Event, Status

FORBID = {"authorization.k8s.io/decision": "forbid"}


def refused(minute: int, user: str, verb: str = "list", resource: str = "secrets", **changes: Any) -> Event:
    found = at(minute, user, verb, ref(resource), response_status=Status(code=403, message="no"))
    return replace(found, **{"annotations": FORBID, **changes})


def found(*events: Event) -> list[Denial]:
    return denials(asking(events)((DENIED,)))


@pytest.mark.parametrize(
    ("events", "verdict"),
    [
        ([refused(0, "alice")], "single"),
        ([refused(n, "alice") for n in range(3)], "missing permission?"),
        ([refused(0, "system:serviceaccount:shop:robot")], "missing permission?"),
        ([refused(n, "mallory", resource=f"r{n}") for n in range(5)], "probe?"),
        ([refused(n, "system:serviceaccount:shop:web", resource=f"r{n}") for n in range(5)], "probe?"),
        ([refused(n * 11, "slow", resource=f"r{n}") for n in range(5)], "single"),
        ([refused(0, "system:anonymous")], "nobody logged in"),
        ([refused(0, "bob", annotations={"authorization.k8s.io/decision": "allow"})], "refused by admission"),
        (
            [
                refused(
                    0, "ci", annotations={}, response_status=Status(code=403, message='cannot impersonate resource "u"')
                )
            ],
            "may not impersonate",
        ),
    ],
)
def test_the_pattern_of_refusals_has_a_verdict(events: list[Event], verdict: str) -> None:
    """Programs and repetitions read as missing permissions, many different things within minutes as a probe."""
    judged = found(*events)
    assert {denial.verdict for denial in judged} == {verdict}
    assert all(denial.why for denial in judged)


def test_refusals_of_one_kind_are_one_row() -> None:
    """Counted, with first and last, names and addresses; the most frequent first; other answers are none."""
    other = replace(refused(3, "zoe"), response_status=Status(code=404))
    named = [refused(n, "bob", "get", "pods", object_ref=ref("pods", name=f"p{n}")) for n in (5, 4, 6)]
    first, second = found(refused(1, "alice"), *named, other)
    assert (first.user, first.count, first.names, first.source_ips) == ("bob", 3, ("p5", "p4", "p6"), ("10.0.0.7",))
    assert (first.first, first.last) == ("2026-03-01T10:04:00.000000Z", "2026-03-01T10:06:00.000000Z")
    assert (second.user, second.what, second.namespace, second.message) == ("alice", "secrets", "shop", "no")


def test_paths_are_things_too() -> None:
    """A request that is not about a resource is told by its path."""
    (denial,) = found(refused(1, "alice", "get", object_ref=None, request_uri="/metrics?x=1"))
    assert (denial.what, denial.who) == ("/metrics", "alice")
