"""Authentication: who sends a request. A client certificate wins over a token; no credentials make an anonymous user.

Lives here: `Authenticator`, which reads the ASGI scope, and the tokens it knows. That a certificate is good was TLS' to
find out (`decklog.listen`); here it only says a name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from decklog.audit.event import User
from decklog.audit.impersonation import ANONYMOUS, AUTHENTICATED
from decklog.certificates import identity
from decklog.errors import DecklogError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping
    from datetime import datetime

CREDENTIAL_ID: Final = "authentication.kubernetes.io/credential-id"
_CACHED: Final = 1000


@dataclass(frozen=True, slots=True)
class _Issued:
    user: User
    until: datetime | None


class Authenticator:
    """Knows tokens, and reads certificates."""

    def __init__(self, tokens: Mapping[str, User], clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._tokens = {token: _Issued(authenticated(user), None) for token, user in tokens.items()}
        self._certificates: dict[str, User] = {}

    def identify(self, scope: MutableMapping[str, Any]) -> User | None:
        """Tell who sends a request; None for credentials that nobody knows (401)."""
        return self._by_certificate(scope) or self._by_token(scope)

    def token_user(self, token: str) -> User | None:
        """Tell whose a token is; None for an unknown or expired one."""
        issued = self._tokens.get(token)
        if issued is None or (issued.until is not None and issued.until <= self._clock()):
            return None
        return issued.user

    def issue(self, token: str, user: User, until: datetime) -> None:
        """Make a token good for `user` until a time."""
        self._tokens[token] = _Issued(user, until)

    def _by_certificate(self, scope: MutableMapping[str, Any]) -> User | None:
        chain = scope.get("extensions", {}).get("tls", {}).get("client_cert_chain") or ()
        shown = next(iter(chain), None)
        if shown is None:
            return None
        if shown not in self._certificates:
            if len(self._certificates) >= _CACHED:
                self._certificates.clear()
            self._certificates[shown] = _certificate_user(shown)
        user = self._certificates[shown]
        return user if user.username else None

    def _by_token(self, scope: MutableMapping[str, Any]) -> User | None:
        header = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        scheme, _, token = header.decode("latin-1").strip().partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return ANONYMOUS
        return self.token_user(token.strip())


def authenticated(user: User) -> User:
    """Add the group of everybody who is somebody."""
    if AUTHENTICATED in user.groups:
        return user
    return User(user.username, user.uid, (*user.groups, AUTHENTICATED), user.extra)


def service_account(namespace: str, name: str, uid: str = "") -> User:
    """Make the user that a service account is."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED)
    return User(f"system:serviceaccount:{namespace}:{name}", uid, groups)


def _certificate_user(pem: str) -> User:
    try:
        found = identity(pem)
    except DecklogError:
        return User()
    extra: dict[str, tuple[str, ...] | None] = {CREDENTIAL_ID: (f"X509SHA256={found.sha256}",)}
    return authenticated(User(found.common_name, groups=found.organizations, extra=extra))
