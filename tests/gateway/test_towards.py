from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decklog import certificates
from decklog.audit.event import User
from decklog.audit.impersonation import requested
from decklog.errors import DecklogError
from decklog.gateway.caller import NOBODY, REFUSED, Caller, Means
from decklog.gateway.permissions import PATH, Permissions
from decklog.gateway.towards import Onward, Passage, Refusal, is_identity_header, is_impersonation_header
from decklog.http1 import Heads
from gateway.reviewing import Way, head

ALICE = User("alice", "u-1", ("dev", "system:authenticated"), {"acme.com/Project": ("x", "y"), "scopes": ()})
BY_CERTIFICATE = Caller(ALICE, Means.CERTIFICATE)
BY_TOKEN = Caller(ALICE, Means.TOKEN)
BY_PROXY = Caller(ALICE, Means.FRONT_PROXY)
AS_BOB = [b"Impersonate-User: bob", b"Impersonate-Group: ops"]
BOB = User("bob", groups=("ops", "system:authenticated"))
IMPERSONATE_ALICE = (
    b"Impersonate-User: alice\r\nImpersonate-Uid: u-1\r\nImpersonate-Group: dev\r\n"
    b"Impersonate-Group: system:authenticated\r\nImpersonate-Extra-acme.com%2F%50roject: x\r\n"
    b"Impersonate-Extra-acme.com%2F%50roject: y\r\n"
)
REMOTE_ALICE = IMPERSONATE_ALICE.replace(b"Impersonate-", b"X-Remote-")


class Yes:
    """Allows everything, and counts."""

    asked = 0

    async def post(self, path: str, document: bytes, authorization: bytes | None = None) -> tuple[int, bytes]:
        assert (path, authorization) == (PATH, None)
        assert document
        self.asked += 1
        return 201, b'{"status":{"allowed":true}}'


def way(token: bytes | None = b"Bearer ours", *, certificate: bool = False) -> Way:
    context = certificates.client_context(CA.certificate_pem)
    return Way(1, token, context, context if certificate else None)


CA = certificates.authority("ca", clock=lambda: datetime.now(UTC), lifetime=timedelta(days=1))


def onward(mode: str, *lines: bytes, caller: Caller = BY_CERTIFICATE, upstream: Way | None = None) -> Passage | Refusal:
    async def main() -> Passage | Refusal:
        found = Onward(mode, upstream or way(certificate=True), Permissions(Yes()))(head(*lines), caller)
        return found if isinstance(found, Passage | Refusal) else await found

    return asyncio.run(main())


def message(refusal: Passage | Refusal) -> str:
    assert isinstance(refusal, Refusal)
    status = json.loads(refusal.status)
    assert (status["kind"], status["status"], status["code"]) == ("Status", "Failure", refusal.code)
    return f"{refusal.code} {status['message']}"


@pytest.mark.parametrize(
    ("mode", "caller", "expected"),
    [
        ("auto", BY_TOKEN, "token"),
        ("auto", NOBODY, "nobody"),
        ("auto", BY_CERTIFICATE, "impersonated"),
        ("auto", BY_PROXY, "impersonated"),
        ("pass-through", BY_TOKEN, "token"),
        ("pass-through", NOBODY, "nobody"),
        ("pass-through", BY_CERTIFICATE, "refused"),
        ("pass-through", BY_PROXY, "refused"),
        ("impersonate", BY_TOKEN, "impersonated"),
        ("impersonate", NOBODY, "nobody"),
        ("impersonate", BY_CERTIFICATE, "impersonated"),
        ("front-proxy", BY_TOKEN, "told"),
        ("front-proxy", BY_CERTIFICATE, "told"),
    ],
)
def test_modes(mode: str, caller: Caller, expected: str) -> None:
    """Each mode takes each kind of caller its way: who passes a token shows no certificate of ours."""
    ways = {
        "token": Passage(b"", own_certificate=False, keep_authorization=True, keep_impersonation=True),
        "nobody": Passage(b"", own_certificate=False, keep_authorization=False, keep_impersonation=True),
        "told": Passage(REMOTE_ALICE, own_certificate=True, keep_authorization=False, keep_impersonation=True),
        "impersonated": Passage(
            IMPERSONATE_ALICE + b"Authorization: Bearer ours\r\n",
            own_certificate=True,
            keep_authorization=False,
            keep_impersonation=False,
        ),
    }
    found = onward(mode, caller=caller)
    if expected == "refused":
        assert "401 the gateway passes tokens on, and there is none" in message(found)
    else:
        assert found == ways[expected]


