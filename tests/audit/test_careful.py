from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import Raw, structs

from decklog.audit.event import Event, ObjectReference, Status, StatusCause, StatusDetails, User
from decklog.audit.jsontext import MAX_DEPTH
from decklog.audit.wire import WireError, decode_event, decode_with_rest, encode_line, encode_list
from decklog.testing import event


def _fields(**overrides: Any) -> Event:
    """An event with nothing but what must be there."""
    bare = Event(
        level="",
        audit_id="",
        stage="",
        request_uri="",
        verb="",
        user=User(),
        request_received_timestamp=None,
        stage_timestamp=None,
    )
    return structs.replace(bare, **overrides)


def _document(**members: Any) -> bytes:
    """What another program may have written: any members, in any order."""
    return json.dumps({"kind": "Event", "apiVersion": "audit.k8s.io/v1", "auditID": "i", **members}).encode()


def test_nulls_inside_are_empty() -> None:
    """A null string in a list or map and a null member of an object are empty; a null value of extra stays null."""
    decoded = decode_event(
        _document(
            user={"username": None, "groups": [None, "g"], "extra": {"b": None, "a": [None]}},
            responseStatus={"code": None, "details": {"causes": [None]}},
            annotations={"k": None},
        )
    )
    assert decoded.user == User(groups=("", "g"), extra={"a": ("",), "b": None})
    assert decoded.response_status == Status(details=StatusDetails(causes=(StatusCause(),)))
    assert decoded.annotations == {"k": ""}


_REFUSED = {
    "nothing": (b"", "not JSON"),
    "no JSON": (b"2026-01-02T03:04:05Z AUDIT: id=", "not JSON"),
    "cut short": (encode_line(event())[:-20], "not JSON"),
    "two events": (encode_line(event()) * 2, "not JSON"),
    "a control character": (encode_line(event(user_agent="mark")).replace(b"mark", b"\x01"), "not JSON"),
    "a list": (b"[]", "not a JSON object"),
    "a string": (b'"x"', "not a JSON object"),
    "another JSON object": (b'{"level":"info","msg":"x"}', "not an audit event: neither kind nor auditID"),
    "another kind": (b'{"kind":"Pod","apiVersion":"v1"}', "not an Event but 'Pod'"),
    "an EventList": (encode_list([event()]), "not an Event but 'EventList'"),
    "another version": (b'{"kind":"Event","apiVersion":"audit.k8s.io/v2"}', "unknown apiVersion 'audit.k8s.io/v2'"),
    "a core event": (b'{"kind":"Event","apiVersion":"v1"}', "unknown apiVersion 'v1'"),
    "a kind that is no string": (b'{"kind":1}', "not a JSON string"),
    "a number for a string": (_document(verb=1), "verb: a string is expected, not a number"),
    "a boolean in a list": (
        _document(user={"groups": ["a", True]}),
        r"user.groups\[1\]: a string is expected, not a boolean",
    ),
    "an object for a list": (_document(sourceIPs={}), "sourceIPs: a list is expected, not an object"),
    "a list for an object": (_document(objectRef=[]), "objectRef: an object is expected, not a list"),
    "a list for a map": (_document(annotations=[]), "annotations: an object is expected, not a list"),
    "a number in a map": (_document(annotations={"k": 1}), r"annotations\['k'\]: a string is expected"),
    "a fraction for a code": (_document(responseStatus={"code": 200.0}), "responseStatus.code: an integer of 32 bits"),
    "a code past 32 bits": (_document(responseStatus={"code": 1 << 31}), "responseStatus.code: an integer of 32 bits"),
    "a huge code": (_document(responseStatus={"code": 10**400}), "responseStatus.code: an integer of 32 bits"),
    "a boolean for a code": (_document(responseStatus={"code": True}), "responseStatus.code: .* not a boolean"),
    "whole seconds": (_document(stageTimestamp="2026-01-02T03:04:05Z"), "stageTimestamp: .* 0 fractional digits"),
    "a number for a time": (_document(stageTimestamp=1), "stageTimestamp: a string is expected"),
    "no day of the calendar": (_document(stageTimestamp="2026-02-30T03:04:05.000000Z"), "stageTimestamp: .* calendar"),
    "a body too deep": (
        encode_line(event(request_object=Raw(b"[" * (MAX_DEPTH + 20) + b"]" * (MAX_DEPTH + 20)))),
        "nested deeper",
    ),
    "a field nested too deeply": (
        _document(mark=0).replace(b'"mark": 0', b'"user":' + b"[" * 5000 + b"]" * 5000),
        "nested too deeply|an object is expected",  # how deep json itself goes differs between Pythons
    ),
}


@pytest.mark.parametrize(("data", "reason"), _REFUSED.values(), ids=_REFUSED)
def test_what_is_no_event_is_refused(data: bytes, reason: str) -> None:
    """The error names what is wrong, and where; nothing but WireError is raised."""
    with pytest.raises(WireError, match=reason):
        decode_event(data)


def test_what_an_event_has_besides_is_kept_aside() -> None:
    """Unknown fields are dropped by one, handed over raw by the other; known ones never are."""
    data = _document(level="Metadata", bogus={"x": [1, 2]}, timestamp="x", metadata=None)
    assert decode_event(data) == _fields(level="Metadata", audit_id="i")
    decoded, rest = decode_with_rest(data)
    assert decoded == decode_event(data)
    assert {name: json.loads(bytes(value)) for name, value in rest.items()} == {
        "bogus": {"x": [1, 2]},
        "timestamp": "x",
        "metadata": None,
    }


def test_old_versions_are_read() -> None:
    """v1beta1 and v1alpha1: their timestamp is the stage's, a v1alpha1 reference holds group and version in one."""
    old = {
        "kind": "Event",
        "metadata": {"creationTimestamp": "2018-01-02T03:04:05Z"},
        "level": "Request",
        "timestamp": "2018-01-02T03:04:05Z",
        "auditID": "i",
        "stage": "RequestReceived",
        "requestURI": "/apis/apps/v1/namespaces/ns/deployments",
        "verb": "create",
        "user": {"username": "u"},
        "objectRef": {"resource": "deployments", "namespace": "ns", "apiVersion": "apps/v1"},
        "requestObject": {"a": 1},
    }
    alpha, rest = decode_with_rest(json.dumps({**old, "apiVersion": "audit.k8s.io/v1alpha1"}).encode())
    assert alpha.object_ref == ObjectReference("deployments", "ns", api_group="apps", api_version="v1")
    assert alpha.stage_timestamp == alpha.request_received_timestamp == "2018-01-02T03:04:05.000000Z"
    assert bytes(alpha.request_object) == b'{"a":1}'
    assert list(rest) == ["metadata"]

    complete = {**old, "apiVersion": "audit.k8s.io/v1beta1", "stage": "ResponseComplete"}
    beta = decode_event(json.dumps(complete).encode())
    assert beta.object_ref == ObjectReference("deployments", "ns", api_version="apps/v1")
    assert (beta.request_received_timestamp, beta.stage_timestamp) == (None, "2018-01-02T03:04:05.000000Z")

    both = {
        **complete,
        "requestReceivedTimestamp": "2018-01-02T03:04:05.1Z",
        "stageTimestamp": "2018-01-02T03:04:06.25Z",
    }
    later = decode_event(json.dumps(both).encode())
    assert later.request_received_timestamp == "2018-01-02T03:04:05.100000Z"
    assert later.stage_timestamp == "2018-01-02T03:04:06.250000Z"
