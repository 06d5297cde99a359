r"""Documents: cuts text that is no series of lines into the JSON documents in it; streams, whatever its length.

Some write one document over many lines (pretty-printed), one array around everything (``gcloud``, ``jq -s``), or
documents behind each other without a line feed (CloudWatch through Firehose). Which it is, the beginning tells
(`is_documents`). The elements of an array at the top are documents of their own.

Nothing is decoded: strings, brackets, commas and colons are told apart, so that a document that no parser takes hurts
only itself. Where brackets and commas make no sense the document is torn. It is given as it is, and the next one is
looked for at a line that stands no deeper than the torn one did, or at the next CloudWatch record. What is deeper is
its inside: a body there may hold anything, also the text of an event.

Text between documents is given line by line. A document that is longer than the limit is None, as a line is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from decklog.sources.packing import DamagedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HEAD_BYTES: Final = 4096
"""So much of the beginning is enough for `is_documents`."""

_BEGIN: Final = re.compile(
    rb'(?:\xef\xbb\xbf)?[ \t\r\n]*+(?:\{[ \t\r]*+\n|\[[ \t\r\n]*+\{|\{[ \t]*+"messageType"[ \t]*+:)'
)
_OUTSIDE: Final = re.compile(rb"[ \t\r\n,\]]*+")
_ARRAY: Final = re.compile(rb"\[[ \t\r\n]*+(?=\{)")
_GAP: Final = rb"((?:[ \t\r\n:,]|-?[0-9][0-9.eE+-]*+|true|false|null|-?Infinity|NaN)*+)"
_STEP: Final = re.compile(_GAP + rb'(?:("[^"\\\n]*+(?:\\[^\n][^"\\\n]*+)*+")|([\[{])|([\]}]))')
_RUN: Final = re.compile(
    rb'(?:[ \t\r\n]*+[:,][ \t\r\n]*+(?:"[^"\\\n]*+(?:\\[^\n][^"\\\n]*+)*+"'
    rb"|(?:-?[0-9][0-9.eE+-]*+|true|false|null)(?=[ \t\r\n,\]}]))|(?!))*+"
)
"""Values behind each other, taken at once: four fifths of a document's tokens.

