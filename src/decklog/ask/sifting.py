r"""Sifting: a part of a log → the few lines that a question needs, without decoding the rest.

A part is read in blocks of whole lines. What is taken for granted of a line is only that it begins as kube-apiserver's
lines do: such a line is one event, written as JSON. Lines that begin otherwise, and lines that hide something
(`prefilter`), are always decoded: they are suspects. Decoding is the reader's; here it is decided what it gets to see.

Two siftings answer a question. The first finds the events that match, by needles of the question; the second all the
events of the same requests, by their audit IDs: what stages a request went through no needle of a question can tell.

The second is left out where the first has found them, too: the events of one request have the same verb and URI, so if
these hold what the first looked for, it has seen all of them; it keeps what it came near to, as long as that is little.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from decklog.ask.bytesearch import TooMuchError
from decklog.ask.looking import Looking, looking_for, looking_for_requests
from decklog.ask.prefilter import hides, is_plain, needle
from decklog.audit.query import Pattern
from decklog.sources.reader import records_of
from decklog.sources.record import Coverage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from decklog.ask.bytesearch import Block
    from decklog.ask.parts import Part
    from decklog.ask.prefilter import Sieve
    from decklog.audit.event import Event
    from decklog.audit.query import Query
    from decklog.sources.record import Record

HEAD: Final = b'{"kind":"Event","apiVersion":"audit.k8s.io/v1'
"""How the lines begin of which one sees at once what they are; v1beta1 and v1alpha1 begin so, too."""
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
KEPT_BYTES: Final = 32 << 20
"""Lines of one part that are kept for the answer, at most."""
NEAR_BYTES: Final = 32 << 10
NEAR_KEYS: Final = 100
"""The same of a part, to save the second sifting."""
KEPT_REQUESTS: Final = 50_000
"""Requests of one part that are remembered by their audit ID, at most."""

SAMPLE_BYTES: Final = 64 << 10
"""Lines of so many bytes are enough to tell which needles are rare."""

_FEW_IDS: Final = 8
"""So many IDs are looked for one by one, faster than every line's ID is looked up among them."""
_ID_KEY: Final = b'auditID"'
_ANY_HIDING: Final = Looking(hiding=None)

NumberedLine = tuple[int, bytes]
Span = tuple[int, int]


@dataclass(slots=True)
class Sifted:
    """What one sifting found in one part. Line numbers count from the part's beginning, from 1."""

    lines: int = 0
    """Line feeds, and the rest after the last of them."""
    blocks: array[int] = field(default_factory=lambda: array("Q"))
    """Lines of each block, for the second sifting."""
    decoded: int = 0
    kept: list[NumberedLine] = field(default_factory=list)
    audit_ids: set[str] = field(default_factory=set)
    """Of the events that match."""
    coverage: Coverage = field(default_factory=Coverage)
    """Blank lines left out; times and bad lines as far as lines were decoded."""
    kept_bytes: int = 0
    matched_bytes: int = 0
    """Of the events that match and whose lines are not kept: the second sifting will keep them."""
    room: Callable[[int], None] | None = None
    """Told of the bytes that are taken; raises TooMuchError. None when sifted: then another process gets this."""
    near: list[NumberedLine] = field(default_factory=list)
    """Lines with what was looked for, whether they match or not."""
    near_bytes: int = 0
    keys: set[tuple[str, str]] = field(default_factory=set)
    """Verb and URI of the events that match."""
    pieces: set[tuple[bytes, ...]] = field(default_factory=set)
    """What was looked for, in one block or another."""

    @property
    def has_all_near(self) -> bool:
        """Whether they were few enough to keep them all."""
        return self.near_bytes <= NEAR_BYTES and len(self.keys) <= NEAR_KEYS

    def keep_near(self, number: int, line: bytes) -> None:
        """Keep a line, if it is one of few."""
        self.near_bytes += len(line)
        if self.near_bytes > NEAR_BYTES:
            self.near.clear()
        else:
            self.near.append((number, line))

    def keep(self, number: int, line: bytes) -> None:
        """Keep a line; TooMuchError past the bound."""
        self.kept_bytes += len(line)
        if self.kept_bytes > KEPT_BYTES:
            raise TooMuchError("too many lines to keep")
        self.kept.append((number, line))
        self._taken()

    def match(self, event: Event, size: int) -> None:
        """Remember the request of an event that matches, of whose line `size` bytes are yet to be kept."""
        self.audit_ids.add(event.audit_id)
        if len(self.keys) <= NEAR_KEYS:
            self.keys.add((event.verb, event.request_uri))
        if len(self.audit_ids) > KEPT_REQUESTS:
            raise TooMuchError("too many requests match")
        self.matched_bytes += size
        self._taken()

    def _taken(self) -> None:
        if self.room is not None:
            self.room(self.kept_bytes + self.matched_bytes)


