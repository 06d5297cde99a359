from __future__ import annotations

from typing import Any

import pytest
from msgspec import Raw

from ask.logs import event, ref
from decklog.ask.ecs import ecs
from decklog.ask.ocsf import milliseconds, ocsf
from decklog.audit.event import NO_OBJECT, Status, User


@pytest.mark.parametrize(
    ("verb", "subresource", "activity", "name"),
    [
        ("create", "", 1, "Create"),
        ("post", "", 1, "Create"),
        ("list", "", 2, "Read"),
        ("watch", "", 2, "Read"),
        ("patch", "status", 3, "Update"),
        ("deletecollection", "", 4, "Delete"),
        ("get", "exec", 99, "exec"),
        ("create", "portforward", 99, "portforward"),
        ("approve", "", 99, "approve"),
    ],
)
def test_activities(verb: str, subresource: str, activity: int, name: str) -> None:
    """A verb is an activity of OCSF; opening a shell is none of reading, though the verb says get."""
    mapped = ocsf(event(verb=verb, object_ref=ref("pods", name="web", subresource=subresource)))
    assert (mapped["activity_id"], mapped["activity_name"]) == (activity, name)
    assert mapped["type_uid"] == 600300 + activity


def test_ocsf_of_an_event() -> None:
    """Every field of the table stands where the schema wants it; times are milliseconds; what is empty is left out."""
    mapped = ocsf(event(), cluster="prod")
    assert mapped["class_uid"] == 6003
    assert mapped["time"] == 1772359200250
    assert mapped["metadata"]["uid"] == "11111111-aaaa-4bbb-8ccc-000000000001/ResponseComplete"
    assert mapped["metadata"]["tenant_uid"] == "prod"
    assert mapped["actor"]["user"] == {
        "name": "alice",
        "type_id": 1,
        "groups": [{"name": "dev"}, {"name": "system:authenticated"}],
    }
    assert mapped["actor"]["authorizations"] == [
        {"decision": "allow", "policy": {"desc": "RBAC: allowed by Role edit"}}
    ]
    assert mapped["api"]["group"] == {"name": "apps"}
    assert mapped["resources"] == [{"name": "web", "namespace": "shop", "type": "deployments", "role_id": 1}]
    assert mapped["src_endpoint"] == {"ip": "203.0.113.9", "intermediate_ips": ["10.0.0.7"]}
    assert mapped["http_response"] == {"code": 200, "latency": 250}
    assert (mapped["status_id"], mapped["status_code"]) == (1, "200")


def test_refusals_have_their_words() -> None:
    """A refused request is a failure with the server's reason."""
    status = Status(code=403, reason="Forbidden", message="no")
    mapped = ocsf(event(response_status=status))
    assert (mapped["status_id"], mapped["status_detail"], mapped["api"]["response"]["error"]) == (2, "no", "Forbidden")


@pytest.mark.parametrize(("name", "kind"), [("system:serviceaccount:shop:web", 4), ("system:node:n", 3), ("bob", 1)])
def test_kinds_of_users(name: str, kind: int) -> None:
    """Service accounts, other users of the system, and users."""
    assert ocsf(event(user=User(name)))["actor"]["user"]["type_id"] == kind


@pytest.mark.parametrize("mapping", [ocsf, ecs])
def test_bodies_stay_behind_unless_asked_for(mapping: Any) -> None:
    """Bodies may hold secrets."""
    with_body = event(request_object=Raw(b'{"password":1}'), response_object=NO_OBJECT)
    assert "password" not in repr(mapping(with_body)) + str(mapping(with_body))
    found = mapping(with_body, bodies=True)
    body = found["api"]["request"]["data"] if mapping is ocsf else found["kubernetes"]["audit"]["requestObject"]
    assert bytes(body) == b'{"password":1}'


@pytest.mark.parametrize("time", [None, "", "soon"])
def test_times_that_cannot_be_read_are_none(time: str | None) -> None:
    """A time that is no time is not known."""
    assert milliseconds(time) is None


def test_ecs_of_an_event() -> None:
    """The fields of ECS are filled, and dots in annotations become underlines."""
    mapped = ecs(event(), cluster="prod")
    assert mapped["@timestamp"] == "2026-03-01T10:00:00.250000Z"
    assert mapped["event"]["outcome"] == "success"
    assert mapped["event"]["type"] == ["deletion"]
    assert mapped["event"]["duration"] == 250_000_000
    assert mapped["orchestrator"]["resource"] == {"type": "deployments", "name": "web"}
    assert mapped["kubernetes"]["audit"]["annotations"]["authorization_k8s_io/decision"] == "allow"
