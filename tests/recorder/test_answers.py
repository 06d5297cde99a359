from __future__ import annotations

import gzip

import pytest

from decklog.audit.event import Status, StatusCause, StatusDetails
from decklog.recorder.answers import Answer, accepts_objects, hijacked, is_plain, may_be_status, render
from decklog.testing import attributes

STATUS = (
    b'{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"no","reason":"Because","code":400}'
)
POD = b'{"kind":"Pod","apiVersion":"v1","metadata":{"name":"web"}}'
JSON = "application/json"

# told: method, target, answer → is there an object, the message of the status
ANSWERS = {
    "an object": ("GET", "/api/v1/pods", Answer(200, JSON, POD), True, ""),
    "an error": ("GET", "/api/v1/pods", Answer(400, JSON, STATUS), True, "no"),
    "a pretty object": ("GET", "/api/v1/pods", Answer(200, JSON, POD.replace(b",", b",\n  ")), True, ""),
    "a YAML object": ("GET", "/api/v1/pods", Answer(200, "application/yaml", b"kind: Pod\napiVersion: v1\n"), True, ""),
    "a gzipped object": ("GET", "/api/v1/pods", Answer(200, JSON, gzip.compress(POD), "gzip"), True, ""),
    "discovery without an apiVersion": ("GET", "/api", Answer(200, JSON, b'{"kind":"APIVersions"}'), True, ""),
    "a 406 is written raw": ("GET", "/api/v1/pods", Answer(406, JSON, STATUS), False, ""),
    "plain text": ("GET", "/healthz", Answer(200, "text/plain", b"ok"), False, ""),
    "JSON that is no object of the API": ("GET", "/version", Answer(200, JSON, b'{"major":"1"}'), False, ""),
    "a watch": ("GET", "/api/v1/pods?watch=1", Answer(200, JSON, POD), False, ""),
    "a watch's error": ("GET", "/api/v1/pods?watch=1", Answer(400, JSON, STATUS), True, "no"),
    "logs that look like an object": ("GET", "/api/v1/namespaces/a/pods/b/log", Answer(200, JSON, POD), False, ""),
    "a proxied answer": ("GET", "/api/v1/namespaces/a/services/b/proxy/x", Answer(200, JSON, POD), False, ""),
    "a proxy's error": ("GET", "/api/v1/namespaces/a/services/b/proxy/x", Answer(404, JSON, STATUS), True, "no"),
    "an exec that is refused": ("POST", "/api/v1/namespaces/a/pods/b/exec", Answer(400, JSON, STATUS), True, "no"),
    "an empty body": ("HEAD", "/api/v1/pods", Answer(405, JSON), False, ""),
    "a body cut short": ("GET", "/api/v1/pods", Answer(200, JSON, POD[:20], length=999), False, ""),
    "a Status in protobuf": (
        "GET",
        "/api/v1/pods",
        Answer(404, "application/vnd.kubernetes.protobuf", b"k8s\x00\n\x0c\n\x02v1\x12\x06Status\x12\x04\x1a\x02no"),
        True,
        "no",
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_read_as_the_api_machinery_rendered_it(name: str) -> None:
    """Objects and Status errors are told; streams, plain text and what others wrote are not."""
    method, target, answer, has_object, message = ANSWERS[name]
    rendered = render(answer, attributes(method, target), whole=True, limit=1 << 20, aggregated=False, typed=True)
    assert bool(rendered.object) is has_object
    assert (rendered.status.code, rendered.status.message) == (answer.code, message)


ACCEPTS = {
    "": True,
    "*/*": True,
    "text/html, application/*;q=0.9": True,
    "application/json;as=Table;v=v1;g=meta.k8s.io": True,
    "Application/YAML": True,
    "application/vnd.kubernetes.protobuf": True,
    "application/cbor": True,
    "text/html": False,
    "application/foo, text/*": False,
}


@pytest.mark.parametrize("accept", ACCEPTS)
def test_an_accept_header_may_leave_nothing_to_render(accept: str) -> None:
    """No header accepts everything."""
    assert accepts_objects(accept) is ACCEPTS[accept]


@pytest.mark.parametrize(
    ("code", "typed", "message"), [(401, True, ""), (403, True, ""), (403, False, "no"), (200, True, "no")]
)
def test_of_an_error_written_raw_the_code_alone_is_told(code: int, typed: bool, message: str) -> None:
    """The API machinery records what it negotiates; other APIs know no such thing."""
    told = attributes("GET", "/api/v1/pods")
    answer = Answer(code, JSON, STATUS, negotiated=False)
    rendered = render(answer, told, whole=True, limit=1 << 20, aggregated=False, typed=typed)
    assert (rendered.status.message, bool(rendered.object)) == (message, bool(message))


BEGINNINGS = [(STATUS, True), (STATUS[:9], True), (POD, False), (b"", False)]


@pytest.mark.parametrize(("beginning", "expected"), BEGINNINGS)
def test_the_beginning_tells_whether_a_body_may_be_a_status(beginning: bytes, expected: bool) -> None:
    """What can still become one may be one; nothing is none."""
    assert may_be_status(beginning) is expected


UNPACKED = b'{"apiVersion":"v1","kind":"Status","message":"gone"}'
UNDER_400 = {
    "apiVersion first": (JSON, UNPACKED, ""),
    "gzipped": (JSON, gzip.compress(UNPACKED), "gzip"),
    "YAML": ("application/yaml", b"apiVersion: v1\nkind: Status\nmessage: gone\n", ""),
    "CBOR": ("application/cbor", b"\xa2\x44kind\x46Status\x47message\x44gone", ""),
}


@pytest.mark.parametrize("name", UNDER_400)
@pytest.mark.parametrize("whole", [True, False])
def test_a_status_under_400_is_read_at_every_level(name: str, whole: bool) -> None:
    """Whatever its format, its encoding and the order of its members (spec §5.9)."""
    content_type, body, encoding = UNDER_400[name]
    told = attributes("DELETE", "/api/v1/namespaces/a/pods/b")
    answer = Answer(200, content_type, body, encoding)
    assert not is_plain(answer)
    rendered = render(answer, told, whole=whole, limit=1 << 20, aggregated=False, typed=True)
    assert (rendered.is_status, rendered.status.message) == (True, "gone")


HIJACKS = [(101, True, False, 101), (403, True, False, 101), (403, True, True, 403), (200, False, False, 200)]


@pytest.mark.parametrize(("code", "upgrade", "echoed", "expected"), HIJACKS)
def test_after_a_hijack_the_code_is_101(code: int, upgrade: bool, echoed: bool, expected: int) -> None:
    """An answer to an upgrade without Audit-Id was written by whoever took the connection over."""
    assert hijacked(code, upgrade=upgrade, audit_id_echoed=echoed) == expected


PROTOBUF_STATUS = b"k8s\x00\n\x0c\n\x02v1\x12\x06Status\x12\x04\x1a\x02no"
HARD = {
    "gzipped protobuf": (gzip.compress(PROTOBUF_STATUS), "gzip", "no"),
    "damaged protobuf": (PROTOBUF_STATUS[:-3] + b"\x7fno", "", ""),
}


@pytest.mark.parametrize("name", HARD)
def test_a_status_in_protobuf_never_raises(name: str) -> None:
    """What is packed is unpacked first; what is damaged says nothing but its code."""
    body, encoding, message = HARD[name]
    answer = Answer(404, "application/vnd.kubernetes.protobuf", body, encoding)
    told = attributes("GET", "/api/v1/pods")
    rendered = render(answer, told, whole=True, limit=1 << 20, aggregated=False, typed=True)
    assert (rendered.status.code, rendered.status.message) == (404, message)


NAMED = StatusDetails(name="web")
DETAILS = {
    "no causes": (b'{"causes":null,"name":"web"}', NAMED),
    "name null": (b'{"name":null,"kind":"pods"}', StatusDetails(kind="pods")),
    "half a second": (b'{"name":"web","retryAfterSeconds":1.5}', NAMED),
    "the longest wait": (b'{"retryAfterSeconds":2147483647}', StatusDetails(retry_after_seconds=(1 << 31) - 1)),
    "past int32": (b'{"name":"web","retryAfterSeconds":2147483648}', NAMED),
    "below int32": (b'{"name":"web","retryAfterSeconds":-2147483649}', NAMED),
    "past every integer": (b'{"name":"web","retryAfterSeconds":' + b"9" * 40 + b"}", NAMED),
    "past int32 beside an odd field": (b'{"name":"web","uid":5,"retryAfterSeconds":2147483648}', NAMED),
    "an odd cause": (
        b'{"causes":[5,{"reason":"a","field":{}},null,{"message":"\\ud800"}]}',
        StatusDetails(causes=(StatusCause(reason="a"), StatusCause(message="\ufffd"))),
    ),
    "causes that are no list": (b'{"name":"web","causes":{"reason":"a"}}', NAMED),
    "no details": (b"null", None),
    "a number": (b"5", None),
    "a list": (b'[{"name":"web"}]', None),
}


@pytest.mark.parametrize("name", DETAILS)
def test_an_odd_field_of_details_costs_only_itself(name: str) -> None:
    """The words of a Status and the good fields of its details are told."""
    details, expected = DETAILS[name]
    answer = Answer(400, JSON, b'{"kind":"Status","message":"no","details":' + details + b"}")
    told = attributes("GET", "/api/v1/pods")
    rendered = render(answer, told, whole=True, limit=1 << 20, aggregated=False, typed=True)
    assert (rendered.status.message, rendered.status.details) == ("no", expected)


def test_an_odd_word_of_a_status_costs_only_itself() -> None:
    """A reason that is no text leaves the message and the details."""
    answer = Answer(400, JSON, b'{"kind":"Status","reason":5,"message":"no","details":{"name":"web"}}')
    told = attributes("GET", "/api/v1/pods")
    status = render(answer, told, whole=False, limit=1 << 20, aggregated=False, typed=True).status
    assert status == Status(message="no", details=NAMED, code=400)
