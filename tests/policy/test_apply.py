from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from decklog.audit.event import NO_OBJECT, Level, Stage, Status, User
from decklog.audit.wire import decode_event, encode_event
from decklog.policy.apply import NOTE, Applied, Applier, apply, blocks
from decklog.policy.deciding import decide_by
from decklog.policy.recorded import WireError
from decklog.policy.rules import GroupResources, Policy, Rule
from policy.recorded_logs import REQUEST, RESPONSE, SECRETS_FIRST, at, decide, full, line, ref

if TYPE_CHECKING:
    from decklog.audit.event import Event

LEVELS = [str(level) for level in Level]


def applied(data: bytes, policy: Policy) -> Any:
    kept = Applier(decide_by(policy)).line(data)
    return None if kept is None else json.loads(kept)


@pytest.mark.parametrize(
    ("recorded", "asked", "level", "bodies", "note"),
    [
        ("RequestResponse", "RequestResponse", "RequestResponse", "both", None),
        ("RequestResponse", "Request", "Request", "request", "RequestResponse to Request"),
        ("RequestResponse", "Metadata", "Metadata", "none", "RequestResponse to Metadata"),
        ("Request", "RequestResponse", "Request", "request", None),
        ("Request", "Metadata", "Metadata", "none", "Request to Metadata"),
        ("Metadata", "RequestResponse", "Metadata", "none", None),
        ("Metadata", "Metadata", "Metadata", "none", None),
    ],
)
def test_a_level_is_lowered_and_never_raised(recorded: str, asked: str, level: str, bodies: str, note: str) -> None:
    """The lower of two levels holds, with the bodies that it has; what was lowered says so."""
    request, response = (REQUEST, RESPONSE) if recorded == "RequestResponse" else (REQUEST, NO_OBJECT)
    if recorded == "Metadata":
        request = NO_OBJECT
    kept = applied(line(level=recorded, request_object=request, response_object=response), at(asked))
    assert kept["level"] == level
    assert ("requestObject" in kept, "responseObject" in kept) == {
        "both": (True, True),
        "request": (True, False),
        "none": (False, False),
    }[bodies]
    assert kept["annotations"].get(NOTE) == note


def test_what_is_kept_whole_keeps_its_bytes() -> None:
    """A line that the policy has nothing to take from comes back as the very same value."""
    odd = line().replace(b'"verb":', b' "unheard":[1, 2],"verb" :')
    assert Applier(decide("RequestResponse")).line(odd) is odd


def test_what_is_lowered_keeps_every_other_byte() -> None:
    """Only the level, the bodies and the annotations differ, so that hashes of the rest can be compared."""
    data = line()
    bodies = b',"requestObject":' + bytes(REQUEST) + b',"responseObject":' + bytes(RESPONSE)
    expected = data.replace(bodies, b"").replace(b'"RequestResponse"', b'"Metadata"')
    assert Applier(decide("Metadata"), mark=False).line(data) == expected


@pytest.mark.parametrize("stage", [stage.value for stage in Stage])
def test_a_stage_that_is_omitted_is_dropped(stage: str) -> None:
    """Stages are omitted by the policy and by the rule together."""
    policy = Policy((Rule("Metadata", omit_stages=("Panic",)),), omit_stages=("RequestReceived",))
    kept = Applier(decide_by(policy)).line(line(stage=stage, level="Metadata"))
    assert (kept is None) == (stage in {"Panic", "RequestReceived"})


def test_what_no_rule_matches_is_dropped() -> None:
    """As in kube-apiserver, no rule means level None."""
    assert Applier(decide("Metadata", verbs=("delete",))).line(line()) is None


def test_managed_fields_go_where_the_rule_says_so() -> None:
    """The rest of the body keeps its bytes, and the annotation names them."""
    kept = applied(line(), at("RequestResponse", omit_managed_fields=True))
    assert kept["responseObject"] == {"kind": "Pod", "metadata": {"uid": "7"}, "status": {}}
    assert kept["requestObject"] == json.loads(bytes(REQUEST))
    assert kept["annotations"][NOTE] == "managedFields"
    both = line(request_object=RESPONSE)
    assert applied(both, at("Request", omit_managed_fields=True))["annotations"][NOTE] == (
        "RequestResponse to Request, managedFields"
    )