def test_nobody_is_told_too() -> None:
    """As a front proxy we say of an anonymous request that it is one."""
    found = onward("front-proxy", caller=NOBODY)
    assert isinstance(found, Passage)
    assert found.lines == b"X-Remote-User: system:anonymous\r\nX-Remote-Group: system:unauthenticated\r\n"


def test_our_credentials() -> None:
    """Our token, our certificate or both speak for us; without any nobody is impersonated."""
    with_token = onward("impersonate", upstream=way())
    assert isinstance(with_token, Passage)
    assert (with_token.own_certificate, with_token.lines.endswith(b"Authorization: Bearer ours\r\n")) == (False, True)
    with_certificate = onward("impersonate", upstream=way(None, certificate=True))
    assert isinstance(with_certificate, Passage)
    assert (with_certificate.own_certificate, with_certificate.lines) == (True, IMPERSONATE_ALICE)
    assert "no credentials of its own" in message(onward("impersonate", upstream=way(None)))
    with pytest.raises(DecklogError, match="needs a client certificate of ours"):
        Onward("front-proxy", way(), Permissions(Yes()))


def test_nobody_to_go_on_as() -> None:
    """A failed authentication is 401, one that could not be tried is its problem."""
    assert message(onward("auto", caller=REFUSED)) == "401 Unauthorized"
    assert message(onward("auto", caller=Caller(None, Means.NONE, "down", 502))) == "502 down"


@pytest.mark.parametrize(("mode", "caller"), [("auto", BY_TOKEN), ("auto", NOBODY), ("front-proxy", BY_CERTIFICATE)])
def test_whom_the_upstream_judges(mode: str, caller: Caller) -> None:
    """Where the upstream knows the caller, their Impersonate-* go on, and whom they want to be is known."""
    found = onward(mode, *AS_BOB, caller=caller)
    assert isinstance(found, Passage)
    assert (found.keep_impersonation, found.impersonated) == (True, BOB)
    without_user = onward(mode, b"Impersonate-Group: x", caller=caller)
    assert isinstance(without_user, Passage)
    assert (without_user.keep_impersonation, without_user.impersonated) == (True, None)
    empty = onward(mode, b"Impersonate-User:", caller=caller)
    assert isinstance(empty, Passage)
    assert empty.impersonated is None


def test_acting_as_another_with_our_credentials() -> None:
    """Who may act as another goes on as them, with the groups that were asked for, and nothing of their own."""
    found = onward("auto", *AS_BOB, b"Impersonate-Extra-Scopes: v", upstream=way())
    assert found == Passage(
        b"Impersonate-User: bob\r\nImpersonate-Group: ops\r\nImpersonate-Extra-scopes: v\r\n"
        b"Authorization: Bearer ours\r\n",
        own_certificate=False,
        keep_authorization=False,
        keep_impersonation=False,
        impersonated=User("bob", "", ("ops", "system:authenticated"), {"scopes": ("v",)}),
    )


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([b"Impersonate-Group: dev"], '400 requested &user.DefaultInfo{Name:"", UID:"", Groups:[]string{"dev"}'),
        ([b"Impersonate-User: bob\x80"], "400 the user's name b'bob\\x80' cannot stand in a header"),
        ([b"Impersonate-User: bob", b"Impersonate-Extra-a: x\ty"], "400 the user's extra value b'x\\ty' cannot stand"),
        ([b"Impersonate-User: bob", *[b"Impersonate-Group: x"] * 64], "400 requested to impersonate 65 values"),
    ],
)
def test_what_cannot_be_impersonated(lines: list[bytes], expected: str) -> None:
    """Groups without a user, names that no header can carry and too many values are 400."""
    assert message(onward("auto", *lines)).startswith(expected)


