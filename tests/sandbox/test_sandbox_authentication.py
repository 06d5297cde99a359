from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from decklog import certificates
from decklog.audit.event import User
from decklog.audit.impersonation import ANONYMOUS
from decklog.sandbox.authentication import Authenticator
from sandbox.client import PODS, Clock

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from sandbox.client import Client

HOUR = timedelta(hours=1)
TOKENS = {"t-alice": User("alice", "uid-1", ("dev",))}
ALICE = User("alice", "uid-1", ("dev", "system:authenticated"))


def real() -> datetime:
    return datetime.now(UTC)


def scope(authorization: str | None = None, certificate: bytes | None = None) -> MutableMapping[str, Any]:
    headers = [] if authorization is None else [(b"authorization", authorization.encode())]
    chain = [] if certificate is None else [certificate.decode()]
    return {"headers": headers, "extensions": {"tls": {"client_cert_chain": chain}}}


@pytest.mark.parametrize(
    ("authorization", "expected"),
    [
        (None, ANONYMOUS),
        ("", ANONYMOUS),
        ("Bearer t-alice", ALICE),
        ("bearer  t-alice ", ALICE),
        ("Bearer nope", None),
        ("Bearer ", ANONYMOUS),
        ("Basic YTpi", ANONYMOUS),
        ("Negotiate x", ANONYMOUS),
    ],
)
def test_tokens(authorization: str | None, expected: User | None) -> None:
    """A known token is its user, an unknown one nobody; no token, or another scheme, is anonymous."""
    assert Authenticator(TOKENS, Clock()).identify(scope(authorization)) == expected


def test_certificates_win_over_tokens() -> None:
    """A client certificate names user and groups, and its digest; a bad token beside it is ignored."""
    ca = certificates.authority("trial", clock=real, lifetime=HOUR)
    pair = certificates.client_certificate(ca, "bob", ["dev", "ops"], clock=real, lifetime=HOUR)
    digest = certificates.identity(pair.certificate_pem).sha256
    expected = User(
        "bob",
        groups=("dev", "ops", "system:authenticated"),
        extra={"authentication.kubernetes.io/credential-id": (f"X509SHA256={digest}",)},
    )
    authenticator = Authenticator(TOKENS, Clock())
    assert authenticator.identify(scope("Bearer nope", pair.certificate_pem)) == expected
    assert authenticator.identify(scope("Bearer t-alice", b"no certificate")) == ALICE


def test_issued_tokens_expire() -> None:
    """A token is good until its time, then it is nobody's."""
    clock = Clock()
    authenticator = Authenticator({}, clock)
    authenticator.issue("t", ALICE, clock() + HOUR)
    assert authenticator.token_user("t") == ALICE
    clock.pass_time(3600)
    assert authenticator.token_user("t") is None


def test_tokens_of_service_accounts_work(client: Client) -> None:
    """A token from TokenRequest is its service account, until it expires."""
    target = "/api/v1/namespaces/default/serviceaccounts/default/token"
    reply = client.post(target, {"spec": {"expirationSeconds": 600}})
    assert (reply.status, reply.json["status"]["expirationTimestamp"]) == (201, "2026-01-02T03:14:05Z")
    token = reply.json["status"]["token"]
    whoami = client.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, user=token)
    assert whoami.json["status"]["userInfo"]["username"] == "system:serviceaccount:default:default"
    client.clock.pass_time(601)
    assert client.get(PODS, user=token).status == 401
    assert client.post(target, {"spec": {"expirationSeconds": 1}}).status == 422
    assert client.post("/api/v1/namespaces/default/serviceaccounts/none/token", {}).status == 404
