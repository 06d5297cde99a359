from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from ask.logs import event, ref
from decklog.ask.requests import Request, Seen
from decklog.ask.rows import Row, event_row, in_time_order, is_dry_run, row
from decklog.audit.event import Stage, Status, User


def row_of(**changes: Any) -> Row:
    return row(Request((Seen(event(**changes), "audit.log", 7),)))


def test_a_row_is_flat_and_says_where_it_stands() -> None:
    """A row has the event's own names, leaves out what is empty, and names file and line."""
    assert msgspec.to_builtins(row_of()) == {
        "time": "2026-03-01T10:00:00.000000Z",
        "user": "alice",
        "groups": ("dev", "system:authenticated"),
        "verb": "delete",
        "apiGroup": "apps",
        "resource": "deployments",
        "namespace": "shop",
        "name": "web",
        "code": 200,
        "decision": "allow",
        "durationSeconds": 0.25,
        "sourceIPs": ("203.0.113.9", "10.0.0.7"),
        "userAgent": "kubectl/v1.36.2",
        "requestURI": "/apis/apps/v1/namespaces/shop/deployments/web",
        "level": "Metadata",
        "stage": "ResponseComplete",
        "stages": ("ResponseComplete",),
        "auditID": "11111111-aaaa-4bbb-8ccc-000000000001",
        "file": "audit.log",
        "line": 7,
    }


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({}, "deployments/web"),
        ({"object_ref": ref("pods", name="web-0", subresource="exec")}, "pods/web-0/exec"),
        ({"object_ref": ref("secrets"), "verb": "list"}, "secrets/*"),
        ({"object_ref": ref("pods"), "verb": "create"}, "pods/?"),
        (
            {"object_ref": ref("pods"), "verb": "create", "response_object": Raw(b'{"metadata":{"name":"x-1"}}')},
            "pods/x-1",
        ),
        ({"object_ref": None, "request_uri": "/healthz?verbose"}, "/healthz"),
    ],
)
def test_the_object_as_people_write_it(changes: dict[str, Any], what: str) -> None:
    """TYPE/NAME, a star where many are meant, a question mark where the name is not recorded, else the path."""
    assert row_of(**changes).what == what


@pytest.mark.parametrize(
    ("changes", "result"),
    [
        ({}, "200"),
        ({"request_uri": "/x?dryRun=All"}, "200 dry run"),
        ({"stage": Stage.PANIC, "response_status": Status(code=500)}, "500 panic"),
        ({"stage": Stage.PANIC, "response_status": None}, "panic"),
        ({"stage": Stage.REQUEST_RECEIVED, "response_status": None}, "open"),
        ({"response_status": None}, "-"),
    ],
)
def test_the_result_in_a_word(changes: dict[str, Any], result: str) -> None:
    """The code, marked where it is not the whole story."""
    assert row_of(**changes).result == result


def test_who_shows_both_users() -> None:
    """An impersonation shows who it was and as whom; an unauthenticated request shows nobody."""
    assert row_of(impersonated_user=User(username="bob")).who == "alice as bob"
    assert row_of(user=User()).who == "-"


@pytest.mark.parametrize(
    ("changes", "dry"),
    [
        ({"request_uri": "/x?dryRun=All"}, True),
        ({"request_uri": "/x?fieldManager=a&dryRun=All"}, True),
        ({"request_uri": "/x?dryRun="}, False),
        ({"request_uri": "/x?note=dryRun"}, False),
        ({"request_uri": "/x?" + "a&" * 2000 + "dryRun=All"}, True),
        ({"request_object": Raw(b'{"kind":"DeleteOptions","dryRun":["All"]}')}, True),
        ({"request_object": Raw(b'{"kind":"DeleteOptions","dryRun":[]}')}, False),
        ({"request_object": Raw(b'{"dryRun":{"a":1}}')}, False),
        ({"verb": "create", "request_object": Raw(b'{"dryRun":["All"]}')}, False),
    ],
)
def test_a_dry_run_changes_nothing_and_says_so(changes: dict[str, Any], dry: bool) -> None:
    """A dry run is asked for in the URI, for deletions also in the body; other objects may have such a field."""
    assert is_dry_run(event(**changes)) is dry


def test_an_early_stage_has_no_duration() -> None:
    """At receipt nothing has taken time yet."""
    assert event_row(Seen(event(stage=Stage.REQUEST_RECEIVED), "a", 1)).duration_seconds is None


def test_short_answers_are_sorted_and_long_ones_streamed() -> None:
    """Up to the limit rows come by time of receipt; past it as they come, without being held."""
    times = ["2026-03-01T10:00:03.000000Z", "2026-03-01T10:00:01.000000Z", "2026-03-01T10:00:02.000000Z"]
    rows = [row_of(request_received_timestamp=time) for time in times]
    assert [one.time for one in in_time_order(rows, limit=3)] == sorted(times)
    assert [one.time for one in in_time_order(rows, limit=2)] == times
    endless = in_time_order((rows[index % 3] for index in range(10**9)), limit=2)
    assert next(endless).time == times[0]
