"""Tokens: whose they are, as the upstream says, kept for a short while.

A token itself is never kept and never told: what is kept is the answer, under a salted SHA-256 of the header.
Requests with the same header share one question.

| what | kube-apiserver | here | why |
|---|---|---|---|
| Authorization twice, or a bearer subprotocol beside it | one after the other | 401 | whose it is has to be plain |
| Basic | nobody reads it: anonymous | asked like a token | some servers and proxies do read it |
| a subprotocol that is no token | 401 | the same | |
| how long a token holds | up to 10 s beyond its end | the same, by default | one question is not one a request |
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import os
import time
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec
from msgspec import Struct

from decklog.audit.event import User
from decklog.gateway.caller import NOBODY, REFUSED, Caller, Means
from decklog.gateway.questions import QuestionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from decklog.http1 import Headers, RequestHead

BEARER_PROTOCOL: Final = b"base64url.bearer.authorization.k8s.io."
"""What a WebSocket subprotocol begins with that is a bearer token."""
REMEMBERED: Final = 10_000
"""Answers that are kept, at most; of the good ones and of the others."""
_SUBPROTOCOL: Final = b"sec-websocket-protocol"
_GROUP: Final = "authentication.k8s.io"
_VERSIONS: Final = ("v1", "v1beta1", "v1alpha1")

logger = logging.getLogger(__name__)


class Ask(Protocol):
    """Asks the upstream whose credentials a header holds."""

    async def __call__(self, authorization: bytes) -> Caller:
        """Give the caller; REFUSED when nobody knows them. Raises QuestionError."""
        ...


class Poster(Protocol):
    """Posts reviews: `decklog.gateway.questions.Questions` does."""

    async def post(self, path: str, document: bytes, authorization: bytes | None = None) -> tuple[int, bytes]:
        """Give code and body of the answer. Raises QuestionError."""
        ...


class _Kept(Struct, frozen=True):
    caller: Caller
    until_s: float


class Tokens:
    """Answers from what is kept, or asks."""

    def __init__(
        self,
        ask: Ask,
        *,
        ttl_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
        remembered: int = REMEMBERED,
        salt: bytes | None = None,
    ) -> None:
        self._ask = ask
        self._ttl_s = ttl_s
        self._clock = clock
        self._remembered = remembered
        self._salt = os.urandom(16) if salt is None else salt
        self._known: dict[bytes, _Kept] = {}
        self._unknown: dict[bytes, _Kept] = {}
        self._asking: dict[bytes, asyncio.Task[Caller]] = {}

    def kept(self, authorization: bytes) -> Caller | None:
        """Tell whose the credentials of an Authorization header are, if that is known at once."""
        key = sha256(self._salt + authorization).digest()
        kept = self._known.get(key) or self._unknown.get(key)
        return kept.caller if kept is not None and kept.until_s > self._clock() else None

    def forget(self, authorization: bytes) -> None:
        """Drop what is kept: the upstream has just refused these credentials."""
        self._known.pop(sha256(self._salt + authorization).digest(), None)

    async def find(self, authorization: bytes) -> Caller:
        """Ask the upstream whose the credentials are, together with whoever else is asking."""
        key = sha256(self._salt + authorization).digest()
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.create_task(self._asked(key, authorization))
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        # A client that leaves takes nobody's answer along.
        return await asyncio.shield(task)

    async def _asked(self, key: bytes, authorization: bytes) -> Caller:
        try:
            caller = await self._ask(authorization)
        except QuestionError as error:
            return Caller(None, Means.NONE, error.problem, error.code)
        except Exception:
            logger.exception("the question whose a token is could not be asked")
            return Caller(None, Means.NONE, "the gateway could not ask the upstream who the caller is", 502)
        if caller.means is Means.TOKEN:
            self._keep(self._known, key, caller, self._ttl_s)
        else:
            self._keep(self._unknown, key, caller, self._ttl_s / 10)
        return caller

    def _keep(self, kept: dict[bytes, _Kept], key: bytes, caller: Caller, ttl_s: float) -> None:
        if ttl_s <= 0:
            return
        kept.pop(key, None)
        if len(kept) >= self._remembered:
            del kept[next(iter(kept))]  # the oldest
        kept[key] = _Kept(caller, self._clock() + ttl_s)


class SelfSubjectReviews:
    """Asks with the caller's own credentials who they are: needs no right of ours, and no trust in us."""

    def __init__(self, questions: Poster) -> None:
        self._questions = questions
        self._version = 0

    async def __call__(self, authorization: bytes) -> Caller:
        """Give the caller. Raises QuestionError."""
        try:
            authorization.decode("utf-8")
        except UnicodeDecodeError:
            return REFUSED  # it could not be asked as it stands, and no token looks like this
        code, body = await self._answer(authorization)
        if code == 401:
            return REFUSED
        if code == 403 and b'User \\"system:anonymous\\"' in body:
            return NOBODY  # the upstream does not look at such credentials
        if code == 403:
            raise QuestionError(
                502,
                "the upstream does not let the caller ask who they are: "
                "bind system:basic-user to system:authenticated, or use --token-identity tokenreview",
            )
        if code not in {200, 201}:
            raise QuestionError(_failure(code), f"the upstream answered {code} to a SelfSubjectReview")
        user = _user(_decoded(body, _SelfAnswer).status.userInfo)
        return NOBODY if user.username == "system:anonymous" else Caller(user, Means.TOKEN)

    async def _answer(self, authorization: bytes) -> tuple[int, bytes]:
        """Ask in the newest version that the upstream has; 1.26 and 1.27 have older ones, if they are turned on."""
        for index in range(self._version, len(_VERSIONS)):
            version = _VERSIONS[index]
            review = {"kind": "SelfSubjectReview", "apiVersion": f"{_GROUP}/{version}"}
            path = f"/apis/{_GROUP}/{version}/selfsubjectreviews"
            code, body = await self._questions.post(path, msgspec.json.encode(review), authorization)
            if code != 404:
                self._version = index if code in {200, 201} else self._version
                return code, body
        self._version = 0
        raise QuestionError(
            502,
            "the upstream has no SelfSubjectReview (it came with Kubernetes 1.28): use --token-identity tokenreview",
        )


