"""Cuts the fields of an event whose metadata is too large, so that padding makes no event disappear.

The longest fields go first: every text and every collection is cut to the largest of a row of halving lengths with
which the event fits; what is shorter stays whole. Each field that was cut keeps a beginning, ends with ``…`` where a
text was cut (so that ``system:masters-of-none`` never becomes ``system:masters``), and gets an annotation ::

    decklog/cut-<field>: "len=<bytes> sha256=<hex>"

of what it was: for a text of its UTF-8 (a lone surrogate in its three bytes), for a collection or a body of its compact
JSON. `<field>` is the path on the wire: ``userAgent``, ``user.groups``, ``responseStatus.message``. Annotations that
Kubernetes and decklog wrote are kept before those of others.

If even that does not fit (a limit of a few KiB, an event that is long everywhere), only who, what and when are left,
and ``decklog/cut-event`` tells of the whole line. Below 2 KiB nothing is certain; what does not fit, the caller drops.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Raw, Struct, structs

from decklog.audit.event import NO_OBJECT, Event, User

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PREFIX: Final = "decklog/cut-"
ELLIPSIS: Final = "…"
_SHORTEST: Final = 32
"""Below this many bytes nothing is worth cutting; levels, stages and verbs of good faith are shorter."""
_PIECE: Final = 256
"""An item of a collection is not cut below this for the sake of the others: rather some are left out."""
_UUID: Final = 36
"""The length of an audit ID of good faith."""
_OURS: Final = ("authorization.k8s.io/", "audit.k8s.io/", "decklog/")
_TIMES: Final = ("request_received_timestamp", "stage_timestamp")


def cut(event: Event, max_size: int, encode_line: Callable[[Event], bytes]) -> tuple[Event, int]:
    """Give a copy that is at most `max_size` bytes, if that can be, and its size."""
    cutter = _Cutter(event)
    length = max_size
    fitted, size = event, len(encode_line(event))
    while size > max_size and length >= _SHORTEST:
        fitted = cutter.cut(length)
        size = len(encode_line(fitted))
        length //= 2
    if size > max_size:
        fitted = _bare(event, encode_line(event))
        size = len(encode_line(fitted))
    return fitted, size


class _Cutter:
    """Cuts one event, as often as it takes; measures and hashes each field once."""

    def __init__(self, event: Event) -> None:
        self._event = event
        self._annotations = _by_worth(event.annotations)
        self._sizes: dict[str, int] = {}
        self._marks: dict[str, str] = {}

    def cut(self, length: int) -> Event:
        """Cut every field to `length` bytes."""
        event = self._event
        notes: dict[str, str] = {}
        shorter = self._cut(event, length, "", notes)
        kept: Event = structs.replace(
            shorter,
            request_object=self._body(event.request_object, "requestObject", length, notes),
            response_object=self._body(event.response_object, "responseObject", length, notes),
        )
        return structs.replace(kept, annotations=dict(sorted({**kept.annotations, **notes}.items())))

    def _cut(self, value: Any, length: int, path: str, notes: dict[str, str]) -> Any:
        changes: dict[str, Any] = {}
        for field in structs.fields(value):
            part = getattr(value, field.name)
            where = path + field.encode_name
            if isinstance(part, Struct):
                shorter = self._cut(part, length, f"{where}.", notes)
                if shorter is not part:
                    changes[field.name] = shorter
            elif isinstance(part, str | tuple | dict) and self._size(where, part) > length:
                whole = self._annotations if where == "annotations" else part
                changes[field.name] = None if field.name in _TIMES else _shorten(whole, length)
                notes[PREFIX + where] = self._mark(where, part)
        return structs.replace(value, **changes) if changes else value

    def _body(self, body: Raw, where: str, length: int, notes: dict[str, str]) -> Raw:
        """Keep a body whole or not at all: half of one is no JSON."""
        data = bytes(body)
        if len(data) <= length:
            return body
        notes[PREFIX + where] = self._marks.get(where) or self._marks.setdefault(where, mark(data))
        return NO_OBJECT

    def _size(self, where: str, value: Any) -> int:
        if where not in self._sizes:
            self._sizes[where] = _measure(value)
        return self._sizes[where]

    def _mark(self, where: str, value: Any) -> str:
        if where not in self._marks:
            self._marks[where] = mark(_utf8(value) if isinstance(value, str) else _json(value))
        return self._marks[where]


def mark(data: bytes) -> str:
    """Tell what was cut: so that whoever has the original can tell that it is the one."""
    return f"len={len(data)} sha256={hashlib.sha256(data).hexdigest()}"


def _bare(event: Event, line: bytes) -> Event:
    """Who, what and when, and the mark of the whole line; everything in it is bounded."""
    level, audit_id, stage, uri, verb, name = (
        _shorten_text(text, _UUID)
        for text in (event.level, event.audit_id, event.stage, event.request_uri, event.verb, event.user.username)
    )
    times = {time: value for time in _TIMES if (value := getattr(event, time)) is not None and len(value) <= _SHORTEST}
    return Event(level, audit_id, stage, uri, verb, User(name), annotations={f"{PREFIX}event": mark(line)}, **times)


def _shorten(value: Any, length: int) -> Any:
    """Keep a beginning of a text or collection, about `length` bytes."""
    if isinstance(value, str):
        return _shorten_text(value, length)
    if isinstance(value, dict):
        pairs = _shorten_items(value.items(), length, _shorten_pair)
        return dict(sorted(dict(reversed(pairs)).items()))  # of keys that became the same, the first counts
    if isinstance(value, tuple):
        return tuple(_shorten_items(value, length, _shorten))
    if isinstance(value, Struct):
        parts = {name: getattr(value, name) for name in value.__struct_fields__}
        return structs.replace(value, **{name: _shorten(part, length) for name, part in parts.items()})
    return value


def _shorten_text(text: str, length: int) -> str:
    if len(text) <= length and len(data := _utf8(text)) <= length:
        return text
    data = _utf8(text[:length])[: max(length - len(ELLIPSIS.encode()), 0)]
    return data.decode(errors="ignore") + ELLIPSIS


def _shorten_items(items: Iterable[Any], length: int, shorten: Callable[[Any, int], Any]) -> list[Any]:
    """Shorten the longest until all fit or none is worth it, then keep the leading ones that fit."""
    first = [item for item, _ in zip(items, range(length // 3 + 1), strict=False)]  # three bytes each at least
    sizes = [_measure(item) for item in first]
    each = length
    while each > _PIECE and sum(min(size, each) for size in sizes) > length:
        each //= 2
    kept: list[Any] = []
    room = length
    for item, size in zip(first, sizes, strict=True):
        room -= min(size, each)
        if room < 0:
            break
        kept.append(shorten(item, each) if size > each else item)
    return kept


def _shorten_pair(pair: tuple[Any, Any], length: int) -> tuple[Any, Any]:
    """Shorten a key to half the length at most, and its value to what is left."""
    key, value = _shorten(pair[0], length // 2), pair[1]
    return key, _shorten(value, max(length - _measure(key), length // 2))


def _by_worth(annotations: dict[str, str]) -> dict[str, str]:
    """Put the annotations that Kubernetes and we wrote before those of others."""
    return dict(sorted(annotations.items(), key=lambda pair: not pair[0].startswith(_OURS)))


def _measure(value: Any) -> int:
    """Bytes on the wire, about: escapes are not counted, the caller measures the whole in the end."""
    if isinstance(value, str):
        return (len(value) if value.isascii() else len(_utf8(value))) + 3
    if isinstance(value, dict):
        return sum(_measure(key) + _measure(part) for key, part in value.items())
    if isinstance(value, tuple):
        return sum(map(_measure, value)) + 3
    if isinstance(value, Struct):
        return sum(_measure(getattr(value, name)) + len(name) for name in value.__struct_fields__)
    return 4


def _utf8(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def _json(value: Any) -> bytes:
    return json.dumps(msgspec.to_builtins(value), ensure_ascii=False, separators=(",", ":")).encode(
        errors="surrogatepass"
    )
