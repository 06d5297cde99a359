from __future__ import annotations

import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw, structs

from decklog.audit.event import (
    AuthenticationMetadata,
    Event,
    ListMeta,
    ObjectReference,
    Status,
    StatusCause,
    StatusDetails,
    User,
)
from decklog.audit.jsontext import MAX_DEPTH, text
from decklog.audit.legacy import NoGroups
from decklog.audit.times import microtime
from decklog.audit.wire import (
    WireError,
    compact,
    decode_event,
    decode_list,
    decode_with_rest,
    encode_event,
    encode_item,
    encode_line,
    encode_list,
    join_items,
    split_list,
)
from decklog.testing import event

_HEAD = b'{"kind":"Event","apiVersion":"audit.k8s.io/v1",'
_TIMES = b'"requestReceivedTimestamp":null,"stageTimestamp":null'


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


# Encoding


def test_a_bare_event_has_its_required_fields() -> None:
    """Empty strings, the empty user and both times are written; everything else is left out."""
    assert encode_event(_fields()) == (
        _HEAD + b'"level":"","auditID":"","stage":"","requestURI":"","verb":"","user":{},' + _TIMES + b"}"
    )


def test_a_full_event_keeps_the_servers_order() -> None:
    """Every field stands where kube-apiserver puts it."""
    full = _fields(
        level="RequestResponse",
        audit_id="i",
        stage="ResponseComplete",
        request_uri="/x",
        verb="create",
        user=User("u", "1", ("g",), {"k": ("v",), "n": None, "e": ()}),
        impersonated_user=User("v"),
        authentication_metadata=AuthenticationMetadata("impersonate:user-info"),
        source_ips=("192.0.2.1", "192.0.2.2"),
        user_agent="a",
        object_ref=ObjectReference("r", "ns", "n", "u", "g", "v1", "9", "log"),
        response_status=Status(
            ListMeta(),
            "Failure",
            "m",
            "NotFound",
            StatusDetails("n", "g", "k", "u", (StatusCause("r", "m", "f"),), 2),
            404,
        ),
        request_object=Raw(b'{"a":1.0}'),
        response_object=Raw(b"[1e400]"),
        request_received_timestamp="2026-01-02T03:04:05.123456Z",
        stage_timestamp="2026-01-02T03:04:06.000001Z",
        annotations={"a": "", "b": "x"},
    )
    expected = (
        '"level":"RequestResponse","auditID":"i","stage":"ResponseComplete","requestURI":"/x","verb":"create",'
        '"user":{"username":"u","uid":"1","groups":["g"],"extra":{"k":["v"],"n":null,"e":[]}},'
        '"impersonatedUser":{"username":"v"},'
        '"authenticationMetadata":{"impersonationConstraint":"impersonate:user-info"},'
        '"sourceIPs":["192.0.2.1","192.0.2.2"],"userAgent":"a",'
        '"objectRef":{"resource":"r","namespace":"ns","name":"n","uid":"u","apiGroup":"g","apiVersion":"v1",'
        '"resourceVersion":"9","subresource":"log"},'
        '"responseStatus":{"metadata":{},"status":"Failure","message":"m","reason":"NotFound","details":{"name":"n",'
        '"group":"g","kind":"k","uid":"u","causes":[{"reason":"r","message":"m","field":"f"}],"retryAfterSeconds":2},'
        '"code":404},"requestObject":{"a":1.0},"responseObject":[1e400],'
        '"requestReceivedTimestamp":"2026-01-02T03:04:05.123456Z","stageTimestamp":"2026-01-02T03:04:06.000001Z",'
        '"annotations":{"a":"","b":"x"}}\n'
    )
    assert encode_line(full) == _HEAD + expected.encode()


_STRINGS = {
    "html": ("a<b>&c", rb"a\u003cb\u003e\u0026c"),
    "line separators": ("a\u2028b\u2029c", rb"a\u2028b\u2029c"),
    "their neighbours stay": ("\u2027\u202a", "\u2027\u202a".encode()),
    "quotes": ('"\\/', rb"\"\\/"),
    "short escapes": ("\b\f\n\r\t", rb"\b\f\n\r\t"),
    "other control characters": ("\x00\x01\x1f", rb"\u0000\u0001\u001f"),
    "DEL and the rest are literal": ("\x7fé☃😀\u200b\ufeff\ufffd", "\x7fé☃😀\u200b\ufeff\ufffd".encode()),
    "bytes that are no UTF-8": (text(b"\xff\xc3<") + "é", rb"\ufffd\ufffd\u003c" + "é".encode()),
    "any lone surrogate": ("\ud800x\udfff", rb"\ufffdx\ufffd"),
}


