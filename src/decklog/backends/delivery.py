"""Delivery: what one attempt to hand a body to a receiver can end in. Shared by the webhook and the spool."""

from __future__ import annotations

from typing import Final, Protocol

_REFUSALS: Final = frozenset({400, 413})


class PostError(Exception):
    """A receiver did not take a body.

    `status`: the HTTP status, None where there was no answer. `retry_after_s`: what the receiver asks to wait.
    `cause` says why, without anything that an event may have brought in.
    """

    def __init__(self, status: int | None, retry_after_s: float | None, cause: str) -> None:
        super().__init__(status, retry_after_s, cause)
        self.status = status
        self.retry_after_s = retry_after_s
        self.cause = cause

    def __str__(self) -> str:
        return self.cause


def refused(error: PostError) -> bool:
    """Whether the receiver says that the body itself is wrong, so that a smaller one may be taken."""
    return error.status in _REFUSALS


class Poster(Protocol):
    """Makes one attempt."""

    async def post(self, body: bytes) -> None:
        """Hand over `body`. Raises PostError."""
        ...