class TokenReviews:
    """Asks with our own credentials whose a bearer token is."""

    def __init__(self, questions: Poster) -> None:
        self._questions = questions

    async def __call__(self, authorization: bytes) -> Caller:
        """Give the caller. Raises QuestionError."""
        token = bearer(authorization)
        if token is None:
            return NOBODY  # Basic: a TokenReview cannot ask for it, and kube-apiserver does not look at it
        review = {
            "kind": "TokenReview",
            "apiVersion": f"{_GROUP}/v1",
            "spec": {"token": token.decode("utf-8", "replace")},
        }
        code, body = await self._questions.post(f"/apis/{_GROUP}/v1/tokenreviews", msgspec.json.encode(review))
        if code in {401, 403}:
            raise QuestionError(
                502,
                f"the upstream answered {code} to a TokenReview of ours: bind system:auth-delegator to our identity",
            )
        if code not in {200, 201}:
            raise QuestionError(_failure(code), f"the upstream answered {code} to a TokenReview")
        status = _decoded(body, _TokenAnswer).status
        return Caller(_user(status.user), Means.TOKEN) if status.authenticated else REFUSED


def credentials(head: RequestHead, authorization: bytes | None) -> bytes | None:
    """Give the header to ask with, of a request whose (only) Authorization is known; None: it has no credentials.

    Raises ValueError for credentials that are ambiguous or broken: a failed authentication.
    """
    given = authorization if authorization is not None and _tells_somebody(authorization) else None
    if b"websocket" not in head.upgrade.lower():
        return given
    token = _subprotocol_token(head.headers)
    if token is None:
        return given
    if given is not None:
        raise ValueError("a bearer subprotocol beside an Authorization header")
    return b"Bearer " + token


def bearer(authorization: bytes) -> bytes | None:
    """Give the token of a Bearer header; None for another scheme, or without a token."""
    words = authorization.strip().split(b" ", 2)
    return words[1] if len(words) > 1 and words[0].lower() == b"bearer" and words[1] else None


def without_bearer(value: bytes) -> bytes:
    """Take bearer tokens out of a Sec-WebSocket-Protocol line, for a request that goes on as somebody else's."""
    return b", ".join(item for item in _items(value) if not item.startswith(BEARER_PROTOCOL))


def _tells_somebody(authorization: bytes) -> bool:
    """Whether there is somebody to ask about: Negotiate and the rest are anonymous to kube-apiserver, and to us."""
    return bearer(authorization) is not None or authorization[:6].lower() == b"basic "


def _subprotocol_token(headers: Headers) -> bytes | None:
    items = [item for name, value in headers if name == _SUBPROTOCOL for item in _items(value)]
    tokens = [item[len(BEARER_PROTOCOL) :] for item in items if item.startswith(BEARER_PROTOCOL)]
    if not tokens:
        return None
    if len(tokens) > 1:
        raise ValueError("two bearer subprotocols")
    encoded = tokens[0]
    try:
        token = base64.b64decode(encoded + b"=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
        token.decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        raise ValueError("a bearer subprotocol that is no token") from None
    if not token:
        return None
    if len(items) == 1:
        raise ValueError("a bearer subprotocol with no other beside it")
    if bearer(b"Bearer " + token) != token or any(byte < 0x20 or byte == 0x7F for byte in token):
        raise ValueError("a bearer subprotocol that cannot be asked for")
    return token


def _items(value: bytes) -> list[bytes]:
    return [item.strip() for item in value.split(b",")]


class _UserInfo(Struct):
    username: str = ""
    uid: str = ""
    groups: tuple[str, ...] | None = None
    extra: dict[str, tuple[str, ...] | None] | None = None


class _SelfStatus(Struct):
    userInfo: _UserInfo  # noqa: N815  # because: the wire's name


class _SelfAnswer(Struct):
    status: _SelfStatus


class _TokenStatus(Struct):
    authenticated: bool = False
    user: _UserInfo = msgspec.field(default_factory=_UserInfo)


class _TokenAnswer(Struct):
    status: _TokenStatus


def _decoded(body: bytes, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError):
        raise QuestionError(502, "the upstream's answer to a review cannot be read") from None


def _user(info: _UserInfo) -> User:
    if not info.username:
        raise QuestionError(502, "the upstream's answer to a review names no user")
    return User(info.username, info.uid, info.groups or (), dict(sorted((info.extra or {}).items())))


def _failure(code: int) -> int:
    return code if code in {503, 504} else 503 if code == 429 else 502
