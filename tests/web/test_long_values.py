"""Values that fill a request's line: what pages show of them, and where their links lead."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from ask.logs import event, log, ref
from decklog.audit.event import Event, Status, User
from decklog.web import links
from decklog.web.scanned import Files
from web.web_client import Door

if TYPE_CHECKING:
    from pathlib import Path

LONG = 200_000
"""Characters; kube-apiserver takes a request's line up to a megabyte, and records it."""


def _long(number: int, **changes: Any) -> Event:
    text = f"{number}{'x' * LONG}"
    time = f"2026-03-01T10:00:{number:02}.000000Z"
    return event(
        audit_id=f"long-{number}",
        verb=("create", text)[number % 2],
        request_uri=f"/api/v1/namespaces/{text}/pods/{text}",
        user=User(
            text, uid=text, groups=tuple(f"{number}-{text[:100]}" for number in range(500)), extra={text: (text,)}
        ),
        source_ips=(text,),
        user_agent=text,
        object_ref=ref("pods", namespace=text, name=text),
        response_status=Status(code=403, message=text, reason=text),
        annotations={f"{number}-{text[:100]}": text for number in range(100)},
        request_received_timestamp=time,
        stage_timestamp=time,
        **changes,
    )


def test_long_values_leave_pages_light(tmp_path: Path) -> None:
    """Whoever sends names of a megabyte makes no page that a browser hangs on: values are cut, links left out."""
    door = Door(Files([str(log(tmp_path / "audit.log", *map(_long, range(5))))]))
    for target in ("/log", "/who", "/request?uid=long-1"):
        answer = door.look(target)
        assert (answer.status, len(answer.body) < 150 * 1024) == (200, True), target
        assert max(map(len, re.findall(r'href="([^"]*)"', answer.text))) <= links.LONGEST
    assert len(door.look("/request.json?uid=long-1").json["requests"][0]["people"][0]["username"]) > LONG


def test_requests_of_one_audit_id_share_a_pages_room(tmp_path: Path) -> None:
    """An audit ID that a client has used ten times gives one page of the usual weight, with something of each."""
    body = msgspec.Raw(msgspec.json.encode({f"field-{number}": "value" for number in range(5000)}))
    same: dict[str, Any] = {"audit_id": "same", "level": "RequestResponse"}
    events = [
        event(
            **same,
            request_object=body,
            response_object=body,
            request_received_timestamp=f"2026-03-01T10:00:{one}.000000Z",
        )
        for one in range(10, 20)
    ]
    answer = Door(Files([str(log(tmp_path / "audit.log", *events))])).look("/request?uid=same")
    assert len(answer.body) < 150 * 1024
    assert answer.text.count("field-0") == 20


@pytest.mark.parametrize("name", ["alice*", "-alice"])
def test_who_cannot_be_named_by_a_filter_is_taken_for_nobody_else(tmp_path: Path, name: str) -> None:
    """Where a pattern would ask for others, too, a user's page and requests lead to no log that has them."""
    events = [event(audit_id=str(number), user=User(user)) for number, user in enumerate((name, "alice2", "bob"))]
    door = Door(Files([str(log(tmp_path / "audit.log", *events))]))
    page = door.look(f"{links.to_user(name)}").text
    logs = [href for href in re.findall(r'href="(/log[^"]*)"', page) if href != "/log"]
    assert logs == []
    assert page.count('href="/log"') == door.look("/who").text.count('href="/log"')
    near = door.look("/request.json?uid=0").json["requests"][0]["near"]
    assert [href for words, href in near if "user" in words] == [links.to_user(name)]
