from __future__ import annotations

import pytest

from decklog.audit.event import Stage, Status, User
from decklog.policy.traffic import ANONYMOUS, NODES, PEOPLE, Traffic
from policy.recorded_logs import component, line


def counted(*lines: bytes) -> Traffic:
    traffic = Traffic()
    traffic.extend(lines)
    return traffic


@pytest.mark.parametrize(
    ("user", "who"),
    [
        (User("alice"), PEOPLE),
        (User("alice", groups=("system:nodes",)), PEOPLE),
        (User("system:admin", groups=("system:masters",)), PEOPLE),
        (User(), PEOPLE),
        (User("system:anonymous"), ANONYMOUS),
        (component("node:n1", "system:nodes"), NODES),
        (component("serviceaccount:a:b"), "system:serviceaccount:a:b"),
    ],
)
def test_who_is_who(user: User, who: str) -> None:
    """People are one, nodes are one, components have names."""
    assert [kind.who for kind in counted(line(user=user)).kinds] == [who]


def test_what_is_counted() -> None:
    """Events, bytes, refusals, arrivals, bodies, and the time that the log spans."""
    refused = line(response_status=Status(code=403), stage_timestamp="2026-01-01T00:00:00.000000Z")
    traffic = counted(line(), refused, line(stage=Stage.REQUEST_RECEIVED), b"torn")
    assert (traffic.total.events, traffic.total.refused, traffic.received.events) == (3, 1, 1)
    assert (traffic.with_bodies, traffic.unreadable) == (3, 1)
    assert (traffic.first, traffic.last) == ("2026-01-01T00:00:00.000000Z", "2026-01-02T03:04:05.004000Z")
    assert sum(count.bytes for count in traffic.kinds.values()) == traffic.total.bytes


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kinds past a number are in the totals only, and it is known how many events that are."""
    monkeypatch.setattr("decklog.policy.traffic.KEPT_KINDS", 2)
    traffic = counted(*(line(verb=f"v{number}") for number in range(5)))
    assert (len(traffic.kinds), traffic.uncounted, traffic.total.events) == (2, 3, 5)
