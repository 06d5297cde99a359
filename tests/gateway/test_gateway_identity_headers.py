"""Identity cannot be forged: what a client says of who it is reaches the upstream in no spelling (G26)."""

from __future__ import annotations

import re
from typing import Any, Final

import pytest

from decklog.gateway.towards import Passage
from gateway.odd_heads import get
from gateway.running_gateway import gateway_to, run
from gateway.scripted_upstream import ScriptedUpstream

OURS: Final = b"Impersonate-User: alice\r\nImpersonate-Group: dev\r\nAuthorization: Bearer ours\r\n"
IDENTITY: Final = re.compile(rb"(?i)[^a-z0-9]*(x[^a-z0-9]*remote|impersonate)")
EVIL: Final = b"evil-7d1f"

SPELLINGS: Final = [
    b"X-Remote-User",
    b"x-remote-user",
    b"X-REMOTE-USER",
    b"X-rEmOtE-uSeR",
    b"X_Remote_User",
    b"X-Remote_User",
    b"X_Remote-User",
    b"x_remote_user",
    b"X_REMOTE_USER",
    b"X.Remote.User",
    b"X-Remote.User",
    b"X~Remote~User",
    b"X+Remote+User",
    b"X--Remote--User",
    b"X-Remote-Group",
    b"x-remote-group",
    b"X_Remote_Group",
    b"X-Remote-Uid",
    b"X_Remote_Uid",
    b"X-Remote-Extra-Scopes",
    b"X-Remote-Extra-acme.com%2Fproject",
    b"x_remote_extra_scopes",
    b"X-Remote-Extra-",
    b"X-Remote-",
    b"X-Remote-User-",
    b"X-Remote-Users",
    b"Impersonate-User",
    b"impersonate-user",
    b"IMPERSONATE-USER",
    b"iMpErSoNaTe-UsEr",
    b"Impersonate_User",
    b"impersonate_user",
    b"Impersonate.User",
    b"Impersonate~User",
    b"Impersonate--User",
    b"Impersonate-Group",
    b"Impersonate_Group",
    b"Impersonate-Uid",
    b"Impersonate_UID",
    b"Impersonate-Extra-Scopes",
    b"Impersonate-Extra-acme.com%2Fproject",
    b"Impersonate_Extra_Scopes",
    b"Impersonate-Extra-",
    b"Impersonate-",
    b"Impersonate-Userextra",
    b"Impersonate-User ",
    b"Impersonate-User\t",
    b" Impersonate-User",
    b"X-Remote-User ",
    b"X-Remote-User\x0b",
    b"X-Remote-User\x00",
    "X\u2010Remote\u2010User".encode(),
    "\u0130mpersonate-User".encode(),
    b"X-Remote-User\r",
    b"X: y\nX-Remote-User",
    b"X: y\rImpersonate-User",
    b"X: y\r\n Impersonate-User",
]
"""What stands before the colon."""


def impersonating(head: Any, caller: Any) -> Passage:
    """Go on with our credentials, as alice."""
    del head, caller
    return Passage(OURS, own_certificate=True, keep_authorization=False, keep_impersonation=False)


def passing(head: Any, caller: Any) -> Passage:
    """Go on with the caller's own token."""
    del head, caller
    return Passage(b"", own_certificate=False, keep_authorization=True, keep_impersonation=True)


def _identities(upstream: ScriptedUpstream) -> list[bytes]:
    """Give every line that tells an identity to somebody who is careless with spellings."""
    (request,) = upstream.requests
    return [name + b": " + value + b"\r\n" for name, value in request.headers if IDENTITY.match(name)]


