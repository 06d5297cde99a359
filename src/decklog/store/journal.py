"""The journal: append-only lines of one writer, each on the device before it is acknowledged.

A segment is a valid audit log: the events as they came, one a line. That file alone is synced before `append` returns;
one sync serves all that came while the last one was under way (group commit). What the checksum file beside it holds is
computed again after a crash.

What came before, to this journal or to a neighbour of the same store, is not stored a second time (`decklog.store.
recent` says how far back), but acknowledged: it is on the device already.

| fault | what happens |
|---|---|
| kill, power cut | the next opening cuts off what was not acknowledged, and tells |
| disk full, write fails | nothing of the group is acknowledged, the file is cut back; the next group is tried |
| sync fails | the segment is given up, the group is written to a new one; if that fails, too, nothing is acknowledged |
| a checksum cannot be written | it is written later, or computed at the next opening |
| the file was removed | a new segment, before anything more is written |
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import compress
from typing import TYPE_CHECKING, Final, Self

from decklog.errors import DecklogError
from decklog.store import writer_files
from decklog.store.checksums import Group
from decklog.store.items import Appended, Item, identity_of
from decklog.store.neighbours import WINDOW_S, Neighbours
from decklog.store.open_segment import OpenSegment
from decklog.store.recent import KEY_BYTES, Recent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType

    from decklog.disk import Disk
    from decklog.store.writer_files import Repaired

__all__ = ["Appended", "Item", "Journal", "identity_of"]

SEGMENT_BYTES: Final = 64 << 20
"""Size at which a new segment begins; a group may go past it."""
SEGMENT_AGE_S: Final = 3600.0
GROUP_BYTES: Final = 16 << 20
"""About how much one sync serves at most; a batch is never parted."""

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Batch:
    """What one caller waits for."""

    items: Sequence[Item]
    size: int
    done: asyncio.Future[Appended]


class Journal:
    """One writer's journal in `folder`, for events of one `cluster`. For one event loop.

    `recent` is the memory for doubles, its own. `clock` gives seconds since 1970.
    """

    def __init__(
        self,
        folder: Path,
        disk: Disk,
        *,
        cluster: str,
        segment_bytes: int = SEGMENT_BYTES,
        segment_age_s: float = SEGMENT_AGE_S,
        clock: Callable[[], float] = time.time,
        recent: Recent | None = None,
    ) -> None:
        self.folder = folder
        self.cluster = cluster
        self.repaired: tuple[Repaired, ...] = ()
        """Segments that an earlier life did not finish."""
        self._disk = disk
        self._segment_bytes = segment_bytes
        self._segment_age_s = segment_age_s
        self._clock = clock
        self._recent = Recent() if recent is None else recent
        self._neighbours = Neighbours(disk, folder, self._recent)
        self._segment: OpenSegment | None = None
        self._number = 0
        self._unfinished: set[Path] = set()
        """Closed segments that are to be repaired before anybody may seal them."""
        self._lock = -1
        self._waiting: list[_Batch] = []
        self._committing: asyncio.Task[None] | None = None
        self._open = False
        self._files = ThreadPoolExecutor(1, thread_name_prefix="journal")
        """The thread that does everything with files, hence needs no lock."""

    async def __aenter__(self) -> Self:
        """Lock, repair, begin a segment; remembering what was stored goes on behind, before the first group.

        Raises DecklogError if the folder cannot be used.
        """
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._files, self._begin)
        except BaseException:
            await loop.run_in_executor(self._files, self._let_go)
            self._files.shutdown()
            raise
        self._files.submit(self._remember)
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Store what waits, finish the segment, let go of the lock."""
        self._open = False
        if self._committing is not None:
            await asyncio.wait([self._committing])
        await asyncio.get_running_loop().run_in_executor(self._files, self._let_go)
        self._files.shutdown()

    async def append(self, items: Sequence[Item]) -> Appended:
        """Store events; returns when they are on the device.

        Raises OSError if they cannot be stored: then none of them counts as stored, and the sender has to send them
        again. Raises ValueError for what cannot be a line of a journal. Cancelling does not take back what is under
        way.
        """
        _examine(items)
        if not self._open:
            raise OSError(errno.EBADF, "the journal is closed")
        loop = asyncio.get_running_loop()
        batch = _Batch(items, sum([len(item.line) for item in items]), loop.create_future())
        self._waiting.append(batch)
        if self._committing is None:
            self._committing = loop.create_task(self._commit_all())
        return await batch.done

    async def turn(self, *, now: bool = False) -> None:
        """End the segment if it is old enough, or `now`, so that a journal that is rarely used can be sealed.

        Raises OSError if no new one can be opened; then the old one goes on.
        """
        if self._open:
            await asyncio.get_running_loop().run_in_executor(self._files, self._turn, now)

    def closed(self) -> list[Path]:
        """List finished segments that hold events, oldest first: these may be sealed, and removed then. Raises OSError.

        `decklog.store.writer_files.remove` removes one.
        """
        numbers = writer_files.numbers(self._disk, self.folder)[:-1]  # the newest keeps the number, open or not
        found = [writer_files.segment_path(self.folder, number) for number in numbers]
        return [path for path in found if path not in self._unfinished and self._disk.stat(path).st_size]

    # The start and the end, in the thread of the files

    def _begin(self) -> None:
        try:
            writer_files.make_folder(self._disk, self.folder)
            self._lock = writer_files.take_lock(self._disk, self.folder)
            writer_files.claim(self._disk, self.folder, self.cluster)
            left = writer_files.numbers(self._disk, self.folder)
            self._number = left[-1] if left else 0
            self.repaired = tuple(self._repair_all(left))
            self._segment = self._next_segment()
            self._sweep(left)
        except OSError as error:
            raise DecklogError(
                f"cannot use the journal {self.folder}: {error.strerror}: give a directory where decklog may write"
            ) from error

    def _repair_all(self, left: Sequence[int]) -> list[Repaired]:
        paths = [writer_files.segment_path(self.folder, number) for number in left]
        return [self._repair(path) for path in paths if not writer_files.is_finished(self._disk, path)]

    def _repair(self, path: Path) -> Repaired:
        return writer_files.repair(self._disk, path, self.cluster)

    def _sweep(self, left: Sequence[int]) -> None:
        """Remove segments that never held an event; now that a newer one keeps the number."""
        for number in left:
            path = writer_files.segment_path(self.folder, number)
            with contextlib.suppress(OSError):
                if not self._disk.stat(path).st_size:
                    writer_files.remove(self._disk, path)
        self._forget()

    def _forget(self) -> None:
        writer_files.remove_stale_sums(self._disk, self.folder, self._clock() - WINDOW_S)

    def _remember(self) -> None:
        self._neighbours.catch_up(self._clock())

    def _let_go(self) -> None:
        self._end_segment()
        if self._lock >= 0:
            with contextlib.suppress(OSError):
                self._disk.close(self._lock)
            self._lock = -1

    # Groups

    async def _commit_all(self) -> None:
        loop = asyncio.get_running_loop()
        while group := self._next_group():
            try:
                results = await loop.run_in_executor(self._files, self._commit, [batch.items for batch in group])
            except Exception as error:  # noqa: BLE001  # because: whatever it is, those who wait must hear it
                for batch in group:
                    if not batch.done.done():
                        batch.done.set_exception(_copy(error))
            else:
                for batch, result in zip(group, results, strict=True):
                    if not batch.done.done():
                        batch.done.set_result(result)
        self._committing = None

    def _next_group(self) -> list[_Batch]:
        """Take what waits, up to GROUP_BYTES; nobody waits any more for what was cancelled."""
        waiting = [batch for batch in self._waiting if not batch.done.done()]
        size = count = 0
        for batch in waiting:
            if size >= GROUP_BYTES:
                break
            size += batch.size
            count += 1
        self._waiting = waiting[count:]
        return waiting[:count]

    def _commit(self, batches: Sequence[Sequence[Item]]) -> list[Appended]:
        """Store a group, in the thread of the files."""
        self._neighbours.catch_up(self._clock())
        results: list[Appended] = []
        fresh: list[list[bytes]] = []
        keys: list[bytes] = []
        try:
            for items in batches:
                lines = self._fresh(items, keys)
                results.append(Appended(len(lines), len(items) - len(lines)))
                if lines:
                    fresh.append(lines)
            if fresh:
                self._store(fresh, keys)
        except OSError:
            self._recent.forget(keys)
            raise
        except BaseException:  # wherever it was: better a double than to take for stored what is not
            for items in batches:
                self._recent.forget(item.identity[:KEY_BYTES] for item in items)
            raise
        return results

    def _fresh(self, items: Sequence[Item], keys: list[bytes]) -> list[bytes]:
        """Give the lines of those that are not stored, remember them, and add them to the group's `keys`."""
        found = [item.identity[:KEY_BYTES] for item in items]
        new = self._recent.remember(found)
        if all(new):
            keys += found
            return [item.line for item in items]
        keys += compress(found, new)
        return [item.line for item in compress(items, new)]

    def _store(self, batches: Sequence[Sequence[bytes]], keys: Sequence[bytes]) -> None:
        """Write, sync, and note the checksum; where a sync fails, once more in a new segment. Raises OSError."""
        segment = self._ready_segment()
        length, crc = segment.write(batches)
        try:
            segment.sync()
        except OSError as error:
            logger.warning("journal: %s is given up: %s", segment.path, error.strerror)
            segment = self._ready_segment()
            segment.write(batches)
            segment.sync()
        segment.keep(Group(segment.size, length, len(keys), crc, b"".join(keys)))

    # Segments

    def _ready_segment(self) -> OpenSegment:
        """Give the segment to write to; a new one where the old one is full, old, failed or gone. Raises OSError."""
        segment = self._segment
        if segment is None or not segment.whole or not self._is_there(segment):
            self._end_segment()
            self._segment = segment = self._next_segment()
        elif self._is_due(segment):
            with contextlib.suppress(OSError):  # then the old one goes on
                segment = self._replace_segment()
        return segment

    def _turn(self, now: bool) -> None:
        for path in sorted(self._unfinished):
            self._finish_late(path)
        self._forget()
        segment = self._segment
        if segment is None or not segment.whole:
            self._ready_segment()
        elif segment.size and (now or self._is_due(segment)):
            self._replace_segment()

    def _is_due(self, segment: OpenSegment) -> bool:
        age_s = self._clock() - segment.began
        return segment.size > 0 and (segment.size >= self._segment_bytes or age_s >= self._segment_age_s)

    def _is_there(self, segment: OpenSegment) -> bool:
        try:
            return segment.has_name()
        except OSError:
            return False

    def _replace_segment(self) -> OpenSegment:
        fresh = self._next_segment()
        self._end_segment()
        self._segment = fresh
        return fresh

    def _next_segment(self) -> OpenSegment:
        self._number += 1  # also where it fails: a name may be left
        return OpenSegment(self._disk, writer_files.segment_path(self.folder, self._number), self._clock())

    def _end_segment(self) -> None:
        segment, self._segment = self._segment, None
        if segment is not None and not segment.finish():
            self._unfinished.add(segment.path)

    def _finish_late(self, path: Path) -> None:
        """Repair a segment that failed; what cannot be repaired now, the next opening repairs."""
        try:
            self._repair(path)
        except FileNotFoundError:
            pass
        except OSError:
            return
        self._unfinished.discard(path)


def _examine(items: Sequence[Item]) -> None:
    for item in items:
        line = item.line
        if b"\n" in line or b"\0" in line or not line or len(item.identity) < KEY_BYTES:
            raise ValueError("an item of a journal is one line without NUL, and has an identity")


def _copy(error: Exception) -> Exception:
    """Give each waiter an exception of its own: raising one in several tasks mixes their tracebacks."""
    if isinstance(error, OSError):
        return OSError(error.errno, error.strerror).with_traceback(error.__traceback__)
    return error
