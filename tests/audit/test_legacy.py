from __future__ import annotations

from datetime import UTC, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from decklog.audit.event import Event, ObjectReference, Status, User
from decklog.audit.jsontext import text
from decklog.audit.legacy import NoGroups, legacy_line
from decklog.testing import event

if TYPE_CHECKING:
    from datetime import tzinfo

_BARE = Event(
    level="",
    audit_id="",
    stage="",
    request_uri="",
    verb="",
    user=User(),
    request_received_timestamp=None,
    stage_timestamp=None,
)


def test_an_empty_event_shows_its_placeholders() -> None:
    """What is not known has its word; only id, stage, method, user agent and URI are shown empty."""
    assert legacy_line(_BARE, UTC) == (
        b'0001-01-01T00:00:00Z AUDIT: id="" stage="" ip="<unknown>" method="" user="<none>" groups="<none>" '
        b'as="<self>" asgroups="<lookup>" user-agent="" namespace="<none>" uri="" response="<deferred>"\n'
    )


def test_a_full_event_is_one_line() -> None:
    """Fields stand in the server's order; of the addresses the first is shown."""
    full = event(
        source_ips=("192.0.2.7", "10.0.0.1"),
        impersonated_user=User("bob", groups=("ops",)),
        response_status=Status(code=403),
    )
    assert legacy_line(full, UTC) == (
        b'2026-01-02T03:04:05Z AUDIT: id="00000000-0000-4000-8000-000000000001" stage="ResponseComplete" '
        b'ip="192.0.2.7" method="get" user="alice" groups="\\"dev\\",\\"system:authenticated\\"" as="bob" '
        b'asgroups="\\"ops\\"" user-agent="kubectl/v1.36.2" namespace="shop" '
        b'uri="/api/v1/namespaces/shop/pods/web-0" response="403"\n'
    )


_CASES: dict[str, tuple[dict[str, Any], bytes]] = {
    "groups without a user are hidden": ({"user": User(groups=("g",))}, b'user="<none>" groups="<none>"'),
    "groups are quoted twice": ({"user": User("u", groups=('a"b', "c"))}, rb'groups="\"a\\\"b\",\"c\""'),
    "a user without groups": ({"user": User("u")}, b'user="u" groups="<none>"'),
    "impersonated, no groups known": ({"impersonated_user": User("v")}, b'as="v" asgroups="<lookup>"'),
    "impersonated, groups given as empty": (
        {"impersonated_user": User("v", groups=NoGroups())},
        b'as="v" asgroups=""',
    ),
    "a status without code": ({"response_status": Status()}, b'response="0"'),
    "no namespace": ({"object_ref": ObjectReference("nodes")}, b'namespace="<none>"'),
    "control and format characters": ({"user_agent": "a\n\x7f\u200b\u2028é"}, rb'"a\n\x7f\u200b\u2028' + "é".encode()),
    "bytes that are no UTF-8": ({"user_agent": text(b"bad \xff\xfe")}, rb'user-agent="bad \xff\xfe"'),
    "markup stays": ({"request_uri": "/a?<b>&c"}, b'uri="/a?<b>&c"'),
}


@pytest.mark.parametrize(("fields", "part"), _CASES.values(), ids=_CASES)
def test_values_are_shown_as_the_server_shows_them(fields: dict[str, Any], part: bytes) -> None:
    """Placeholders, quoting and escapes are those of kube-apiserver."""
    line = legacy_line(event(**fields), UTC)
    assert part in line
    assert line.count(b"\n") == 1


@pytest.mark.parametrize(
    ("zone", "received", "shown"),
    [
        (UTC, "2026-01-02T03:04:05.123456Z", b"2026-01-02T03:04:05.123456Z "),
        (UTC, "2026-01-02T03:04:05.120000Z", b"2026-01-02T03:04:05.12Z "),
        (timezone(timedelta(hours=5, minutes=45)), "2026-01-02T20:04:05.000001Z", b"2026-01-03T01:49:05.000001+05:45 "),
        (timezone(-timedelta(hours=3, minutes=30)), "2026-01-02T03:04:05.000000Z", b"2026-01-01T23:34:05-03:30 "),
    ],
)
def test_the_time_is_local(zone: tzinfo, received: str, shown: bytes) -> None:
    """The time stands in the zone of the server, its fraction without trailing zeros."""
    assert legacy_line(event(request_received_timestamp=received), zone).startswith(shown)


def test_the_systems_zone_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a zone the line is written in local time."""
    import time  # noqa: PLC0415  # because: only here, beside its tzset

    monkeypatch.setenv("TZ", "XYZ-02:00")
    time.tzset()
    try:
        assert legacy_line(event()).startswith(b"2026-01-02T05:04:05+02:00 ")
    finally:
        monkeypatch.undo()
        time.tzset()


def test_no_groups_is_an_empty_tuple() -> None:
    """Given-but-empty groups equal no groups everywhere else."""
    assert NoGroups() == ()
    assert User("v", groups=NoGroups()) == User("v")
