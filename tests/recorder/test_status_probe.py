from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decklog.recorder.status_probe import LOOK_BYTES, STATUS_LIMIT, StatusProbe

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
CBOR = "application/cbor"
STATUS = b'{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success"}'
LATE = (
    b'{\n "apiVersion": "v1", "code": 200, "details": {"causes": [{"message": "}]\\"{"}], "kind": "pods"},'
    b' "message": null, "metadata": {}, "kind" : "Status"}'
)
PODS = b'{"kind":"PodList","apiVersion":"v1","items":[]}'

# content type, body → keep, drop, or undecided to its end
BODIES: dict[str, tuple[str, bytes, bool | None]] = {
    "a Status": (JSON, STATUS, True),
    "no content type is JSON": ("", STATUS, True),
    "a suffixed type": ("application/merge-patch+json; charset=utf-8", STATUS, True),
    "kind after nested members": (JSON, LATE, True),
    "kind at the end of what is looked at": (
        JSON,
        b'{"message":"' + b"x" * 4000 + b'","kind":"Status"}' + b" " * 99,
        True,
    ),
    "a list": (JSON, PODS, False),
    "kinds that begin alike": (JSON, b'{"apiVersion":"v1","kind":"StatusReport"}', False),
    "kind null": (JSON, b'{"apiVersion":"v1","kind":null}', False),
    "kind of something inside": (JSON, b'{"details":{"kind":"Status"}}', False),
    "a member that no Status has": (JSON, b'{"apiVersion":"v1","items":[', False),
    "an object without kind": (JSON, b'{"status":"ok"}', False),
    "an array": (JSON, b'[{"kind":"Status"}]', False),
    "text": (JSON, b'ok {"kind":"Status"}', False),
    "cut off in kind": (JSON, b'{"apiVersion":"v1","kind":"Sta', None),
    "cut off in a nested text": (JSON, b'{"details":{"name":"},\\"kind\\":\\"Status\\"', None),
    "plain text": ("text/plain", STATUS, False),
    "a watch": ("application/json;stream=watch", STATUS, False),
    "YAML": (YAML, b"apiVersion: v1\ndetails:\n  kind: pods\nkind: Status\nmessage: x\n", True),
    "a YAML list": (YAML, b"apiVersion: v1\nitems:\n- a\n", False),
    "a YAML pod": (YAML, b"apiVersion: v1\nkind: Pod\n", False),
    "YAML that ends in kind": (YAML, b"apiVersion: v1\nkind: Status", None),
    "JSON as YAML": (YAML, STATUS, True),
    "protobuf": (PROTOBUF, b"k8s\x00\n\x0c\n\x02v1\x12\x06Status\x12\x04\x1a\x02no", True),
    "a pod in protobuf": (PROTOBUF, b"k8s\x00\n\x09\n\x02v1\x12\x03Pod\x12\x08xxStatus", False),
    "broken protobuf": (PROTOBUF, b"k8s\x00\n\x04\x12\x7fab", False),
    "no protobuf": (PROTOBUF, STATUS, False),
    "CBOR": (CBOR, b"\xd9\xd9\xf7\xa2\x44code\x18\xc8\x44kind\x46Status", True),
    "a CBOR pod": (CBOR, b"\xa1\x44kind\x43Pod", None),
}


def fed(probe: StatusProbe, body: bytes, size: int) -> bool | None:
    for at in range(0, len(body), size):
        probe.feed(body[at : at + size])
    return probe.verdict


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("encoding", ["", "gzip", "Deflate"])
def test_a_status_is_told_by_its_beginning(name: str, encoding: str) -> None:
    """In every format and encoding: kept, dropped, or undecided where the body is too short to say."""
    content_type, body, expected = BODIES[name]
    packed = {"": body, "gzip": gzip.compress(body), "Deflate": zlib.compress(body)}[encoding]
    assert fed(StatusProbe(content_type, encoding), packed, len(packed)) is expected


@given(st.sampled_from(sorted(BODIES)), st.integers(1, 80), st.booleans())
def test_the_size_of_the_chunks_does_not_matter(name: str, size: int, packed: bool) -> None:
    """A verdict may come later in small chunks, but it is never the opposite one."""
    content_type, body, expected = BODIES[name]
    sent = gzip.compress(body) if packed else body
    assert fed(StatusProbe(content_type, "gzip" if packed else ""), sent, size) in {expected, None}


@given(st.binary(max_size=200), st.sampled_from([JSON, YAML, PROTOBUF, CBOR]), st.sampled_from(["", "gzip"]))
def test_no_bytes_break_a_probe(body: bytes, content_type: str, encoding: str) -> None:
    """Whatever an upstream sends, the probe answers."""
    for begin in (b"", b"k8s\x00\n", b'{"', b"\x1f\x8b\x08"):
        probe = StatusProbe(content_type, encoding)
        probe.feed(begin + body)
        assert probe.feed(b"}") in {True, False, None}


def test_verdicts_stand() -> None:
    """What comes after the kind changes nothing."""
    probe = StatusProbe(JSON)
    assert probe.feed(PODS[:20]) is False
    assert probe.feed(STATUS) is False


EMPTY_BLOCK = b"\x00\x00\x00\xff\xff"
HOSTILE = {
    "no kind in what is looked at": ("", b'{"message":"' + b"x" * LOOK_BYTES),
    "YAML without a colon": ("", b"\n" * LOOK_BYTES),
    "a bomb": ("gzip", gzip.compress(b" " * (1 << 24))),
    "packed blocks that hold nothing": ("deflate", b"\x78\x01" + EMPTY_BLOCK * (STATUS_LIMIT // 5 + 1)),
    "no gzip": ("gzip", STATUS),
    "an encoding that we cannot undo": ("br", b"x"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_does_not_show_itself_in_time_is_dropped(name: str) -> None:
    """So that no answer is held, or unpacked, without bound."""
    encoding, body = HOSTILE[name]
    content_type = YAML if name.startswith("YAML") else JSON
    assert fed(StatusProbe(content_type, encoding), body, 1 << 16) is False
