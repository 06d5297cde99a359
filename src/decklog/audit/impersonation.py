"""Impersonation: whom a request asks to act as, by its ``Impersonate-*`` headers (spec §5.7).

Lives here: the reading of the headers, what the caller must be allowed for it, the groups that the server adds, and
the escaping of extra keys, which front-proxy headers share. Nobody is asked here whether the caller may.

Read as kube-apiserver 1.36 reads them: of a repeated user or uid the first line counts, also an empty one; a key of
extra is lower-cased first and then percent-decoded, and stands as it is where the escapes are broken.

| what | kube-apiserver | here | why |
|---|---|---|---|
| who may | constrained verbs first (1.36), then the verb impersonate | the verb impersonate | all versions know it |
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

from msgspec import Struct

from decklog.audit.event import User
from decklog.audit.jsontext import raw, text
from decklog.audit.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

AUTHENTICATED: Final = "system:authenticated"
UNAUTHENTICATED: Final = "system:unauthenticated"
ANONYMOUS: Final = User("system:anonymous", groups=(UNAUTHENTICATED,))
"""Who sends a request without credentials."""

_EXTRA: Final = b"impersonate-extra-"
_ACCOUNT: Final = "system:serviceaccount:"
_AUTHENTICATION: Final = "authentication.k8s.io"
_BROKEN_ESCAPE: Final = re.compile(rb"%(?![0-9a-f]{2})")
_ESCAPED: Final = re.compile(rb"[^!#$&'*+\-.^_`|~0-9a-z]")


class NoUserError(ValueError):
    """Groups, a uid or extra are asked for without a user. The text is that of kube-apiserver's 400."""


class Part(Struct, frozen=True):
    """One thing that the caller must be allowed to ``impersonate``: a resource as RBAC names it."""

    group: str
    resource: str
    name: str
    subresource: str = ""
    namespace: str = ""

    @property
    def full_resource(self) -> str:
        """The resource with its subresource, as messages and roles have it."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


def requested(headers: Iterable[tuple[bytes, bytes]]) -> User | None:
    """Read whom the headers (names in lower case) ask to act as; None where they ask for nobody.

    The groups are those that were asked for, without what the server adds (`effective`). Raises NoUserError.
    """
    name: bytes | None = None
    uid: bytes | None = None
    groups: list[str] = []
    extra: dict[str, list[str]] = {}
    for header, value in headers:
        if not header.startswith(b"impersonate-"):
            continue
        if header == b"impersonate-user":
            name = value if name is None else name
        elif header == b"impersonate-uid":
            uid = value if uid is None else uid
        elif header == b"impersonate-group":
            groups.append(text(value))
        elif header.startswith(_EXTRA):
            extra.setdefault(decoded_key(header[len(_EXTRA) :]), []).append(text(value))
    wanted = User(text(name or b""), text(uid or b""), tuple(groups), {key: tuple(extra[key]) for key in sorted(extra)})
    if wanted.username:
        return wanted
    if wanted.uid or groups or extra:
        raise NoUserError(f"requested {_shown(wanted)} without impersonating a user name")
    return None


def parts(wanted: User) -> Iterator[Part]:
    """List what the caller must be allowed: the user, then every group, the uid, and every value of extra."""
    account = service_account(wanted.username)
    if account is not None:
        yield Part("", "serviceaccounts", account[1], namespace=account[0])
    else:
        yield Part("", "users", wanted.username)
    for group in wanted.groups:
        yield Part("", "groups", group)
    if wanted.uid:
        yield Part(_AUTHENTICATION, "uids", wanted.uid)
    for key, values in wanted.extra.items():
        for value in values or ():
            yield Part(_AUTHENTICATION, "userextras", value, key)


def effective(wanted: User) -> User:
    """Complete the groups: a service account has its own, and everybody is authenticated or not."""
    groups = wanted.groups
    account = service_account(wanted.username)
    if account is not None and not groups:
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{account[0]}")
    if wanted.username == ANONYMOUS.username:
        more = () if UNAUTHENTICATED in groups else (UNAUTHENTICATED,)
    else:
        more = () if AUTHENTICATED in groups or UNAUTHENTICATED in groups else (AUTHENTICATED,)
    return User(wanted.username, wanted.uid, (*groups, *more), wanted.extra)


def service_account(name: str) -> tuple[str, str] | None:
    """Take the name of a service account's user apart: namespace and account; None for any other user."""
    namespace, _, account = name.removeprefix(_ACCOUNT).partition(":")
    return (namespace, account) if name.startswith(_ACCOUNT) and namespace and account else None


def decoded_key(encoded: bytes) -> str:
    """Read a key of extra from the rest of a header's name."""
    lowered = encoded.lower()
    return text(lowered if _BROKEN_ESCAPE.search(lowered) else unquote_to_bytes(lowered))


def encoded_key(key: str) -> bytes:
    """Write a key of extra as the rest of a header's name, so that `decoded_key` gives it back, capitals included."""
    return _ESCAPED.sub(lambda found: b"%%%02X" % ord(found[0]), raw(key))


def _shown(user: User) -> str:
    """Print a user as Go's %#v does."""
    groups = f"{{{', '.join(map(quote, user.groups))}}}" if user.groups else "(nil)"
    pairs = (f"{quote(key)}:[]string{{{', '.join(map(quote, values or ()))}}}" for key, values in user.extra.items())
    extra = f"{{{', '.join(pairs)}}}" if user.extra else "(nil)"
    return (
        f"&user.DefaultInfo{{Name:{quote(user.username)}, UID:{quote(user.uid)}, "
        f"Groups:[]string{groups}, Extra:map[string][]string{extra}}}"
    )
