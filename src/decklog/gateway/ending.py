"""How a request ends, well or badly: what the client gets then, and what is recorded (the table is in `exchange`)."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

from decklog.audit import jsontext
from decklog.audit.decision import Decision
from decklog.audit.event import Level
from decklog.audit.headers import origin
from decklog.gateway import answers
from decklog.http1 import LAST_CHUNK
from decklog.recorder.witness import Witness

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine

    from decklog.audit.attributes import Attributes
    from decklog.audit.event import Event
    from decklog.audit.intent import Intent
    from decklog.gateway.answers import OwnAnswer
    from decklog.gateway.client import ClientConnection
    from decklog.gateway.server import Gateway
    from decklog.gateway.towards import Passage
    from decklog.gateway.upstream import Pool, UpstreamConnection
    from decklog.http1 import RequestHead

UNJUDGED: Final = Decision(Level.METADATA, frozenset(), omit_managed_fields=False)
"""What is recorded where the policy was not asked, or could not be."""
_CUT_BODY: Final = answers.status(500, "error reading the body: unexpected EOF", "InternalError")


class Ending(ABC):
    """The state of a request, and the ways in which it ends; `decklog.gateway.exchange` has the way there."""

    __slots__ = (
        "_answered",
        "_arriving",
        "_attributes",
        "_audit_id",
        "_caller",
        "_client",
        "_connection",
        "_gateway",
        "_gone",
        "_head",
        "_intent",
        "_passage",
        "_pool",
        "_request_ended",
        "_retried",
        "_sent",
        "_tasks",
        "asked_at",
        "long_running",
        "method",
        "over",
        "request_bytes",
        "started_at",
        "upgrades",
        "witness",
    )

    def __init__(self, gateway: Gateway, client: ClientConnection, head: RequestHead) -> None:
        self._gateway = gateway
        self._client = client
        self._head = head
        self.method = head.method
        self.upgrades = bool(head.upgrade)
        self.over = False
        """Whether the last events are made."""
        self.asked_at = 0.0
        """When the request was sent to the upstream whose answer has not begun; 0: nothing is waited for."""
        self.started_at = gateway.now
        self.request_bytes = 0
        """Bytes of the body that have come."""
        self.long_running = False
        self.witness: Witness | None = None
        self._attributes: Attributes
        self._request_ended = head.length == 0
        self._connection: UpstreamConnection | None = None
        self._pool: Pool | None = None
        self._passage: Passage | None = None
        self._intent: Intent | None = None
        self._answered = self._arriving = self._gone = self._retried = self._sent = False
        self._tasks: set[asyncio.Task[None]] | None = None

    @abstractmethod
    def give_up(self) -> None:
        """Record a request that waits for somebody: the gateway stops, and nobody waits any more."""

    # The last events

    def _end(self, events: tuple[Event, ...]) -> None:
        """Deliver the last events, and give the client's connection free once they are."""
        self.over = True
        self.asked_at = 0.0
        gateway = self._gateway
        if events and gateway.grouped:
            gateway.turn.ended(events, self)
        else:
            self.told(gateway.late(events) if events else None)

    def told(self, waiting: Awaitable[bool] | None) -> None:
        """Finish: the last events are stored, or will be once `waiting` is over."""
        try:
            if waiting is None:
                self._finish(stored=True)
            else:
                self._later(self._deliver(waiting))
        except Exception as error:  # noqa: BLE001  # because: the others of this turn are to be told, too
            self.fault(error)

    async def _deliver(self, waiting: Awaitable[bool]) -> None:
        self._finish(stored=await waiting)

    def _finish(self, *, stored: bool) -> None:
        intents = self._gateway.intents
        if intents is not None and self._intent is not None and stored and self.witness and not self.witness.lost:
            intents.close(self._intent)
        if not self._gone:
            self._client.finished(self, keep_alive=self._request_ended and not self.upgrades)

    def _tell(self, events: tuple[Event, ...]) -> None:
        """Deliver events of a request that goes on."""
        gateway = self._gateway
        if gateway.grouped:
            gateway.turn.ended(events, None)
        else:
            gateway.late(events)

    def _reply(self, own: OwnAnswer, *, unauthenticated: str | None = None, panic: str | None = None) -> None:
        """Answer ourselves, and record it."""
        witness = self.witness
        if self.over or witness is None:
            return
        self._answered = True
        if not self._gone:
            self._client.write(self._rendered(own))
        if panic is not None:
            self._end(witness.panicked(panic))
            return
        events = witness.answering(own.code, own.content_type)
        witness.answered(own.body)
        if unauthenticated is not None:
            self._end(witness.unauthenticated(unauthenticated))
        else:
            self._end((*events, *witness.completed()))

    def _rendered(self, own: OwnAnswer) -> bytes:
        client = self._client
        client.closes = client.closes or not (self._request_ended and self._head.keep_alive) or client.ending
        return answers.render(own, ((b"Audit-Id", self._audit_id),), close=client.closes, body=self.method != b"HEAD")

    # What goes wrong

    def timed_out(self) -> None:
        """Answer for an upstream that does not."""
        self._leave_upstream()
        limit = self._gateway.options.response_timeout_s
        self._reply(answers.status(504, f"the upstream did not answer within {limit:g} s"))

    def body_stalled(self) -> None:
        """End a request whose body does not come."""
        self._leave_upstream()
        if not self._answered:
            self._reply(answers.status(408, "the request's body did not come in time"))
        else:
            self.client_gone()
            self._client.cut()

    def bad_body(self, error: Exception) -> None:
        """End a request whose body is none."""
        self._leave_upstream()
        if not self._answered:
            self._reply(answers.refusal(400, str(error)))
        else:
            self._client.cut()

    def client_gone(self) -> None:
        """Hear that the client is not there any more."""
        if self.over or self._gone:
            return
        self._gone = True
        if self._arriving:  # whether there is anything to be ended is known at the end of this turn
            return
        answered = self._answered
        connection, self._connection = self._connection, None
        if connection is not None:
            if self._client.tunnel:
                connection.close()
            else:
                connection.abort()
            self._ended_early()
        elif answered or self._tasks is None or not self._tasks:
            self._ended_early()

    def stop(self) -> None:
        """End a stream because the gateway stops: a watch with a clean last chunk, a tunnel as it is."""
        connection = self._connection
        if self.over or connection is None or not self._answered:
            return
        clean = connection.between_chunks and not self._client.tunnel
        self._leave_upstream()
        if clean:
            self._client.write(LAST_CHUNK)
        self._client.cut(flush=True)
        if self.witness is not None:
            self._end(self.witness.completed())

    def fault(self, error: Exception) -> None:
        """Record a fault of our own as a Panic, and end what cannot go on."""
        self._gateway.fault(error)
        self._leave_upstream()
        if self.over:
            self._client.cut()
            return
        words = type(error).__name__
        if self.witness is None:
            self.witness = self._unjudged()
        if self._answered:
            self._client.cut()
            self._end(self.witness.panicked(words))
        else:
            own = answers.failure(self._head.target, "this request caused a fault in the gateway")
            self._reply(own, panic=words)

    def _unjudged(self) -> Witness:
        """Give the witness of a request that came to grief before anybody had said how much to record of it."""
        gateway, head = self._gateway, self._head
        audit_id, addresses, agent = origin(head.headers, self._client.peer, gateway.new_id)
        self._audit_id = jsontext.raw(audit_id)
        recording = gateway.recorder.open(self._attributes, UNJUDGED, None, audit_id, addresses, agent)
        return Witness(recording, gateway.fault, head.headers)

    def _ended_early(self) -> None:
        """Record what is known of a request whose client has gone."""
        witness = self.witness
        if self.over or witness is None:
            return
        if not self._answered and not self._request_ended:
            witness.answering(_CUT_BODY.code, _CUT_BODY.content_type)
            witness.answered(_CUT_BODY.body)
        self._end(witness.completed())

    def _leave_upstream(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()

    # Waiting for somebody

    def _later(self, work: Coroutine[None, None, None]) -> None:
        """Go on when somebody has answered."""
        tasks = self._tasks
        if tasks is None:
            tasks = self._tasks = set()
        task = asyncio.get_running_loop().create_task(work)
        tasks.add(task)
        self._gateway.waiting.add(self)
        task.add_done_callback(self._went)

    def _went(self, task: asyncio.Task[None]) -> None:
        if self._tasks is not None:
            self._tasks.discard(task)
            if not self._tasks:
                self._gateway.waiting.discard(self)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fault(error if isinstance(error, Exception) else RuntimeError(type(error).__name__))
