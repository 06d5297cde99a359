from __future__ import annotations

import gzip
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from decklog.recorder.objects import (
    UnreadableError,
    drop_managed_fields,
    inflate,
    is_watch_stream,
    media_type,
    to_json,
    types,
)

MANAGED = {
    "an object": (
        b'{"kind":"Pod","metadata":{"name":"web","managedFields":[{"manager":"x"}],"uid":"u"},"n":1.0}',
        b'{"kind":"Pod","metadata":{"name":"web","uid":"u"},"n":1.0}',
    ),
    "metadata of nothing else": (b'{"metadata":{"managedFields":[]}}', b'{"metadata":{}}'),
    "list items": (
        b'{"items":[{"metadata":{"managedFields":[1],"name":"a"}},{"metadata":{"name":"b"}}]}',
        b'{"items":[{"metadata":{"name":"a"}},{"metadata":{"name":"b"}}]}',
    ),
    "table rows": (
        b'{"rows":[{"cells":["a"],"object":{"metadata":{"managedFields":[1],"name":"a"}}},{"cells":[]}]}',
        b'{"rows":[{"cells":["a"],"object":{"metadata":{"name":"a"}}},{"cells":[]}]}',
    ),
    "elsewhere they stay": (
        b'{"spec":{"template":{"metadata":{"managedFields":[1]}}},"managedFields":[2]}',
        b'{"spec":{"template":{"metadata":{"managedFields":[1]}}},"managedFields":[2]}',
    ),
    "odd shapes": (
        b'{"metadata":5,"items":{"managedFields":1},"rows":null}',
        b'{"metadata":5,"items":{"managedFields":1},"rows":null}',
    ),
    "a string that names them": (b'["\\"managedFields\\""]', b'["\\"managedFields\\""]'),
    "a body that the fast parser refuses": (
        b'{"metadata":{"managedFields":[1],"name":"\\ud800"}}',
        b'{"metadata":{"name":"\\ud800"}}',
    ),
}


@pytest.mark.parametrize("name", MANAGED)
def test_managed_fields_are_cut_out_and_nothing_else_changes(name: str) -> None:
    """Of the object, of list items and of table rows; every other byte stays."""
    before, after = MANAGED[name]
    assert bytes(drop_managed_fields(Raw(before))) == after


leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["metadata", "items", "rows", "object", "managedFields", "x"]), inner, max_size=4
        )
    ),
)


@given(values)
def test_cutting_managed_fields_equals_deleting_the_keys(value: object) -> None:
    """The splice on bytes and the deletion on values agree, for any shape."""
    raw = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    assert json.loads(bytes(drop_managed_fields(Raw(raw)))) == _deleted(value)


def _deleted(value: object) -> object:
    if not isinstance(value, dict):
        return value
    copy = json.loads(json.dumps(value))
    entries = [copy]
    if isinstance(copy.get("items"), list):
        entries += copy["items"]
    if isinstance(copy.get("rows"), list):
        entries += [row["object"] for row in copy["rows"] if isinstance(row, dict) and "object" in row]
    for entry in entries:
        if isinstance(entry, dict) and isinstance(entry.get("metadata"), dict):
            entry["metadata"].pop("managedFields", None)
    return copy


def test_gzip_and_deflate_are_undone() -> None:
    """A body is read as it was before its Content-Encoding."""
    assert inflate(gzip.compress(b"{}"), "gzip", 100) == b"{}"
    assert inflate(zlib.compress(b"{}"), "deflate", 100) == b"{}"
    assert inflate(b"{}", "identity", 100) == b"{}"


