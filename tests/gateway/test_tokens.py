from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from decklog.audit.event import User
from decklog.gateway.caller import NOBODY, REFUSED, Caller, Means
from decklog.gateway.questions import QuestionError, Questions
from decklog.gateway.tokens import SelfSubjectReviews, TokenReviews, Tokens, bearer, credentials, without_bearer
from gateway.reviewing import Answer, Asked, Reviewer, head, until, websocket

CAROL = {"username": "carol", "uid": "u-1", "groups": ["dev", "system:authenticated"], "extra": {"b": ["2"], "a": None}}
CAROL_USER = User("carol", "u-1", ("dev", "system:authenticated"), {"a": None, "b": ("2",)})
ANONYMOUS_403 = {"kind": "Status", "message": 'x is forbidden: User "system:anonymous" cannot create resource "x"'}
OTHER_403 = {"kind": "Status", "message": 'x is forbidden: User "eve" cannot create resource "x"'}
PROTOCOL = b"base64url.bearer.authorization.k8s.io."


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Ask:
    """Answers in turn, and counts."""

    def __init__(self, *answers: Caller | Exception) -> None:
        self.answers = list(answers)
        self.asked = 0
        self.hold: asyncio.Event | None = None

    async def __call__(self, authorization: bytes) -> Caller:
        assert authorization
        self.asked += 1
        if self.hold is not None:
            await self.hold.wait()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


GOOD = Caller(User("carol"), Means.TOKEN)


def test_answers_are_kept_for_their_time() -> None:
    """A known token is asked for once in its time, an unknown one once in a tenth of it."""
    clock = Clock()

    async def main(answer: Caller, held_s: float) -> None:
        ask = Ask(answer)
        tokens = Tokens(ask, ttl_s=10, clock=clock)
        assert tokens.kept(b"t") is None
        assert await tokens.find(b"t") is answer
        clock.now += held_s - 0.01
        assert tokens.kept(b"t") is answer
        clock.now += 0.02
        assert tokens.kept(b"t") is None
        await tokens.find(b"t")
        assert (ask.asked, tokens.kept(b"t")) == (2, answer)

    asyncio.run(main(GOOD, 10))
    asyncio.run(main(REFUSED, 1))
    asyncio.run(main(NOBODY, 1))


def test_failures_and_no_time_are_not_kept() -> None:
    """That nobody could be asked is never kept; nor is anything with a time of 0."""

    async def main() -> None:
        ask = Ask(QuestionError(504, "slow"), RuntimeError("bug"), GOOD)
        tokens = Tokens(ask)
        assert await tokens.find(b"t") == Caller(None, Means.NONE, "slow", 504)
        second = await tokens.find(b"t")
        assert (second.user, second.code) == (None, 502)
        assert await tokens.find(b"t") is GOOD
        never = Tokens(Ask(GOOD), ttl_s=0)
        await never.find(b"t")
        assert never.kept(b"t") is None

    asyncio.run(main())


def test_a_refused_token_is_forgotten() -> None:
    """What the upstream has just refused is asked for again."""

    async def main() -> None:
        tokens = Tokens(Ask(GOOD))
        await tokens.find(b"t")
        tokens.forget(b"other")
        assert tokens.kept(b"t") is GOOD
        tokens.forget(b"t")
        assert tokens.kept(b"t") is None

    asyncio.run(main())


def test_what_is_kept_is_bounded_and_unknown_tokens_do_not_push_known_ones_out() -> None:
    """The oldest answer goes when there are too many; a flood of bad tokens leaves the good ones alone."""

    async def main() -> None:
        ask = Ask(GOOD, GOOD, GOOD, REFUSED)
        tokens = Tokens(ask, remembered=2)
        for name in (b"a", b"b", b"c"):
            await tokens.find(name)
        for number in range(20):
            await tokens.find(b"bad%d" % number)
        assert [tokens.kept(name) for name in (b"a", b"b", b"c")] == [None, GOOD, GOOD]
        assert [tokens.kept(b"bad%d" % number) for number in (17, 18, 19)] == [None, REFUSED, REFUSED]

    asyncio.run(main())


