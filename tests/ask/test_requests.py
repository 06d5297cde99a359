from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ask.logs import event, life, ref
from decklog.ask import requests
from decklog.ask.requests import Request, merge
from decklog.audit.event import Event, Stage, Status, User
from decklog.audit.query import CodePattern, Pattern, Query, ResourcePattern
from decklog.audit.wire import encode_event
from decklog.sources.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterable

RECEIVED, STARTED, COMPLETE, PANIC = Stage
ALL = Query()


def records(events: Iterable[Event]) -> list[Record]:
    return [Record(encode_event(seen), "audit.log", number, seen) for number, seen in enumerate(events, start=1)]


def stages(request: Request) -> list[str]:
    return [seen.event.stage for seen in request.stages]


def merged(events: Iterable[Event], *queries: Query) -> list[list[str]]:
    return [stages(request) for request in merge(records(events), *(queries or (ALL,)))]


def test_a_request_is_one_row_with_all_its_stages() -> None:
    """Stages of one audit ID and one receipt become one request, whose latest stage tells."""
    assert merged(life(RECEIVED, STARTED, COMPLETE, verb="watch")) == [
        ["RequestReceived", "ResponseStarted", "ResponseComplete"]
    ]


def test_interleaved_requests_are_told_in_the_order_of_their_ends() -> None:
    """Who ends first is told first; who has not ended comes last."""
    first, second, third = (life(RECEIVED, COMPLETE, audit_id=name) for name in "abc")
    told = merge(records([first[0], third[0], second[0], second[1], first[1]]), ALL)
    assert [request.latest.event.audit_id for request in told] == ["b", "a", "c"]


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("received later", {"request_received_timestamp": "2026-03-01T10:00:00.000001Z"}),
        ("another verb", {"verb": "get"}),
        ("another URI", {"request_uri": "/apis/apps/v1/namespaces/shop/deployments/api"}),
    ],
)
def test_a_reused_audit_id_makes_no_mixture(name: str, changes: dict[str, str]) -> None:
    """Two requests under one ID are two, even with their stages interleaved."""
    one = life(RECEIVED, COMPLETE)
    other = life(RECEIVED, COMPLETE, **changes, user=User(username="mallory"))
    told = list(merge(records([one[0], other[0], one[1], other[1]]), ALL))
    assert [[seen.event.user.username for seen in request.stages] for request in told] == [
        ["alice", "alice"],
        ["mallory", "mallory"],
    ], name


def test_two_ends_that_differ_are_two_requests() -> None:
    """Even if ID, receipt, verb and URI agree: an end is never swallowed by another."""
    refused = event(response_status=Status(code=403))
    assert merged([*life(RECEIVED, COMPLETE), refused]) == [
        ["RequestReceived", "ResponseComplete"],
        ["ResponseComplete"],
    ]


def test_a_line_that_stands_twice_counts_once() -> None:
    """A second copy of a log adds nothing."""
    whole = life(RECEIVED, COMPLETE)
    assert merged([*whole, *whole]) == [["RequestReceived", "ResponseComplete"]]
    assert merged([whole[0], whole[0]]) == [["RequestReceived"]]


def test_an_early_stage_after_the_end_is_no_new_request() -> None:
    """A log read in the wrong order does not show a request twice."""
    assert merged(reversed(life(RECEIVED, COMPLETE))) == [["ResponseComplete"]]


@pytest.mark.parametrize(
    ("name", "events", "ended"),
    [
        ("an open watch", life(RECEIVED, STARTED, verb="watch"), False),
        ("a panic", life(RECEIVED, PANIC), True),
        ("a failed login", [event(stage=STARTED, user=User(), response_status=Status(code=401))], True),
        ("received only", life(RECEIVED), False),
        ("a stage of the future", [event(stage="Postponed")], False),
    ],
)
def test_the_latest_stage_seen_tells_whether_it_ended(name: str, events: list[Event], ended: bool) -> None:
    """Open requests are told as well, and told as open."""
    (request,) = merge(records(events), ALL)
    assert request.ended is ended, name
    assert request.latest.event == events[-1]


def test_the_filter_is_asked_of_the_latest_stage() -> None:
    """What only the end knows (the code, whom one acts as) neither lets in nor keeps out by the stages before it."""
    swapped = life(RECEIVED, COMPLETE, impersonated_user=User(username="bob"), response_status=Status(code=409))
    assert len(merged(swapped, Query(impersonated=(Pattern("bob"),)))) == 1
    assert len(merged(swapped, Query(impersonated=(Pattern.parse("-*"),)))) == 0
    assert len(merged(swapped, Query(codes=(CodePattern.parse("-409"),)))) == 0
    assert merged(swapped, Query(codes=(CodePattern.parse("4xx"),))) == [["RequestReceived", "ResponseComplete"]]


def test_one_of_several_queries_is_enough() -> None:
    """Queries are alternatives; a request that matches two is told once."""
    queries = Query(verbs=(Pattern("delete"),)), Query(users=(Pattern("alice"),)), Query(users=(Pattern("bob"),))
    assert len(merged(life(RECEIVED, COMPLETE), *queries)) == 1


def test_records_without_an_event_are_passed_over() -> None:
    """A bad line between two stages parts nothing."""
    whole = records(life(RECEIVED, COMPLETE))
    bad = Record(b"{", "audit.log", 9, None, "no JSON")
    assert len(list(merge([whole[0], bad, whole[1]], ALL))) == 1


def test_what_is_held_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the bound the oldest open request is told as it stands, and old ends are forgotten."""
    monkeypatch.setattr(requests, "OPEN_REQUESTS", 2)
    monkeypatch.setattr(requests, "ENDED_REQUESTS", 1)
    opened = [life(RECEIVED, audit_id=name)[0] for name in "abcd"]
    told = [request.latest.event.audit_id for request in merge(records(opened), ALL)]
    assert told == ["a", "b", "c", "d"]
    done = [life(RECEIVED, COMPLETE, audit_id=name) for name in "ab"]
    assert len(merged([done[0][1], done[1][1], done[1][0], done[0][0]])) == 3


ids = st.sampled_from(["a", "b"])
uris = st.sampled_from(["/api/v1/pods", "/api/v1/nodes"])
seen_events = st.builds(
    lambda audit_id, uri, stage, code: event(
        audit_id=audit_id, request_uri=uri, stage=stage, response_status=Status(code=code), object_ref=ref("pods")
    ),
    ids,
    uris,
    st.sampled_from(list(Stage)),
    st.sampled_from([200, 403]),
)


@given(st.lists(seen_events, max_size=12))
def test_no_end_is_lost_and_no_request_mixed(events: list[Event]) -> None:
    """In any order of lines: every distinct end is some row's latest stage, and a row's stages agree in their key."""
    told = list(merge(records(events), ALL))
    ends = {encode_event(seen) for seen in events if seen.stage in {COMPLETE, PANIC}}
    assert ends <= {encode_event(request.latest.event) for request in told}
    for request in told:
        assert len({(seen.event.audit_id, seen.event.request_uri) for seen in request.stages}) == 1


@given(st.lists(seen_events, max_size=12), ids)
def test_filtering_equals_filtering_afterwards(events: list[Event], wanted: str) -> None:
    """Asking for less while merging gives what asking for all and choosing gives."""
    query = Query(
        audit_ids=(Pattern(wanted),), codes=(CodePattern.parse("2xx"),), resources=(ResourcePattern.parse("pods"),)
    )
    chosen = [request for request in merge(records(events), ALL) if query.matches(request.latest.event)]
    assert list(merge(records(events), query)) == chosen
