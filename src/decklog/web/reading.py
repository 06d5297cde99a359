"""Reading is audited, too: each page that is given becomes an event, in the shape of all others.

| Field | Of a reading |
|---|---|
| user | the reader: a name of the token file, a certificate's CN, ``local`` for the one-time address |
| verb, requestURI | ``get``, and the page with its question, as it was asked |
| sourceIPs, userAgent, responseStatus | of the reader's connection |
| annotations | ``decklog/reading: page`` (``json``, ``live``, ``csv``) |

Events wait in memory for the sink, `MOST_WAITING` at most: pages never wait for it. What finds no room is counted, and
told as soon as there is room again, in an event of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from decklog.ask.moments import microtime
from decklog.audit.event import Event, Level, Stage, Status, User
from decklog.audit.wire import encode_event

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

MOST_WAITING: Final = 10_000
BATCH: Final = 500
LONGEST_URI: Final = 4096
RETRY_S: Final = 5.0
ANNOTATION: Final = "decklog/reading"
LOST: Final = "decklog/unrecorded-readings"

logger = logging.getLogger(__name__)


def _now() -> datetime:
    return datetime.now(UTC)


def _new_id() -> str:
    return str(uuid4())


class Readings:
    """Takes note of what was read; for one event loop."""

    def __init__(
        self,
        keep: Callable[[Sequence[bytes]], Awaitable[object]] | None,
        *,
        clock: Callable[[], datetime] = _now,
        new_id: Callable[[], str] = _new_id,
    ) -> None:
        """`keep` stores lines, and raises OSError if it cannot; None: nothing is recorded."""
        self._keep = keep
        self._clock = clock
        self._new_id = new_id
        self._waiting: deque[bytes] = deque()
        self._lost = 0
        self._came = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def recorded(self) -> bool:
        """Whether readings are recorded at all."""
        return self._keep is not None

    def note(
        self, reader: str, uri: str, status: int, *, kind: str, source: str, agent: str, verb: str = "get"
    ) -> None:
        """Take note of one reading."""
        if self._keep is None:
            return
        if len(self._waiting) >= MOST_WAITING:
            self._lost += 1
            return
        annotations = {ANNOTATION: kind}
        if self._lost:
            annotations[LOST] = str(self._lost)
            self._lost = 0
        now = microtime(self._clock())
        self._waiting.append(
            encode_event(
                Event(
                    level=Level.METADATA,
                    audit_id=self._new_id(),
                    stage=Stage.RESPONSE_COMPLETE,
                    request_uri=uri[:LONGEST_URI],
                    verb=verb,
                    user=User(username=reader),
                    source_ips=(source,) if source else (),
                    user_agent=agent[:LONGEST_URI],
                    response_status=Status(code=status),
                    request_received_timestamp=now,
                    stage_timestamp=now,
                    annotations=annotations,
                )
            )
        )
        self._idle.clear()
        self._came.set()

    async def run(self) -> None:
        """Hand over what was noted, until cancelled; then what is left is told of."""
        try:
            while self._keep is not None:
                await self._came.wait()
                await self._hand_over(self._keep)
        finally:
            if left := len(self._waiting) + self._lost:
                logger.warning("%d readings are not recorded: the end came first", left)

    async def _hand_over(self, keep: Callable[[Sequence[bytes]], Awaitable[object]]) -> None:
        batch = [self._waiting[place] for place in range(min(BATCH, len(self._waiting)))]
        try:
            if batch:
                await keep(batch)
        except OSError as error:
            logger.warning("who reads cannot be recorded (%s): it is tried again", error.strerror)
            await asyncio.sleep(RETRY_S)
            return
        for _ in batch:
            self._waiting.popleft()
        if not self._waiting:
            self._came.clear()
            self._idle.set()

    async def drained(self) -> None:
        """Wait until everything is handed over."""
        await self._idle.wait()
