from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from decklog.audit.event import NO_OBJECT, Stage
from decklog.policy.apply import Applied, apply
from decklog.policy.deciding import decide_by
from decklog.policy.replay import Report, Volume, rate, replay, resource_name
from policy.recorded_logs import SECRETS_FIRST, at, component, line, ref

if TYPE_CHECKING:
    from decklog.policy.rules import Policy

LOG = [
    line(),
    line(stage=Stage.REQUEST_RECEIVED, response_object=NO_OBJECT, response_status=None),
    line(object_ref=ref("secrets", "db"), request_uri="/api/v1/namespaces/shop/secrets/db", verb="get"),
    line(user=component("node:n1", "system:nodes"), stage_timestamp="2026-01-03T03:04:05.000000Z"),
    line(object_ref=None, request_uri="/apis?x", verb="get"),
    line(object_ref=ref("deployments", "web", "apps", "scale", "shop"), verb="patch", request_uri="/x/web"),
    b"torn",
]
"""A day of one cluster."""


def report(policy: Policy, lines: list[bytes] = LOG) -> Report:
    return replay(lines, decide_by(policy), [rule.level for rule in policy.rules])


def test_events_and_bytes_are_counted_before_and_after() -> None:
    """What would be kept is what apply keeps, without its annotation."""
    found, applied = report(SECRETS_FIRST), Applied()
    list(apply(LOG, decide_by(SECRETS_FIRST), applied, mark=False))
    assert found.before == Volume(applied.events, applied.bytes) == Volume(6, sum(map(len, LOG[:6])) + 6)
    assert found.after == Volume(applied.kept_events, applied.kept_bytes)
    assert found.lowered == applied.lowered == 3
    assert found.unreadable == 1


def test_each_rule_has_its_share() -> None:
    """Every rule is there in order, also one that matched nothing, and what no rule matched comes last."""
    rules = report(SECRETS_FIRST).rules
    assert [(share.rule, share.before.events, share.after.events) for share in rules] == [
        (0, 1, 1),
        (1, 1, 0),
        (2, 2, 1),
        (3, 1, 1),
        (None, 1, 0),
    ]
    unmatched = report(at("Metadata", users=("nobody",)))
    assert unmatched.rules[0].before == Volume()


@pytest.mark.parametrize("kind", ["users", "resources", "stages", "rules"])
def test_shares_add_up(kind: str) -> None:
    """Whatever it is dealt out by, nothing is lost or counted twice."""
    found = report(SECRETS_FIRST)
    shares = getattr(found, kind)
    assert sum((share.before for share in shares), Volume()) == found.before
    assert sum((share.after for share in shares), Volume()) == found.after


def test_users_and_resources_are_named_as_people_do() -> None:
    """The largest first; a path comes without its query."""
    found = report(at("Metadata"))
    assert [share.name for share in found.users] == ["alice", "system:node:n1"]
    assert {share.name for share in found.resources} == {"pods", "secrets", "/apis", "deployments.apps/scale"}
    assert resource_name("", "pods", "exec") == "pods/exec"


def test_figures_a_day() -> None:
    """Volumes are spread over the time between the first and the last event."""
    found = report(at("Metadata"))
    assert found.span_seconds == pytest.approx(86_400, abs=1)
    assert found.rate_before is not None
    assert found.rate_before.events_a_day == pytest.approx(6, rel=1e-3)
    half_a_day = rate(Volume(100, 2_000_000_000), 43_200)
    assert half_a_day is not None
    assert (half_a_day.events_a_day, half_a_day.gb_a_day, half_a_day.gb_a_month) == (200, 4, 120)
    assert rate(Volume(1, 1), 0) is None


@pytest.mark.parametrize(
    ("policy", "lines", "says"),
    [
        (at("Metadata"), LOG, "the recording policy left out"),
        (
            at("RequestResponse"),
            [line(level="Metadata", request_object=NO_OBJECT, response_object=NO_OBJECT)],
            "1 of the kept events stand in the log at a lower level",
        ),
        (at("Metadata"), [line(), line()], "up to 2 more events are to be expected"),
        (at("Metadata"), LOG, "could not be read and are counted nowhere: 1 of the lines"),
        (at("Metadata"), [line()], "the log spans no time"),
        (at("Metadata"), [line(), line(stage_timestamp="2026-01-02T03:04:10.004000Z")], "spans only 5 seconds"),
    ],
)
def test_what_cannot_be_known_is_said(policy: Policy, lines: list[bytes], says: str) -> None:
    """Each figure that a log cannot give is named, so that nobody trusts it."""
    assert any(says in sentence for sentence in report(policy, lines).unknown), report(policy, lines).unknown


def test_nothing_more_is_expected_where_arrivals_are_omitted() -> None:
    """A candidate without RequestReceived asks for no more events than the log has."""
    assert not any("RequestReceived" in sentence for sentence in report(SECRETS_FIRST).unknown)


def test_an_empty_log_has_a_report() -> None:
    """Nothing in, zeros out."""
    found = report(SECRETS_FIRST, [])
    assert (found.before, found.after, found.first, found.rate_before) == (Volume(), Volume(), None, None)


def test_memory_is_bounded_by_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Users and resources past a number are counted together, and the sums stay right."""
    monkeypatch.setattr("decklog.policy.replay.KEPT_NAMES", 3)
    monkeypatch.setattr("decklog.policy.replay.KEPT_GROUPS", 2)
    lines = [line(user=component(f"u{number}")) for number in range(9)]
    found = report(at("Metadata"), lines)
    assert {share.name: share.before.events for share in found.users}["(others)"] == 6
    assert found.before.events == 9
