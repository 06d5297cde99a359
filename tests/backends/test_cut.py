from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

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
from decklog.audit.wire import decode_event, encode_line
from decklog.backends.cut import cut
from decklog.testing import event

MIB = 1024 * 1024
LIMIT = 102_400
LONG = "x" * MIB


def mark(data: bytes) -> str:
    return f"len={len(data)} sha256={hashlib.sha256(data).hexdigest()}"


def notes(made: Event) -> dict[str, str]:
    return {key: value for key, value in made.annotations.items() if key.startswith("decklog/cut-")}


HOSTILE: dict[str, dict[str, Any]] = {
    "level": {"level": LONG},
    "auditID": {"audit_id": LONG},
    "stage": {"stage": LONG},
    "requestURI": {"request_uri": "/?" + "<" * MIB},
    "verb": {"verb": "é" * MIB},
    "user.username": {"user": User(LONG)},
    "user.uid": {"user": User("a", uid=LONG)},
    "user.groups": {"user": User("a", groups=("dev", LONG, "ops"))},
    "user.extra": {"user": User("a", extra={"k": (LONG, "v"), "l": None})},
    "impersonatedUser.username": {"impersonated_user": User(LONG)},
    "impersonatedUser.extra": {"impersonated_user": User("a", extra={LONG: ("v",), LONG + "y": ()})},
    "authenticationMetadata.impersonationConstraint": {"authentication_metadata": AuthenticationMetadata(LONG)},
    "sourceIPs": {"source_ips": ("192.0.2.7",) * 50_000},
    "userAgent": {"user_agent": "\ud800\u2028&" * (MIB // 8)},
    "objectRef.name": {"object_ref": ObjectReference("pods", "shop", LONG)},
    "objectRef.subresource": {"object_ref": ObjectReference("pods", "shop", "web-0", subresource=LONG)},
    "responseStatus.message": {"response_status": Status(message="\x00" * MIB, code=400)},
    "responseStatus.metadata.continue": {"response_status": Status(metadata=ListMeta(continue_=LONG))},
    "responseStatus.details.name": {"response_status": Status(details=StatusDetails(name=LONG))},
    "responseStatus.details.causes": {
        "response_status": Status(details=StatusDetails(causes=(StatusCause("Invalid", LONG[:MIB], "spec"),) * 2))
    },
    "requestObject": {"request_object": Raw(b'"' + LONG.encode() + b'"')},
    "responseObject": {"response_object": Raw(b'"' + LONG.encode() + b'"')},
    "requestReceivedTimestamp": {"request_received_timestamp": LONG},
    "annotations": {"annotations": {"a": LONG, "authorization.k8s.io/decision": "allow"}},
}


@pytest.mark.parametrize("field", HOSTILE)
def test_a_mebibyte_in_any_field_makes_no_event_disappear(field: str) -> None:
    """It comes out small enough, valid, with a mark of that field alone; everything else is as it was."""
    hostile = event(**HOSTILE[field])
    kept, size = cut(hostile, LIMIT, encode_line)
    line = encode_line(kept)
    assert size == len(line) <= LIMIT
    assert encode_line(decode_event(line)) == line
    assert set(notes(kept)) == {f"decklog/cut-{field}"}
    plain = event()
    whole = {name: getattr(kept, name) == getattr(plain, name) for name in Event.__struct_fields__}
    assert {name for name, same in whole.items() if not same} <= {*HOSTILE[field], "annotations"}
    assert list(kept.annotations) == sorted(kept.annotations)


@pytest.mark.parametrize(
    ("field", "text"),
    [("userAgent", "curl/8 " + LONG), ("userAgent", "é" * MIB), ("userAgent", "a\ud800" * MIB)],
    ids=["ASCII", "two bytes a character", "lone surrogates"],
)
def test_a_text_keeps_a_beginning_and_is_marked(field: str, text: str) -> None:
    """The mark is length and SHA-256 of the text's UTF-8; the dots say that it goes on."""
    kept, _ = cut(event(user_agent=text), LIMIT, encode_line)
    assert kept.annotations[f"decklog/cut-{field}"] == mark(text.encode(errors="surrogatepass"))
    assert kept.user_agent.endswith("…")
    assert kept.user_agent.startswith(text[0])
    if "\ud800" not in text:
        assert text.startswith(kept.user_agent[:-1])
        assert len(kept.user_agent) > 10_000


def test_a_collection_is_marked_by_its_json() -> None:
    """Length and SHA-256 of the compact JSON, keys in the order of the wire."""
    annotations = {"a": LONG, "authorization.k8s.io/decision": "allow"}
    kept, _ = cut(event(annotations=annotations), LIMIT, encode_line)
    json = b'{"a":"' + LONG.encode() + b'","authorization.k8s.io/decision":"allow"}'
    assert kept.annotations["decklog/cut-annotations"] == mark(json)


def test_the_longest_fields_go_first() -> None:
    """What is short stays whole; of two long ones both are cut alike."""
    kept, _ = cut(event(user_agent=LONG, request_uri=LONG, verb="v" * 5000), LIMIT, encode_line)
    assert len(kept.verb) == 5000
    assert len(kept.user_agent) == len(kept.request_uri)
    assert set(notes(kept)) == {"decklog/cut-userAgent", "decklog/cut-requestURI"}


def test_a_group_that_was_cut_is_no_other_group() -> None:
    """A beginning never passes for the name of somebody else: it ends with dots."""
    groups = ("system:masters" + "-" * MIB, "dev")
    kept, _ = cut(event(user=User("alice", groups=groups)), LIMIT, encode_line)
    assert kept.user.groups[0].endswith("-…")
    assert kept.user.groups[1] == "dev"


def test_the_annotations_of_kubernetes_are_kept_before_others() -> None:
    """A flood of annotations does not wash away the decision."""
    flood = {f"{number:06}": "x" for number in range(50_000)} | {"authorization.k8s.io/decision": "allow"}
    kept, _ = cut(event(annotations=flood), LIMIT, encode_line)
    assert kept.annotations["authorization.k8s.io/decision"] == "allow"
    assert kept.annotations["000000"] == "x"


def test_an_event_that_is_long_everywhere_is_reduced_to_who_what_and_when() -> None:
    """Below a few KiB: level, stage, verb, user, URI, times, and the mark of the whole line."""
    hostile = event(**{name: value for overrides in HOSTILE.values() for name, value in overrides.items()})
    kept, size = cut(hostile, 2048, encode_line)
    assert size <= 2048
    assert notes(kept) == {"decklog/cut-event": mark(encode_line(hostile))}
    assert kept.stage_timestamp == hostile.stage_timestamp
    assert encode_line(decode_event(encode_line(kept))) == encode_line(kept)


def test_an_event_that_fits_is_left_alone() -> None:
    """Nothing is cut without need."""
    made = event()
    assert cut(made, LIMIT, encode_line) == (made, len(encode_line(made)))


_texts = st.one_of(
    st.text(max_size=20), st.builds(lambda text, times: text * times, st.text(max_size=5), st.integers(0, 2000))
)
_many = st.lists(_texts, max_size=6).map(tuple)
_users = st.builds(
    User,
    _texts,
    _texts,
    _many,
    st.dictionaries(_texts, st.none() | _many, max_size=4).map(lambda d: dict(sorted(d.items()))),
)


@settings(max_examples=150, deadline=None)
@given(
    made=st.builds(
        event,
        level=_texts,
        audit_id=_texts,
        request_uri=_texts,
        user=_users,
        impersonated_user=st.none() | _users,
        user_agent=_texts,
        source_ips=_many,
        response_status=st.none() | st.builds(Status, message=_texts, reason=_texts),
        annotations=st.dictionaries(_texts, _texts, max_size=6).map(lambda d: dict(sorted(d.items()))),
    ),
    limit=st.integers(2048, 20_000),
)
def test_whatever_an_event_holds_it_comes_out_small_and_valid(made: Event, limit: int) -> None:
    """From 2 KiB on, every event fits in the end, and every mark belongs to what was there."""
    kept, size = cut(made, limit, encode_line)
    line = encode_line(kept)
    assert size == len(line) <= limit
    assert encode_line(decode_event(line)) == line
    if notes(kept).get("decklog/cut-userAgent"):
        assert notes(kept)["decklog/cut-userAgent"] == mark(made.user_agent.encode())
