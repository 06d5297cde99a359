"""Usual: blocks of lines as kube-apiserver writes them, decoded at once; anything odd is left to the reader.

Every line of such a block is one event: each line feed stands between the last brace of a line and the usual beginning
of the next, so it ends a value; and there are as many values as lines. What is decoded is what the reader would decode:
times need no reading, nothing is empty that must not be, no value is of another type.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec import Struct

from decklog.audit.event import Event
from decklog.errors import DecklogError
from decklog.sources.lines import MAX_LINE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HEAD: Final = b'{"kind":"Event","apiVersion":"audit.k8s.io/v1",'
PIECE_BYTES: Final = 256 << 10
"""Small enough for a processor's cache; so much is read by the slow way for one odd line."""

# One pass finds every line feed; those between two usual lines come with the brace behind them.
_FEEDS: Final = re.compile(rb'\n(?:(?<=\}\n)\{(?="kind":"Event","apiVersion":"audit\.k8s\.io/v1",))?').findall
_DAY: Final = (
    r"(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    r"|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
_TIMES: Final = re.compile(
    rf"(?:(?!000[01])[0-9]{{4}}-{_DAY}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{{6}}Z)*"
).fullmatch
"""Times in the usual form; 29 February and Go's zero time are left to the reader."""


class _Who(Struct, gc=False):
    username: str = ""


class _What(Struct, gc=False, rename={"api_group": "apiGroup"}):
    resource: str = ""
    namespace: str = ""
    api_group: str = ""
    subresource: str = ""


class _Answer(Struct, gc=False):
    code: Annotated[int, msgspec.Meta(ge=-0x80000000, le=0x7FFFFFFF)] = 0


class Slim(Struct, gc=False):
    """The fields of an Event that most labels ask for, under the same names."""

    level: Annotated[str, msgspec.Meta(min_length=1)]
    stage: Annotated[str, msgspec.Meta(min_length=1)]
    verb: str
    user: _Who
    audit_id: str = msgspec.field(name="auditID")
    request_uri: str = msgspec.field(name="requestURI")
    user_agent: str = msgspec.field(name="userAgent", default="")
    object_ref: _What | None = msgspec.field(name="objectRef", default=None)
    response_status: _Answer | None = msgspec.field(name="responseStatus", default=None)
    request_received_timestamp: str | None = msgspec.field(name="requestReceivedTimestamp", default=None)
    stage_timestamp: str | None = msgspec.field(name="stageTimestamp", default=None)


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

    def __init__(self, *, whole: bool) -> None:
        """`whole`: to Events; else to Slims, in half the time: fields that they lack are skipped, whatever they are."""
        decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Event if whole else Slim)
        self._decode = decoder.decode_lines
        self._whole = whole

    def decode(self, block: bytes) -> tuple[int, list[Any] | None]:
        """Give the number of line feeds, and the events; None if anything in the block is not usual."""
        feeds = _FEEDS(block)
        if feeds.count(b"\n") != 1 or not block.endswith(b"}\n") or not block.startswith(HEAD):
            return len(feeds), None
        try:
            events = self._decode(block)
            times = [event.stage_timestamp for event in events]
            usual = _TIMES("".join([*times, *[event.request_received_timestamp for event in events]]))
        except (
            msgspec.MsgspecError,
            RecursionError,
            UnicodeError,
            TypeError,
        ):  # TypeError: a time that is null
            return len(feeds), None
        if usual is None or len(events) != len(feeds) or (self._whole and not all(map(_is_sound, events))):
            return len(feeds), None
        return len(feeds), events


def _is_sound(event: Event) -> bool:
    """Whether an event is one to Go and to the reader; a Slim was judged while it was decoded."""
    status = event.response_status
    known = status is None or -0x80000000 <= status.code <= 0x7FFFFFFF
    return known and event.level != "" and event.stage != ""