@pytest.mark.parametrize(("value", "expected"), _STRINGS.values(), ids=_STRINGS)
def test_strings_are_escaped_as_go_escapes_them(value: str, expected: bytes) -> None:
    """In a value, in a key, at any depth; nothing raises for what a string may hold."""
    line = encode_line(_fields(user_agent=value, user=User(extra={value: (value,)}), annotations={value: value}))
    assert b'"userAgent":"' + expected + b'"' in line
    assert b'"user":{"extra":{"' + expected + b'":["' + expected + b'"]}}' in line
    assert line.endswith(b'"annotations":{"' + expected + b'":"' + expected + b'"}}\n')


def test_bodies_are_copied_but_for_five_characters() -> None:
    """Inside a body too <, >, & and the line separators are escaped; the rest stays, be it no UTF-8."""
    body = compact('{ "a":"<&>\u2028é", "a" : 1.0 }'.encode()[:-2] + b', "b":"\xff"}')
    assert encode_event(_fields(request_object=Raw(body))).endswith(
        rb'"requestObject":{"a":"\u003c\u0026\u003e\u2028' + "é".encode() + b'","a":1.0,"b":"\xff"},' + _TIMES + b"}"
    )


def test_a_bad_string_leaves_bodies_alone() -> None:
    """The way for strings with lone surrogates writes the same fields in the same order, and bodies byte for byte."""
    good = event(request_object=Raw(b'{"x":"\xff"}'), response_object=Raw(b'"\xfe"'), user_agent="mark")
    bad = structs.replace(good, user_agent="\udcff")
    assert encode_line(bad) == encode_line(good).replace(b"mark", rb"\ufffd")


def test_empty_is_left_out_however_it_is_empty() -> None:
    """An empty Raw of one's own, and groups that were given as empty, are left out like the defaults."""
    odd = event(request_object=Raw(), response_object=Raw(b""), impersonated_user=User("v", groups=NoGroups()))
    assert encode_line(odd) == encode_line(event(impersonated_user=User("v")))


def test_a_list_holds_bare_items() -> None:
    """The list says what it is, its items do not."""
    one, two = event(audit_id="1"), event(audit_id="<2>", request_object=Raw(b"{}"))
    items = [b"{" + encode_event(each).removeprefix(_HEAD) for each in (one, two)]
    expected = (
        b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[' + b",".join(items) + b"]}\n"
    )
    assert encode_list([one, two]) == expected
    assert join_items([encode_item(one), encode_item(two)]) == expected
    assert encode_list([]) == b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[]}\n'
    assert decode_list(expected) == (one, two)
    assert split_list(expected) == tuple(items)


# Both ways

_text = st.text(max_size=8)
_texts = st.lists(_text, max_size=3).map(tuple)
_map = st.dictionaries(_text, _text, max_size=3).map(lambda entries: dict(sorted(entries.items())))
_extra = st.dictionaries(_text, st.none() | _texts, max_size=3).map(lambda entries: dict(sorted(entries.items())))
_users = st.builds(User, _text, _text, _texts, _extra)
_time = st.none() | st.integers(min_value=0, max_value=250_000_000_000_000_000_000).map(microtime)
_body = st.sampled_from(
    [Raw(b"{}"), Raw(rb'{"a":"\ud800"}'), Raw(b"[1e400]"), Raw(b'"\xff <"'), Raw(b"[" * 1100 + b"]" * 1100)]
)
_details = st.builds(
    StatusDetails,
    _text,
    _text,
    _text,
    _text,
    st.lists(st.builds(StatusCause, _text, _text, _text), max_size=2).map(tuple),
    st.integers(0, 9),
)
_statuses = st.builds(Status, st.just(ListMeta()), _text, _text, _text, st.none() | _details, st.integers(0, 599))
_events = st.builds(
    Event,
    level=_text,
    audit_id=_text,
    stage=_text,
    request_uri=_text,
    verb=_text,
    user=_users,
    impersonated_user=st.none() | _users,
    authentication_metadata=st.none() | st.builds(AuthenticationMetadata, _text),
    source_ips=_texts,
    user_agent=_text,
    object_ref=st.none() | st.builds(ObjectReference, *[_text] * 8),
    response_status=st.none() | _statuses,
    request_object=_body,
    response_object=_body,
    request_received_timestamp=_time,
    stage_timestamp=_time,
    annotations=_map,
)


def _escaped(raw: Raw) -> bytes:
    return bytes(raw).replace(b"<", b"\\u003c")