def test_lookups_of_one_token_share_a_question() -> None:
    """Requests that come together ask once, and one that is given up takes nobody's answer along."""

    async def main() -> None:
        ask = Ask(GOOD)
        ask.hold = asyncio.Event()
        tokens = Tokens(ask)
        first, *others = [asyncio.create_task(tokens.find(b"t")) for _ in range(20)]
        await until(lambda: ask.asked == 1)
        first.cancel()
        ask.hold.set()
        assert await asyncio.gather(*others) == [GOOD] * 19
        assert ask.asked == 1

    asyncio.run(main())


def test_no_token_is_kept() -> None:
    """After the answer nothing that is kept holds the token, in any form that could be told."""

    async def main() -> str:
        tokens = Tokens(Ask(GOOD))
        await tokens.find(b"Bearer " + b"very-" + b"secret")
        gc.collect()
        return repr(vars(tokens))

    assert "very-secret" not in asyncio.run(main())


def reviewed(answers: Any, authorization: bytes, *, own: bool = False) -> tuple[Caller, list[Asked]]:
    """Ask a server that gives these answers by path (or one to all) whose credentials these are."""

    def answer(asked: Asked) -> Answer:
        found: Answer = answers.get(asked.path.split("/")[3], (404, {})) if isinstance(answers, dict) else answers
        return found

    async def main() -> tuple[Caller, list[Asked]]:
        reviewer = Reviewer(answer)
        async with reviewer.running() as way:
            way.token = b"Bearer ours"
            async with Questions(way) as questions:
                ask = TokenReviews(questions) if own else SelfSubjectReviews(questions)
                return await Tokens(ask).find(authorization), reviewer.asked

    return asyncio.run(main())


SELF = {"status": {"userInfo": CAROL}}


@pytest.mark.parametrize("version", ["v1", "v1beta1", "v1alpha1"])
def test_self_subject_review(version: str) -> None:
    """The caller's own header asks who they are, in the newest version that the upstream has."""
    caller, asked = reviewed({version: (201, SELF)}, b"bearer carol-token")
    assert caller == Caller(CAROL_USER, Means.TOKEN)
    assert {one.authorization for one in asked} == {"bearer carol-token"}
    assert asked[-1].path == f"/apis/authentication.k8s.io/{version}/selfsubjectreviews"
    assert asked[-1].document == {"kind": "SelfSubjectReview", "apiVersion": f"authentication.k8s.io/{version}"}


def test_the_version_is_remembered() -> None:
    """An older upstream is asked in its version at once the next time."""

    async def main() -> list[str]:
        reviewer = Reviewer(lambda asked: (201, SELF) if "/v1beta1/" in asked.path else (404, {}))
        async with reviewer.running() as way, Questions(way) as questions:
            ask = SelfSubjectReviews(questions)
            await ask(b"Bearer a")
            await ask(b"Bearer b")
        return [asked.path.split("/")[3] for asked in reviewer.asked]

    assert asyncio.run(main()) == ["v1", "v1beta1", "v1beta1"]


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        ((404, {}), 502, "--token-identity tokenreview"),
        ((403, OTHER_403), 502, "system:basic-user"),
        ((500, {}), 502, "answered 500"),
        ((302, {}), 502, "answered 302"),
        ((429, {}), 503, "answered 429"),
        ((503, {}), 503, "answered 503"),
        ((504, {}), 504, "answered 504"),
        ((201, b"<html>"), 502, "cannot be read"),
        ((201, {"status": {"userInfo": {"groups": ["x"]}}}), 502, "names no user"),
        ((201, {"status": {"userInfo": {"username": 7}}}), 502, "cannot be read"),
        ((201, {}), 502, "cannot be read"),
    ],
)
def test_upstreams_that_do_not_tell(answer: Answer, code: int, words: str) -> None:
    """An upstream that gives no usable answer is a problem with a code, and never somebody."""
    caller, _ = reviewed(answer, b"Bearer x")
    assert (caller.user, caller.means, caller.code) == (None, Means.NONE, code)
    assert words in caller.problem


