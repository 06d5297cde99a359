"""Accounts of the sandbox and their credentials: certificates, tokens, kubeconfig.

Lives here: the people of the demo, those that options add, `Credentials` with everything that one run needs, and the
kubeconfig that hands them to `kubectl`. Credentials are made anew at every start and are good for nothing else.
"""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from decklog import certificates
from decklog.audit.event import User
from decklog.errors import DecklogError
from decklog.sandbox.options import SandboxOptions
from decklog.sandbox.rbac import ROLES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from decklog.certificates import Clock, KeyPair


__all__ = ["DEMO", "LIFETIME", "Account", "Credentials", "SandboxOptions", "accounts", "issue"]


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who may come: a name, groups, and the ClusterRole that is bound to the name (empty: none)."""

    name: str
    groups: tuple[str, ...] = ()
    role: str = ""


DEMO: Final = (
    Account("admin", ("system:masters",)),
    Account("alice", ("team-leads",), "admin"),
    Account("bob", ("developers",), "edit"),
    Account("carol", ("auditors",), "view"),
)
"""A cluster administrator, and three people whose roles end where Kubernetes' ``admin``, ``edit`` and ``view`` end."""

LIFETIME: Final = timedelta(days=7)
"""How long the certificates of one run are good."""


def accounts(options: SandboxOptions) -> tuple[Account, ...]:
    """List the demo's accounts and those of the options. Raises DecklogError for an account that makes no sense."""
    more = [_account(text.strip()) for text in options.users.split(",") if text.strip()]
    names = [account.name for account in (*DEMO, *more)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DecklogError(f"--sandbox-users: {twice!r} is there twice: give every account its own name")
    return (*DEMO, *more)


def _account(text: str) -> Account:
    name, _, role = text.partition("=")
    if not name or role not in ROLES:
        raise DecklogError(
            f"--sandbox-users: {text!r} is no account: give NAME=ROLE, with a role of {', '.join(ROLES)}"
        )
    return Account(name, (), role)


@dataclass(frozen=True, slots=True)
class Credentials:
    """The certificates and tokens of one run."""

    authority: KeyPair
    server: KeyPair
    clients: Mapping[str, KeyPair]
    """By the account's name."""
    tokens: Mapping[str, User] = field(repr=False)
    """By the token."""

    def kubeconfig(self, server_url: str, user: str = "admin", namespace: str = "default") -> str:
        """Write a kubeconfig (JSON, which is YAML) with a context for each account and its token; `user`'s is current.

        Contexts are called as the account (client certificate), and ``<account>-token``.
        """
        by_name = {found.username: token for token, found in self.tokens.items()}
        users = {name: _certificate_entry(pair) for name, pair in self.clients.items()}
        users |= {f"{name}-token": {"token": token} for name, token in by_name.items()}
        cluster = {"server": server_url, "certificate-authority-data": _base64(self.authority.certificate_pem)}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "decklog-sandbox", "cluster": cluster}],
            "users": [{"name": name, "user": entry} for name, entry in users.items()],
            "contexts": [{"name": name, "context": _context(name, namespace)} for name in users],
            "current-context": user,
        }
        return json.dumps(document, indent=2) + "\n"


def issue(
    people: Sequence[Account],
    hosts: Sequence[str],
    *,
    clock: Clock,
    lifetime: timedelta = LIFETIME,
    new_token: Callable[[], str] = secrets.token_urlsafe,
) -> Credentials:
    """Make an authority, a certificate for a server reached under `hosts`, and a certificate and a token an account."""
    ca = certificates.authority("decklog-sandbox", clock=clock, lifetime=lifetime)
    return Credentials(
        ca,
        certificates.server_certificate(ca, hosts, clock=clock, lifetime=lifetime),
        {
            person.name: certificates.client_certificate(ca, person.name, person.groups, clock=clock, lifetime=lifetime)
            for person in people
        },
        {new_token(): User(person.name, groups=person.groups) for person in people},
    )


def _certificate_entry(pair: KeyPair) -> dict[str, str]:
    return {
        "client-certificate-data": _base64(pair.certificate_pem),
        "client-key-data": _base64(pair.key_pem),
    }


def _context(user: str, namespace: str) -> dict[str, str]:
    return {"cluster": "decklog-sandbox", "user": user, "namespace": namespace}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
