from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decklog.audit.protobuf_wire import MAGIC
from decklog.sandbox.documents import Malformed
from decklog.sandbox.messages import MESSAGES
from decklog.sandbox.protobuf import from_protobuf
from sandbox.client import CONFIG_MAPS, DEPLOYMENTS, PROTOBUF

if TYPE_CHECKING:
    from sandbox.client import Client


def varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def field(number: int, value: int | str | bytes) -> bytes:
    """One field of a message: a varint, or something with a length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def envelope(api_version: str, kind: str, raw: bytes) -> bytes:
    return MAGIC + field(1, field(1, api_version) + field(2, kind)) + field(2, raw)


METADATA = field(1, field(1, "web") + field(8, b"") + field(11, field(1, "app") + field(2, "web")))


def deployment() -> bytes:
    container = field(1, "c") + field(2, "nginx:1.27")
    ports = field(6, field(1, "") + field(2, 0) + field(3, 80) + field(4, "TCP"))
    template = field(1, field(11, field(1, "app") + field(2, "web"))) + field(2, field(2, container + ports))
    selector = field(1, field(1, "app") + field(2, "web"))
    surge = field(2, field(1, 1) + field(2, 0) + field(3, "25%"))
    spec = field(1, 0) + field(2, selector) + field(3, template) + field(4, field(1, "RollingUpdate") + field(2, surge))
    return envelope("apps/v1", "Deployment", METADATA + field(2, spec + field(7, 0)) + field(3, field(1, 7)))


def test_a_deployment_is_read() -> None:
    """Messages, maps, lists, percentages and pointers to zero come out as JSON; zeros and zero times do not."""
    labels = {"app": "web"}
    assert from_protobuf(deployment()) == {
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "metadata": {"name": "web", "labels": labels},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "containers": [
                        {"name": "c", "image": "nginx:1.27", "ports": [{"containerPort": 80, "protocol": "TCP"}]}
                    ]
                },
            },
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%"}},
        },
        "status": {},
    }


def test_protobuf_makes_objects(client: Client) -> None:
    """A client that sends protobuf and accepts JSON beside it makes the same object."""
    headers = {"accept": f"{PROTOBUF},application/json"}
    reply = client.post(DEPLOYMENTS, deployment(), kind=PROTOBUF, headers=headers)
    assert (reply.status, reply.json["spec"]["replicas"]) == (201, 0)
    data = field(2, field(1, "k") + field(2, "v")) + field(3, field(1, "b") + field(2, b"\x00\xff"))
    body = envelope("v1", "ConfigMap", METADATA + data)
    assert client.post(CONFIG_MAPS, body, kind=PROTOBUF, headers=headers).json["binaryData"] == {"b": "AP8="}


def test_a_client_that_accepts_protobuf_alone_is_told(client: Client) -> None:
    """Answers are JSON: who does not accept that gets a 406."""
    assert client.get(CONFIG_MAPS, headers={"accept": PROTOBUF}).status == 406


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"nope", "does not appear to be a protobuf message"),
        (MAGIC + b"\x0a\xff", "unexpected EOF"),
        (envelope("v1", "Widget", b""), "does not read Widget as protobuf"),
        (envelope("v1", "ConfigMap", field(99, 1)), "does not know protobuf field 99 of ConfigMap"),
        (envelope("v1", "ConfigMap", field(1, 7)), "wrong wireType"),
        (envelope("v1", "ConfigMap", field(1, field(1, b"\xff"))), "invalid UTF-8"),
        (envelope("v1", "ConfigMap", b"\x0d\x00\x00\x00\x00"), "illegal wireType"),
        (envelope("v1", "ConfigMap", b"\x00\x00"), "illegal tag 0"),
        (envelope("v1", "ConfigMap", b"\xff" * 11), "integer overflow"),
        (MAGIC + field(3, "gzip"), "compressed"),
    ],
)
def test_what_cannot_be_read_is_refused(body: bytes, message: str) -> None:
    """Bytes that are no message, and fields that the sandbox does not know, are refused, never dropped."""
    with pytest.raises(Malformed, match=message):
        from_protobuf(body)


@given(kind=st.sampled_from(sorted(MESSAGES)), raw=st.binary(max_size=40))
def test_any_bytes_are_read_or_malformed(kind: str, raw: bytes) -> None:
    """Whatever bytes an envelope holds, they are an object or malformed."""
    with contextlib.suppress(Malformed):
        assert from_protobuf(envelope("v1", kind, raw))["kind"] == kind


@given(number=st.integers(min_value=-(1 << 63), max_value=(1 << 63) - 1))
def test_numbers_keep_their_sign(number: int) -> None:
    """A negative number is a varint of ten bytes, and comes back negative."""
    raw = field(1, field(1, "x")) + field(2, number)
    assert from_protobuf(envelope("scheduling.k8s.io/v1", "PriorityClass", raw)).get("value", 0) == number


def test_the_table_is_whole() -> None:
    """Every message that the table names is in it."""
    plain = {"string", "int", "bool", "bytes", "time", "quantity", "int-or-string"}
    for fields in MESSAGES.values():
        for line in filter(None, fields.split(",")):
            kind = line.split()[2].removeprefix("[]").removeprefix("map:").removesuffix("?")
            assert kind in plain or kind in MESSAGES
