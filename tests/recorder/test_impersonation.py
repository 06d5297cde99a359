from __future__ import annotations

import pytest

from decklog.audit.event import User
from decklog.audit.impersonation import AUTHENTICATED
from decklog.recorder.impersonation import constrained, refused

CONSTRAINTS = {
    "a user": (User("bob", groups=(AUTHENTICATED,)), (AUTHENTICATED,), "impersonate:user-info"),
    "a service account": (
        User("system:serviceaccount:shop:web", groups=("g", AUTHENTICATED)),
        ("g", AUTHENTICATED),
        "impersonate:serviceaccount",
    ),
    "a node alone, which gets its group": (
        User("system:node:n1", groups=(AUTHENTICATED,)),
        ("system:nodes", AUTHENTICATED),
        "impersonate:arbitrary-node",
    ),
    "a node with groups": (User("system:node:n1", groups=("x", AUTHENTICATED)), ("x", AUTHENTICATED), ""),
    "system:masters": (
        User("root", groups=("system:masters", AUTHENTICATED)),
        ("system:masters", AUTHENTICATED),
        "",
    ),
}


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_constrained_impersonation_names_what_authorised_it(name: str) -> None:
    """Users, service accounts and nodes have constraints; system:masters can only come the older way."""
    user, groups, constraint = CONSTRAINTS[name]
    seen, told = constrained(user)
    assert (seen.groups, told) == (groups, constraint)


REFUSED = {
    'users "bob" is forbidden: User "eve" cannot impersonate resource "users" in API group ""': True,
    'pods is forbidden: User "eve" cannot impersonate-on:user-info:list resource "pods" in API group ""': True,
    "requested [{Group  g    }] without impersonating a user": True,
    'requested &user.DefaultInfo{Name:"", UID:"u", Groups:[]string(nil)} without impersonating a user name': True,
    'pods is forbidden: User "bob" cannot list resource "pods" in API group "" in the namespace "shop"': False,
    'configmaps "cannot impersonate" not found': False,
    'pods "x cannot impersonate resource y" not found': False,
    'pods "x" is forbidden: User "a" cannot impersonate resource " is forbidden: User "eve" cannot get resource': False,
}


@pytest.mark.parametrize("message", REFUSED)
def test_an_answer_says_whether_the_impersonation_itself_was_refused(message: str) -> None:
    """Only the refusal of the impersonation, not of what came after it, takes the user out of the event."""
    code = 400 if message.startswith("requested") else 403
    assert refused(code, message) is REFUSED[message]


def test_only_a_refusal_takes_the_user_out_of_the_event() -> None:
    """A 404 whose message repeats the words of a refusal says nothing of the impersonation."""
    assert not refused(404, 'users is forbidden: User "a" cannot impersonate resource "users"')