The last alternative never matches. It is for Python before 3.11.5 (Debian 12 has 3.11.2), where a possessive group
ends not behind its last match but where its next try gave up: going on to an alternative goes back (gh-106052).
"""
_ONLY_GAP: Final = re.compile(_GAP)
_LONGEST_WORD: Final = len("-Infinity")
_WORDS: Final = (b"true", b"false", b"null", b"Infinity", b"-Infinity", b"NaN")
_RECORD: Final = re.compile(rb'\{[ \t]*+"messageType"[ \t]*+:')
_RECORD_BYTES: Final = 64
_OPENED: Final = {0x5D: 0x5B, 0x7D: 0x7B}
_OPENER, _STRING, _CLOSER = range(3)


def is_documents(head: bytes) -> bool:
    """Tell from the beginning of a text whether it is to be cut into documents; else into lines.

    So is what begins with a lone ``{`` on a line, with an array of objects, or with a CloudWatch record.
    """
    return _BEGIN.match(head) is not None


def documents(pieces: Iterable[bytes], max_bytes: int) -> Iterator[tuple[int, bytes | None]]:
    """Yield (number of the line where it begins, text) of each document, and of each line between documents.

    What is left at the end comes as it is, also when `pieces` raises (before the error goes on).
    """
    cutter = _Cutter(max_bytes)
    try:
        for piece in pieces:
            yield from cutter.feed(piece)
    except (DamagedError, OSError):
        yield from cutter.finish()
        raise
    yield from cutter.finish()


class _Cutter:
    """The text that is being cut, and where in it we are."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._text = b""
        self._done = 0
        """Before this all has been given."""
        self._at = 0
        """To here the document that begins at `_done` has been looked at."""
        self._line = 1
        self._column = 0
        """How deep the document's first line is indented."""
        self._open = bytearray()
        self._last = _OPENER
        self._dropping = False
        """In a document that is too long, or torn with no place yet to go on."""

    def feed(self, piece: bytes) -> Iterator[tuple[int, bytes | None]]:
        self._text = self._text[self._done :] + piece
        self._at -= self._done
        self._done = 0
        yield from self._frames(at_end=False)

    def finish(self) -> Iterator[tuple[int, bytes | None]]:
        yield from self._frames(at_end=True)
        rest = self._text[self._done :]
        if rest.strip() and not self._dropping:
            yield self._line, rest

    def _frames(self, *, at_end: bool) -> Iterator[tuple[int, bytes | None]]:
        while self._done < len(self._text):
            before = self._done, self._at, self._dropping
            frame = self._dropped() if self._dropping else self._frame(at_end=at_end)
            if frame is not None:
                yield frame
            elif before == (self._done, self._at, self._dropping):
                return

    def _frame(self, *, at_end: bool) -> tuple[int, bytes | None] | None:
        if not self._open and not self._begin():
            return self._between(at_end=at_end)
        while (step := self._step()) is not None:
            if not self._makes_sense(step):
                return self._torn()
            self._at = step.end()
            if not self._open:
                return self._given(self._at)
        if not self._may_go_on():
            return self._torn()
        if len(self._text) - self._done > self._max_bytes:
            return self._too_long()
        return None

    def _begin(self) -> bool:
        """Go to where the next document begins; False: something else stands there, or nothing yet."""
        while True:
            found = _OUTSIDE.match(self._text, self._done)
            self._advance(found.end() if found else self._done)
            array = _ARRAY.match(self._text, self._done)
            if array is None:
                break
            self._advance(array.end())
        self._at = self._done
        self._last = _OPENER
        return self._text.startswith(b"{", self._done)

    def _between(self, *, at_end: bool) -> tuple[int, bytes | None] | None:
        """Give the line that stands where a document was expected."""
        if not at_end and self._text.startswith(b"[", self._done) and not self._text[self._done + 1 :].strip():
            return None  # an array, perhaps
        end = self._text.find(b"\n", self._done)
        if end >= 0:
            return self._given(end)
        if len(self._text) - self._done > self._max_bytes:
            return self._too_long()
        return self._given(len(self._text)) if at_end and self._done < len(self._text) else None

    def _step(self) -> re.Match[bytes] | None:
        """Give the next bracket, or the next string that `_RUN` left."""
        if self._last != _OPENER and (run := _RUN.match(self._text, self._at)) is not None and run.end() > self._at:
            self._at = run.end()
            self._last = _STRING
        return _STEP.match(self._text, self._at)

    def _makes_sense(self, step: re.Match[bytes]) -> bool:
        """Take one more token into account; False: it cannot stand here."""
        gap, string, opener, closer = step.groups()
        stripped = gap.rstrip()
        parted = stripped.endswith((b":", b","))
        if closer:
            self._last = _CLOSER
            return bool(self._open) and self._open.pop() == _OPENED[closer[0]]
        if self._last != _OPENER and not parted:
            return False
        in_object = bool(self._open) and self._open[-1] == 0x7B
        if opener:
            if in_object and not stripped.endswith(b":"):
                return False
            self._open.append(opener[0])
            self._last = _OPENER
            return True
        self._last = _STRING
        return string is not None

    def _may_go_on(self) -> bool:
        """Tell whether what follows may be the beginning of a token whose end has not come yet."""
        gap = _ONLY_GAP.match(self._text, self._at)
        rest = gap.end() if gap else self._at
        if self._text.startswith(b'"', rest):
            return self._text.find(b"\n", rest) < 0
        left = self._text[rest : rest + _LONGEST_WORD + 1]
        return not left or left == b"-" or any(word.startswith(left) for word in _WORDS)

    def _torn(self) -> tuple[int, bytes | None] | None:
        end = self._next_place(self._done + 1)
        if end is None:
            if len(self._text) - self._done > self._max_bytes:
                return self._too_long()
            frame = self._given(max(self._done + 1, len(self._text) - _RECORD_BYTES), same_column=True)
            self._dropping = True
            return frame
        return self._given(end)

    def _too_long(self) -> tuple[int, bytes | None]:
        line = self._line
        self._open.clear()
        self._advance(self._done + 1)  # not to find its own beginning again
        self._dropping = True
        return line, None

    def _dropped(self) -> tuple[int, bytes | None] | None:
        """Pass over what belongs to no document, up to where one may begin."""
        place = self._next_place(self._done)
        self._dropping = place is None
        kept = max(_RECORD_BYTES, self._column + 2)
        end = place if place is not None else max(self._done, len(self._text) - kept)
        self._advance(end, same_column=place is None)
        self._at = self._done
        return None

    def _next_place(self, start: int) -> int | None:
        """Find where to go on: a line that stands no deeper, or a CloudWatch record."""
        line = re.compile(rb"\n(?=[ \t]{0,%d}[^ \t\r\n}])" % self._column).search(self._text, start)
        record = _RECORD.search(self._text, start, line.start() if line else len(self._text))
        found = record or line
        return found.start() if found else None

    def _given(self, end: int, *, same_column: bool = False) -> tuple[int, bytes | None]:
        """Give the text up to `end`, and go on there."""
        text = self._text[self._done : end].rstrip()
        frame = self._line, text if len(text) <= self._max_bytes else None
        self._advance(end, same_column=same_column)
        self._at = end
        self._open.clear()
        return frame

    def _advance(self, end: int, *, same_column: bool = False) -> None:
        """Go on at `end`, and count the lines; on a new one, see how deep it stands."""
        last = self._text.rfind(b"\n", self._done, end)
        self._line += self._text.count(b"\n", self._done, end)
        if last >= 0 and not same_column:
            lead = self._text[last + 1 : end]
            self._column = len(lead) - len(lead.lstrip(b" \t")) if not lead.strip(b" \t,[]") else 0
        self._done = end
