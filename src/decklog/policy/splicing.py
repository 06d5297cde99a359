"""Splicing: an event's line with another level, without bodies, with an annotation more; every other byte as it was.

The fast way cuts where Kubernetes lays an event out: the level behind the head; at the end the bodies, two times and
the annotations. A name in quotes behind a comma cannot stand inside of a JSON string, so a name that is found where the
lengths of the values say is the field. Should a crafted line mislead the lengths, a body's name is left over in what
is kept; such a line, and any that is laid out differently, is taken apart member by member.
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
_RECEIVED: Final = b',"requestReceivedTimestamp":"'
_BESIDES_TIMES: Final = len(_RECEIVED) + len(b'","stageTimestamp":""')
_NOTES: Final = b',"annotations":'
_LEVEL_REQUEST: Final = Level.REQUEST.value
_BODY: Final = b'Object":'
"""How the names of both bodies end."""
_BEGINS: Final = {level.value: b'%b"level":"%b",' % (HEAD, level.value.encode()) for level in Level}


class Splicer:
    """Rewrites lines. Keeps the annotations that it has made, of which a log has few kinds."""

    __slots__ = ("_notes",)

    def __init__(self) -> None:
        self._notes: dict[tuple[bytes, str], bytes] = {}

    def lower(self, line: bytes, event: Recorded, level: str, note: str) -> bytes:
        """Give the line at a lower `level`, without the bodies that it does not have.

        `note`: the text of the annotation; empty: none is added.
        """
        old = bytes(event.annotations)
        notes = self._noted(old, note) if note else old
        places = _places(line, event, len(old))
        if places is None:
            request = bytes(event.request_object) if level == _LEVEL_REQUEST else b""
            return _rebuilt(line, level, (request, b""), notes)
        start, body, body_end, times, times_end = places
        begin = _BEGINS.get(level) or _begin(level)
        kept = line[start : body_end if level == _LEVEL_REQUEST else body]
        if notes:
            return b"".join((begin, kept, line[times:times_end], _NOTES, notes, b"}"))
        return b"".join((begin, kept, line[times:times_end], b"}"))

    def lowered_size(self, line: bytes, event: Recorded, level: str) -> int:
        """Give the length of what `lower` gives without a note: of most lines without making it."""
        places = _places(line, event, len(event.annotations))
        if places is None:
            return len(self.lower(line, event, level, ""))
        start, body, body_end, times, _ = places
        kept = (body_end if level == _LEVEL_REQUEST else body) - start
        return len(_BEGINS.get(level) or _begin(level)) + kept + len(line) - times

    def rewrite(self, line: bytes, event: Recorded, level: str, bodies: tuple[bytes, bytes], note: str) -> bytes:
        """Give the line with `level` and with these request and response bodies (empty: none); `note` as above."""
        old = bytes(event.annotations)
        return _rebuilt(line, level, bodies, self._noted(old, note) if note else old)

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
    return jsontext.join(others)


def _places(line: bytes, event: Recorded, notes: int) -> tuple[int, int, int, int, int] | None:
    """Find where to cut: behind the level; before and behind the request's body; before and behind the times.

    `notes`: the length of the annotations, 0 for none. None: the line is not laid out as Kubernetes does it.
    """
    # Flat, and by offsets instead of copies: at this rate a copy of a body is what costs.
    begin = _BEGINS.get(event.level) or _begin(event.level)
    received, staged = event.request_received_timestamp, event.stage_timestamp
    if received is None or staged is None or not line.startswith(begin):
        return None
    times_end = len(line) - 1
    if notes:
        times_end -= notes + len(_NOTES)
        if not line.startswith(_NOTES, times_end):
            return None
    times = times_end - len(staged) - len(received) - _BESIDES_TIMES
    if not line.startswith(_RECEIVED, times):
        return None
    body = body_end = times
    if size := len(event.response_object):
        body = body_end = times - size - len(_RESPONSE)
        if not line.startswith(_RESPONSE, body_end):
            return None
    if size := len(event.request_object):
        body = body_end - size - len(_REQUEST)
        if not line.startswith(_REQUEST, body):
            return None
    if line.rfind(_BODY, len(begin), body) >= 0:  # rfind: in CPython twice as fast as find
        return None  # a body's name stands there once more: only the slow way finds all
    return len(begin), body, body_end, times, times_end


def _begin(level: str) -> bytes:
    return b'%b"level":%b,' % (HEAD, jsontext.dump(level))


def _rebuilt(line: bytes, level: str, bodies: tuple[bytes, bytes], notes: bytes) -> bytes:
    """Take the line apart and put it together again; of a name that stands there twice only the last is kept."""
    pairs = dict(jsontext.members(line))  # an event's line has been checked: it is a JSON object
    pairs["level"] = jsontext.dump(level)
    for name, body in (("requestObject", bodies[0]), ("responseObject", bodies[1])):
        pairs.pop(name, None) if not body else pairs.update({name: body})
    if notes:
        pairs["annotations"] = notes
    return jsontext.join(pairs.items())