@given(_events)
def test_what_was_encoded_is_decoded(given_event: Event) -> None:
    """Decoding gives the event back, poisonous bodies included, and encoding again the same bytes."""
    line = encode_line(given_event)
    decoded = decode_event(line)
    for name in ("request_object", "response_object"):
        assert bytes(getattr(decoded, name)) == _escaped(getattr(given_event, name))
    bodies = {"request_object": Raw(), "response_object": Raw()}
    assert structs.replace(decoded, **bodies) == structs.replace(given_event, **bodies)
    assert encode_line(decoded) == line
    assert decode_list(encode_list([given_event])) == (decoded,)


@given(_events)
def test_both_ways_of_decoding_agree(given_event: Event) -> None:
    """The careful way reads the same event, and finds nothing besides."""
    line = encode_line(given_event)
    assert decode_with_rest(line) == (decode_event(line), {})


@given(_events)
def test_encoding_agrees_with_pythons_json(given_event: Event) -> None:
    """Bodies aside, the text is json's own with five characters escaped."""
    plain = structs.replace(given_event, request_object=Raw(), response_object=Raw())
    built = {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        **json.loads(msgspec.json.encode(decode_event(encode_line(plain)))),
    }
    expected = json.dumps(built, ensure_ascii=False, separators=(",", ":"))
    for char in "<>&\u2028\u2029":
        expected = expected.replace(char, f"\\u{ord(char):04x}")
    assert encode_event(plain) == expected.encode()


# Decoding


def test_fields_may_stand_in_any_order() -> None:
    """Another program may have sorted the keys, spread them over lines, or added its own."""
    whole = event(request_object=Raw(b'{"b":1,"a":2}'))
    shuffled = dict(reversed(json.loads(encode_line(whole)).items()))
    shuffled["@timestamp"] = {"nested": [1]}
    assert decode_event(json.dumps(shuffled, indent=1).encode()) == whole


def test_what_is_missing_or_null_is_empty() -> None:
    """Go fills in its zero values."""
    names = [field.encode_name for field in structs.fields(Event)]
    assert decode_event(b'{"kind":"Event","apiVersion":"audit.k8s.io/v1"}') == _fields()
    assert decode_event(_document(**dict.fromkeys(names))) == _fields()


def test_maps_come_sorted() -> None:
    """Annotations and extra are written sorted by key, as Go writes its maps; of duplicates the last counts."""
    data = _document(mark=0).replace(
        b'"mark": 0', b'"annotations":{"b":"1","a":"2","b":"3"},"user":{"extra":{"z":["1"],"~":[],"a":["2"]}}'
    )
    encoded = encode_event(decode_event(data)).decode()
    assert '"user":{"extra":{"a":["2"],"z":["1"],"~":[]}}' in encoded
    assert encoded.endswith('"annotations":{"a":"2","b":"3"}}')


def test_sorting_reaches_complete_events_too() -> None:
    """The quick way sorts what it reads."""
    loose = event(
        annotations={"b": "", "a": ""},
        user=User(extra={"b": (), "a": ()}),
        impersonated_user=User(extra={"d": (), "c": ()}),
    )
    decoded = decode_event(encode_line(loose))
    assert list(decoded.annotations) == list(decoded.user.extra) == ["a", "b"]
    assert decoded.impersonated_user is not None
    assert list(decoded.impersonated_user.extra) == ["c", "d"]


def test_times_come_to_utc() -> None:
    """An offset is taken; Go's zero time is no time."""
    line = encode_line(event()).replace(b"05.000000Z", b"05.000000+02:00").replace(b"05.004000Z", b"05.004000-07:30")
    decoded = decode_event(line)
    assert decoded.request_received_timestamp == "2026-01-02T01:04:05.000000Z"
    assert decoded.stage_timestamp == "2026-01-02T10:34:05.004000Z"
    zero = _document(requestReceivedTimestamp="0001-01-01T00:00:00.000000Z")
    assert decode_event(zero).request_received_timestamp is None


def test_bodies_come_compacted() -> None:
    """Whitespace between the tokens of a body goes, null is no body."""
    line = encode_line(event(request_object=Raw(b'{"mark":1}'), response_object=Raw(b"null")))
    decoded = decode_event(line.replace(b'{"mark":1}', b'{ "mark" : [ 1,\t2 ] }'))
    assert bytes(decoded.request_object) == b'{"mark":[1,2]}'
    assert decoded == event(request_object=Raw(b'{"mark":[1,2]}'))