def test_a_body_above_its_own_level_goes() -> None:
    """An event that holds what its level has not loses it: what a policy forbids does not pass."""
    kept = applied(line(level="Metadata"), at("Metadata"))
    assert "requestObject" not in kept
    assert "responseObject" not in kept
    assert kept["annotations"][NOTE] == "bodies above the level"


def test_an_unknown_level_counts_as_the_highest() -> None:
    """A level that nobody knows is lowered to what the policy asks for."""
    assert applied(line(level="Everything"), at("Metadata"))["level"] == "Metadata"


@pytest.mark.parametrize("level", LEVELS)
def test_applying_again_changes_nothing(level: str) -> None:
    """The outcome of a policy is a fixed point of it."""
    applier = Applier(decide(level, omit_managed_fields=True))
    once = applier.line(line())
    assert once is None or applier.line(once) is once


def test_lowering_twice_tells_both() -> None:
    """The annotation of an earlier lowering is continued."""
    once = Applier(decide("Request")).line(line())
    assert once is not None
    note = applied(once, at("Metadata"))["annotations"][NOTE]
    assert note == "RequestResponse to Request; Request to Metadata"


def test_annotations_stay_sorted() -> None:
    """The annotation stands where a Go map would write it."""
    data = line(annotations={"a/b": "1", "z/y": "2"})
    kept = Applier(decide("Metadata")).line(data)
    assert kept is not None
    assert kept.endswith(b'"annotations":{"a/b":"1","decklog/lowered":"RequestResponse to Metadata","z/y":"2"}}')


PLANTED = b'{"a":[1],"responseObject":{"b":2}}'


@pytest.mark.parametrize(
    "data",
    [
        line().replace(b'"requestObject":', b'"request\\u004fbject":'),
        line().replace(b',"verb"', b',"requestObject":"first","verb"'),
        line().replace(b',"verb"', b',"responseObject":"first" , "verb"'),
        line().replace(b",", b" , "),
        line(request_object=Raw(PLANTED), response_object=Raw(b'{"b":2}')),
        line(request_object=NO_OBJECT, response_object=Raw(b'{"requestObject":1}')),
        line(request_object=Raw(b'"\\",\\"requestObject\\":1"')),
        line(request_object=Raw(b"null"), response_object=Raw(b"[]")),
        line(user=User("x", extra={"requestObject": ("secret",), "responseObject": ("s",)})),
        line(annotations={}),
        line(request_received_timestamp=None, stage_timestamp=None),
        line(stage_timestamp="2026-01-02T03:04:05Z"),
        b'{"responseObject":{"s":1},"kind":"Event","apiVersion":"audit.k8s.io/v1",' + line()[47:],
        line().replace(b'"level":"RequestResponse",', b"")[:-1] + b',"level":"RequestResponse"}',
        line().replace(b"audit.k8s.io/v1", b"audit.k8s.io/v1beta1"),
        line().replace(b'"spec"', b'"\\ud800"'),
    ],
)
def test_no_body_survives_an_odd_layout(data: bytes) -> None:
    """Whatever a line looks like, what comes out is the event without bodies, its other fields as they were."""
    kept = Applier(decide("Metadata"), mark=False).line(data)
    assert kept is not None
    before, after = json.loads(data), json.loads(kept)
    for name in ("requestObject", "responseObject"):
        before.pop(name, None)
    assert after == {**before, "level": "Metadata"}


NAMES = st.sampled_from(["alice", "system:node:n1", "", 'ö"<\u2028'])
TEXTS = st.text(max_size=12)
BODIES = st.sampled_from([NO_OBJECT, REQUEST, RESPONSE, Raw(PLANTED), Raw(b'",\\"responseObject\\":"'), Raw(b"[]")])


