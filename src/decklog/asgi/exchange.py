"""One request on its way through the application: relayed first, and shown to its witness."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from decklog.audit import jsontext
from decklog.audit.deliveries import cause_of
from decklog.audit.headers import first

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from decklog.asgi.messages import Application, Message, Receive, Scope, Send
    from decklog.audit.event import Event
    from decklog.recorder.witness import Witness

_HEADS: Final = frozenset({"http.response.start", "websocket.http.response.start", "websocket.accept"})
_BODIES: Final = frozenset({"http.response.body", "websocket.http.response.body"})

logger = logging.getLogger(__name__)


class Exchange:
    """One request on its way through the application: relays, shows the witness, and delivers what it tells."""

    def __init__(
        self,
        witness: Witness,
        deliver: Callable[..., Awaitable[None]],
        receive: Receive,
        send: Send,
        identity: str,
    ) -> None:
        self._witness = witness
        self._deliver = deliver
        self._receive = receive
        self._send = send
        self._identity = jsontext.raw(identity)
        self._gone: OSError | None = None
        self._delivered = True

    @property
    def stored(self) -> bool:
        """Whether every event of the request was taken by the backend."""
        return self._delivered and not self._witness.lost

    async def run(self, app: Application, scope: Scope) -> None:
        """Let the application answer; whatever happens, the last event is written."""
        witness = self._witness
        if witness.keeps_request:
            declared = (first(scope["headers"], name) for name in (b"content-type", b"content-encoding"))
            witness.submitting(*(value.decode("latin-1") for value in declared))
        try:
            await app(scope, self.receive, self.send)
        except Exception as error:
            gone = self._gone is not None and self._gone in {error, error.__cause__}
            await self._late(
                witness.completed() if gone else witness.panicked(_words(error))
            )  # a write error is no panic
            raise
        except SystemExit as error:
            await self._late(witness.completed() if witness.code else witness.panicked(_words(error)))
            raise
        except BaseException:  # cancelled, or the process is ending: what had been answered by then is told
            await self._late(witness.completed())
            raise
        await self._late(witness.completed())

    async def refused(self, app: Application, scope: Scope, attempted: str) -> None:
        """Let the application answer somebody whom nobody knows."""
        try:
            await app(scope, self.receive, self._send_head)
        finally:
            await self._late(self._witness.unauthenticated(attempted))

    async def receive(self) -> Message:
        """Relay a message to the application, and show the body."""
        message = await self._receive()
        if message["type"] == "http.request":
            self._witness.submitted(message.get("body", b""))
            self._witness.request_ended = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """Relay a message to the client first, then tell what it makes."""
        await self._send_head(message)
        if message["type"] in _HEADS:
            await self._late(self._witness.started())

    async def _send_head(self, message: Message) -> None:
        kind = message["type"]
        if kind in _HEADS:
            message = self._begin(message, 101 if kind == "websocket.accept" else message["status"])
        elif kind == "websocket.close" and not self._witness.code:
            self._witness.begun(403, "", "")
        try:
            await self._send(message)
        except OSError as error:
            self._gone = error
            raise
        if kind in _BODIES:
            self._witness.answered(message.get("body", b""))

    def _begin(self, message: Message, code: int) -> Message:
        """Show code and headers, and add Audit-Id unless the application has set one (spec §5.5)."""
        given = list(message.get("headers") or ())
        headers: dict[bytes, bytes] = {name.lower(): value for name, value in reversed(given)}  # the first line counts
        try:
            kind, encoding = (
                headers.get(name, b"").decode("latin-1") for name in (b"content-type", b"content-encoding")
            )
        except AttributeError as error:  # a value of a wrong type is the server's to refuse
            self._witness.begun(code, "", "")
            self._witness.faulted(error)
        else:
            self._witness.begun(code, kind, encoding)
        if b"audit-id" in headers:
            return message
        return {**message, "headers": [*given, (b"audit-id", self._identity)]}

    async def _late(self, events: tuple[Event, ...]) -> None:
        """Deliver what can no longer refuse the request: a failure is counted where it happens, and told here."""
        if not events:
            return
        try:
            await self._deliver(*events)
        except Exception as error:  # noqa: BLE001  # because: the answer is on its way, and no backend may break it
            self._delivered = False
            logger.error("%s", cause_of(error))  # noqa: TRY400  # because: the cause is in the text; a traceback a request would flood


def _words(error: BaseException) -> str:
    """Give an exception's text, or its kind where it has none or cannot say it."""
    try:
        return str(error) or type(error).__name__
    except Exception:  # noqa: BLE001  # because: the text is the application's, and so is its fault
        return type(error).__name__
