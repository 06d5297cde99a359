"""Splicing: an event's line with another level, without bodies, with an annotation more; every other byte as it was.

The fast way cuts at places that are proved, not searched: a line that begins as Kubernetes writes it has its level at a
fixed place, and one that ends in exactly the times and annotations that were read from it has them there, so that the
bodies can only stand before them. Any other line is taken apart member by member.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from decklog.audit import jsontext
from decklog.audit.event import Level
from decklog.policy.recorded import HEAD

if TYPE_CHECKING:
    from decklog.policy.recorded import Recorded

NOTE: Final = "decklog/lowered"
"""The annotation that says what was taken from an event after it was recorded."""

_KEPT_NOTES: Final = 1024
_KEPT_NOTE_LENGTH: Final = 2048
_REQUEST: Final = b',"requestObject":'
_RESPONSE: Final = b',"responseObject":'
_NOTES: Final = b',"annotations":'
_BODY: Final = b'Object":'
"""How the names of both bodies end."""
_BEGINS: Final = {level.value: b'%b"level":"%b",' % (HEAD, level.value.encode()) for level in Level}


class Splicer:
    """Rewrites lines. Keeps the annotations that it has made, of which a log has few kinds."""

    __slots__ = ("_notes",)

    def __init__(self) -> None:
        self._notes: dict[tuple[bytes, str], bytes] = {}

    def rewrite(self, line: bytes, event: Recorded, level: str, bodies: tuple[bytes, bytes], note: str) -> bytes:
        """Give the line with `level` and with these request and response bodies (empty: none).

        `note`: the text of the annotation; empty: none is added.
        """
        old = bytes(event.annotations)
        notes = self._noted(old, note) if note else old
        spliced = _spliced(line, event, level, bodies, old, notes)
        return spliced if spliced is not None else _rebuilt(line, level, bodies, notes)

    def _noted(self, old: bytes, note: str) -> bytes:
        key = (old, note)
        known = self._notes.get(key)
        if known is None:
            known = annotated(old, note)
            if len(old) <= _KEPT_NOTE_LENGTH:
                if len(self._notes) >= _KEPT_NOTES:
                    self._notes.clear()
                self._notes[key] = known
        return known


def annotated(old: bytes, note: str) -> bytes:
    """Put the annotation into the raw JSON of `old` annotations (empty: none), in the order of their keys.

    One that is there already was made by an earlier lowering, and is continued: ``first; second``.
    """
    pairs = jsontext.members(old) if old and old != b"null" else []
    earlier = [jsontext.string(value) for key, value in pairs if key == NOTE]
    text = jsontext.dump("; ".join([*earlier, note]))
    others = [(key, value) for key, value in pairs if key != NOTE]
    place = next((index for index, (key, _) in enumerate(others) if key > NOTE), len(others))
    others.insert(place, (NOTE, text))
    return b"{" + b",".join(jsontext.dump(key) + b":" + value for key, value in others) + b"}"


def _spliced(
    line: bytes, event: Recorded, level: str, bodies: tuple[bytes, bytes], old: bytes, notes: bytes
) -> bytes | None:
    """Cut and join; None if the line is not laid out as Kubernetes does it."""
    begin = _begin(event.level)
    times = (
        f',"requestReceivedTimestamp":"{event.request_received_timestamp}","stageTimestamp":"{event.stage_timestamp}"'
    ).encode()
    tail = times + _NOTES + old + b"}" if old else times + b"}"
    if not (line.startswith(begin) and line.endswith(tail)):
        return None
    start, end = len(begin), len(line) - len(tail)
    response = bytes(event.response_object)
    if response:
        if not line.endswith(_RESPONSE + response, start, end):
            return None
        end -= len(_RESPONSE) + len(response)
    request = bytes(event.request_object)
    if request:
        if not line.endswith(_REQUEST + request, start, end):
            return None
        end -= len(_REQUEST) + len(request)
    middle = line[start:end]
    if _BODY in middle:
        return None  # a body's name stands there once more: only the slow way finds all
    request, response = bodies
    pieces = [_begin(level), middle]
    if request:
        pieces += (_REQUEST, request)
    if response:
        pieces += (_RESPONSE, response)
    pieces += (times, _NOTES, notes, b"}") if notes else (times, b"}")
    return b"".join(pieces)


def _begin(level: str) -> bytes:
    return _BEGINS.get(level) or b'%b"level":%b,' % (HEAD, jsontext.dump(level))


def _rebuilt(line: bytes, level: str, bodies: tuple[bytes, bytes], notes: bytes) -> bytes:
    """Take the line apart and put it together again; of a name that stands there twice only the last is kept."""
    pairs = dict(jsontext.members(line))  # an event's line has been checked: it is a JSON object
    pairs["level"] = jsontext.dump(level)
    for name, body in (("requestObject", bodies[0]), ("responseObject", bodies[1])):
        pairs.pop(name, None) if not body else pairs.update({name: body})
    if notes:
        pairs["annotations"] = notes
    return b"{" + b",".join(jsontext.dump(name) + b":" + value for name, value in pairs.items()) + b"}"