@pytest.mark.parametrize(
    ("authorization", "answer", "expected"),
    [
        (b"Bearer x", (401, {}), REFUSED),
        (b"Basic YTpi", (401, {}), REFUSED),
        (b"Basic YTpi", (403, ANONYMOUS_403), NOBODY),
        (b"Basic YTpi", (201, {"status": {"userInfo": {"username": "system:anonymous"}}}), NOBODY),
        (b"Basic YTpi", (201, SELF), Caller(CAROL_USER, Means.TOKEN)),
        (b"Bearer \xff", (201, SELF), REFUSED),
    ],
)
def test_who_is_refused(authorization: bytes, answer: Answer, expected: Caller) -> None:
    """Unknown credentials are refused; those that the upstream does not look at are nobody's."""
    assert reviewed(answer, authorization)[0] == expected


def test_token_review() -> None:
    """A TokenReview asks with our credentials, and says whose a token is."""
    caller, asked = reviewed((201, {"status": {"authenticated": True, "user": CAROL}}), b"Bearer carol-token", own=True)
    assert caller == Caller(CAROL_USER, Means.TOKEN)
    assert (asked[0].authorization, asked[0].document["spec"]) == ("Bearer ours", {"token": "carol-token"})
    refused = (201, {"status": {"user": {}, "error": "invalid bearer token"}})
    assert reviewed(refused, b"Bearer x", own=True)[0] == REFUSED
    assert "system:auth-delegator" in reviewed((403, OTHER_403), b"Bearer x", own=True)[0].problem
    assert reviewed((503, {}), b"Bearer x", own=True)[0].code == 503
    assert reviewed((201, {}), b"Basic YTpi", own=True) == (NOBODY, [])


@pytest.mark.parametrize(
    ("authorization", "token"),
    [
        (b"Bearer abc", b"abc"),
        (b"bEARER abc", b"abc"),
        (b"Bearer abc def", b"abc"),
        (b" Bearer abc ", b"abc"),
        (b"Bearer  abc", None),
        (b"Bearer", None),
        (b"Bearer\tabc", None),
        (b"Bearerabc", None),
        (b"Basic YTpi", None),
        (b"Negotiate abc", None),
        (b"", None),
    ],
)
def test_bearer(authorization: bytes, token: bytes | None) -> None:
    """The token is the second word, cut at single blanks, as kube-apiserver cuts."""
    assert bearer(authorization) == token


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([PROTOCOL + b"YWJj, v5.channel.k8s.io"], b"Bearer abc"),
        ([b"v5.channel.k8s.io", PROTOCOL + b"YWJj"], b"Bearer abc"),
        ([b"v5.channel.k8s.io"], None),
        ([PROTOCOL + b", v5.channel.k8s.io"], None),
        ([PROTOCOL + b"YWJj"], ValueError),
        ([PROTOCOL + b"YWJj, a, " + PROTOCOL + b"YWJj"], ValueError),
        ([PROTOCOL + b"YW?j, a"], ValueError),
        ([PROTOCOL + b"__8, a"], ValueError),
        ([PROTOCOL + b"YQ0KYg, a"], ValueError),
        ([PROTOCOL + b"YSBi, a"], ValueError),
    ],
)
def test_tokens_of_browsers(lines: list[bytes], expected: bytes | type[ValueError] | None) -> None:
    """A WebSocket's bearer subprotocol is a credential; one that is broken, alone or twice is a failure."""
    request = websocket(*(b"Sec-WebSocket-Protocol: " + line for line in lines))
    if expected is ValueError:
        with pytest.raises(ValueError, match="bearer subprotocol"):
            credentials(request, None)
    else:
        assert credentials(request, None) == expected
    assert credentials(head(*(b"Sec-WebSocket-Protocol: " + line for line in lines)), None) is None


def test_a_subprotocol_beside_a_header_is_ambiguous() -> None:
    """Two tokens in one request are a failure, whatever they are; a header that is none does not count."""
    request = websocket(b"Sec-WebSocket-Protocol: a, " + PROTOCOL + b"YWJj")
    with pytest.raises(ValueError, match="beside an Authorization header"):
        credentials(request, b"Bearer abc")
    assert credentials(request, b"Negotiate x") == b"Bearer abc"


@pytest.mark.parametrize(
    ("value", "expected"),
    [(PROTOCOL + b"YWJj, v5.channel.k8s.io", b"v5.channel.k8s.io"), (b"a,b", b"a, b"), (PROTOCOL, b"")],
)
def test_without_bearer(value: bytes, expected: bytes) -> None:
    """A request that goes on as somebody else takes no token along."""
    assert without_bearer(value) == expected
