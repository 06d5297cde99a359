"""A journal against a model of it: two writers of one store, whatever order they are used in."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from decklog.store import writer_files
from store.crash_disk import LaxDisk
from store.journal_peers import items, journal, numbers_in

if TYPE_CHECKING:
    from decklog.store.journal import Appended, Journal

WRITERS = ("one", "two")
NUMBERS = st.lists(st.integers(0, 60), min_size=1, max_size=12)


class Store(RuleBasedStateMachine):
    """The model: which events are stored, and which of them were sealed and removed."""

    @initialize()
    def open(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.place = Path(tempfile.mkdtemp())
        self.disk = LaxDisk()
        self.stored: set[int] = set()
        self.sealed: list[int] = []
        self.journals: dict[str, Journal] = {}
        for writer in WRITERS:
            self.start(writer)

    def start(self, writer: str) -> None:
        opened = journal(self.place, self.disk, writer, segment_bytes=3000)
        self.journals[writer] = self.loop.run_until_complete(opened.__aenter__())

    def end(self, writer: str) -> None:
        self.loop.run_until_complete(self.journals.pop(writer).__aexit__(None, None, None))

    @rule(writer=st.sampled_from(WRITERS), batches=st.lists(NUMBERS, min_size=1, max_size=4))
    def append(self, writer: str, batches: list[list[int]]) -> None:
        """Some senders at once: each event is stored once, by whichever writer, and each sender is told."""

        async def all_at_once() -> list[Appended]:
            sending = [self.journals[writer].append(items(batch)) for batch in batches]
            return await asyncio.gather(*sending)

        told = self.loop.run_until_complete(all_at_once())
        sent = {number for batch in batches for number in batch}
        assert sum(each.stored for each in told) == len(sent - self.stored)
        assert [each.stored + each.doubled for each in told] == [len(batch) for batch in batches]
        self.stored |= sent

    @rule(writer=st.sampled_from(WRITERS))
    def start_again(self, writer: str) -> None:
        """A writer that ended well finds nothing to repair, and knows what it stored."""
        self.end(writer)
        self.start(writer)
        assert self.journals[writer].repaired == ()

    @rule(writer=st.sampled_from(WRITERS))
    def turn(self, writer: str) -> None:
        self.loop.run_until_complete(self.journals[writer].turn(now=True))

    @rule(writer=st.sampled_from(WRITERS))
    def seal(self, writer: str) -> None:
        """Finished segments may go; their events stay known for an hour."""
        for path in self.journals[writer].closed()[:2]:
            lines = path.read_bytes().splitlines()
            self.sealed += [int(line.split(b'"')[7]) for line in lines]
            writer_files.remove(self.disk, path)

    @invariant()
    def every_event_is_there_once(self) -> None:
        there = Counter(numbers_in(self.place))
        there.update(self.sealed)
        assert there.keys() == self.stored
        assert set(there.values()) <= {1}

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            for writer in [*self.journals]:
                self.end(writer)
            self.loop.close()
            shutil.rmtree(self.place)


TestStore = Store.TestCase
TestStore.settings = settings(max_examples=12, stateful_step_count=12, deadline=None, phases=(Phase.generate,))
