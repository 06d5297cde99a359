"""Decoding: the first sifting of a part where a question has no needle (`--humans`, a network, a class of codes).

Each line is decoded, and hardly one is kept: what is remembered of an event that matches is its audit ID, by which the
second sifting (`sifting.ByAuditId`) finds the lines. Blocks of usual lines are decoded at once, to whole events: so a
line is an event here if and only if it is one to the reader. Any other block is read line by line, as the reader does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from decklog.ask.narrowed import Narrowed
from decklog.ask.sifting import Sifted, decide
from decklog.ask.tally import uncollected
from decklog.ask.usual import Usual

if TYPE_CHECKING:
    from collections.abc import Callable

    from decklog.ask.bytesearch import Block
    from decklog.ask.parts import Part
    from decklog.audit.query import Query


class ByDecoding:
    """The first sifting, without needles."""

    def __init__(
        self, queries: tuple[Query, ...], part: Part, *, declared: bool, room: Callable[[int], None] | None = None
    ) -> None:
        """None of `queries` asks for text: lines are not at hand. `room` is that of `sifting.ByQuestion`."""
        self._queries = queries
        self._passes = [(Narrowed.of(query) or query).matches for query in queries]
        self._part = part
        self._declared = declared
        self._room = room
        self._usual = Usual(whole=True)

    def sift(self) -> Sifted:
        """Find the events that match; keep the lines that audit IDs might not find."""
        found = Sifted(room=self._room)
        found.pieces.add(())  # nothing was looked for, so nothing has been seen beside what matches
        with uncollected():
            for block in self._part.blocks():
                found.blocks.append(self._sift(found, block))
                found.lines += found.blocks[-1]
        found.room = None
        found.coverage.problems += self._part.damage
        return found

    def _sift(self, found: Sifted, block: Block) -> int:
        """Sift a block; give the number of its lines."""
        feeds, events = self._usual.decode(block.text, block.end)
        if events is None:
            return self._read(found, block)
        self._take(found, events, block.end)
        return feeds

    def _take(self, found: Sifted, events: list[Any], size: int) -> None:
        times = [event.stage_timestamp for event in events]
        found.coverage.lines += len(events)
        found.coverage.stretch(min(times))
        found.coverage.stretch(max(times))
        for event in events:
            for passes in self._passes:
                if passes(event):
                    found.match(event, size // len(events))
                    break

    def _read(self, found: Sifted, block: Block) -> int:
        """Read a block as the reader does; give the number of its lines."""
        lines = block.line(0, block.end).removesuffix(b"\n").split(b"\n")
        numbered = [(number, line) for number, line in enumerate(lines, found.lines + 1) if line.strip()]
        odd = {number for number, line in numbered if not line.startswith(self._part.log.head)}
        decide(found, numbered, odd, self._queries, self._part, declared=self._declared)
        return len(lines)