def decode(
    lines: Iterable[NumberedLine], name: str, coverage: Coverage, *, at_start: bool, declared: bool
) -> Iterator[Record]:
    """Read lines as the reader does, and count them so; `at_start`: line 1 is a file's first."""
    for number, line in lines:
        text = line.removeprefix(_BYTE_ORDER_MARK) if at_start and number == 1 else line
        for record in records_of(text, name, number, coverage, declared=declared):
            coverage.count(record)
            yield record


def decide(
    found: Sifted,
    candidates: list[NumberedLine],
    keep: set[int],
    queries: tuple[Query, ...],
    part: Part,
    *,
    declared: bool,
) -> None:
    """Decode lines of a part and remember which events match; keep the lines numbered in `keep` that have events."""
    lines = dict(candidates)
    left = set(keep)
    for record in decode(candidates, part.log.name, found.coverage, at_start=part.start == 0, declared=declared):
        number, event = record.number, record.event
        if event is None:
            continue
        if any(query.matches(event, record.line) for query in queries):
            found.match(event, 0 if number in keep else len(record.line))
        if number in left:
            left.discard(number)
            found.keep(number, lines[number])


class ByQuestion:
    """The first sifting: by the needles of queries."""

    def __init__(
        self,
        sieve: Sieve,
        queries: tuple[Query, ...],
        part: Part,
        *,
        declared: bool,
        room: Callable[[int], None] | None = None,
    ) -> None:
        """`room` is told how many bytes of lines the part takes so far, and may raise TooMuchError."""
        self._part = part
        self._room = room
        self._declared = declared
        self._sieve = sieve
        self._queries = queries
        self._looking = Looking()

    def sift(self) -> Sifted:
        """Find the events that match; keep suspects (with a sieve of whole requests: all that may match)."""
        found = Sifted(room=self._room)
        passed = 0
        sampled = 0
        first = last = b""
        for block in self._part.blocks():
            text, end = block.text, block.end
            if sampled < SAMPLE_BYTES and end > sampled:  # a block may be a single line
                sampled = end
                self._looking = looking_for(self._sieve.anchors(block), block)
            spans: dict[int, int] = {}
            before = found.decoded
            lines, blank = _survey(block, spans, self._part.log.head)
            spans.update(self._looking.hidden(block))
            suspects = set(spans)
            for piece in self._looking.pieces:
                spans.update(block.lines_with(piece))
            found.pieces.add(self._looking.pieces)
            if spans:
                self._take(found, _numbered(block, found.lines, spans), suspects)
            found.blocks.append(lines)
            found.lines += lines
            passed += lines - blank - (found.decoded - before)
            first = first or block.line(0, text.find(b"\n", 0, end))
            last = block.line(text.rfind(b"\n", 0, end - 1) + 1, end)
        found.room = None
        found.coverage.lines += passed
        found.coverage.undecoded = passed
        found.coverage.problems += self._part.damage
        _stretch(found.coverage, self._part.log.head, first, last)
        return found

    def _take(self, found: Sifted, numbered: Iterable[tuple[int, int, bytes]], suspects: set[int]) -> None:
        candidates: list[NumberedLine] = []
        odd: set[int] = set()
        for number, start, line in numbered:
            if start in suspects:
                odd.add(number)
            else:
                found.keep_near(number, line)
                if not self._sieve.admits(line) and hides(line) is None:
                    continue
            candidates.append((number, line))
        if not candidates:
            return
        found.decoded += len(candidates)
        keep = {number for number, _ in candidates} if self._sieve.whole_requests else odd
        decide(found, candidates, keep, self._queries, self._part, declared=self._declared)


