"""Impersonation: the ``Impersonate-*`` headers, and whether the caller may use them.

Lives here: the reading of the headers and the questions to the authorizer. Every name, group, uid and extra value is
asked for by itself, with the verb ``impersonate``, as kube-apiserver did it before constrained impersonation (1.35).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from decklog.audit.event import User
from decklog.sandbox.authentication import AUTHENTICATED, UNAUTHENTICATED, service_account
from decklog.sandbox.authorization import Question
from decklog.sandbox.status import bad_request

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_EXTRA: Final = "impersonate-extra-"
_ACCOUNT: Final = "system:serviceaccount:"
_AUTHENTICATION: Final = "authentication.k8s.io"


def requested(headers: Iterable[tuple[bytes, bytes]]) -> User | None:
    """Read whom a request wants to act as, None where it does not. Raises ApiError (400) when no user is named."""
    name, uid, groups, extra = "", "", [], dict[str, tuple[str, ...] | None]()
    for key, raw in headers:
        header, value = key.decode("latin-1"), raw.decode("utf-8", "replace")
        match header:
            case "impersonate-user":
                name = name or value
            case "impersonate-uid":
                uid = uid or value
            case "impersonate-group":
                groups.append(value)
            case _ if header.startswith(_EXTRA):
                extra_key = unquote(header.removeprefix(_EXTRA)).lower()
                extra[extra_key] = (*(extra.get(extra_key) or ()), value)
    if not name:
        if uid or groups or extra:
            raise bad_request("requested to impersonate a group, a uid or extra without impersonating a user name")
        return None
    return User(name, uid, tuple(groups), dict(sorted(extra.items())))


def questions(wanted: User) -> Iterator[Question]:
    """List what the caller must be allowed, one question a header value."""
    account = _service_account(wanted.username)
    if account is not None:
        yield Question("impersonate", resource="serviceaccounts", namespace=account[0], name=account[1])
    else:
        yield Question("impersonate", resource="users", name=wanted.username)
    for group in wanted.groups:
        yield Question("impersonate", resource="groups", name=group)
    if wanted.uid:
        yield Question("impersonate", _AUTHENTICATION, "uids", name=wanted.uid)
    for key, values in wanted.extra.items():
        for value in values or ():
            yield Question("impersonate", _AUTHENTICATION, "userextras", key, name=value)


def effective(wanted: User) -> User:
    """Complete the groups: a service account has its own, and everybody is authenticated or not."""
    groups = wanted.groups
    account = _service_account(wanted.username)
    if account is not None and not groups:
        groups = service_account(*account).groups[:-1]
    if wanted.username == "system:anonymous":
        more = () if UNAUTHENTICATED in groups else (UNAUTHENTICATED,)
    else:
        more = () if AUTHENTICATED in groups or UNAUTHENTICATED in groups else (AUTHENTICATED,)
    return User(wanted.username, wanted.uid, (*groups, *more), wanted.extra)


def _service_account(name: str) -> tuple[str, str] | None:
    namespace, _, account = name.removeprefix(_ACCOUNT).partition(":")
    return (namespace, account) if name.startswith(_ACCOUNT) and namespace and account else None
