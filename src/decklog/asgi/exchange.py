"""One request on its way through the application: relayed first, teed as far as asked, told to its recording."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import msgspec

from decklog.audit import jsontext
from decklog.audit.sink import DeliveryError
from decklog.recorder.answers import Answer, accepts_objects
from decklog.recorder.submitted import Submitted
from decklog.recorder.tee import Tee

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from decklog.asgi.messages import Application, Headers, Message, Receive, Scope, Send
    from decklog.audit.event import Event
    from decklog.recorder.recording import Recording

_ERROR: Final = "decklog/recording-error"
"""Annotation: the kind of the fault for which an event has no bodies."""

logger = logging.getLogger(__name__)


class Exchange:
    """One request on its way through the application: relays, tees, and tells the recording."""

    def __init__(
        self,
        recording: Recording,
        deliver: Callable[..., Awaitable[None]],
        receive: Receive,
        send: Send,
        identity: str,
        fault: Callable[[Exception], None],
    ) -> None:
        self._fault = fault
        self._gone: OSError | None = None
        self._recording = recording
        self._deliver = deliver
        self._receive = receive
        self._send = send
        self._identity = jsontext.raw(identity)
        self._request = Tee(recording.request_limit())
        self._response = Tee(0)
        self._submitted = Submitted()
        self._code = 0
        self._headers: dict[bytes, bytes] = {}
        self._asked: Headers = []
        self._request_ended = False
        self.stored = True
        """Whether every event of the request was taken by the backend."""

    async def run(self, app: Application, scope: Scope) -> None:
        """Let the application answer; whatever happens, the last event is written."""
        self._asked = scope["headers"]
        self._submitted = _declared(self._asked)
        try:
            await app(scope, self.receive, self.send)
        except Exception as error:
            gone = self._gone is not None and self._gone in {error, error.__cause__}
            await self._late(*self._last(None if gone else _words(error)))  # a write error is no panic
            raise
        except SystemExit as error:
            await self._late(*self._last(None if self._code else _words(error)))
            raise
        except BaseException:  # cancelled, or the process is ending: what had been answered by then is told
            await self._late(*self._last())
            raise
        await self._late(*self._last())

    def _last(self, panic: str | None = None) -> tuple[Event | None, ...]:
        """Make the last events; what cannot be made with the bodies is made without."""
        try:
            return self._recorded(panic, self._answer(), self._body())
        except Exception as error:  # noqa: BLE001  # because: the answer is out, and no fault of ours may break it
            self._fault(error)
            kind = type(error).__name__
        try:
            self._recording.annotate(_ERROR, kind)
            return self._recorded(panic, Answer(self._code) if self._code else None, None)
        except Exception as error:  # noqa: BLE001  # because: see above
            self.stored = False
            self._fault(error)
            return ()

    def _recorded(self, panic: str | None, answer: Answer | None, body: Submitted | None) -> tuple[Event | None, ...]:
        if panic is None:
            return self._recording.completed(answer, body)
        return (self._recording.owed(answer), self._recording.panicked(panic, body))

    async def refused(self, app: Application, scope: Scope, attempted: str) -> None:
        """Let the application answer somebody whom nobody knows."""
        self._asked = scope["headers"]
        try:
            await app(scope, self.receive, self._send_head)
        finally:
            try:
                event = self._recording.unauthenticated(self._answer() or Answer(500), attempted)
            except Exception as error:  # noqa: BLE001  # because: see `_last`
                self._fault(error)
                self._recording.annotate(_ERROR, type(error).__name__)
                event = self._recording.unauthenticated(Answer(self._code or 500), attempted)
            await self._late(event)

    async def receive(self) -> Message:
        """Relay a message to the application, teeing the body."""
        message = await self._receive()
        if message["type"] == "http.request":
            self._request.feed(message.get("body", b""))
            self._request_ended = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """Relay a message to the client first, then tell the recording."""
        await self._send_head(message)
        kind = message["type"]
        if kind in {"http.response.start", "websocket.accept", "websocket.http.response.start"} or (
            kind == "websocket.close" and self._code == 403
        ):
            try:
                started = self._recording.started(self._code)
            except Exception as error:  # noqa: BLE001  # because: see `_last`, which gives the event that is still owed
                self._fault(error)
                return
            await self._late(started)

    async def _send_head(self, message: Message) -> None:
        kind = message["type"]
        if kind in {"http.response.start", "websocket.http.response.start"}:
            message = self._begin(message, message["status"])
        elif kind == "websocket.accept":
            message = self._begin(message, 101)
        elif kind == "websocket.close" and not self._code:
            self._code = 403
        try:
            await self._send(message)
        except OSError as error:
            self._gone = error
            raise
        if kind in {"http.response.body", "websocket.http.response.body"}:
            self._response.feed(message.get("body", b""))

    def _begin(self, message: Message, code: int) -> Message:
        """Note code and headers, and add Audit-Id unless the application has set one (spec §5.5)."""
        self._code = code
        headers = list(message.get("headers") or ())
        self._headers = {name.lower(): value for name, value in reversed(headers)}  # the first line counts
        self._response = self._recording.response_tee(code, *map(self._hint, (b"content-type", b"content-encoding")))
        if b"audit-id" in self._headers:
            return message
        return {**message, "headers": [*headers, (b"audit-id", self._identity)]}

    def _hint(self, name: bytes) -> str:
        """Give a header for the tee: a value of a wrong type is the server's to refuse, and `_answer` tells of it."""
        value: object = self._headers.get(name)
        return value.decode("latin-1") if isinstance(value, bytes) else ""

    def _header(self, name: bytes) -> str:
        return self._headers.get(name, b"").decode("latin-1")

    def _answer(self) -> Answer | None:
        if not self._code:
            return None
        return Answer(
            self._code,
            self._header(b"content-type"),
            self._response.body(),
            self._header(b"content-encoding"),
            self._response.length if self._response.kept else None,
            negotiated=self._code < 400 or accepts_objects(self._accept()),
        )

    def _accept(self) -> str:
        return next((value.decode("latin-1") for name, value in self._asked if name == b"accept"), "")

    def _body(self) -> Submitted | None:
        if not self._request.limit:
            return None
        return msgspec.structs.replace(
            self._submitted,
            body=self._request.body(),
            length=self._request.length,
            whole=self._request_ended,
        )

    async def _late(self, *events: Event | None) -> None:
        """Deliver what can no longer refuse the request: a failure is counted where it happens, and told here."""
        try:
            await self._deliver(*events)
        except Exception as error:  # noqa: BLE001  # because: the answer is on its way, and no backend may break it
            self.stored = False
            logger.error("%s", cause_of(error))  # noqa: TRY400  # because: the cause is in the text; a traceback a request would flood


def _words(error: BaseException) -> str:
    """Give an exception's text, or its kind where it has none or cannot say it."""
    try:
        return str(error) or type(error).__name__
    except Exception:  # noqa: BLE001  # because: the text is the application's, and so is its fault
        return type(error).__name__


def cause_of(error: Exception) -> str:
    """Say why a delivery failed; of a fault the type alone, as its text may quote an event."""
    return str(error) if isinstance(error, DeliveryError) else f"audit backend failed: {type(error).__name__}"


def _declared(headers: Headers) -> Submitted:
    found = dict(reversed(headers))  # the first line counts
    return Submitted(
        found.get(b"content-type", b"").decode("latin-1"),
        encoding=found.get(b"content-encoding", b"").decode("latin-1"),
    )