def test_groups_given_as_empty_are_remembered() -> None:
    """The legacy line tells them from groups that are not known; JSON does not."""
    data = encode_line(event(impersonated_user=User("v"))).replace(b'{"username":"v"}', b'{"username":"v","groups":[]}')
    other = decode_event(data).impersonated_user
    assert other is not None
    assert isinstance(other.groups, NoGroups)
    assert decode_event(data) == event(impersonated_user=User("v"))
    assert type(event(impersonated_user=User("v")).user.groups) is tuple


_POISON = {
    "a lone surrogate": rb'{"a":"\ud800"}',
    "a number that overflows": b"1e400",
    "a number of 5,000 digits": b"1" * 5000,
    "a byte that is no UTF-8": b'"\xff"',
    "10,000 levels": b"[" * MAX_DEPTH + b"]" * MAX_DEPTH,
    "10,000 levels of objects": b'{"a":' * (MAX_DEPTH - 1) + b"{}" + b"}" * (MAX_DEPTH - 1),
    "a NUL, escaped": rb'"\u0000"',
}


@pytest.mark.parametrize("body", _POISON.values(), ids=_POISON)
def test_a_poison_body_does_not_take_its_event_down(body: bytes) -> None:
    """What no common parser reads is kept verbatim, alone and in a list."""
    poisoned = event(request_object=Raw(body))
    assert decode_event(encode_line(poisoned)) == poisoned
    assert decode_list(encode_list([event(), poisoned, event()])) == (event(), poisoned, event())


def test_bad_strings_are_mended() -> None:
    """Half a surrogate pair and bytes that are no UTF-8 become U+FFFD, which is written as itself."""
    line = encode_line(event(user_agent="mark"))
    decoded = decode_event(line.replace(b"mark", rb"\ud800" + b"\xff\xe2\x98"))
    assert decoded.user_agent == "\ufffd" * 4
    assert encode_line(decoded) == line.replace(b"mark", "\ufffd".encode() * 4)


def test_a_complete_event_is_held_to_the_same_types() -> None:
    """The quick way refuses what the careful way refuses."""
    line = encode_line(event(response_status=Status(code=200)))
    for bad in (b'"code":4294967296', b'"code":200.0', b'"code":"200"'):
        with pytest.raises(WireError, match=r"responseStatus\.code"):
            decode_event(line.replace(b'"code":200', bad))
    with pytest.raises(WireError, match="stageTimestamp"):
        decode_event(line.replace(b"05.004000Z", b"05.004Z"))


@given(st.data())
def test_damaged_lines_are_events_or_wire_errors(data: st.DataObject) -> None:
    """Whatever happens to a line on its way, decoding raises nothing else."""
    line = bytearray(encode_line(event(request_object=Raw(rb'{"a":["\ud800",1]}'))))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(line) - 1))
        line[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    with contextlib.suppress(WireError):
        encode_line(decode_event(bytes(line)))


def test_items_of_lists_need_no_kind() -> None:
    """Such an item, written to a file by itself, is read as v1."""
    item = b"{" + encode_event(event()).removeprefix(_HEAD)
    assert decode_event(item) == event()


# Lists


def test_a_list_may_be_empty_or_null() -> None:
    """Go's nil list is null."""
    head = b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{}'
    assert (
        decode_list(head + b',"items":null}') == decode_list(head + b',"items":[]}') == decode_list(head + b"}") == ()
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "not an EventList: no kind"),
        (encode_event(event()), "not an EventList but 'Event'"),
        (b'{"kind":"EventList","apiVersion":"v1","items":[]}', "unknown apiVersion 'v1'"),
        (b'{"kind":"EventList"}', "unknown apiVersion ''"),
        (b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":{}}', "not a JSON array"),
        (b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[1]}', "not a JSON object"),
        (b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[{},]}', "not JSON"),
    ],
)
def test_what_is_no_list_is_refused(data: bytes, reason: str) -> None:
    """A list says its kind and version, and its items are events."""
    with pytest.raises(WireError, match=reason):
        decode_list(data)


def test_one_bad_item_does_not_hide_the_others() -> None:
    """The items of a list come apart, though one of them is no event, too deep, or full of bad strings."""
    deep = b'"requestObject":' + b"[" * (MAX_DEPTH + 100) + b"]" * (MAX_DEPTH + 100)
    for bad in (b"{}", b"1", rb'{"auditID":"\ud800"}', b'{"auditID":"\xff"}', b"{" + deep + b"}"):
        data = encode_list([event(), event()]).replace(b'"items":[', b'"items":[' + bad + b",")
        items = split_list(data)
        assert items[0] == bad
        assert [decode_event(item) for item in items[1:]] == [event(), event()]
