"""One request, from its head to its last event.

Everything that usually happens at once happens at once, in callbacks: a task is made only where somebody has to be
waited for (a token nobody knows yet, a sink that takes its time, a new connection).

| what happens | what the client gets | what is recorded |
|---|---|---|
| nobody known | 401 Status | one ResponseStarted (spec §5.7) |
| RequestReceived cannot be stored | 500, nothing is forwarded | nothing further |
| no connection to the upstream | 502 or 504 Status | ResponseComplete with it |
| the upstream closes without an answer | 502 Status | Panic: so it looks when a kube-apiserver panics |
| it closes in the middle of an answer | the connection ends, short | ResponseComplete, annotated |
| it does not answer in time | 504 Status | ResponseComplete with it |
| the client goes away | | ResponseComplete with the code so far; ``Connection closed early`` if there is none |
| the client goes away in the middle of its body | | ResponseComplete with 500, as kube-apiserver |
| the gateway stops while somebody is asked | | ResponseComplete with 503; ResponseStarted, if nobody is known |
| a fault of our own | 500, or the connection ends | Panic |
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Final

from decklog.audit import jsontext
from decklog.audit.attributes import deadline_problem, resolve
from decklog.audit.deliveries import cause_of
from decklog.audit.headers import authentication_attempts, origin
from decklog.gateway import answers, tunnel
from decklog.gateway.caller import Caller, Means
from decklog.gateway.ending import Ending
from decklog.gateway.towards import Passage, Refusal
from decklog.gateway.upstream import ConnectError
from decklog.http1 import CHUNKED, LAST_CHUNK, chunk
from decklog.recorder.answers import connects, hijacked
from decklog.recorder.witness import Witness

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from decklog.gateway.upstream import Pool, UpstreamConnection
    from decklog.http1 import RequestHead, ResponseHead

UPSTREAM: Final = "decklog/upstream"
"""Annotation: what became of the connection to the upstream, where it did not end well."""
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_CLIENT_AUDIT_ID: Final = "decklog/client-audit-id"
_REPLAYABLE: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE"})
_STOPPING: Final = "the gateway is stopping"
_NOT_STORED: Final = "failed to store audit event"
_NO_METHOD: Final = answers.method_not_allowed()

logger = logging.getLogger(__name__)


class Exchange(Ending):
    """One request on its way."""

    __slots__ = ()

    # From the head to the upstream

    def start(self) -> None:
        """Go: who, what, and may it be stored. Raises ResolveError for a target that is none."""
        head = self._head
        self._attributes = attributes = resolve(head.method.decode("ascii"), head.target)
        self.long_running = attributes.long_running
        caller = self._gateway.identify(head, self._client.certificate)
        if isinstance(caller, Caller):
            self._identified(caller)
        else:
            self._later(self._identify(caller))

    async def _identify(self, asked: Awaitable[Caller]) -> None:
        self._identified(await asked)

    def _identified(self, caller: Caller) -> None:
        gateway, head, attributes = self._gateway, self._head, self._attributes
        self._caller = caller
        early = deadline_problem(attributes, head.target) if b"?" in head.target else None
        user = caller.user if early is None else None
        audit_id, addresses, agent = origin(head.headers, self._client.peer, gateway.new_id)
        odd = ""
        if gateway.replaces_odd_ids and _UUID.fullmatch(audit_id) is None:
            odd, audit_id = audit_id, gateway.new_id()
        self._audit_id = jsontext.raw(audit_id)
        recording = gateway.recorder.open(
            attributes, gateway.decide(attributes, user), user, audit_id, addresses, agent
        )
        if odd:
            recording.annotate(_CLIENT_AUDIT_ID, odd[:1024])
        self.witness = witness = Witness(recording, gateway.fault, head.headers)
        if not self._request_ended and witness.keeps_request:
            witness.submitting(_first(head, b"content-type"), _first(head, b"content-encoding"))
        if user is None:
            self._unknown(caller, early)
            return
        try:
            event = recording.received()
            if event is not None and gateway.grouped:
                self._arriving = True
                gateway.turn.arrived(event, self)
                return
            waiting = gateway.sink.process((event,)) if event is not None else None
            if gateway.intents is not None and (intent := recording.intent()) is not None:
                gateway.intents.open(intent)
                self._intent = intent
        except Exception as error:  # noqa: BLE001  # because: whatever failed, the request must not go on unrecorded
            self.not_stored(error)
            return
        self.stored(waiting)

    def stored(self, waiting: Awaitable[None] | None) -> None:
        """Go on: the first event is stored, or will be once `waiting` is over."""
        self._arriving = False
        try:
            if waiting is None:
                self._forward()
            else:
                self._later(self._stored(waiting))
        except Exception as error:  # noqa: BLE001  # because: our own fault becomes a Panic event, not a silence
            self.fault(error)

    def _unknown(self, caller: Caller, early: str | None) -> None:
        """Answer somebody whom nobody knows, or whose deadline is no duration."""
        head = self._head
        if early is not None:
            self._reply(answers.status(400, early), unauthenticated=early)
        elif caller.problem:
            self._reply(answers.status(caller.code, caller.problem), unauthenticated=caller.problem)
        else:
            shown = self._client.certificate is not None
            tried = authentication_attempts(head.headers, head.target, certificate=shown)
            self._reply(answers.UNAUTHORIZED, unauthenticated=tried)

    async def _stored(self, waiting: Awaitable[None]) -> None:
        try:
            await self._gateway.deliveries.wait_for(waiting, 1)
        except Exception as error:  # noqa: BLE001  # because: see `_identified`
            self.not_stored(error)
        else:
            self._forward()

    def not_stored(self, error: Exception) -> None:
        """Refuse the request: nothing of it goes on."""
        gateway = self._gateway
        self._arriving = False
        gateway.counters.requests_rejected_total += 1
        logger.error("request refused, its audit event could not be stored: %s", cause_of(error))
        self.over = True
        if not self._gone:
            own = answers.failure(self._head.target, _NOT_STORED)
            self._client.write(self._rendered(own))
            self._client.finished(self, keep_alive=self._request_ended and self._head.keep_alive)

    def _forward(self) -> None:
        if self.over:  # a fault has ended it meanwhile
            return
        if self._gone:
            self._ended_early()
            return
        recording = self.witness.recording  # type: ignore[union-attr]  # because: made in `_identified`
        if self._gateway.options.exec_annotations and tunnel.is_tunnel(self._attributes):
            for key, value in tunnel.told(self._attributes):
                recording.annotate(key, value)
        if self.method == b"CONNECT":
            self._reply(_NO_METHOD)
            return
        passage = self._gateway.towards(self._head, self._caller)
        if isinstance(passage, Passage | Refusal):
            self._pass(passage)
        else:
            self._later(self._judge(passage))

    async def _judge(self, asked: Awaitable[Passage | Refusal]) -> None:
        self._pass(await asked)

    def _pass(self, passage: Passage | Refusal) -> None:
        if self._gone:
            self._ended_early()
            return
        if passage.impersonated is not None:
            self.witness.recording.impersonated(passage.impersonated)  # type: ignore[union-attr]  # because: see above
        if isinstance(passage, Refusal):
            self._reply(answers.OwnAnswer(passage.code, answers.JSON, passage.status))
            return
        self._passage = passage
        self._pool = pool = self._gateway.pool(own_certificate=passage.own_certificate)
        connection = pool.take()
        if connection is not None:
            self._ask(connection)
        else:
            self._later(self._connect(pool))

    async def _connect(self, pool: Pool) -> None:
        try:
            connection = await pool.connect()
        except ConnectError as error:
            if self._gone:
                self._ended_early()
            elif not self.over:
                self._reply(answers.status(error.code, str(error)))
            return
        if self._gone or self.over:
            pool.give_back(connection)
            self._ended_early()
        else:
            self._ask(connection)

    def _ask(self, connection: UpstreamConnection) -> None:
        """Send the head, and let the body come."""
        passage, head, gateway = self._passage, self._head, self._gateway
        if passage is None:
            return
        accept = None
        if gateway.options.prefer_json and self.witness is not None and self.witness.recording.keeps_response:
            accept = _json_of(_first(head, b"accept"))
        self._connection = connection
        self.asked_at = gateway.now
        connection.ask(
            self,
            gateway.forwarding.request(
                head,
                self._audit_id,
                self._client.peer_bytes,
                passage.lines,
                keep_authorization=passage.keep_authorization,
                keep_impersonation=passage.keep_impersonation,
                accept=accept,
            ),
        )
        if not self._request_ended:
            self._client.wanted()

    # The request's body

    @property
    def takes_body(self) -> bool:
        """Whether pieces of the body can go on."""
        return self._connection is not None

    def submitted(self, pieces: list[bytes], *, ended: bool) -> None:
        """Send a part of the body on."""
        connection, witness = self._connection, self.witness
        if connection is None or witness is None:
            return
        for piece in pieces:
            self.request_bytes += len(piece)
        self._sent = True
        if self.asked_at:
            self.asked_at = self._gateway.now  # the upstream cannot answer sooner than it is asked
        if self._head.length == CHUNKED:
            connection.write(chunk(pieces) + (LAST_CHUNK if ended else b""))
        else:
            for piece in pieces:
                connection.write(piece)
        if witness.keeps_request:
            for piece in pieces:
                witness.submitted(piece)
        if ended:
            self._request_ended = witness.request_ended = True

    # The answer

    def informed(self, head: ResponseHead) -> None:
        """Relay an informational head."""
        lines, *_ = self._gateway.forwarding.response(head)
        self._client.write(b"%b\r\n" % b"".join(lines))

    def answer(self, head: ResponseHead, data: bytes, pieces: list[bytes] | None, *, done: bool) -> None:
        """Relay the head and what came with it."""
        client, witness, request = self._client, self.witness, self._head
        if witness is None:
            return
        self.asked_at = 0.0
        self._answered = True
        closes = not (request.keep_alive and head.length >= CHUNKED and not self.upgrades) or client.ending
        if not self._request_ended:
            closes = True  # a server that answers before it has read all may never read it
        lines, content_type, encoding, identified = self._gateway.forwarding.response(head)
        code = head.code
        if self.upgrades:
            code = hijacked(code, upgrade=self._gateway.echoes_ids, audit_id_echoed=identified)
        else:
            self._gateway.echoes_ids = identified
            if not identified:
                lines.append(b"Audit-Id: %b\r\n" % self._audit_id)
        if code == 401:
            self._unauthorized(witness)
        beginning = data if pieces is None else b"".join(pieces[:1])
        events = witness.answering(code, content_type, encoding, beginning)
        if events:
            self._tell(events)
        lines.append(b"Connection: close\r\n\r\n" if closes else b"\r\n")
        lines.append(data)
        client.write(b"".join(lines))
        client.closes = client.closes or closes
        if witness.keeps_response:
            for piece in pieces if pieces is not None else (data,):
                witness.answered(piece)
        if done:
            self._complete()

    def _unauthorized(self, witness: Witness) -> None:
        """Hear that the upstream refuses the credentials that a request came with: the caller's, or ours."""
        passage = self._passage
        if connects(self._attributes):  # it may as well be the word of what is behind the API
            return
        if passage is not None and passage.keep_authorization:
            self._gateway.forget(self._head)
        elif passage is not None and passage.lines:
            witness.recording.annotate(UPSTREAM, "refused the gateway's own credentials")
            logger.error("the upstream refuses the gateway's own credentials: see its kubeconfig or service account")
            self._gateway.expired()

    def wants_content(self) -> bool:
        """Whether the content of chunks is wanted."""
        return self.witness is not None and self.witness.keeps_response

    def answer_data(self, data: bytes, pieces: list[bytes] | None, *, done: bool) -> None:
        """Relay a part of the answer."""
        witness = self.witness
        if data:
            self._client.write(data)
            if witness is not None and witness.keeps_response:
                for piece in pieces if pieces is not None else (data,):
                    witness.answered(piece)
        if done:
            self._complete()

    def _complete(self) -> None:
        """Come to the end of an answer in good order."""
        connection, self._connection = self._connection, None
        if connection is not None and self._pool is not None:
            if self._request_ended and not self.upgrades:
                self._pool.give_back(connection)
            else:
                connection.abort()
        if self.witness is not None:
            self._end(self.witness.completed())

    # Switched connections

    def switched(self, head: ResponseHead, rest: bytes) -> None:
        """Let bytes go both ways from here on."""
        witness = self.witness
        if witness is None:
            return
        self.asked_at = 0.0
        self._answered = True
        events = witness.answering(101)
        if events:
            self._tell(events)
        lines, *_ = self._gateway.forwarding.response(head)
        protocol = next((value for name, value in head.headers if name == b"upgrade"), self._head.upgrade)
        lines.append(b"Connection: Upgrade\r\nUpgrade: %b\r\n\r\n" % protocol)
        lines.append(rest)
        self._client.write(b"".join(lines))
        self._client.switched()

    def tunnelled(self, data: bytes) -> None:
        """Relay bytes from the upstream."""
        self._client.write(data)

    def tunnel(self, data: bytes) -> None:
        """Relay bytes to the upstream."""
        if self._connection is not None:
            self._connection.write(data)

    # Back-pressure

    def upstream_paused(self, *, paused: bool) -> None:
        """Do not read from the client what the upstream does not take."""
        self._client.hold(paused=paused)

    def client_paused(self, *, paused: bool) -> None:
        """Do not read from the upstream what the client does not take."""
        if self._connection is not None:
            self._connection.read(paused=paused)

    # What goes wrong

    def upstream_lost(self, words: str) -> None:
        """Hear that the connection ended before the answer did."""
        connection, self._connection = self._connection, None
        witness, client = self.witness, self._client
        if self.over or witness is None:
            return
        if self._answered:
            if not client.tunnel:
                witness.recording.annotate(UPSTREAM, f"{words} in the middle of the answer")
            client.cut(flush=True)
            self._end(witness.completed())
        elif self._may_retry(connection):
            self._retried = True
            if self._pool is not None:
                self._later(self._connect(self._pool))
        else:
            witness.recording.annotate(UPSTREAM, words)
            self._reply(answers.status(502, f"{words} without an answer"), panic=f"{words} without an answer")

    def _may_retry(self, connection: UpstreamConnection | None) -> bool:
        """Whether the connection was a stale one, and asking again cannot do anything twice."""
        stale = connection is not None and connection.served > 0 and not connection.received
        return stale and not self._retried and not self._sent and self.method in _REPLAYABLE and self._request_ended

    def give_up(self) -> None:
        """Record a request that waits for somebody: the gateway stops, and nobody waits any more."""
        if self.over:
            return
        for task in tuple(self._tasks or ()):
            task.cancel()
        if self.witness is None:
            self._identified(Caller(None, Means.NONE, _STOPPING, 503))
        elif self._gone:
            self._ended_early()
        else:
            self._reply(answers.status(503, _STOPPING))


def _first(head: RequestHead, name: bytes) -> str:
    return next((value.decode("latin-1") for known, value in head.headers if known == name), "")


def _json_of(accept: str) -> bytes | None:
    """Give the JSON types among those that a client takes; None where it takes none, or nothing else."""
    kinds = [kind.strip() for kind in accept.split(",")]
    wanted = [kind for kind in kinds if kind.partition(";")[0].strip() == "application/json"]
    return ", ".join(wanted).encode("latin-1") if wanted and len(wanted) < len(kinds) else None
