from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from decklog import certificates, listen
from decklog.audit.event import User
from decklog.gateway.caller import Caller, Means
from decklog.gateway.permissions import PATH, Permissions
from decklog.gateway.questions import Questions
from decklog.gateway.refusals import Refusal
from decklog.gateway.towards import Onward, Passage
from decklog.sandbox.app import Sandbox
from decklog.sandbox.identities import DEMO, issue
from gateway.reviewing import Answer, Asked, Reviewer, Way, head

ALICE = User("alice", "u-1", ("dev", "system:authenticated"), {"acme.com/Project": ("x", "y"), "scopes": ()})
BY_CERTIFICATE = Caller(ALICE, Means.CERTIFICATE)
AS_BOB = [b"Impersonate-User: bob", b"Impersonate-Group: ops"]


class Yes:
    """Allows everything, and counts."""

    asked = 0

    async def post(self, path: str, document: bytes, authorization: bytes | None = None) -> tuple[int, bytes]:
        assert (path, authorization) == (PATH, None)
        assert document
        self.asked += 1
        return 201, b'{"status":{"allowed":true}}'


def message(refusal: Passage | Refusal) -> str:
    assert isinstance(refusal, Refusal)
    return f"{refusal.code} {json.loads(refusal.status)['message']}"


def reviewed(answer: Answer, *lines: bytes) -> tuple[Passage | Refusal, list[Asked]]:
    async def main() -> tuple[Passage | Refusal, list[Asked]]:
        reviewer = Reviewer(lambda _: answer)
        async with reviewer.running() as upstream, Questions(upstream) as questions:
            upstream.token = b"Bearer ours"
            found = Onward("auto", upstream, Permissions(questions))(head(*lines), BY_CERTIFICATE)
            assert not isinstance(found, Passage | Refusal)
            return await found, reviewer.asked

    return asyncio.run(main())


def test_what_the_upstream_is_asked() -> None:
    """One question a value, about the caller as they are, in our name."""
    lines = (*AS_BOB, b"Impersonate-Uid: u", b"Impersonate-Extra-acme.com%2Fproject: p")
    found, asked = reviewed((201, {"status": {"allowed": True}}), *lines)
    assert isinstance(found, Passage)
    group = "authentication.k8s.io"
    wanted = [
        {"resource": "users", "name": "bob"},
        {"resource": "groups", "name": "ops"},
        {"group": group, "resource": "uids", "name": "u"},
        {"group": group, "resource": "userextras", "subresource": "acme.com/project", "name": "p"},
    ]
    attributes = [one.document["spec"]["resourceAttributes"] for one in asked]
    by_resource = {one["resource"]: one for one in attributes}
    assert by_resource == {one["resource"]: {"verb": "impersonate", **one} for one in wanted}
    assert len(attributes) == len(wanted)
    assert {one.authorization for one in asked} == {"Bearer ours"}
    assert {one.document["spec"]["user"] for one in asked} == {"alice"}
    assert asked[0].document["spec"]["groups"] == ["dev", "system:authenticated"]
    assert asked[0].document["spec"]["extra"] == {"acme.com/Project": ["x", "y"], "scopes": []}


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({}, ""),
        ({"allowed": False, "reason": "not today"}, ": not today"),
        ({"allowed": True, "denied": True}, ""),
    ],
)
def test_a_no_in_the_servers_words(status: dict[str, Any], words: str) -> None:
    """Who may not act as another is told so with a Status as kube-apiserver writes it."""
    found, _ = reviewed((201, {"status": status}), b"Impersonate-User: system:serviceaccount:ns:robot<")
    assert isinstance(found, Refusal)
    assert (found.code, found.impersonated) == (403, None)
    assert found.status == (
        b'{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",'
        b'"message":"serviceaccounts \\"robot\\u003c\\" is forbidden: User \\"alice\\" cannot impersonate resource '
        b'\\"serviceaccounts\\" in API group \\"\\" in the namespace \\"ns\\"' + words.encode() + b'",'
        b'"reason":"Forbidden","details":{"name":"robot\\u003c","kind":"serviceaccounts"},"code":403}\n'
    )


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((403, {}), "502 the upstream answered 403 to a SubjectAccessReview of ours"),
        ((500, {}), "502 the upstream answered 500"),
        ((429, {}), "503 the upstream answered 429"),
        ((201, b"[]"), "502 the upstream's answer to an access review cannot be read"),
    ],
)
def test_nobody_judges(answer: Answer, expected: str) -> None:
    """Without a verdict nothing goes on."""
    assert message(reviewed(answer, *AS_BOB)[0]).startswith(expected)


def test_verdicts_are_kept_for_a_short_while() -> None:
    """A yes holds for ten seconds, a no for one; what is kept is bounded; kept verdicts need no waiting."""

    async def main() -> None:
        now = [0.0]
        questions = Yes()
        permissions = Permissions(questions, clock=lambda: now[0], remembered=3)
        onwards = Onward("auto", Way(1, b"Bearer ours"), permissions)

        async def ask(*lines: bytes) -> bool:
            found = onwards(head(*lines), BY_CERTIFICATE)
            if isinstance(found, Passage | Refusal):
                return False
            assert isinstance(await found, Passage)
            return True

        assert [await ask(*AS_BOB), await ask(*AS_BOB), questions.asked] == [True, False, 2]
        now[0] = 10.1
        assert [await ask(*AS_BOB), questions.asked] == [True, 4]
        for number in range(4):
            await ask(b"Impersonate-User: u%d" % number)
        assert [await ask(*AS_BOB), await ask(b"Impersonate-User: u3")] == [True, False]

    asyncio.run(main())


def test_the_sandbox_judges() -> None:
    """A real server lets an administrator act as another, and nobody else."""
    people = issue(DEMO, ["127.0.0.1"], clock=lambda: datetime.now(UTC))

    async def main() -> str:
        tls = certificates.server_context(people.server, people.authority.certificate_pem)
        async with listen.serve(Sandbox(DEMO, people.tokens), "127.0.0.1:0", tls=tls) as served:
            plain = certificates.client_context(people.authority.certificate_pem)
            admin = certificates.client_context(people.authority.certificate_pem, people.clients["admin"])
            upstream = Way(served.port, None, plain, admin)
            async with Questions(upstream) as questions:
                onwards = Onward("auto", upstream, Permissions(questions))
                found = []
                for name, groups in (("root", ("system:masters",)), ("alice", ("team-leads",))):
                    caller = Caller(User(name, groups=(*groups, "system:authenticated")), Means.CERTIFICATE)
                    answer = onwards(head(*AS_BOB), caller)
                    found.append(answer if isinstance(answer, Passage | Refusal) else await answer)
        assert isinstance(found[0], Passage)
        return message(found[1])

    told = 'User "alice" cannot impersonate resource "users" in API group "" at the cluster scope'
    assert asyncio.run(main()) == f'403 users "bob" is forbidden: {told}'
