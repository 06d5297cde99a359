"""Witness: what a door sees of one exchange, kept as far as the recording asks for it, and told to it at the end.

A door relays first and shows the witness what has passed: the head of the answer, pieces of both bodies. No I/O here.
A fault in making an event never costs the event: it is made again without the bodies, and says so in an annotation.

| told | events |
|---|---|
| `answering`, or `begun` and `started` | ResponseStarted of a long-running request |
| `completed` | ResponseComplete; before it ResponseStarted, if that is still owed |
| `panicked` | Panic; before it ResponseStarted, if that is still owed |
| `unauthenticated` | ResponseStarted, and nothing else |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from decklog.audit.headers import first
from decklog.recorder.answers import Answer, accepts_objects
from decklog.recorder.submitted import Submitted
from decklog.recorder.tee import Tee

if TYPE_CHECKING:
    from collections.abc import Callable

    from decklog.audit.addresses import Headers
    from decklog.audit.event import Event
    from decklog.recorder.recording import Recording

FAULT: Final = "decklog/recording-error"
"""Annotation: the kind of the fault for which an event has no bodies."""


class Witness:
    """What a door has seen of one exchange.

    `fault` is told of errors of our own, which never leave here; `headers` are the request's, names in lower case.
    """

    __slots__ = (
        "_content_type",
        "_encoding",
        "_fault",
        "_headers",
        "_request",
        "_response",
        "_submitted",
        "code",
        "lost",
        "recording",
        "request_ended",
    )

    def __init__(self, recording: Recording, fault: Callable[[Exception], None], headers: Headers) -> None:
        self.recording = recording
        self.code = 0
        """Of the answer; 0: none has begun."""
        self.request_ended = True
        """Whether the request's body has come to its end."""
        self.lost = False
        """Whether one of the last events could not be made at all."""
        self._fault = fault
        self._headers = headers
        self._content_type = self._encoding = ""
        limit = recording.request_limit()
        self._request = Tee(limit) if limit else None
        self._response: Tee | None = None
        self._submitted = _NOTHING

    # What passes

    @property
    def keeps_request(self) -> bool:
        """Whether pieces of the request's body are wanted."""
        return self._request is not None

    @property
    def keeps_response(self) -> bool:
        """Whether pieces of the answer's body are (still) wanted."""
        return self._response is not None

    def submitting(self, content_type: str, encoding: str) -> None:
        """See the head of a request that has a body."""
        if self._request is not None:
            self._submitted = Submitted(content_type, encoding=encoding)
            self.request_ended = False

    def submitted(self, piece: bytes) -> None:
        """See a piece of the request's body."""
        if self._request is not None:
            self._request.feed(piece)

    def answering(
        self, code: int, content_type: str = "", encoding: str = "", beginning: bytes = b""
    ) -> tuple[Event, ...]:
        """See the head of the answer: `begun` and `started` in one.

        `beginning`: what of the body came with it (it is not kept by this call).
        """
        recording = self.recording
        if code >= 400 or encoding or recording.keeps_response or not _is_object(beginning):
            self.begun(code, content_type, encoding)
        else:
            self.code = code
        return self.started() if recording.attributes.long_running else ()

    def begun(self, code: int, content_type: str, encoding: str) -> None:
        """See the head of the answer; of a second one, that one counts."""
        self.code = code
        tee = self.recording.response_tee(code, content_type, encoding)
        self._response = tee if tee.kept else None
        self._content_type, self._encoding = content_type, encoding

    def started(self) -> tuple[Event, ...]:
        """Give the ResponseStarted of a long-running request whose answer has begun."""
        try:
            event = self.recording.started(self.code)
        except Exception as error:  # noqa: BLE001  # because: the last events, made below, are still owed
            self._fault(error)
            return ()
        return _some(event)

    def answered(self, piece: bytes) -> None:
        """See a piece of the answer's body."""
        tee = self._response
        if tee is not None:
            tee.feed(piece)
            if not tee.kept:
                self._response = None

    # The end

    def completed(self) -> tuple[Event, ...]:
        """Give the last events of a request that is over; those of one whose answer never began, too."""
        return self._made(self._completed)

    def panicked(self, words: str) -> tuple[Event, ...]:
        """Give the last events of a request that failed by a fault of the server's own."""
        return (*self._made(self._owed), *self._made(lambda: _some(self.recording.panicked(words, self._body()))))

    def unauthenticated(self, attempted: str = "") -> tuple[Event, ...]:
        """Give the one event of a request from nobody known (spec §5.7); `attempted`: what it tried."""
        return self._made(
            lambda: _some(self.recording.unauthenticated(self._answer() or Answer(500), attempted)),
        )

    def faulted(self, error: Exception) -> None:
        """Hear of a fault of our own: what events follow have no bodies, and say so."""
        self._fault(error)
        self.recording.annotate(FAULT, type(error).__name__)
        self._request = self._response = None

    def _made(self, make: Callable[[], tuple[Event, ...]]) -> tuple[Event, ...]:
        try:
            return make()
        except Exception as error:  # noqa: BLE001  # because: the answer is out, and no fault of ours may cost its event
            self.faulted(error)
        try:
            return make()
        except Exception as error:  # noqa: BLE001  # because: see above
            self._fault(error)
            self.lost = True
            return ()

    def _completed(self) -> tuple[Event, ...]:
        return self.recording.completed(self._answer(), None if self._request is None else self._body())

    def _owed(self) -> tuple[Event, ...]:
        return _some(self.recording.owed(self._answer()))

    def _answer(self) -> Answer | None:
        code, tee = self.code, self._response
        if tee is None:
            return Answer(code) if code else None
        negotiated = code < 400 or accepts_objects(first(self._headers, b"accept").decode("latin-1"))
        return Answer(code, self._content_type, tee.body(), self._encoding, tee.length, negotiated)

    def _body(self) -> Submitted | None:
        tee = self._request
        if tee is None:
            return None
        return replace(self._submitted, body=tee.body(), length=tee.length, whole=self.request_ended)


def _some(event: Event | None) -> tuple[Event, ...]:
    return () if event is None else (event,)


def _is_object(beginning: bytes) -> bool:
    """Tell nine answers of ten at a glance: an object as kube-apiserver writes it, which is no Status."""
    return beginning.startswith(b'{"kind":"') and not beginning.startswith(b'{"kind":"Status"')


_NOTHING: Final = Submitted()
