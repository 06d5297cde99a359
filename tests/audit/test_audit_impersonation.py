from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decklog.audit.event import User
from decklog.audit.impersonation import NoUserError, Part, decoded_key, effective, encoded_key, parts, requested


def headers(*pairs: tuple[str, str]) -> list[tuple[bytes, bytes]]:
    return [(f"impersonate-{name}".encode(), value.encode()) for name, value in pairs]


def test_headers_are_read() -> None:
    """User, uid, every group and every extra are read; keys of extra are decoded and sorted."""
    found = requested(
        headers(
            ("user", "zoë"),
            ("uid", "u"),
            ("group", "a"),
            ("group", "b"),
            ("extra-scopes", "x"),
            ("extra-example.com%2fkey", "y"),
            ("extra-scopes", "z"),
        )
    )
    assert found == User("zoë", "u", ("a", "b"), {"example.com/key": ("y",), "scopes": ("x", "z")})
    assert requested([(b"accept", b"x")]) is None
    assert requested(headers(("user", ""))) is None


@pytest.mark.parametrize(
    ("given", "expected"),
    {
        "the first user counts": ([("user", "a"), ("user", "b")], User("a")),
        "an empty first user is nobody": ([("user", ""), ("user", "admin")], None),
        "the first uid counts": ([("user", "a"), ("uid", ""), ("uid", "b")], User("a")),
        "empty groups stay": ([("user", "a"), ("group", "")], User("a", groups=("",))),
        "spelled otherwise is another header": ([("user", "a"), ("groups", "x"), ("extra", "y")], User("a")),
    }.items(),
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_repeated_and_odd_headers(given: str, expected: tuple[list[tuple[str, str]], User | None]) -> None:
    """Repeated, empty and odd headers are read as kube-apiserver reads them."""
    pairs, wanted = expected
    assert requested(headers(*pairs)) == wanted, given


@pytest.mark.parametrize(
    ("pair", "shown"),
    [
        (("group", "dev"), 'Name:"", UID:"", Groups:[]string{"dev"}, Extra:map[string][]string(nil)'),
        (("uid", "u"), 'Name:"", UID:"u", Groups:[]string(nil), Extra:map[string][]string(nil)'),
        (("extra-x", "y"), 'Name:"", UID:"", Groups:[]string(nil), Extra:map[string][]string{"x":[]string{"y"}}'),
    ],
)
def test_nobody_without_a_user(pair: tuple[str, str], shown: str) -> None:
    """A group, a uid or extra without a user is an error, told in kube-apiserver's words."""
    with pytest.raises(NoUserError) as caught:
        requested(headers(pair))
    assert str(caught.value) == f"requested &user.DefaultInfo{{{shown}}} without impersonating a user name"


def test_every_part_is_asked_for() -> None:
    """The caller must be allowed the user, each group, the uid, and each value of extra."""
    wanted = User("alice", "u", ("dev",), {"scopes": ("x", "y")})
    group = "authentication.k8s.io"
    assert list(parts(wanted)) == [
        Part("", "users", "alice"),
        Part("", "groups", "dev"),
        Part(group, "uids", "u"),
        Part(group, "userextras", "x", "scopes"),
        Part(group, "userextras", "y", "scopes"),
    ]
    assert list(parts(User("system:serviceaccount:ns:robot"))) == [Part("", "serviceaccounts", "robot", namespace="ns")]


@pytest.mark.parametrize(
    ("wanted", "groups"),
    [
        (User("alice"), ("system:authenticated",)),
        (User("alice", groups=("dev",)), ("dev", "system:authenticated")),
        (User("alice", groups=("system:authenticated", "dev")), ("system:authenticated", "dev")),
        (User("alice", groups=("system:unauthenticated",)), ("system:unauthenticated",)),
        (User("system:anonymous"), ("system:unauthenticated",)),
        (
            User("system:serviceaccount:ns:robot"),
            ("system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"),
        ),
        (User("system:serviceaccount:ns:robot", groups=("x",)), ("x", "system:authenticated")),
    ],
)
def test_groups_are_completed(wanted: User, groups: tuple[str, ...]) -> None:
    """A service account without groups gets its own; everybody is authenticated, or not."""
    assert effective(wanted).groups == groups


@pytest.mark.parametrize(
    ("encoded", "key"),
    [
        (b"Scopes", "scopes"),
        (b"acme.com%2Fproject", "acme.com/project"),
        (b"a%41", "aA"),
        (b"a%4", "a%4"),
        (b"a%2fb%zz", "a%2fb%zz"),
        (b"a+b", "a+b"),
        (b"%c3%ab", "ë"),
        (b"%FF", "\udcff"),
        (b"", ""),
    ],
)
def test_keys_are_decoded(encoded: bytes, key: str) -> None:
    """A key is lower-cased, then decoded; one with a broken escape stands as it is."""
    assert decoded_key(encoded) == key


@given(st.text())
def test_keys_survive_the_way(key: str) -> None:
    """Any key written into a header's name is read back as it was, however the name's case changes on the way."""
    key = key.encode("utf-8", "replace").decode()
    encoded = encoded_key(key)
    assert decoded_key(encoded) == decoded_key(encoded.upper()) == decoded_key(encoded.lower()) == key