@st.composite
def events(draw: st.DrawFn) -> Event:
    """Any event of a few users, resources, levels and stages, with or without bodies."""
    thing = draw(st.sampled_from([None, ref("secrets", "s"), ref("pods", "p", namespace="a"), ref("nodes", "n")]))
    return full(
        level=draw(st.sampled_from(LEVELS[1:])),
        stage=draw(st.sampled_from([stage.value for stage in Stage])),
        verb=draw(st.sampled_from(["get", "create", "delete"])),
        user=User(draw(NAMES), groups=draw(st.sampled_from([(), ("system:nodes",)]))),
        request_uri=draw(st.sampled_from(["/apis", '/api%2F?x=,"y', "/api/v1/namespaces/a/pods/p"])),
        object_ref=thing,
        request_object=draw(BODIES),
        response_object=draw(BODIES),
        annotations=dict(sorted(draw(st.dictionaries(TEXTS, TEXTS, max_size=3)).items())),
    )


@given(events(), st.sampled_from([SECRETS_FIRST, at("Metadata"), at("Request"), at("RequestResponse")]))
def test_lines_and_events_come_to_the_same(event: Event, policy: Policy) -> None:
    """What is spliced as bytes decodes to what is replaced in the value."""
    applier = Applier(decide_by(policy))
    as_value = applier.event(event)
    as_bytes = applier.line(encode_event(event))
    assert (as_value is None) == (as_bytes is None)
    if as_value is not None and as_bytes is not None:
        assert as_bytes == encode_event(as_value)
        assert decode_event(as_bytes).level == as_value.level


def test_unreadable_lines_are_passed_on() -> None:
    """A torn line is evidence: it stays, where nobody asks to drop it, and is counted with its reason."""
    lines = [b'{"kind":"Ev', line(), b'{"kind":"Pod"}']
    counts = Applied()
    kept = list(apply(lines, decide("RequestResponse"), counts))
    assert kept == lines
    assert (counts.events, counts.kept_events, counts.lowered, counts.unreadable) == (1, 1, 0, 2)
    assert counts.kept_bytes == counts.bytes == len(lines[1]) + 1
    assert sum(counts.problems.values()) == 2
    assert list(apply(lines, decide("RequestResponse"), Applied(), drop_unreadable=True)) == [lines[1]]


def test_a_line_that_is_no_event_is_an_error() -> None:
    """One line alone raises, and the error shows nothing of it."""
    with pytest.raises(WireError) as raised:
        Applier(decide("Metadata")).line(b'{"secret":"x"}')
    assert "secret" not in str(raised.value)


def test_only_the_original_user_decides() -> None:
    """kube-apiserver decides before it impersonates; the event's impersonated user matches no rule."""
    policy = at("Metadata", users=("root",))
    assert Applier(decide_by(policy)).event(full(impersonated_user=User("root"))) is None
    assert Applier(decide_by(policy)).event(full(user=User("root"))) is not None


def test_a_name_that_only_the_body_said_matches_no_rule() -> None:
    """A create's name stands in the recorded reference, and was not known when the policy was asked."""
    named = at("Metadata", resources=(GroupResources("", ("pods",), ("web-0",)),))
    applier = Applier(decide_by(named))
    assert applier.event(full()) is None
    assert applier.event(full(verb="get", request_uri="/api/v1/namespaces/shop/pods/web-0")) is not None
    exec_uri = "/api/v1/namespaces/shop/pods/web-0/exec?command=sh"
    within = at("Metadata", resources=(GroupResources("", ("pods/exec",), ("web-0",)),))
    event = full(request_uri=exec_uri, object_ref=ref("pods", "web-0", subresource="exec", namespace="shop"))
    assert Applier(decide_by(within)).event(event) is not None


def test_a_path_is_compared_decoded() -> None:
    """A recorded URI is encoded and has a query; rules are written for the decoded path."""
    policy = at("Metadata", non_resource_urls=("/a b/*",))
    event = full(object_ref=None, verb="get", request_uri="/a%20b/c?d=e", response_status=Status(code=404))
    assert Applier(decide_by(policy)).event(event) is not None


def test_blocks_hold_whole_lines() -> None:
    """Lines are joined for writing and none is lost or cut."""
    lines = [b"a" * size for size in (1, 70, 3, 200, 5)]
    joined = list(blocks(iter(lines), 64))
    assert b"".join(joined) == b"".join(each + b"\n" for each in lines)
    assert len(joined) < len(lines)