@pytest.mark.parametrize(
    "name", ["a\r\nImpersonate-Group: system:masters", "a\nb", "a\0", " a", "a ", "\ta", "a\x7f", "a\udcff", "a\tb"]
)
@pytest.mark.parametrize("mode", ["impersonate", "front-proxy"])
@pytest.mark.parametrize("field", ["username", "uid", "groups", "extra"])
def test_names_that_no_header_can_carry(name: str, mode: str, field: str) -> None:
    """A user with a part that a header would change, end or break is refused, and nothing goes on."""
    user = {
        "username": User(name),
        "uid": User("a", name),
        "groups": User("a", groups=("x", name)),
        "extra": User("a", extra={"k": (name,)}),
    }[field]
    assert message(onward(mode, caller=Caller(user, Means.CERTIFICATE))).startswith("400 the user's ")


WORDS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12).filter(
    lambda text: text == text.strip(" ")
)


@given(
    WORDS,
    st.text("xyz-0"),
    st.lists(WORDS, max_size=3),
    st.dictionaries(st.text(max_size=9), st.lists(WORDS, min_size=1), max_size=3),
)
def test_users_survive_the_way(name: str, uid: str, groups: list[str], extra: dict[str, list[str]]) -> None:
    """Whom we name, a strict parser and kube-apiserver's rules read back, part by part."""
    extra = {key.encode("utf-8", "replace").decode(): values for key, values in extra.items()}
    user = User(name, uid, tuple(groups), {key: tuple(extra[key]) for key in sorted(extra)})
    caller = Caller(user, Means.CERTIFICATE)
    permissions, upstream = Permissions(Yes()), Way(1, b"Bearer ours")
    impersonated = Onward("impersonate", upstream, permissions)(head(), caller)
    assert isinstance(impersonated, Passage)
    read = Heads().request(b"GET / HTTP/1.1\r\nHost: x\r\n" + impersonated.lines + b"\r\n")
    assert requested(read.headers) == user
    assert read.headers[-1] == (b"authorization", b"Bearer ours")


SPELLINGS = [
    mark.join(parts) + tail
    for parts in (
        (b"x", b"remote", b"user"),
        (b"X", b"Remote", b"Group"),
        (b"impersonate", b"user"),
        (b"IMPERSONATE", b"UID"),
    )
    for mark in (b"-", b"_", b".", b"--")
    for tail in (b"", b" ", b"\t")
] + [
    b" x-remote-extra-a",
    b"x-remote-",
    b"x_remote-uid",
    b"X-ReMoTe_UsEr",
    b"impersonate-extra-%2f",
    b"Impersonate-Group-",
]


def test_identity_headers_in_fifty_spellings() -> None:
    """What any server could take for a name is one, however it is spelled; what only looks alike is not."""
    assert len(SPELLINGS) > 50
    assert [name for name in SPELLINGS if not is_identity_header(name)] == []
    others = (
        b"x-remotely",
        b"accept",
        b"x-forwarded-for",
        b"impersonated",
        b"x-my-impersonate-user",
        b"remote-user",
        b"",
    )
    assert [name for name in others if is_identity_header(name)] == []


def test_impersonation_headers_are_spelled_one_way() -> None:
    """Only what kube-apiserver reads goes on to be judged."""
    names = (
        b"impersonate-user",
        b"impersonate-uid",
        b"impersonate-group",
        b"impersonate-extra-a%2fb",
        b"impersonate-extra-",
    )
    assert all(map(is_impersonation_header, names))
    odd = (b"impersonate_user", b"impersonate-users", b"impersonate-user ", b"impersonate-extra", b"x-remote-user")
    assert not any(map(is_impersonation_header, odd))