BOMBS = {
    "longer than the limit": (gzip.compress(b"0" * 1000), "gzip"),
    "cut short": (gzip.compress(b"0" * 1000)[:-9], "gzip"),
    "not gzip": (b"{}", "gzip"),
    "an unknown encoding": (b"{}", "br"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_cannot_be_unpacked_within_the_limit_is_unreadable(name: str) -> None:
    """A compression bomb stops at the limit."""
    body, encoding = BOMBS[name]
    with pytest.raises(UnreadableError):
        inflate(body, encoding, 999)


UNREADABLE = {
    "text": (b"ok", "text/plain"),
    "a form": (b"a=b", "application/x-www-form-urlencoded"),
    "broken YAML": (b"a: [", "application/yaml"),
    "a YAML bomb": (
        b"a: &a [x,x,x,x,x,x,x,x,x]\n"
        + b"".join(b"%c: &%c [%s]\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 9)) for c in range(98, 110)),
        "application/yaml",
    ),
    "YAML that JSON cannot say": (b"a: .nan", "application/yaml"),
    "broken CBOR": (b"\xff\xff", "application/cbor"),
    "protobuf without a kind": (b"k8s\x00", "application/vnd.kubernetes.protobuf"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_is_not_what_it_says_is_unreadable(name: str) -> None:
    """One error for everything that cannot become JSON."""
    body, content_type = UNREADABLE[name]
    with pytest.raises(UnreadableError):
        to_json(body, content_type)


def test_protobuf_is_kept_as_its_kind_and_its_bytes() -> None:
    """Without schemas, kind and apiVersion are told and the bytes kept."""
    body = b"k8s\x00\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12\x00"
    assert json.loads(bytes(to_json(body, "application/vnd.kubernetes.protobuf"))) == {
        "kind": "ConfigMap",
        "apiVersion": "v1",
        "decklog/content-type": "application/vnd.kubernetes.protobuf",
        "decklog/base64": "azhzAAoPCgJ2MRIJQ29uZmlnTWFwEgA=",
    }


def test_content_types_are_read_without_their_parameters() -> None:
    """Case and parameters do not matter, but for the stream of a watch."""
    assert media_type("Application/JSON; charset=utf-8") == "application/json"
    assert is_watch_stream("application/json; stream=watch")
    assert not is_watch_stream("application/json")


@pytest.mark.parametrize(
    ("body", "kind"),
    [(b'{"kind":"Pod","x":"\\ud800"}', "Pod"), (b'{"kind":5}', None), (b"[]", None), (b'{"kind":null}', None)],
)
def test_the_kind_is_read_from_any_body(body: bytes, kind: str | None) -> None:
    """Also from one that the fast parser refuses."""
    assert types(Raw(body)).kind == kind


ODD = {
    "a bad byte in the name": b'{"kind":"Pod","metadata":{"name":"\xff"}}',
    "nested deeper than Python recurses": b'{"kind":"Pod","x":' + b"[" * 1100 + b"]" * 1100 + b"}",
}


@pytest.mark.parametrize("name", ODD)
def test_the_type_is_read_whatever_else_the_body_holds(name: str) -> None:
    """Bytes that are no UTF-8 and deep nesting hide neither the kind nor stop the managed fields."""
    raw = to_json(ODD[name], "application/json")
    assert types(raw).kind == "Pod"


def test_a_bad_byte_beside_managed_fields_is_no_error() -> None:
    """The fields are cut out as from any other body."""
    raw = Raw(b'{"metadata":{"managedFields":[1],"\xff":1}}')
    assert b"managedFields" not in bytes(drop_managed_fields(raw))


LAUGHS = {
    "a cycle": bytes.fromhex("d81c81d81d00"),
    "a list that shares itself twice per level": b"\x95\xd8\x1c\x81\x00"
    + b"".join(b"\xd8\x1c\x82" + b"\xd8\x1d" + bytes([level]) + b"\xd8\x1d" + bytes([level]) for level in range(20)),
}


@pytest.mark.parametrize("name", LAUGHS)
def test_shared_references_in_cbor_cannot_make_more_of_a_body(name: str) -> None:
    """A body that unfolds beyond its own length, or for ever, is unreadable."""
    with pytest.raises(UnreadableError):
        to_json(LAUGHS[name], "application/cbor")
