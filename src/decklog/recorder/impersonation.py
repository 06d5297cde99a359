"""Impersonation: whom a request asks to act as (spec §5.7), and whether the answer says that it was refused.

| who acts as a node | kube-apiserver | here | why |
|---|---|---|---|
| a pod, as its own node | `impersonate:associated-node` or `…arbitrary-node` | the latter | no answer tells which |
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from decklog.audit.event import User
from decklog.recorder.answers import refusal

if TYPE_CHECKING:
    from collections.abc import Iterable

ANONYMOUS: Final = "system:anonymous"
AUTHENTICATED: Final = "system:authenticated"
UNAUTHENTICATED: Final = "system:unauthenticated"
MASTERS: Final = "system:masters"

_SERVICE_ACCOUNT: Final = "system:serviceaccount:"
_NODE: Final = "system:node:"
_EXTRA: Final = "impersonate-extra-"

_REFUSED: Final = re.compile(r'User "(?:[^"\\]|\\.)*" cannot impersonate(?:-on:[a-z-]+:[a-z]+)? resource ', re.DOTALL)
_NO_USER: Final = re.compile(r"requested (?:\[.*\]|&user\.DefaultInfo\{.*\}) without impersonating a user", re.DOTALL)
"""Both wordings: that of the older verb alone, and that of constrained impersonation."""


def requested(headers: Iterable[tuple[str, str]]) -> User | None:
    """Read whom the headers (names in any case) ask to act as; None when they name no user.

    Groups, uid and extra without a user are an error that the server answers with 400: nobody is impersonated.
    """
    name = uid = ""
    groups: list[str] = []
    extra: dict[str, list[str]] = {}
    for header, value in headers:
        key = header.lower()
        if key == "impersonate-user":
            name = name or value
        elif key == "impersonate-uid":
            uid = uid or value
        elif key == "impersonate-group":
            groups.append(value)
        elif key.startswith(_EXTRA):
            extra.setdefault(unquote(key[len(_EXTRA) :]), []).append(value)
    if not name:
        return None
    return User(name, uid, _groups(name, groups), {key: tuple(extra[key]) for key in sorted(extra)})


def _groups(name: str, asked: list[str]) -> tuple[str, ...]:
    """Add the groups that the server adds: those of a service account or a node named alone, and who is known."""
    groups = tuple(asked)
    if not groups and name.startswith(_SERVICE_ACCOUNT):
        namespace = name.removeprefix(_SERVICE_ACCOUNT).partition(":")[0]
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
    if name == ANONYMOUS:
        return groups if UNAUTHENTICATED in groups else (*groups, UNAUTHENTICATED)
    known = AUTHENTICATED in groups or UNAUTHENTICATED in groups
    return groups if known else (*groups, AUTHENTICATED)


def constrained(user: User) -> tuple[User, str]:
    """Say how constrained impersonation (on from 1.36) authorises `user`: the user as it is then, and the constraint.

    An empty constraint: only the older verb `impersonate` can have allowed it (system:masters; a node with groups).
    """
    asked = [group for group in user.groups if group != AUTHENTICATED]
    if MASTERS in asked:
        return user, ""
    if user.username.startswith(_NODE):
        if asked:
            return user, ""
        node = User(user.username, user.uid, ("system:nodes", *user.groups), user.extra)
        return node, "impersonate:arbitrary-node"
    if user.username.startswith(_SERVICE_ACCOUNT):
        return user, "impersonate:serviceaccount"
    return user, "impersonate:user-info"


def refused(code: int, message: str) -> bool:
    """Whether an answer says that the impersonation itself was refused, so that the request never acted as anybody."""
    if code == 400:
        return _NO_USER.match(message) is not None
    return code == 403 and _REFUSED.match(refusal(message)) is not None
