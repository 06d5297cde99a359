from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from inspect import isawaitable
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from decklog import certificates, listen
from decklog.audit.event import User
from decklog.gateway.caller import NOBODY, REFUSED, Caller, Means
from decklog.gateway.certificate import Certificates
from decklog.gateway.front_proxy import RemoteHeaders
from decklog.gateway.identity import Identification
from decklog.gateway.identity_options import IdentityOptions
from decklog.gateway.questions import Questions
from decklog.gateway.tokens import SelfSubjectReviews, TokenReviews, Tokens
from decklog.sandbox.app import Sandbox
from decklog.sandbox.identities import DEMO, issue
from gateway.reviewing import Way, head, websocket

if TYPE_CHECKING:
    from decklog.certificates import KeyPair
    from decklog.http1 import RequestHead

DAY = timedelta(days=1)


def clock() -> datetime:
    return datetime.now(UTC)


CLIENTS, PROXIES = (certificates.authority(name, clock=clock, lifetime=DAY) for name in ("clients", "proxies"))


def der(ca: KeyPair, name: str) -> bytes:
    pair = certificates.client_certificate(ca, name, clock=clock, lifetime=DAY)
    return x509.load_pem_x509_certificate(pair.certificate_pem).public_bytes(Encoding.DER)


ALICE, FRONT, WRONG_FRONT = der(CLIENTS, "alice"), der(PROXIES, "front"), der(PROXIES, "admin")
CAROL = Caller(User("carol"), Means.TOKEN)
TOKEN, BAD_TOKEN = b"Authorization: Bearer carol-token", b"Authorization: Bearer nope"
REMOTE = b"X-Remote-User: remy"
BROWSER = b"Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.Y2Fyb2wtdG9rZW4, v5.channel.k8s.io"


class Ask:
    def __init__(self) -> None:
        self.asked: list[bytes] = []

    async def __call__(self, authorization: bytes) -> Caller:
        self.asked.append(authorization)
        if authorization.startswith(b"Basic"):
            return NOBODY
        return CAROL if authorization.split()[1] == b"carol-token" else REFUSED


def identification(ask: Ask, *, anonymous: bool = True) -> Identification:
    return Identification(
        Tokens(ask),
        certificates=Certificates(CLIENTS.certificate_pem, PROXIES.certificate_pem, ["front"]),
        remote_headers=RemoteHeaders(IdentityOptions()),
        anonymous=anonymous,
    )


def told(caller: Caller) -> str:
    return f"{caller.user.username if caller.user else 'refused'} by {caller.means.value}"


@pytest.mark.parametrize(
    ("request_head", "certificate", "expected"),
    [
        (head(), None, "system:anonymous by anonymous"),
        (head(TOKEN), None, "carol by token"),
        (head(b"Authorization: bearer carol-token"), None, "carol by token"),
        (head(BAD_TOKEN), None, "refused by none"),
        (head(b"Authorization: Bearer"), None, "system:anonymous by anonymous"),
        (head(b"Authorization: Negotiate abc"), None, "system:anonymous by anonymous"),
        (head(b"Authorization: Basic YTpi"), None, "system:anonymous by anonymous"),
        (head(TOKEN, TOKEN), None, "refused by none"),
        (head(TOKEN, BAD_TOKEN), None, "refused by none"),
        (head(b"Authorization:", TOKEN), None, "refused by none"),
        (head(b"Authorization_: Bearer carol-token"), None, "system:anonymous by anonymous"),
        (head(REMOTE), None, "system:anonymous by anonymous"),
        (head(), ALICE, "alice by certificate"),
        (head(BAD_TOKEN), ALICE, "alice by certificate"),
        (head(TOKEN), ALICE, "alice by certificate"),
        (head(REMOTE), ALICE, "alice by certificate"),
        (head(REMOTE), FRONT, "remy by front-proxy"),
        (head(REMOTE, BAD_TOKEN), FRONT, "remy by front-proxy"),
        (head(), FRONT, "refused by none"),
        (head(TOKEN), FRONT, "carol by token"),
        (head(b"Authorization: Basic YTpi"), FRONT, "refused by none"),
        (head(REMOTE), WRONG_FRONT, "refused by none"),
        (websocket(BROWSER), None, "carol by token"),
        (websocket(BROWSER, TOKEN), None, "refused by none"),
        (websocket(BROWSER), ALICE, "alice by certificate"),
        (websocket(), None, "system:anonymous by anonymous"),
        (websocket(TOKEN), None, "carol by token"),
        (head(BROWSER), None, "system:anonymous by anonymous"),
    ],
)
def test_who_it_is(request_head: RequestHead, certificate: bytes | None, expected: str) -> None:
    """A proxy's word, the certificate, the token, then nobody; kept answers are the same, and come at once."""

    async def main() -> None:
        ask = Ask()
        identify = identification(ask)
        found = identify(request_head, certificate)
        assert told(await found if not isinstance(found, Caller) else found) == expected
        again = identify(request_head, certificate)
        assert not isawaitable(again)
        assert told(again) == expected
        assert len(ask.asked) <= 1

    asyncio.run(main())


