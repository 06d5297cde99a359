from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decklog.audit.event import User
from decklog.audit.impersonation import encoded_key
from decklog.errors import DecklogError
from decklog.gateway.front_proxy import RemoteHeaders
from decklog.gateway.identity_options import IdentityOptions, listed

Lines = list[tuple[bytes, bytes]]
USER = (b"x-remote-user", b"alice")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([USER], User("alice", groups=("system:authenticated",))),
        (
            [
                USER,
                (b"x-remote-group", b"a, b"),
                (b"x-remote-group", b""),
                (b"x-remote-group", b"c"),
                (b"x-remote-uid", b"u-1"),
                (b"x-remote-extra-scopes", b"1"),
                (b"x-remote-extra-acme.com%2fproject", b"p"),
                (b"x-remote-extra-scopes", b"2"),
            ],
            User(
                "alice",
                "u-1",
                ("a, b", "c", "system:authenticated"),
                {"acme.com/project": ("p",), "scopes": ("1", "2")},
            ),
        ),
        ([USER, (b"x-remote-user", b"admin")], User("alice", groups=("system:authenticated",))),
        ([(b"x-remote-user", b""), USER], None),
        ([(b"x-remote-group", b"system:masters")], None),
        ([(b"x_remote_user", b"alice"), (b"x-remote-users", b"alice")], None),
        (
            [USER, (b"x-remote-extra-a%zz", b"1")],
            User("alice", groups=("system:authenticated",), extra={"a%zz": ("1",)}),
        ),
        (
            [(b"x-remote-user", b"system:anonymous"), (b"x-remote-group", b"system:unauthenticated")],
            User("system:anonymous", groups=("system:unauthenticated",)),
        ),
    ],
)
def test_headers_name_a_user(lines: Lines, expected: User | None) -> None:
    """The first user line names somebody; groups are one a line, empty ones do not count, extra keys are decoded."""
    assert RemoteHeaders(IdentityOptions()).user([(b"host", b"x"), *lines]) == expected


def test_other_headers() -> None:
    """Header names are options; the first name that says something counts, and several prefixes add up."""
    options = IdentityOptions(
        username_headers="X-First, X-Second", uid_headers="", group_headers="X-G,X-H", extra_prefixes="X-E-, X-F-"
    )
    remote = RemoteHeaders(options)
    lines = [(b"x-second", b"bob"), (b"x-h", b"h"), (b"x-g", b"g"), (b"x-f-k", b"2"), (b"x-e-k", b"1"), USER]
    assert remote.user(lines) == User("bob", "", ("g", "h", "system:authenticated"), {"k": ("1", "2")})
    assert remote.user([(b"x-first", b""), (b"x-first", b"eve"), (b"x-second", b"bob")]) == User(
        "bob", groups=("system:authenticated",)
    )
    assert [remote.names(name) for name in (b"x-first", b"x-h", b"x-e-any", b"x-remote-user")] == [
        True,
        True,
        True,
        False,
    ]


@given(st.dictionaries(st.text(min_size=1, max_size=20), st.lists(st.text("ab ", min_size=1), min_size=1), max_size=4))
def test_extra_survives_the_way(extra: dict[str, list[str]]) -> None:
    """Whatever extra a proxy has to tell arrives as it was, key by key and value by value."""
    extra = {key.encode("utf-8", "replace").decode(): values for key, values in extra.items()}
    lines = [
        (b"x-remote-extra-" + encoded_key(key).lower(), value.encode())
        for key, values in extra.items()
        for value in values
    ]
    user = RemoteHeaders(IdentityOptions()).user([USER, *lines])
    assert user is not None
    assert user.extra == {key: tuple(values) for key, values in sorted(extra.items())}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (IdentityOptions(username_headers="X Remote"), "'X Remote' is no header's name"),
        (IdentityOptions(front_proxy_ca_file="ca.crt", username_headers=""), "needs --requestheader-username-headers"),
        (IdentityOptions(token_cache_ttl_s=-1), "--token-cache-ttl cannot be negative"),
    ],
)
def test_options_that_cannot_be(options: IdentityOptions, words: str) -> None:
    """What cannot be is told with its flag."""
    with pytest.raises(DecklogError, match=words):
        options.check()
    IdentityOptions().check()
    assert listed(" a, ,b,") == ("a", "b")
