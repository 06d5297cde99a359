"""Who sends a request: what every way of telling it answers with."""

from __future__ import annotations

from enum import Enum
from typing import Final

from msgspec import Struct

from decklog.audit.event import User
from decklog.audit.impersonation import ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED


class Means(Enum):
    """By what a caller was told."""

    CERTIFICATE = "certificate"
    TOKEN = "token"  # noqa: S105  # because: the name of a means, no secret
    FRONT_PROXY = "front-proxy"
    ANONYMOUS = "anonymous"
    NONE = "none"
    """Credentials were given and refused, or none were given and anonymous requests are not taken."""


class Caller(Struct, frozen=True):
    """Who sends a request."""

    user: User | None
    """None: authentication failed, or nobody could be asked."""
    means: Means
    problem: str = ""
    """Why nobody could be asked; empty without a user: 401."""
    code: int = 0
    """What the client gets with a problem: 502, 503 or 504."""


REFUSED: Final = Caller(None, Means.NONE)
"""Authentication failed: 401."""
NOBODY: Final = Caller(ANONYMOUS, Means.ANONYMOUS)
"""Somebody without credentials, where such are taken."""


def authenticated(user: User) -> User:
    """Add the group of everybody who is somebody, as kube-apiserver does after every authentication."""
    if user.username == ANONYMOUS.username or AUTHENTICATED in user.groups or UNAUTHENTICATED in user.groups:
        return user
    return User(user.username, user.uid, (*user.groups, AUTHENTICATED), user.extra)