@pytest.mark.parametrize("spelling", SPELLINGS, ids=[repr(spelling)[2:-1] for spelling in SPELLINGS])
def test_spoofed_identity_reaches_nobody(spelling: bytes) -> None:
    """In any spelling it is dropped, or refused with the whole request; what the upstream hears is ours alone."""

    async def scene() -> None:
        async with (
            ScriptedUpstream() as upstream,
            gateway_to(upstream, towards=impersonating) as gateway,
            await gateway.client() as client,
        ):
            await client.send(get(spelling + b": " + EVIL + b"\r\n", b"Authorization: Bearer " + EVIL + b"\r\n"))
            answer = await client.answer()
            assert all(EVIL not in connection.received for connection in upstream.connections)
            if answer.code == 400:
                assert upstream.total == 0
                return
            assert answer.code == 200
            assert _identities(upstream) == OURS.splitlines(keepends=True)[:2]
            assert upstream.requests[0].value(b"authorization") == b"Bearer ours"

    run(scene())


@pytest.mark.parametrize("spelling", SPELLINGS, ids=[repr(spelling)[2:-1] for spelling in SPELLINGS])
def test_with_the_callers_token_only_impersonation_itself_passes(spelling: bytes) -> None:
    """The upstream judges Impersonate-* by the caller's own token: what passes is spelled so that it does."""
    true = re.compile(rb"(?i)impersonate-(user|group|uid|extra-.*)")

    async def scene() -> None:
        async with (
            ScriptedUpstream() as upstream,
            gateway_to(upstream, towards=passing) as gateway,
            await gateway.client() as client,
        ):
            await client.send(get(spelling + b": " + EVIL + b"\r\n", b"Authorization: Bearer own\r\n"))
            if (await client.answer()).code == 400:
                assert upstream.total == 0
                return
            expected = [spelling.lower() + b": " + EVIL + b"\r\n"] if true.fullmatch(spelling) else []
            assert [line.lower() for line in _identities(upstream)] == expected
            assert upstream.requests[0].value(b"authorization") == b"Bearer own"

    run(scene())


CONNECTIONS: Final = {
    "in one line": (b"Connection: Impersonate-User, Authorization\r\n",),
    "in lower case": (b"connection: impersonate-user,impersonate-group,authorization\r\n",),
    "with keep-alive": (b"Connection: keep-alive, Impersonate-User, Authorization, Audit-ID\r\n",),
    "in two lines": (b"Connection: Impersonate-User\r\n", b"Connection: Authorization\r\n"),
    "after an empty line": (b"Connection:\r\n", b"Connection: Impersonate-User, Authorization\r\n"),
    "after commas": (b"Connection: ,, ,Impersonate-User,,Authorization,\r\n",),
    "with tabs": (b"Connection: \tImpersonate-User\t,\tAuthorization\r\n",),
    "with an upgrade": (b"Connection: Upgrade, Impersonate-User, Authorization\r\n", b"Upgrade: h2c\r\n"),
    "by Proxy-Connection": (b"Proxy-Connection: Impersonate-User, Authorization\r\n",),
    "by Keep-Alive and TE": (b"Keep-Alive: Impersonate-User\r\n", b"TE: Authorization\r\n"),
}


@pytest.mark.parametrize("lines", CONNECTIONS.values(), ids=CONNECTIONS)
def test_connection_removes_nothing_of_ours(lines: tuple[bytes, ...]) -> None:
    """Headers that Connection names are none of ours, nor is it passed on."""

    async def scene() -> None:
        async with (
            ScriptedUpstream() as upstream,
            gateway_to(upstream, towards=impersonating) as gateway,
            await gateway.client() as client,
        ):
            await client.send(get(*lines))
            assert (await client.answer()).code == 200
            (request,) = upstream.requests
            assert request.head.endswith(OURS + b"\r\n")
            assert request.value(b"audit-id") is not None
            assert request.value(b"connection") in {None, b"Upgrade"}

    run(scene())


def test_a_token_that_passes_is_not_removed_by_its_sender() -> None:
    """With the caller's own token on its way, Connection cannot make the request an anonymous one."""

    async def scene() -> None:
        async with (
            ScriptedUpstream() as upstream,
            gateway_to(upstream, towards=passing) as gateway,
            await gateway.client() as client,
        ):
            await client.send(get(b"Authorization: Bearer own\r\n", b"Connection: Authorization, Impersonate-User\r\n"))
            assert (await client.answer()).code == 200
            assert upstream.requests[0].value(b"authorization") == b"Bearer own"

    run(scene())
