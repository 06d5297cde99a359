from __future__ import annotations

from typing import Any

import pytest
from msgspec import Raw

from decklog.audit.event import ObjectReference, Status, StatusDetails
from decklog.recorder.submitted import Metadata, Submitted, metadata, read_object, refine, takes_body, was_recorded
from decklog.testing import attributes

FORBIDDEN = 'pods "web" is forbidden: User "eve" cannot create resource "pods" in API group "" in the namespace "shop"'

CONCLUSIONS = {
    "created": ("create", Status(code=201), True),
    "already there": ("create", Status(code=409, message='pods "web" already exists', reason="AlreadyExists"), True),
    "invalid": ("create", Status(code=422, message='Pod "web" is invalid: spec.containers: Required value'), True),
    "the authorizer says no": ("create", Status(code=403, message=FORBIDDEN), False),
    "admission says no": ("create", Status(code=403, message='pods "web" is forbidden: violates PodSecurity'), True),
    "a webhook says no": ("create", Status(code=403, message="admission webhook denied the request: no"), True),
    "no such namespace": ("create", Status(code=404, message='namespaces "nope" not found'), True),
    "no such resource": ("create", Status(code=404, message="the server could not find the requested resource"), False),
    "wrong namespace in the body": (
        "create",
        Status(
            code=400, message="the namespace of the provided object does not match the namespace sent on the request"
        ),
        True,
    ),
    "not decodable": (
        "create",
        Status(
            code=400, message="the object provided is unrecognized (must be of type Pod): couldn't get version/kind"
        ),
        False,
    ),
    "another type": (
        "create",
        Status(code=400, message='Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal number'),
        False,
    ),
    "another version": (
        "create",
        Status(code=400, message="the API version in the data (v2) does not match the expected API version (v1)"),
        False,
    ),
    "an unknown field under strict validation": (
        "create",
        Status(
            code=400, message='Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "x"'
        ),
        False,
    ),
    "groups without a user": (
        "create",
        Status(code=400, message="requested [{Group  g    }] without impersonating a user"),
        False,
    ),
    "a uid without a user, in the words of 1.36": (
        "create",
        Status(code=400, message='requested &user.DefaultInfo{Name:"", UID:"u"} without impersonating a user name'),
        False,
    ),
    "bad query options": (
        "create",
        Status(code=422, message="…", details=StatusDetails(group="meta.k8s.io", kind="CreateOptions")),
        False,
    ),
    "a webhook cannot be reached": (
        "create",
        Status(code=500, message="Internal error occurred: failed calling webhook"),
        True,
    ),
    "not logged in": ("create", Status(code=401, message="Unauthorized"), False),
    "unknown content type": (
        "create",
        Status(code=415, message="the body of the request was in an unknown format"),
        False,
    ),
    "too large": ("create", Status(code=413, message="Request entity too large: limit is 3145728"), False),
    "too many requests": ("create", Status(code=429), False),
    "a patch of nothing": ("patch", Status(code=404, message='pods "web" not found'), True),
    "a patch that does not decode": (
        "patch",
        Status(code=400, message="error decoding patch: unexpected end of JSON input"),
        True,
    ),
    "a patch that 1.37 refuses": ("patch", Status(code=400, message="invalid JSON patch"), False),
    "a deletion's precondition fails": (
        "delete",
        Status(code=409, message="Operation cannot be fulfilled on Pod"),
        True,
    ),
    "bad DeleteOptions": (
        "delete",
        Status(code=400, message="json: cannot unmarshal string into Go struct field DeleteOptions.gracePeriodSeconds"),
        False,
    ),
}


@pytest.mark.parametrize("name", CONCLUSIONS)
def test_the_answer_tells_whether_the_body_had_been_decoded(name: str) -> None:
    """kube-apiserver records a body once it is decoded: after authorisation, before admission."""
    verb, status, expected = CONCLUSIONS[name]
    assert was_recorded(attributes(verb=verb), status, is_status=status.code >= 400) is expected


def test_a_plain_text_error_means_that_nothing_was_decoded() -> None:
    """Errors in plain text are written outside the handlers that decode."""
    assert not was_recorded(attributes(verb="create"), Status(code=404), is_status=False)


TAKERS: dict[str, tuple[dict[str, Any], bool]] = {
    "create pods": ({"verb": "create", "resource": "pods"}, True),
    "update pods/status": ({"verb": "update", "resource": "pods", "subresource": "status"}, True),
    "patch pods": ({"verb": "patch", "resource": "pods"}, True),
    "delete pods": ({"verb": "delete", "resource": "pods"}, True),
    "get pods": ({"verb": "get", "resource": "pods"}, False),
    "create pods/exec": ({"verb": "create", "resource": "pods", "subresource": "exec"}, False),
    "create services/proxy": ({"verb": "create", "resource": "services", "subresource": "proxy"}, False),
    "POST /version": ({"verb": "post", "resource_request": False}, False),
}


@pytest.mark.parametrize("name", TAKERS)
def test_only_objects_are_bodies(name: str) -> None:
    """Reads, connections and non-resource requests have no object in their body."""
    fields, expected = TAKERS[name]
    assert takes_body(attributes(**fields), typed=True) is expected


def test_an_application_s_post_takes_a_body_when_types_do_not_count() -> None:
    """An API that is not Kubernetes' has objects without kind."""
    assert takes_body(attributes(verb="post", resource_request=False), typed=False)


