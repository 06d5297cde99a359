r"""StatusProbe: tells from its beginning whether a good answer is a Status, and so whether a door keeps it.

Below level RequestResponse nothing of an answer under 400 is recorded, unless the API machinery rendered a Status: then
its words are (spec §5.9). A list of pods must not be held in memory for that, so a probe looks at the chunks as they
pass and says as early as it can: keep, drop, or not yet.

| format | what decides |
|---|---|
| JSON | the first of the object's own members that is `kind`, or that no Status has (`items`, `spec`) |
| YAML | the same, by lines |
| protobuf | the type in the envelope |
| CBOR | kind and Status beside each other anywhere in what is looked at: the server shuffles members |

Bounds: `LOOK_BYTES` unpacked, `STATUS_LIMIT` as on the wire. What is not told apart by then is dropped.
"""

from __future__ import annotations

import re
import zlib
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from decklog.audit.protobuf_wire import MAGIC
from decklog.recorder import objects, protobuf

if TYPE_CHECKING:
    from collections.abc import Callable

STATUS_LIMIT: Final = 64 * 1024
"""Bytes of an answer that are kept for its Status alone."""

LOOK_BYTES: Final = 4096
"""Unpacked bytes within which a Status shows itself: the API server writes kind before anything long."""

_MEMBERS: Final = frozenset(
    {b"kind", b"apiVersion", b"metadata", b"status", b"message", b"reason", b"details", b"code"}
)
_KIND_FIRST: Final = b'{"kind":"'
_STATUS_FIRST: Final = b'{"kind":"Status"'
_STATUS: Final = b'"Status"'
_TEXT: Final = rb'(?:[^"\\]|\\.)*+'
_OPEN: Final = re.compile(rb"[ \t\r\n]*(?:\{|(?P<other>[^ \t\r\n]))")
_KEY: Final = re.compile(rb'[ \t\r\n]*"(' + _TEXT + rb')"[ \t\r\n]*:[ \t\r\n]*', re.DOTALL)
_SCALAR: Final = re.compile(rb'"' + _TEXT + rb'"|[^\[\]{}",: \t\r\n]++', re.DOTALL)
_TOKEN: Final = re.compile(rb'"' + _TEXT + rb'"?|[\[\]{}]', re.DOTALL)  # a string that is cut off runs to the end
_NEXT: Final = re.compile(rb"[ \t\r\n]*([^ \t\r\n])")
_CBOR: Final = re.compile(rb"[\x44\x64]kind[\x46\x66]Status")  # both lengths as byte string and as text


class StatusProbe:
    """Looks at one answer as it passes.

    `content_type` and `encoding` are the header values as sent; a body in an encoding that the recorder cannot undo, or
    of a type that holds no object, is dropped at once.
    """

    __slots__ = ("_again_at", "_fed", "_look", "_text", "_unpack", "verdict")

    def __init__(self, content_type: str = "", encoding: str = "") -> None:
        self._look = _look_for(content_type)
        packed = bool(encoding) and not objects.is_plain_encoding(encoding)
        self._unpack = objects.unpacker(encoding) if packed else None
        self._text = b""
        self._fed = self._again_at = 0
        unreadable = self._look is None or (packed and self._unpack is None)
        self.verdict: bool | None = False if unreadable else None
        """True: keep; False: drop; None: undecided, so keep for now. Once given, it stands."""

    def feed(self, chunk: bytes | bytearray) -> bool | None:
        """Look at the next chunk, as it is on the wire; give the verdict so far."""
        if self.verdict is not None or self._look is None:
            return self.verdict
        self._fed += len(chunk)
        room = LOOK_BYTES - len(self._text)
        try:
            self._text += chunk[:room] if self._unpack is None else self._unpack.decompress(chunk[:STATUS_LIMIT], room)
        except zlib.error:
            self.verdict = False
            return False
        size = len(self._text)
        if size >= self._again_at:
            self.verdict = self._look(self._text)
            self._again_at = min(size * 3 // 2, LOOK_BYTES)  # single bytes must not cost a look each
        if self.verdict is None and (size >= LOOK_BYTES or self._fed > STATUS_LIMIT):
            self.verdict = False
        return self.verdict


def _in_json(text: bytes) -> bool | None:
    if text.startswith(_KIND_FIRST) and len(text) >= len(_STATUS_FIRST):
        return text.startswith(_STATUS_FIRST)  # as kube-apiserver writes
    opened = _OPEN.match(text)
    if opened is None or opened["other"]:
        return None if opened is None else False
    at = opened.end()
    while key := _KEY.match(text, at):
        if key[1] == b"kind":
            value = text[key.end() : key.end() + len(_STATUS)]
            return True if value == _STATUS else (None if _STATUS.startswith(value) else False)
        if key[1] not in _MEMBERS:
            return False
        after = _NEXT.match(text, _past_value(text, key.end()))
        if after is None or after[1] != b",":
            return None if after is None else False
        at = after.end()
    return None


def _past_value(text: bytes, at: int) -> int:
    """Find the end of the value that begins at `at`: the end of `text` where it is not there yet."""
    scalar = _SCALAR.match(text, at)
    if scalar is not None:
        return scalar.end()
    depth = 0
    for token in _TOKEN.finditer(text, at):
        if token[0] in {b"{", b"["}:
            depth += 1
        elif token[0] in {b"}", b"]"}:
            depth -= 1
            if depth <= 0:
                return token.end()
    return len(text)


def _in_yaml(text: bytes) -> bool | None:
    if text.lstrip().startswith(b"{"):
        return _in_json(text)
    for line in text.split(b"\n")[:-1]:
        key, colon, value = line.partition(b":")
        if not colon or line[:1] in b" \t\r-#":
            continue
        if key == b"kind":
            return value.strip(b" \t\r\"'") == b"Status"
        if key not in _MEMBERS:
            return False
    return None


def _in_protobuf(text: bytes) -> bool | None:
    """Read the envelope's first field, the type: its tag, its length, its bytes."""
    start = len(MAGIC)
    if not text.startswith(MAGIC[: len(text)]):
        return False
    if len(text) < start + 2 or len(text) < (end := start + 2 + text[start + 1]):
        return None
    try:
        types = dict(protobuf.fields(text[start + 2 : end]))
    except ValueError:
        return False
    return text[start] == 0x0A and types.get(2) == b"Status"


def _in_cbor(text: bytes) -> bool | None:
    return True if _CBOR.search(text) else None


_LOOKS: Final[dict[str, Callable[[bytes], bool | None]]] = {
    "": _in_json,
    objects.JSON_TYPE: _in_json,
    objects.YAML_TYPE: _in_yaml,
    objects.PROTOBUF_TYPE: _in_protobuf,
    objects.CBOR_TYPE: _in_cbor,
}
_SUFFIXES: Final = {"json": _in_json, "yaml": _in_yaml, "cbor": _in_cbor}


@lru_cache(maxsize=256)
def _look_for(content_type: str) -> Callable[[bytes], bool | None] | None:
    """Choose how to look; None for what holds no object: other types, and a watch's stream of them."""
    if objects.is_watch_stream(content_type):
        return None
    media = objects.media_type(content_type)
    return _LOOKS.get(media) or _SUFFIXES.get(media.rpartition("+")[2] if "+" in media else "")
