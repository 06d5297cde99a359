"""Live: what comes into the log, told to those who look, as server-sent events. One reader of the log serves all.

``event: request`` has the cells of one request that has ended and passes the page's filter; ``event: over`` says why
nothing more comes. A reader that is slower than the log loses its oldest rows, and is told how many.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Final

import msgspec
from starlette.responses import StreamingResponse

from decklog.ask.requests import Request as Recorded
from decklog.ask.requests import Seen, is_last
from decklog.ask.rows import row
from decklog.errors import DecklogError
from decklog.web.cells import cells, spelled
from decklog.web.rendering import as_json

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from starlette.responses import Response

    from decklog.sources.record import Record
    from decklog.web.data import Data, Wanted

MOST_READERS: Final = 32
MOST_WAITING: Final = 500
"""Requests that wait for one reader."""
HEARTBEAT_S: Final = 10.0
LONGEST_S: Final = 4 * 3600.0

logger = logging.getLogger(__name__)


class Live:
    """Follows the log while anybody looks; for one event loop."""

    def __init__(self, data: Data) -> None:
        self._data = data
        self._readers: set[_Reader] = set()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._following = asyncio.Event()
        """Set once it is known from where on the log is followed."""

    def stream(self, wanted: Wanted) -> Response:
        """Answer one reader."""
        if len(self._readers) >= MOST_READERS:
            body = _said("over", "Too many are following: close another page")
            return StreamingResponse(iter([body]), media_type="text/event-stream")
        reader = _Reader(wanted)
        self._readers.add(reader)
        self._begin()
        return StreamingResponse(
            self._told(reader), media_type="text/event-stream", headers={"x-accel-buffering": "no"}
        )

    def stop(self) -> None:
        """End all streams."""
        self._stop.set()
        for reader in list(self._readers):
            reader.end("The pages are no longer served")

    def _begin(self) -> None:
        if self._thread is not None:
            return
        self._stop = threading.Event()
        self._following = asyncio.Event()
        beginning = (asyncio.get_running_loop(), self._stop, self._following)
        self._thread = threading.Thread(target=self._follow, args=beginning, name="live", daemon=True)
        self._thread.start()

    def _follow(self, loop: asyncio.AbstractEventLoop, stop: threading.Event, following: asyncio.Event) -> None:
        problem = ""

        def wait(seconds: float) -> bool:
            loop.call_soon_threadsafe(following.set)  # who waits has looked where the log ends
            return stop.wait(seconds)

        try:
            for batch in self._data.follow(wait, stop.is_set):
                ended = [record for record in batch if record.event is not None and is_last(record.event)]
                if ended:
                    loop.call_soon_threadsafe(self._hand_out, ended)
        except (DecklogError, OSError) as error:
            problem = str(error)
        except RuntimeError:
            return  # the loop has ended before us
        if problem:
            loop.call_soon_threadsafe(self._fail, stop, problem)

    def _hand_out(self, records: Sequence[Record]) -> None:
        for reader in self._readers:
            for record in records:
                reader.take(record)

    def _fail(self, stop: threading.Event, problem: str) -> None:
        if stop is self._stop:
            self._thread = None
            self._following.set()
        for reader in list(self._readers):
            reader.end(problem)

    async def _told(self, reader: _Reader) -> AsyncIterator[bytes]:
        end = asyncio.get_running_loop().time() + LONGEST_S
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._following.wait(), HEARTBEAT_S)
            yield b"retry: 2000\n: following\n\n"
            while asyncio.get_running_loop().time() < end:
                for record in await reader.waited(HEARTBEAT_S):
                    yield _row(record)
                if reader.lost:
                    yield _said("lost", reader.lost)
                    reader.lost = 0
                if reader.over:
                    yield _said("over", reader.over)
                    return
                yield b": still here\n\n"
        finally:
            self._readers.discard(reader)
            if not self._readers and self._thread is not None:
                self._stop.set()
                self._thread = None


class _Reader:
    """One who looks."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._waiting: deque[Record] = deque()
        self._came = asyncio.Event()
        self.lost = 0
        self.over = ""

    def take(self, record: Record) -> None:
        """Take what has ended, if it is asked for."""
        if record.event is None or not self._wanted.query.matches(record.event, record.line):
            return
        if self._wanted.cluster not in {None, record.provenance.cluster if record.provenance else ""}:
            return
        if len(self._waiting) >= MOST_WAITING:
            self._waiting.popleft()
            self.lost += 1
        self._waiting.append(record)
        self._came.set()

    def end(self, why: str) -> None:
        """Say that nothing more comes."""
        self.over = why
        self._came.set()

    async def waited(self, seconds: float) -> list[Record]:
        """Give what came; nothing if nothing did for so long."""
        try:
            await asyncio.wait_for(self._came.wait(), seconds)
        except TimeoutError:
            return []
        self._came.clear()
        found = list(self._waiting)
        self._waiting.clear()
        return found


def _row(record: Record) -> bytes:
    if record.event is None:
        return b""
    shown = row(Recorded((Seen(record.event, record.file, record.number),)))
    return _said("request", [spelled(cell) for cell in cells(shown)])


def _said(event: str, value: object) -> bytes:
    data = as_json(msgspec.to_builtins(value))  # JSON has no line feed of its own
    return b"event: %b\ndata: %b\n\n" % (event.encode(), data)