JSON = "application/json"
YAML = "application/apply-patch+yaml"

READ = {
    "JSON as sent, compacted": (
        "create",
        JSON,
        b'{ "b": 1.0,\n "a": [1, 2],  "b": 1e5 }',
        b'{"b":1.0,"a":[1,2],"b":1e5}',
        "",
    ),
    "JSON that Python's parsers refuse": (
        "patch",
        "application/merge-patch+json",
        b'{"a": "\\ud800", "n": 1e400}',
        b'{"a":"\\ud800","n":1e400}',
        "",
    ),
    "bytes that are no UTF-8": ("patch", "application/merge-patch+json", b'{"a": "\xff"}', b'{"a":"\xff"}', ""),
    "YAML": ("patch", YAML, b"kind: Pod\nmetadata: {name: web}\n", b'{"kind":"Pod","metadata":{"name":"web"}}', ""),
    "YAML with Go's booleans": (
        "create",
        "application/yaml",
        b"a: yes\nb: 2026-01-01\nc: 010\n",
        b'{"a":true,"b":"2026-01-01","c":8}',
        "",
    ),
    "JSON under the YAML type": ("patch", YAML, b'{"kind":"Pod", "a": 1.0}', b'{"kind":"Pod","a":1.0}', ""),
    "CBOR": (
        "patch",
        "application/apply-patch+cbor",
        bytes.fromhex("d9d9f7a1446b696e6443506f64"),
        b'{"kind":"Pod"}',
        "",
    ),
    "broken JSON": ("patch", "application/json-patch+json", b"[{", b'"W3s="', "base64: "),
    "nothing": ("patch", "application/merge-patch+json", b"", b'""', "base64: "),
    "DeleteOptions": (
        "delete",
        JSON,
        b'{"apiVersion":"v1","kind":"DeleteOptions","gracePeriodSeconds":0}',
        b'{"kind":"DeleteOptions","apiVersion":"meta.k8s.io/__internal","gracePeriodSeconds":0}',
        "",
    ),
    "DeleteOptions without a type": (
        "deletecollection",
        JSON,
        b'{"propagationPolicy":"Foreground"}',
        b'{"kind":"DeleteOptions","apiVersion":"meta.k8s.io/__internal","propagationPolicy":"Foreground"}',
        "",
    ),
}


@pytest.mark.parametrize("name", READ)
def test_no_body_takes_its_event_down(name: str) -> None:
    """JSON is kept as sent, YAML and CBOR become JSON, anything else a base64 string, and the event says so."""
    verb, content_type, body, expected, why = READ[name]
    raw, changed = read_object(Submitted(content_type, body), attributes(verb=verb), 1 << 20)
    assert bytes(raw) == expected
    assert changed.startswith(why)
    assert bool(changed) is bool(why)


def test_a_body_past_the_cap_is_left_out_and_its_length_told() -> None:
    """The event stays; the body is named by its length."""
    raw, why = read_object(Submitted(JSON, b'{"a":', length=99), attributes(verb="create"), 5)
    assert (bytes(raw), why) == (b"", "omitted: 99 bytes, limit 5")


def test_a_reference_is_filled_from_the_object_where_the_url_is_silent() -> None:
    """What the URL says is not overwritten."""
    reference = ObjectReference("pods", namespace="shop")
    found = metadata(
        Submitted(JSON), Raw(b'{"metadata":{"name":"web","namespace":"other","uid":"u","resourceVersion":"7"}}')
    )
    assert refine(reference, found) == ObjectReference("pods", "shop", "web", "u", "", "", "7")


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"metadata":null}', b'{"metadata":{"name":5}}', b'"x"'])
def test_an_object_without_metadata_adds_nothing(body: bytes) -> None:
    """Odd shapes are no error."""
    assert metadata(Submitted(JSON), Raw(body)) == Metadata()


CLIENT_WORDS = {
    "the name of the object (strict decoding error) does not match the name on the URL (x)": 400,
    'pods "x" is forbidden: User "a" cannot " is forbidden: exceeded quota: q': 403,
}


@pytest.mark.parametrize("message", CLIENT_WORDS)
def test_what_the_client_chose_to_be_called_does_not_hide_its_body(message: str) -> None:
    """A name that repeats the server's words for a body that was not decoded is only a name."""
    status = Status(message=message, code=CLIENT_WORDS[message])
    assert was_recorded(attributes("POST", "/api/v1/namespaces/d/pods"), status, is_status=True)


ODD_METADATA = {
    "a uid that is a number": (b'{"metadata":{"name":"web","uid":5}}', Metadata(name="web")),
    "a namespace that is an object": (b'{"metadata":{"namespace":{},"name":"web"}}', Metadata(name="web")),
    "a name that is null": (b'{"metadata":{"name":null,"uid":"u"}}', Metadata(uid="u")),
    "metadata that is a list": (b'{"metadata":[{"name":"web"}]}', Metadata()),
    "no object": (b'["name"]', Metadata()),
}


@pytest.mark.parametrize("name", ODD_METADATA)
def test_an_odd_field_of_the_metadata_costs_only_itself(name: str) -> None:
    """The reference is still filled from the good fields."""
    body, expected = ODD_METADATA[name]
    assert metadata(Submitted(JSON), Raw(body)) == expected
