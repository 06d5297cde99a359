"""Permissions: may a caller impersonate? The upstream is asked, one SubjectAccessReview a value, and answers are kept.

Only asked for callers whose requests go on with our credentials: all others' the upstream checks itself.
"""

from __future__ import annotations

import asyncio
import time
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from decklog.audit.jsontext import mend
from decklog.gateway.questions import QuestionError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from decklog.audit.event import User
    from decklog.audit.impersonation import Part
    from decklog.gateway.tokens import Poster

PATH: Final = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
ALLOWED_S: Final = 10.0
"""How long a yes is kept."""
DENIED_S: Final = 1.0
"""How long a no is kept: somebody may be handing out the right at this moment."""
REMEMBERED: Final = 10_000


class Verdict(Struct, frozen=True):
    """What the upstream says of one value."""

    allowed: bool = False
    reason: str = ""
    until_s: float = 0.0


class Permissions:
    """Answers from what is kept, or asks."""

    def __init__(
        self,
        questions: Poster,
        *,
        clock: Callable[[], float] = time.monotonic,
        remembered: int = REMEMBERED,
    ) -> None:
        self._questions = questions
        self._clock = clock
        self._remembered = remembered
        self._verdicts: dict[bytes, Verdict] = {}

    def kept(self, user: User, wanted: Sequence[Part]) -> list[Verdict] | None:
        """Give the verdicts, in order; None when one of them is not known."""
        now_s = self._clock()
        found = [self._verdicts.get(_key(_document(user, part))) for part in wanted]
        known = [verdict for verdict in found if verdict is not None and verdict.until_s > now_s]
        return known if len(known) == len(wanted) else None

    async def find(self, user: User, wanted: Sequence[Part]) -> list[Verdict]:
        """Ask for the verdicts that are not known. Raises QuestionError."""
        return list(await asyncio.gather(*(self._one(_document(user, part)) for part in wanted)))

    async def _one(self, document: bytes) -> Verdict:
        key = _key(document)
        known = self._verdicts.get(key)
        if known is not None and known.until_s > self._clock():
            return known
        code, body = await self._questions.post(PATH, document)
        if code in {401, 403}:
            raise QuestionError(
                502,
                f"the upstream answered {code} to a SubjectAccessReview of ours: "
                "bind system:auth-delegator to our identity",
            )
        if code not in {200, 201}:
            raise QuestionError(503 if code in {429, 503} else 502, f"the upstream answered {code} to an access review")
        verdict = self._read(body)
        self._verdicts.pop(key, None)
        if len(self._verdicts) >= self._remembered:
            del self._verdicts[next(iter(self._verdicts))]  # the oldest
        self._verdicts[key] = verdict
        return verdict

    def _read(self, body: bytes) -> Verdict:
        try:
            status = msgspec.json.decode(body, type=_Answer).status
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise QuestionError(502, "the upstream's answer to an access review cannot be read") from None
        allowed = status.allowed and not status.denied
        return Verdict(allowed, status.reason, self._clock() + (ALLOWED_S if allowed else DENIED_S))


def _key(document: bytes) -> bytes:
    """Give what the answer to a question is kept under: short, however much a caller asks for."""
    return sha256(document).digest()


class _Status(Struct):
    allowed: bool = False
    denied: bool = False
    reason: str = ""


class _Answer(Struct):
    status: _Status


def _document(user: User, part: Part) -> bytes:
    """Write the question."""
    attributes: dict[str, str] = {
        "verb": "impersonate",
        "group": part.group,
        "resource": part.resource,
        "subresource": part.subresource,
        "namespace": part.namespace,
        "name": part.name,
    }
    spec: dict[str, Any] = {
        "resourceAttributes": {key: mend(value) for key, value in attributes.items() if value},
        "user": mend(user.username),
        "groups": [mend(group) for group in user.groups],
        "extra": {mend(key): [mend(value) for value in values or ()] for key, values in user.extra.items()},
        "uid": mend(user.uid),
    }
    review = {"kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "spec": spec}
    return msgspec.json.encode(review)
