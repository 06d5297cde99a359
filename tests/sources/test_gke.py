from __future__ import annotations

import base64
import copy
import io
import json
from typing import Any

import pytest

from decklog.audit.event import Event, ObjectReference, Status, User
from decklog.audit.wire import encode_event
from decklog.sources.places import Place
from decklog.sources.reader import read
from decklog.sources.record import Coverage, Record
from sources.carried import GKE_ENTRY


def entry(**payload: Any) -> dict[str, Any]:
    """The LogEntry with other fields in its payload; None takes one out."""
    whole = copy.deepcopy(GKE_ENTRY)
    whole["protoPayload"].update(payload)
    whole["protoPayload"] = {key: value for key, value in whole["protoPayload"].items() if value is not None}
    return whole


def read_entries(*entries: dict[str, Any]) -> tuple[list[Record], Coverage]:
    coverage = Coverage()
    data = b"\n".join(json.dumps(one, separators=(",", ":")).encode() for one in entries)
    return list(read([Place("-", io.BytesIO(data))], coverage)), coverage


def read_event(whole: dict[str, Any]) -> tuple[Event, Record]:
    records, _ = read_entries(whole)
    assert len(records) == 1
    assert records[0].event is not None, records[0].problem
    return records[0].event, records[0]


def test_a_log_entry_becomes_an_event() -> None:
    """Every field comes from where the table says; what was made up is named; the entry is kept verbatim."""
    event, record = read_event(GKE_ENTRY)
    assert event == Event(
        level="Metadata",
        audit_id="op-1",
        stage="ResponseComplete",
        request_uri="/apis/apps/v1/namespaces/shop/deployments/web",
        verb="delete",
        user=User("alice@example.com"),
        source_ips=("203.0.113.9",),
        user_agent="kubectl/v1.36.2",
        object_ref=ObjectReference("deployments", "shop", "web", api_group="apps", api_version="v1"),
        response_status=Status(code=200),
        request_received_timestamp="2026-03-01T10:00:00.250123Z",
        stage_timestamp="2026-03-01T10:00:00.250123Z",
        annotations={"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": ""},
    )
    assert record.provenance is not None
    assert record.provenance.carrier == "GKE"
    assert record.provenance.cluster == "harbour"
    assert record.provenance.synthesised == (
        "level",
        "stage",
        "requestURI",
        "responseStatus.code",
        "requestReceivedTimestamp",
    )
    assert record.provenance.said["project"] == "p"
    assert json.loads(record.line) == GKE_ENTRY
    assert b'"kind":"Event"' in encode_event(event)


ASKED: dict[tuple[str, str], tuple[str, ObjectReference | None, str]] = {
    ("io.k8s.core.v1.pods.create", "core/v1/namespaces/shop/pods/web"): (
        "create",
        ObjectReference("pods", "shop", "web", api_version="v1"),
        "/api/v1/namespaces/shop/pods/web",
    ),
    ("io.k8s.core.v1.pods.exec.create", "core/v1/namespaces/shop/pods/web/exec"): (
        "create",
        ObjectReference("pods", "shop", "web", api_version="v1", subresource="exec"),
        "/api/v1/namespaces/shop/pods/web/exec",
    ),
    ("io.k8s.core.v1.pods.list", "core/v1/namespaces/shop/pods"): (
        "list",
        ObjectReference("pods", "shop", "", api_version="v1"),
        "/api/v1/namespaces/shop/pods",
    ),
    ("io.k8s.core.v1.namespaces.delete", "core/v1/namespaces/shop"): (
        "delete",
        ObjectReference("namespaces", "shop", "shop", api_version="v1"),
        "/api/v1/namespaces/shop",
    ),
    ("io.k8s.core.v1.namespaces.finalize.update", "core/v1/namespaces/shop/finalize"): (
        "update",
        ObjectReference("namespaces", "shop", "shop", api_version="v1", subresource="finalize"),
        "/api/v1/namespaces/shop/finalize",
    ),
    ("io.k8s.core.v1.nodes.status.patch", "core/v1/nodes/n-1/status"): (
        "patch",
        ObjectReference("nodes", "", "n-1", api_version="v1", subresource="status"),
        "/api/v1/nodes/n-1/status",
    ),
    ("io.k8s.authorization.rbac.v1.clusterroles.create", "rbac.authorization.k8s.io/v1/clusterroles/edit"): (
        "create",
        ObjectReference("clusterroles", "", "edit", api_group="rbac.authorization.k8s.io", api_version="v1"),
        "/apis/rbac.authorization.k8s.io/v1/clusterroles/edit",
    ),
    ("io.k8s.get", "healthz"): ("get", None, ""),
}


