"""Behind: takes apart what is in quarantine, after the sender has its answer, and after a restart.

One large and one small body at a time, in threads: their events go to the journal, what is no event that can be read
stays. A kill at any point repeats a body from its beginning; what was stored of it already is stored once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from decklog.errors import DecklogError
from decklog.receiving.scanning import extents
from decklog.receiving.splitting import ITEM_LIMIT, UnsplitError, line_of
from decklog.store.quarantine import Held

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from decklog.receiving.scanning import Extent
    from decklog.store.quarantine import Quarantine, Reading, Writing

BATCH_BYTES: Final = 1 << 20
BATCH_ITEMS: Final = 4096
LARGE_BYTES: Final = 4 << 20
HELD_LIMIT: Final = 1000
"""Items of one body that are written down one by one; with more of them the body stays as a whole."""
AGAIN_S: Final = 5.0
"""After how long a body is tried again when the disk has failed."""
_REST: Final = 0.5
"""How long the thread rests after each window, for each second that it took: senders come first."""

logger = logging.getLogger(__name__)


class TakenApart(Struct):
    """What came of one body."""

    events: int = 0
    held: int = 0


class Behind:
    """Works through a quarantine for as long as the block runs. `keep` stores lines, `told` hears what came of it."""

    def __init__(
        self,
        quarantine: Quarantine,
        keep: Callable[[Sequence[bytes]], Awaitable[object]],
        told: Callable[[TakenApart], None],
    ) -> None:
        self._quarantine = quarantine
        self._keep = keep
        self._told = told
        self._news = (asyncio.Event(), asyncio.Event())
        self._stopping = False

    def more(self) -> None:
        """Hear that there is another body."""
        for news in self._news:
            news.set()

    def stop(self) -> None:
        """End after the window that is being looked at; what is left is done after the next start."""
        self._stopping = True
        self.more()

    async def run(self) -> None:
        """Work until `stop`, at a large and at a small body at the same time: an hour's work holds up no batch."""
        await asyncio.gather(self._lane(self._news[0], large=False), self._lane(self._news[1], large=True))

    async def once(self) -> None:
        """Take apart what is there now. Raises OSError and DecklogError, with the rest left as it is."""
        await self._take_all_apart(large=False)
        await self._take_all_apart(large=True)

    async def _lane(self, news: asyncio.Event, *, large: bool) -> None:
        while not self._stopping:
            news.clear()
            limit_s = None
            try:
                await self._take_all_apart(large=large)
            except (OSError, DecklogError) as error:
                logger.warning("a body waits in quarantine, it is tried again in %g s: %s", AGAIN_S, error)
                limit_s = AGAIN_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limit_s):
                    await news.wait()

    async def _take_all_apart(self, *, large: bool) -> None:
        for path, size in await asyncio.to_thread(self._quarantine.waiting):
            if self._stopping:
                return
            if (size > LARGE_BYTES) == large:
                await self._take_apart(path)

    async def _take_apart(self, path: Path) -> None:
        loop = asyncio.get_running_loop()

        def keep(lines: Sequence[bytes]) -> None:
            asyncio.run_coroutine_threadsafe(_awaited(self._keep(lines)), loop).result()

        work = _Work(self._quarantine, path, keep, lambda: self._stopping)
        try:
            await asyncio.to_thread(work.run)
        except _StoppedError:
            return
        self._told(work.result)


async def _awaited(waiting: Awaitable[object]) -> None:
    await waiting


class _StoppedError(Exception):
    """There is no time for the rest."""


class _Work:
    """Takes one body apart; runs in a thread."""

    def __init__(
        self,
        quarantine: Quarantine,
        path: Path,
        keep: Callable[[Sequence[bytes]], None],
        stopping: Callable[[], bool],
    ) -> None:
        self._quarantine = quarantine
        self._path = path
        self._keep = keep
        self._stopping = stopping
        self._lines: list[bytes] = []
        self._bytes = 0
        self._begun_s = time.monotonic()
        self.result = TakenApart()

    def run(self) -> None:
        with self._quarantine.read(self._path) as reading, self._quarantine.hold(self._path, reading.origin) as holding:
            for number, extent in enumerate(extents(reading.at, reading.size, self._between_windows)):
                if (problem := self._event(reading, extent)) is not None:
                    self._hold(holding, reading, Held(number, extent.start, extent.end - extent.start, problem))
            self._flush()
        # The items that stay are on the disk by now, and so are those that went.
        if self.result.held > HELD_LIMIT:
            self._quarantine.keep_whole(self._path)
            self._quarantine.done(self._path.with_suffix(".held"))
            return
        self._quarantine.done(self._path)
        if not self.result.held:
            self._quarantine.done(self._path.with_suffix(".held"))

    def _event(self, reading: Reading, extent: Extent) -> str | None:
        """Take an event; otherwise say why it is none."""
        if extent.end - extent.start > ITEM_LIMIT:
            return f"it is larger than {ITEM_LIMIT} bytes"
        if not extent.is_object:
            return "it stands beside the items, or is not whole"
        try:
            line = line_of(reading.at(extent.end - extent.start, extent.start))
        except UnsplitError as error:
            return str(error)
        self._lines.append(line)
        self._bytes += len(line)
        if len(self._lines) >= BATCH_ITEMS or self._bytes >= BATCH_BYTES:
            self._flush()
        return None

    def _flush(self) -> None:
        lines, self._lines, self._bytes = self._lines, [], 0
        if lines:
            self._keep(lines)
            self.result.events += len(lines)

    def _hold(self, holding: Writing, reading: Reading, held: Held) -> None:
        self.result.held += 1
        if self.result.held <= HELD_LIMIT:
            holding.item(held, reading.pieces(held.start, held.start + held.size))

    def _between_windows(self) -> None:
        if self._stopping():
            raise _StoppedError
        time.sleep(min(1.0, _REST * (time.monotonic() - self._begun_s)))
        self._begun_s = time.monotonic()
