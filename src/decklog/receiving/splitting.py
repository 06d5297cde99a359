"""Splitting: takes the items of an EventList out of its bytes, verbatim, without decoding all of it.

Works through a body window by window, so that memory does not grow with it. What it gives are the items as they came,
each one JSON object that names a stage or an audit ID, on one line. It is exact and fast on what senders write, and
gives up (`UnsplitError`) on all else: `decklog.receiving.scanning` then goes over the body at leisure.

The end of an item is guessed from how the first one begins, and the guess is tried: a JSON object is never the
beginning of another one, so a piece that decodes is the item, and nothing else can be.

Bodies are an EventList (or a List), a JSON array of events, or one event.
"""

from __future__ import annotations

import json
import re
from typing import Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from decklog.audit import jsontext
from decklog.audit.wire import WireError

ITEM_LIMIT: Final = 16 << 20
"""Bytes of one item at most; a larger one is kept in quarantine."""
_HEAD_LIMIT: Final = 64 * 1024
"""Bytes before the first item, and behind the last one, at most."""
_EMPTY_LIMIT: Final = 4096
"""Bytes of a list of none at most."""
_LIST_KEYS: Final = frozenset({"kind", "apiVersion", "metadata", "items"})
_TOKEN_LIMIT: Final = 2_000_000
"""Brackets that are looked at one by one in a body, at most."""
_ITEMS: Final = re.compile(rb'"items"\s*:\s*\[')
_BLANK: Final = re.compile(rb"[ \t\r\n]*")
_BEGINNING: Final = re.compile(rb'\{"[^"\\]{1,64}"')
TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["\[\]{}]', re.DOTALL)
"""A string, or a bracket, or the beginning of a string that does not end here."""


class UnsplitError(ValueError):
    """A body that cannot be split here."""


class Outline(Struct, rename={"audit_id": "auditID"}):
    """So much of an event that one can be told from other objects."""

    audit_id: str = ""
    stage: str = ""


class _Envelope(Struct):
    kind: str = ""
    items: list[Raw] | UnsetType | None = UNSET


_outline: Final = msgspec.json.Decoder(Outline).decode
_envelope: Final = msgspec.json.Decoder(_Envelope).decode
_FAILURES: Final = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)


def line_of(item: bytes) -> bytes:
    """Give the item as one line. Raises UnsplitError when it is no event that can be read."""
    try:
        outline = _outline(item)
    except _FAILURES as error:
        raise UnsplitError(reason(error)) from None
    if not (outline.stage or outline.audit_id):
        raise UnsplitError("it has neither a stage nor an audit ID")
    return _on_one_line(item) if b"\n" in item or b"\r" in item else item


def reason(error: Exception) -> str:
    """Say why an item cannot be read, without quoting it."""
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    if isinstance(error, msgspec.ValidationError):
        return "its stage or its audit ID is no text"
    return "it is no JSON that can be read"


def _on_one_line(item: bytes) -> bytes:
    try:
        return jsontext.compact(item)
    except WireError:
        raise UnsplitError("it is no JSON that can be read") from None


