"""Refusals: what a sender is told whose body is not taken, and who has been refused lately."""

from __future__ import annotations

import time
from collections import OrderedDict
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable

TAKEN: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
TAKEN_LAST: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
RETRY_AFTER_S: Final = 5
WINDOW_S: Final = 60.0
_REMEMBERED: Final = 32
"""Senders that are told apart; the one that was refused longest ago is forgotten first."""


class RefusedError(Exception):
    """A body that is not taken: the answer's code and line, and the reason under which it is counted."""

    def __init__(self, code: int, reason: str, line: str) -> None:
        super().__init__(line)
        self.code = code
        self.reason = reason


def render(refused: RefusedError) -> bytes:
    """Write the answer; a connection ends with it."""
    phrase = HTTPStatus(refused.code).phrase
    body = f"decklog: {refused}\n".encode("utf-8", "replace")
    more = b""
    if refused.code == 503:
        more = b"Retry-After: %d\r\n" % RETRY_AFTER_S
    elif refused.code == 405:
        more = b"Allow: POST\r\n"
    elif refused.code == 401:
        more = b"WWW-Authenticate: Bearer\r\n"
    return (
        b"HTTP/1.1 %d %b\r\n%bContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n"
        b"Content-Length: %d\r\nConnection: close\r\n\r\n%b"
    ) % (refused.code, phrase.encode(), more, len(body), body)


class _Row(Struct):
    count: int = 0
    last_s: float = 0.0
    is_loss: bool = False


class Refusals:
    """Who was refused, why and how often; bounded, as anybody can be a sender."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rows: OrderedDict[tuple[str, str], _Row] = OrderedDict()

    def add(self, sender: str, reason: str, *, is_loss: bool) -> int:
        """Count one; gives how often this sender was refused for this reason. `is_loss`: it is to be told."""
        key = (_printable(sender), reason)
        row = self._rows.pop(key, None) or _Row()
        row.count += 1
        row.last_s = self._clock()
        row.is_loss = is_loss
        self._rows[key] = row
        if len(self._rows) > _REMEMBERED:
            self._rows.popitem(last=False)
        return row.count

    def problems(self) -> list[str]:
        """Say who was refused within the last minute and may send, a line each."""
        since = self._clock() - WINDOW_S
        return [
            f"refused what {sender} sent ({reason}): {row.count} so far, the last within a minute"
            for (sender, reason), row in self._rows.items()
            if row.is_loss and row.last_s > since
        ]


def _printable(sender: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in sender[:128])
