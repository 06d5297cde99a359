"""Front proxy: a user named by the headers of a proxy that we trust (kube-apiserver's request-header authentication).

Whether the proxy is to be trusted is its certificate's matter (`decklog.gateway.certificate`): without a certificate
of the right authority nothing here is ever asked, and the headers are dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from decklog.audit.event import User
from decklog.audit.impersonation import decoded_key
from decklog.audit.jsontext import text
from decklog.gateway.caller import authenticated
from decklog.gateway.identity_options import listed

if TYPE_CHECKING:
    from decklog.gateway.identity_options import IdentityOptions
    from decklog.http1 import Headers


class RemoteHeaders:
    """Reads the user from the headers of a trusted proxy."""

    def __init__(self, options: IdentityOptions) -> None:
        self._names = _lowered(options.username_headers)
        self._uids = _lowered(options.uid_headers)
        self._groups = _lowered(options.group_headers)
        self._prefixes = _lowered(options.extra_prefixes)

    def user(self, headers: Headers) -> User | None:
        """Give the user; None where no header names one. Keys of extra are lower-cased, then percent-decoded."""
        name = _first(headers, self._names)
        if not name:
            return None
        groups = tuple(text(value) for wanted in self._groups for known, value in headers if known == wanted and value)
        return authenticated(User(text(name), text(_first(headers, self._uids)), groups, self._extra(headers)))

    def names(self, header: bytes) -> bool:
        """Whether a header (lower case) is one of those that are read here."""
        return header in {*self._names, *self._uids, *self._groups} or header.startswith(self._prefixes)

    def _extra(self, headers: Headers) -> dict[str, tuple[str, ...] | None]:
        found: dict[str, list[str]] = {}
        for prefix in self._prefixes:
            for name, value in headers:
                if name.startswith(prefix):
                    found.setdefault(decoded_key(name[len(prefix) :]), []).append(text(value))
        return {key: tuple(found[key]) for key in sorted(found)}


def _lowered(names: str) -> tuple[bytes, ...]:
    return tuple(name.lower().encode() for name in listed(names))


def _first(headers: Headers, names: tuple[bytes, ...]) -> bytes:
    """Give the first line of the first of `names` that has something to say; further lines never count."""
    for wanted in names:
        value = next((value for name, value in headers if name == wanted), b"")
        if value:
            return value
    return b""
