"""Usual: blocks of lines as kube-apiserver writes them, decoded at once; anything odd is left to the reader.

Every line of such a block is one event: each line feed stands between the last brace of a line and the usual beginning
of the next, so it ends a value; and there are as many values as lines. What is decoded is what the reader would decode:
times need no reading, nothing is empty that must not be, no value is of another type.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from msgspec import Struct

from decklog.audit.event import Event
from decklog.errors import DecklogError
from decklog.sources.lines import MAX_LINE_BYTES

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator

    from decklog.ask.tally import Label

HEAD: Final = b'{"kind":"Event","apiVersion":"audit.k8s.io/v1",'
PIECE_BYTES: Final = 256 << 10
"""Small enough for a processor's cache; so much is read by the slow way for one odd line."""

_BETWEEN: Final = b"}\n" + HEAD
"""What stands between two usual lines."""

_DAY: Final = (
    r"(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    r"|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
_TIME: Final = re.compile(
    rf"(?!000[01])[0-9]{{4}}-{_DAY}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{{6}}Z"
).fullmatch
"""A time in the usual form; 29 February and Go's zero time are left to the reader."""
_TIME_LENGTH: Final = len("2026-01-31T12:00:00.000000Z")
_HOUR_LENGTH: Final = len("2026-01-31T12:")
_TENS_OF_MINUTES: Final = len("2026-01-31T12:")
_TENS_OF_SECONDS: Final = len("2026-01-31T12:00:")
_ZEROS: Final = {ord(digit): "0" for digit in "123456789"}

OPTIONAL: Final = frozenset(("user_agent", "object_ref", "response_status"))
"""What a Slim has only for those who ask for it."""


class _Who(Struct, gc=False):
    username: str = ""


class _What(Struct, gc=False, rename={"api_group": "apiGroup"}):
    resource: str = ""
    namespace: str = ""
    api_group: str = ""
    subresource: str = ""


class _Answer(Struct, gc=False):
    code: Annotated[int, msgspec.Meta(ge=-0x80000000, le=0x7FFFFFFF)] = 0


_SLIM: Final[dict[str, Any]] = {
    "level": Literal["Metadata", "RequestResponse", "Request", "None"],  # of a few words none is made anew
    "audit_id": (str, msgspec.field(name="auditID")),
    "stage": Literal["ResponseComplete", "ResponseStarted", "RequestReceived", "Panic"],
    "request_uri": (str, msgspec.field(name="requestURI")),
    "verb": str,
    "user": _Who,
    "user_agent": (str, msgspec.field(name="userAgent", default="")),
    "object_ref": (_What | None, msgspec.field(name="objectRef", default=None)),
    "response_status": (_Answer | None, msgspec.field(name="responseStatus", default=None)),
    "request_received_timestamp": (str, msgspec.field(name="requestReceivedTimestamp")),
    "stage_timestamp": (str, msgspec.field(name="stageTimestamp")),
}
"""In the order of a line: then the decoder finds each at its first look."""


def slim(fields: frozenset[str]) -> type[Struct]:
    """Give a type with those fields of an Event that tell requests apart, and with `fields`, which are of OPTIONAL."""
    chosen = [
        (name, *(what if isinstance(what, tuple) else (what,)))
        for name, what in _SLIM.items()
        if name in fields or name not in OPTIONAL
    ]
    return msgspec.defstruct("Slim", chosen, kw_only=True, gc=False)


class Narrow(Struct, frozen=True):
    """A label that says what it looks at, so that no more is decoded."""

    of: Label
    fields: frozenset[str]
    """Of OPTIONAL."""

    def __call__(self, event: Any) -> Hashable:
        """Give the label of an event."""
        return self.of(event)


def unwrapped(label: Label) -> tuple[Label, frozenset[str]]:
    """Give a label as a plain function, and what it may look at of OPTIONAL."""
    return (label.of, label.fields) if isinstance(label, Narrow) else (label, OPTIONAL)


class LongLineError(DecklogError):
    """A line is longer than the reader takes; it knows what to do."""


def whole_lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Cut a stream into blocks of whole lines; raises LongLineError."""
    begun: list[bytes] = []
    size = 0
    for piece in pieces:
        end = piece.rfind(b"\n") + 1
        size += end or len(piece)
        if size > MAX_LINE_BYTES:
            raise LongLineError("a line is too long")
        if not end:
            begun.append(piece)
            continue
        yield b"".join((*begun, piece[:end])) if begun or end < len(piece) else piece
        begun = [piece[end:]] if end < len(piece) else []
        size = len(piece) - end
    if begun:
        yield b"".join(begun)


class Usual:
    """Decodes blocks. Bodies, maps and lists stand in the events as they were read, not as `audit.wire` mends them."""

    def __init__(self, *, whole: bool, fields: frozenset[str] = OPTIONAL) -> None:
        """`whole`: to Events; else to Slims that also have `fields`, in half the time: what they lack is skipped."""
        decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Event if whole else slim(fields))
        self._decode = decoder.decode_lines
        self._whole = whole

    def decode(self, text: bytes | bytearray, end: int | None = None) -> tuple[int, list[Any] | None]:
        """Give the number of line feeds in ``text[:end]``, and the events; None if anything there is not usual."""
        end = len(text) if end is None else end
        feeds = _usual_feeds(text, end)
        if feeds is None:
            return text.count(b"\n", 0, end), None
        try:
            events = self._decode(text if end == len(text) else memoryview(text)[:end])
            usual = _are_usual([event.stage_timestamp for event in events]) and _are_usual(
                [event.request_received_timestamp for event in events]
            )
        except (
            msgspec.MsgspecError,
            RecursionError,
            UnicodeError,
            TypeError,
        ):  # TypeError: a time that is null
            return feeds, None
        if not usual or len(events) != feeds or (self._whole and not all(map(_is_sound, events))):
            return feeds, None
        return feeds, events


def _usual_feeds(text: bytes | bytearray, end: int) -> int | None:
    """Count the line feeds; None unless all stand between usual lines, and one behind the last."""
    if not text.endswith(b"}\n", 0, end) or not text.startswith(HEAD, 0, end):
        return None
    find, is_here = text.find, text.startswith
    feeds, place = 1, find(b"\n")
    while is_here(_BETWEEN, place - 1, end):  # a loop with `find` in it is faster than any search for a pattern
        feeds += 1
        place = find(b"\n", place + 1)
    return feeds if place == end - 1 else None


def _are_usual(times: list[str]) -> bool:
    """Tell whether all times are of the usual form.

    Whatever lies between the first and the last begins as both do. So if these are of one hour, the others can differ
    from the form only behind it, where any two digits below 60 will do.
    """
    first, last = min(times), max(times)
    if not _TIME(first) or not _TIME(last):
        return False
    if first[:_HOUR_LENGTH] != last[:_HOUR_LENGTH]:
        return all(map(_TIME, times))
    joined = "".join(times)
    return (
        joined.translate(_ZEROS) == first.translate(_ZEROS) * len(times)
        and not joined[_TENS_OF_MINUTES::_TIME_LENGTH].strip("012345")
        and not joined[_TENS_OF_SECONDS::_TIME_LENGTH].strip("012345")
    )


def _is_sound(event: Event) -> bool:
    """Whether an event is one to Go and to the reader; a Slim was judged while it was decoded."""
    status = event.response_status
    known = status is None or -0x80000000 <= status.code <= 0x7FFFFFFF
    return known and event.level != "" and event.stage != ""
