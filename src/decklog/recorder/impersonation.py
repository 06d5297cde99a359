"""Impersonation: what authorised it, and whether the answer says that it was refused (spec §5.7).

Whom a request asks to act as is read in `decklog.audit.impersonation`.

| who acts as a node | kube-apiserver | here | why |
|---|---|---|---|
| a pod, as its own node | `impersonate:associated-node` or `…arbitrary-node` | the latter | no answer tells which |
"""

from __future__ import annotations

import re
from typing import Final

from decklog.audit.event import User
from decklog.audit.impersonation import AUTHENTICATED
from decklog.recorder.answers import refusal

MASTERS: Final = "system:masters"

_SERVICE_ACCOUNT: Final = "system:serviceaccount:"
_NODE: Final = "system:node:"

_REFUSED: Final = re.compile(r'User "(?:[^"\\]|\\.)*" cannot impersonate(?:-on:[a-z-]+:[a-z]+)? resource ', re.DOTALL)
_NO_USER: Final = re.compile(r"requested (?:\[.*\]|&user\.DefaultInfo\{.*\}) without impersonating a user", re.DOTALL)
"""Both wordings: that of the older verb alone, and that of constrained impersonation."""


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
