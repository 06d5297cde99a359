from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decklog.audit.event import Status, StatusCause, StatusDetails
from decklog.audit.protobuf_wire import MAGIC
from decklog.recorder import protobuf


def varint(number: int) -> bytes:
    """Encode a number as protobuf does."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def text(number: int, value: str | bytes) -> bytes:
    """Encode a length-delimited field."""
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def number(field: int, value: int) -> bytes:
    """Encode a varint field."""
    return varint(field << 3) + varint(value & 0xFFFFFFFFFFFFFFFF)


def wrapped(api_version: str, kind: str, inner: bytes) -> bytes:
    """Wrap an object as Kubernetes sends it."""
    return MAGIC + text(1, text(1, api_version) + text(2, kind)) + text(2, inner)


META = text(1, "web") + text(3, "shop") + text(5, "u-1") + text(6, "42") + text(11, text(1, "k") + text(2, "v"))


def test_the_envelope_names_the_kind() -> None:
    """The magic, the type and the object's bytes are read."""
    assert protobuf.unwrap(wrapped("v1", "ConfigMap", b"\x0a\x00")) == ("v1", "ConfigMap", b"\x0a\x00")


def test_an_object_s_metadata_is_its_first_field() -> None:
    """Name, namespace, uid and resourceVersion are found among the other fields."""
    inner = text(1, META) + text(2, "data")
    assert protobuf.object_meta(inner) == {"name": "web", "namespace": "shop", "uid": "u-1", "resourceVersion": "42"}


def test_a_status_is_read_whole() -> None:
    """Every field of a Status is read, causes included."""
    cause = text(1, "FieldValueRequired") + text(2, "Required value") + text(3, "spec")
    details = text(1, "web") + text(2, "apps") + text(3, "deployments") + text(4, cause) + number(5, 3) + text(6, "u")
    inner = text(1, b"") + text(2, "Failure") + text(3, "no") + text(4, "Invalid") + text(5, details) + number(6, 422)
    assert protobuf.status(inner) == Status(
        status="Failure",
        message="no",
        reason="Invalid",
        details=StatusDetails(
            "web", "apps", "deployments", "u", (StatusCause("FieldValueRequired", "Required value", "spec"),), 3
        ),
        code=422,
    )


ODD = {
    "no magic": (b"{}", "magic"),
    "a length beyond the end": (MAGIC + b"\x0a\x7fab", "past the end"),
    "a number without an end": (MAGIC + b"\xff\xff", "EOF"),
    "a number too long": (MAGIC + b"\x08" + b"\xff" * 11, "overflow"),
    "a wire type that is none": (MAGIC + b"\x0f", "wire type 7"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_bytes_are_a_value_error(name: str) -> None:
    """Nothing but ValueError comes out of broken bytes."""
    body, words = ODD[name]
    with pytest.raises(ValueError, match=words):
        protobuf.unwrap(body)


@given(st.binary(max_size=200))
def test_hostile_bytes_never_do_worse_than_value_error(body: bytes) -> None:
    """Any bytes after the magic are read or refused."""
    try:
        inner = protobuf.unwrap(MAGIC + body)[2]
        protobuf.object_meta(inner)
        protobuf.status(inner)
    except ValueError:
        pass


def test_negative_numbers_are_read() -> None:
    """An int32 below zero is a ten-byte varint."""
    assert protobuf.status(number(6, -1)).code == -1