class Splitter:
    """Splits one body: `feed` it in pieces, then `end` it; both give the items that are whole by then."""

    def __init__(self, *, item_limit: int = ITEM_LIMIT) -> None:
        self._item_limit = item_limit
        self._buffer = b""
        self._at = 0
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._step = self._head
        self._separator = b""
        self._first = True
        self._listed = True
        """Whether the items stand in an object, not in a bare array."""
        self._scanned = (0, 0)
        """How far the present item has been looked through: bytes, and the depth there."""
        self._tokens = 0
        self._final = False

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next piece. Raises UnsplitError."""
        if not self._join(data):
            return []
        items: list[bytes] = []
        while self._step(items):
            """Go on."""
        return items

    def _join(self, data: bytes) -> bool:
        """Put what came behind what is left; False: not yet, as it is little against what an unfinished item has.

        An item of many windows is thus copied a few times, not once a window, and memory is not left in pieces.
        """
        self._pending.append(data)
        self._pending_bytes += len(data)
        left = len(self._buffer) - self._at
        if self._pending_bytes < left // 2 and left + self._pending_bytes <= self._item_limit and not self._final:
            return False
        pending, self._pending, self._pending_bytes = self._pending, [], 0
        self._buffer = b"".join((memoryview(self._buffer)[self._at :], *pending)) if left else b"".join(pending)
        self._at = 0
        return True

    def end(self) -> list[bytes]:
        """Hear that there is no more. Raises UnsplitError for a body that is not whole."""
        self._final = True
        return self.feed(b"")

    # The steps: each answers whether another one can follow on what is there.

    def _head(self, items: list[bytes]) -> bool:
        del items
        buffer = self._buffer
        at = _end_of_blank(buffer, 0)
        if at == len(buffer):
            return self._wait(at)
        if buffer[at] == 0x5B:  # [
            self._at, self._listed, self._step = at + 1, False, self._item
            return True
        if buffer[at] != 0x7B:  # {
            raise UnsplitError("it is neither an object nor an array")
        found = _ITEMS.search(buffer, at, at + _HEAD_LIMIT)
        if found is None and len(buffer) - at < _HEAD_LIMIT and not self._final:
            return False
        if found is not None and _opens_items(buffer[at : found.end()]):
            self._at, self._step = found.end(), self._item
        else:
            self._at, self._step = at, self._single
        return True

    def _single(self, items: list[bytes]) -> bool:
        """Take the whole body as one event, or as a list of none."""
        if not self._final:
            if len(self._buffer) - self._at > self._item_limit:
                raise UnsplitError("it is too large for one event")
            return False
        item = self._buffer[self._at :].rstrip(b" \t\r\n")
        if not _is_empty_list(item):
            items.append(line_of(item))
        self._at, self._step = len(self._buffer), self._nothing
        return False

    def _item(self, items: list[bytes]) -> bool:
        buffer = self._buffer
        at = _end_of_blank(buffer, self._at)
        self._at = at
        if at == len(buffer):
            return self._wait(at)
        mark = buffer[at]
        if mark == 0x5D and self._first:  # ]
            self._at, self._step = at + 1, self._tail
            return True
        if mark != 0x7B:
            raise UnsplitError("an item is no object")
        if self._first:
            beginning = _BEGINNING.match(buffer, at)
            self._separator = b"}," + beginning[0] if beginning is not None else b""
        self._first = False
        if self._separator:
            at = self._run(items, at)
            if at == self._at and self._final and self._last(items, at):
                return True
        end = self._end_of(self._at)
        if end < 0:
            if self._final:
                raise UnsplitError("it ends in the middle of an item")
            if len(buffer) - self._at > self._item_limit:
                raise UnsplitError("an item is too large")
            return False
        self._take(items, self._at, end)
        self._at, self._step = end, self._between
        return True

    def _run(self, items: list[bytes], at: int) -> int:
        """Take items for as long as each is followed by one that begins as the first did."""
        buffer, separator, limit = self._buffer, self._separator, self._item_limit
        find, take, outline_of = buffer.find, items.append, _outline
        begun = at
        try:
            while (found := find(separator, at)) >= 0 and found - at < limit:
                item = buffer[at : found + 1]
                outline = outline_of(item)  # as `line_of` does: its frame would be a tenth of the work
                if not (outline.stage or outline.audit_id):
                    break
                take(_on_one_line(item) if b"\n" in item or b"\r" in item else item)
                at = found + 2
        except (*_FAILURES, UnsplitError):
            """What looks like an end may stand inside of an item."""
        if at != begun:
            self._scanned = (0, 0)
        self._at = at
        return at

    def _last(self, items: list[bytes], at: int) -> bool:
        """Try whether the present item goes to the end of the list."""
        end = self._buffer.rfind(b"}]") + 1
        if end <= at or end - at > self._item_limit:
            return False
        try:
            items.append(line_of(self._buffer[at:end]))
        except UnsplitError:
            return False
        self._at, self._step = end, self._between
        return True

    def _end_of(self, start: int) -> int:
        """Count brackets up to the end of the item that starts there; -1: it does not end in what is here."""
        buffer = self._buffer
        offset, depth = self._scanned
        done = start + offset
        tokens = self._tokens
        for token in TOKEN.finditer(buffer, done):
            mark = token[0]
            tokens += 1
            if mark in b"{[":
                depth += 1
            elif mark in b"}]":
                depth -= 1
                if not depth:
                    self._scanned, self._tokens = (0, 0), tokens
                    return token.end()
            elif mark == b'"':
                done = token.start()
                break
            done = token.end()
        self._scanned, self._tokens = (done - start, depth), tokens
        if tokens > _TOKEN_LIMIT:
            raise UnsplitError("it has too many brackets")
        return -1

    def _take(self, items: list[bytes], start: int, end: int) -> None:
        if end - start > self._item_limit:
            raise UnsplitError("an item is too large")
        items.append(line_of(self._buffer[start:end]))
        if self._tokens > _TOKEN_LIMIT:
            raise UnsplitError("it has too many brackets")

    def _between(self, items: list[bytes]) -> bool:
        del items
        at = _end_of_blank(self._buffer, self._at)
        self._at = at
        if at == len(self._buffer):
            return self._wait(at)
        mark = self._buffer[at]
        if mark not in b",]":
            raise UnsplitError("something stands between two items")
        self._at, self._step = at + 1, self._item if mark == 0x2C else self._tail
        return True

    def _tail(self, items: list[bytes]) -> bool:
        del items
        rest = self._buffer[self._at :]
        if len(rest) > _HEAD_LIMIT:
            raise UnsplitError("too much follows its items")
        if not self._final:
            return False
        if not (_closes(rest) if self._listed else not rest.strip(b" \t\r\n")):
            raise UnsplitError("what follows its items is not the end of a list")
        self._at, self._step = len(self._buffer), self._nothing
        return False

    def _nothing(self, items: list[bytes]) -> bool:
        del items
        return False

    def _wait(self, at: int) -> bool:
        self._at = at
        if self._final:
            raise UnsplitError("it is empty" if self._step == self._head else "it is not whole")
        return False


def _end_of_blank(buffer: bytes, at: int) -> int:
    found = _BLANK.match(buffer, at)
    return found.end() if found is not None else at


def _opens_items(head: bytes) -> bool:
    """Whether `head`, which ends in the bracket of some items, opens those of the list itself."""
    try:
        return _envelope(head + b"]}").items == []
    except _FAILURES:
        return False


def _is_empty_list(body: bytes) -> bool:
    """Whether `body` is a list of none, and has nothing else that could be meant as its items, such as ``Items``."""
    if len(body) > _EMPTY_LIMIT:
        return False
    try:
        _envelope(body)
        members: list[tuple[str, object]] = json.loads(body, object_pairs_hook=list)
    except (*_FAILURES, ValueError):
        return False
    is_list = any(key == "kind" and isinstance(value, str) and value.endswith("List") for key, value in members)
    return is_list and all(key in _LIST_KEYS and (key != "items" or value is None) for key, value in members)


def _closes(tail: bytes) -> bool:
    """Whether `tail` closes an object after an array; a second list of items in it would be passed over."""
    try:
        return _envelope(b'{"":0' + tail).items is UNSET
    except _FAILURES:
        return False
