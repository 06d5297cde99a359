from __future__ import annotations

import pytest

from decklog.audit.event import User
from decklog.audit.wire import decode_event, encode_event
from decklog.policy.recorded import WireError, attributes_of, of_event, read, user_of
from policy.recorded_logs import full, line, ref


def test_the_fast_way_reads_what_the_wire_reads() -> None:
    """A line is read to the same few things, whether it is decoded whole or not."""
    event = full(user=User("zoë", groups=("a", "b")), object_ref=ref("pods", "p", "g", "s", "n"))
    quick, careful = read(encode_event(event)), of_event(event)
    for name in ("level", "stage", "verb", "request_uri", "user", "object_ref", "response_status", "stage_timestamp"):
        assert getattr(quick, name) == getattr(careful, name), name
    assert bytes(quick.annotations) == bytes(careful.annotations)


@pytest.mark.parametrize(
    "odd",
    [
        line().replace(b'"verb":"create"', b'"verb":null'),
        line().replace(b'"kind":"Event",', b"", 1),
        b" " + line(),
        line().replace(b"kubectl", b"\\ud800"),
    ],
)
def test_odd_lines_are_read_as_the_wire_reads_them(odd: bytes) -> None:
    """What the fast way cannot read goes the careful way."""
    event = decode_event(odd)
    assert (read(odd).verb, read(odd).user.username) == (event.verb, event.user.username)


@pytest.mark.parametrize("bad", [b"", b"torn", line()[:-20], line() + line(), b'{"kind":"Pod"}', b"[]", b"\xff"])
def test_what_is_no_event_is_refused(bad: bytes) -> None:
    """Torn lines, two in one, and other objects are no events."""
    with pytest.raises(WireError):
        read(bad)


@pytest.mark.parametrize(
    ("verb", "uri", "recorded", "place"),
    [
        ("create", "/api/v1/namespaces", ref("namespaces", "lab"), ("", "")),
        ("create", "/api/v1/namespaces/shop/pods", ref("pods", "web", namespace="shop"), ("shop", "")),
        (
            "create",
            "/api/v1/namespaces/shop/pods/web/exec?x=1",
            ref("pods", "web", "", "exec", "shop"),
            ("shop", "web"),
        ),
        (
            "create",
            "/apis/rbac.authorization.k8s.io/v1/clusterroles",
            ref("clusterroles", "a", namespace="x"),
            ("", ""),
        ),
        ("update", "/api/v1/nodes/n1", ref("nodes", "n1", namespace="x"), ("", "n1")),
        ("create", "/api/v1/namespaces/a%2Db/pods", ref("pods", namespace="a-b"), ("a-b", "")),
        ("get", "/cut", ref("pods", "web", namespace="shop"), ("shop", "web")),
    ],
)
def test_namespace_and_name_are_those_of_the_request_line(
    verb: str, uri: str, recorded: object, place: tuple[str, str]
) -> None:
    """What the server took from the body later was not known when the policy was asked."""
    found = attributes_of(of_event(full(verb=verb, request_uri=uri, object_ref=recorded)))
    assert (found.namespace, found.name) == place


def test_nobody_is_no_user() -> None:
    """An event of a failed login has an empty user: rules about users do not match it."""
    assert user_of(of_event(full(user=User()))) is None