@pytest.mark.parametrize("asked", ASKED)
def test_verb_and_object_are_told_by_method_and_resource_name(asked: tuple[str, str]) -> None:
    """Subresources, namespaces themselves, cluster-wide objects and collections are told apart."""
    event, _ = read_event(entry(methodName=asked[0], resourceName=asked[1]))
    assert (event.verb, event.object_ref, event.request_uri) == ASKED[asked]


STATUS_OBJECT = {
    "@type": "core.k8s.io/v1.Status",
    "code": 403,
    "status": "Failure",
    "reason": "Forbidden",
    "message": "no",
}


@pytest.mark.parametrize(
    ("payload", "code", "made_up"),
    [
        ({"status": {"code": 7, "message": "denied"}}, 403, True),
        ({"status": {"code": 5}}, 404, True),
        ({"status": {"code": 6}}, 409, True),
        ({"status": {"code": 16}}, 401, True),
        ({"status": {"code": 99}}, 500, True),
        ({"status": None}, 200, True),
        ({"status": {"code": 7}, "response": STATUS_OBJECT}, 403, False),
    ],
)
def test_the_code_is_the_servers_or_made_of_googles(payload: dict[str, Any], code: int, made_up: bool) -> None:
    """A Status in the answer is the API server's own word; a gRPC code is translated and marked."""
    event, record = read_event(entry(**payload))
    assert event.response_status is not None
    assert event.response_status.code == code
    assert record.provenance is not None
    assert ("responseStatus.code" in record.provenance.synthesised) == made_up


def test_bodies_and_the_level_follow_what_is_there() -> None:
    """request and response are the event's bodies, compacted and otherwise untouched."""
    event, _ = read_event(entry(request={"b": 1, "a": [1.50]}))
    assert (event.level, bytes(event.request_object)) == ("Request", b'{"b":1,"a":[1.5]}')
    event, _ = read_event(entry(request={}, response={"kind": "Pod"}))
    assert (event.level, bytes(event.response_object)) == ("RequestResponse", b'{"kind":"Pod"}')


def test_an_operation_that_has_begun_is_a_stage_of_its_own() -> None:
    """A watch or an exec is logged when it begins and when it ends, under one audit ID."""
    begun, ended = copy.deepcopy(GKE_ENTRY), copy.deepcopy(GKE_ENTRY)
    begun["operation"]["last"] = False
    ended["operation"]["first"] = False
    records, _ = read_entries(begun, ended)
    assert [record.event.stage for record in records if record.event] == ["ResponseStarted", "ResponseComplete"]


def test_pubsub_and_arrays_hold_log_entries() -> None:
    """Push and pull wrap the entry in base64; gcloud prints an array."""
    data = base64.b64encode(json.dumps(GKE_ENTRY).encode()).decode()
    push = {"message": {"data": data, "messageId": "1"}, "subscription": "projects/p/subscriptions/s"}
    pulled = {"receivedMessages": [{"ackId": "a", "message": {"data": data}}]}
    records, coverage = read_entries(push, pulled)
    assert [record.event.audit_id for record in records if record.event] == ["op-1", "op-1"]
    printed = io.BytesIO(json.dumps([GKE_ENTRY, GKE_ENTRY], indent=2).encode())
    records = list(read([Place("-", printed)], coverage))
    assert [record.event.audit_id for record in records if record.event] == ["op-1", "op-1"]
    assert coverage.bad_lines == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"protoPayload": None, "jsonPayload": {"kind": "Event"}},
        {"logName": "projects/p/logs/stdout"},
        {"resource": {"type": "k8s_container", "labels": {}}},
        {"protoPayload": {**GKE_ENTRY["protoPayload"], "serviceName": "container.googleapis.com"}},
        {"protoPayload": {**GKE_ENTRY["protoPayload"], "@type": "type.googleapis.com/other"}},
    ],
)
def test_other_log_entries_are_passed_over(changes: dict[str, Any]) -> None:
    """What is no audit entry of the Kubernetes API is counted among the others."""
    whole = {key: value for key, value in {**GKE_ENTRY, **changes}.items() if value is not None}
    records, coverage = read_entries(whole, GKE_ENTRY)
    assert len(records) == 1
    assert (coverage.others, coverage.bad_lines) == (1, 0)
