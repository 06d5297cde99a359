from __future__ import annotations

import pytest

from decklog.audit.event import User
from decklog.sandbox.authorization import Question
from decklog.sandbox.impersonation import effective, questions, requested
from decklog.sandbox.status import ApiError


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


@pytest.mark.parametrize("name", ["group", "uid", "extra-x"])
def test_nobody_without_a_user(name: str) -> None:
    """A group, a uid or extra without a user is a 400."""
    with pytest.raises(ApiError, match="without impersonating a user name"):
        requested(headers((name, "x")))


def test_every_part_is_asked_for() -> None:
    """The caller must be allowed the user, each group, the uid, and each value of extra."""
    wanted = User("alice", "u", ("dev",), {"scopes": ("x", "y")})
    group = "authentication.k8s.io"
    assert list(questions(wanted)) == [
        Question("impersonate", resource="users", name="alice"),
        Question("impersonate", resource="groups", name="dev"),
        Question("impersonate", group, "uids", name="u"),
        Question("impersonate", group, "userextras", "scopes", name="x"),
        Question("impersonate", group, "userextras", "scopes", name="y"),
    ]
    account = Question("impersonate", resource="serviceaccounts", namespace="ns", name="robot")
    assert list(questions(User("system:serviceaccount:ns:robot"))) == [account]


@pytest.mark.parametrize(
    ("wanted", "groups"),
    [
        (User("alice"), ("system:authenticated",)),
        (User("alice", groups=("dev",)), ("dev", "system:authenticated")),
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