class ByAuditId:
    """The second sifting: by audit IDs."""

    def __init__(
        self,
        audit_ids: frozenset[str],
        block_lines: Sequence[int],
        uris: frozenset[str] = frozenset(),
        room: Callable[[int], None] | None = None,
    ) -> None:
        """`uris`: of the requests that are meant, if they are known; then what has another URI may be missing."""
        self._room = room
        few = len(audit_ids) <= _FEW_IDS
        needles = [needle(Pattern(audit_id)) if few or is_plain(audit_id) else None for audit_id in sorted(audit_ids)]
        self._needles = [one for one in needles if one is not None]
        if len(self._needles) < len(needles):
            raise TooMuchError("an audit ID that cannot be looked for")
        self._few = few
        self._quoted = frozenset(self._needles)
        self._block_lines = block_lines
        self._uris = uris if len(uris) < len(audit_ids) else frozenset[str]()

    def sift(self, blocks: Iterable[Block]) -> Sifted:
        """Keep the lines of the requests; a few others may be among them."""
        found = Sifted(room=self._room)
        looking = Looking()
        for block, lines in zip(blocks, self._block_lines, strict=False):
            if self._few and not looking.pieces:
                looking = looking_for_requests(self._needles, self._uris, block)
            spans = self._each_id(block, looking) if self._few else self._each_line(block)
            if spans:
                for number, _, line in _numbered(block, found.lines, spans):
                    found.keep(number, line)
            found.lines += lines
        found.room = None
        return found

    def _each_id(self, block: Block, looking: Looking) -> dict[int, int]:
        text = block.text
        spans = dict(looking.hidden(block))
        for piece in looking.pieces:
            spans.update(
                (begin, stop)
                for begin, stop in block.lines_with(piece)
                if any(text.find(one, begin, stop) >= 0 for one in self._needles) or hides(text, begin, stop)
            )
        return spans

    def _each_line(self, block: Block) -> dict[int, int]:
        """Look at whatever stands in the place of an ID: of a key that comes twice any value may count."""
        text, end, quoted = block.text, block.end, self._quoted
        find, line = text.find, block.line
        spans = dict(_ANY_HIDING.hidden(block))
        search = block.search(_ID_KEY)
        key = search(0)
        while key >= 0:
            value = key + len(_ID_KEY) + 1
            if line(value, find(b'"', value + 1, end) + 1) in quoted or text[value - 1 : value + 1] != b':"':
                stop = find(b"\n", key, end)
                spans[text.rfind(b"\n", 0, key) + 1] = stop if stop >= 0 else end
            key = search(value)
        return spans


def _stretch(coverage: Coverage, head: bytes, *lines: bytes) -> None:
    """Look at the times of a part's first and last line: nearly all others lie between them."""
    for line in lines:
        if line.startswith(head):
            for record in records_of(line, "", 1, Coverage()):
                if record.event is not None and record.event.stage_timestamp:
                    coverage.stretch(record.event.stage_timestamp)


def _survey(block: Block, odd: dict[int, int], head: bytes) -> Span:
    """Count lines and blank lines; put those that begin unlike an event into `odd`."""
    text, start, end = block.text, 0, block.end
    find, is_here = text.find, text.startswith
    next_head = b"\n" + head
    lines = blank = 0
    while start < end:
        stop = find(b"\n", start, end)
        if not is_here(head, start):
            line_end = end if stop < 0 else stop
            if text[start:line_end].strip():
                odd[start] = line_end
            else:
                blank += 1
        while is_here(next_head, stop):  # nearly all lines are gone through here
            lines += 1
            stop = find(b"\n", stop + 1, end)
        lines += 1
        if stop < 0:
            break
        start = stop + 1
    return lines, blank


def _numbered(block: Block, before: int, spans: dict[int, int]) -> Iterator[tuple[int, int, bytes]]:
    """Give the lines at `spans` in order: number, start, contents; `before` lines stand before the block."""
    number = before + 1
    start = 0
    for begin in sorted(spans):
        number += block.text.count(b"\n", start, begin)
        start = begin
        yield number, begin, block.line(begin, spans[begin])