@pytest.mark.parametrize("line", [b"Accept: x", b"Authorization: Basic YTpi", b"Authorization: Negotiate x"])
def test_anonymous_can_be_turned_off(line: bytes) -> None:
    """Without anonymous requests whoever has no credentials that anybody looks at is refused."""

    async def main() -> None:
        identify = identification(Ask(), anonymous=False)
        for _ in range(2):
            found = identify(head(line), None)
            assert (found if isinstance(found, Caller) else await found) is REFUSED

    asyncio.run(main())


def test_a_token_in_the_query_is_none() -> None:
    """?access_token= is no credential, as it is none for kube-apiserver."""
    request = head()
    request.target = b"/api?access_token=carol-token"
    assert identification(Ask())(request, None) is NOBODY


def test_forgetting() -> None:
    """After a 401 of the upstream a token is asked for again, wherever it stands in the head."""

    async def main() -> int:
        ask = Ask()
        identify = identification(ask)
        for request in (head(TOKEN), websocket(BROWSER)):
            for _ in range(2):
                found = identify(request, None)
                assert told(found if isinstance(found, Caller) else await found) == "carol by token"
            identify.forget(request)
        identify.forget(head())
        identify.forget(websocket(BROWSER, TOKEN))
        return len(ask.asked)

    assert asyncio.run(main()) == 2


@pytest.mark.parametrize("own", [False, True])
def test_the_sandbox_tells_whose_a_token_is(*, own: bool) -> None:
    """A real server answers a SelfSubjectReview in the caller's name, and a TokenReview in ours."""
    people = issue(DEMO, ["127.0.0.1"], clock=clock)
    tokens = {user.username: token for token, user in people.tokens.items()}

    async def main() -> list[str]:
        tls = certificates.server_context(people.server, people.authority.certificate_pem)
        async with listen.serve(Sandbox(DEMO, people.tokens), "127.0.0.1:0", tls=tls) as served:
            plain = certificates.client_context(people.authority.certificate_pem)
            admin = certificates.client_context(people.authority.certificate_pem, people.clients["admin"])
            async with Questions(Way(served.port, None, plain, admin)) as questions:
                ask = TokenReviews(questions) if own else SelfSubjectReviews(questions)
                identify = Identification(
                    Tokens(ask),
                    certificates=Certificates(people.authority.certificate_pem),
                    remote_headers=RemoteHeaders(IdentityOptions()),
                )
                found = []
                for token in (tokens["alice"], tokens["carol"], "nobody's"):
                    caller = identify(head(b"Authorization: Bearer " + token.encode()), None)
                    found.append(caller if isinstance(caller, Caller) else await caller)
        assert found[0].user == User("alice", groups=("team-leads", "system:authenticated"))
        return [told(caller) for caller in found]

    assert asyncio.run(main()) == ["alice by token", "carol by token", "refused by none"]
