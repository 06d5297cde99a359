"""The journal: append-only lines of one writer, each on the device before it is acknowledged.

A segment is a valid audit log: the events as they came, one a line. That file alone is synced before `append` returns;
one sync serves all that came while the last one was under way (group commit), and the next group is looked through for
doubles meanwhile. What the checksum file beside it holds is computed again after a crash.

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
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, compress, repeat
from operator import contains
from typing import TYPE_CHECKING, Final, Self

from decklog.errors import DecklogError
from decklog.store import writer_files
from decklog.store.checksums import Group
from decklog.store.items import Appended, Item, identity_of
from decklog.store.neighbours import WINDOW_S, Neighbours
from decklog.store.open_segment import OpenSegment
from decklog.store.recent import KEY_BYTES, Recent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
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
_NEWLINES: Final = repeat(ord("\n"))
_NULS: Final = repeat(0)

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Batch:
    """What one caller waits for."""

    lines: list[bytes]
    keys: list[bytes]
    size: int
    done: asyncio.Future[Appended]


@dataclass(slots=True)
class _Group:
    """What one sync serves."""

    batches: list[_Batch]
    results: list[Appended] = field(default_factory=list)
    fresh: list[list[bytes]] = field(default_factory=list)
    """Lines that are not stored yet, of each batch that has some."""
    keys: list[list[bytes]] = field(default_factory=list)
    """Of these."""

    def tell(self) -> None:
        """Let those who wait know what became of their batches."""
        for batch, result in zip(self.batches, self.results, strict=True):
            if not batch.done.done():
                batch.done.set_result(result)

    def refuse(self, error: Exception) -> None:
        """Let those who wait know that nothing was stored."""
        for batch in self.batches:
            if not batch.done.done():
                batch.done.set_exception(_copy(error))


class Journal:
    """One writer's journal in `folder`, for events of one `cluster`. For one event loop.

    `recent` is the memory for doubles, its own. `clock` gives seconds since 1970. `lock_wait_s` is how long another
    process may take to let go of the folder.
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
        lock_wait_s: float = writer_files.LOCK_WAIT_S,
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
        self._lock_wait_s = lock_wait_s
        self._waiting: list[_Batch] = []
        self._came: asyncio.Future[None] | None = None
        """Set when a batch comes, if somebody waits for one."""
        self._committing: asyncio.Task[None] | None = None
        self._open = False
        self._files = ThreadPoolExecutor(1, thread_name_prefix="journal")
        """The thread that does everything with this journal's files, hence needs no lock."""
        self._memory = ThreadPoolExecutor(1, thread_name_prefix="journal-memory")
        """The thread that does everything with `recent` and the neighbours' files."""

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
        self._memory.submit(self._remember)
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
        self._memory.shutdown()

    async def append(self, items: Sequence[Item]) -> Appended:
        """Store events; returns when they are on the device.

        Raises OSError if they cannot be stored: then none of them counts as stored, and the sender has to send them
        again. Raises ValueError for what cannot be a line of a journal. Cancelling does not take back what is under
        way.
        """
        loop = asyncio.get_running_loop()
        batch = _Batch(*_examined(items), loop.create_future())
        if not self._open:
            raise OSError(errno.EBADF, "the journal is closed")
        self._waiting.append(batch)
        if self._committing is None:
            self._committing = loop.create_task(self._commit_all())
        elif self._came is not None and not self._came.done():
            self._came.set_result(None)
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
            self._lock = writer_files.take_lock(self._disk, self.folder, self._lock_wait_s)
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
        """Store what waits, group by group: while one is being stored, the next is looked through."""
        loop = asyncio.get_running_loop()
        storing: asyncio.Task[bool] | None = None
        while self._waiting or storing is not None:
            if not self._waiting and storing is not None:
                await self._something(storing)
            group = _Group(self._next_group(all_of_them=storing is not None and not storing.done()))
            prepared = bool(group.batches) and await self._prepare(group)
            if storing is not None and (prepared or storing.done()):
                if not await storing and prepared:
                    prepared = await self._prepare_again(group)
                storing = None
            if prepared:
                storing = loop.create_task(self._store_group(group))
        self._committing = None

    async def _something(self, storing: asyncio.Task[bool]) -> None:
        """Wait until a group is stored, or a batch comes."""
        self._came = asyncio.get_running_loop().create_future()
        await asyncio.wait((storing, self._came), return_when=asyncio.FIRST_COMPLETED)
        self._came = None

    def _next_group(self, *, all_of_them: bool) -> list[_Batch]:
        """Take what waits, up to GROUP_BYTES; nobody waits any more for what was cancelled.

        Where nothing is being stored, half of it, so that the other half can be looked through during the sync.
        """
        waiting = [batch for batch in self._waiting if not batch.done.done()]
        most = len(waiting) if all_of_them else (len(waiting) + 1) // 2
        size = count = 0
        for batch in waiting[:most]:
            if size >= GROUP_BYTES:
                break
            size += batch.size
            count += 1
        self._waiting = waiting[count:]
        return waiting[:count]

    async def _prepare(self, group: _Group) -> bool:
        """Look through a group for doubles; False: that failed, and was told."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._memory, self._look_through, group)
        except Exception as error:  # noqa: BLE001  # because: whatever it is, those who wait must hear it
            group.refuse(error)
            return False
        return True

    async def _prepare_again(self, group: _Group) -> bool:
        """Look through a group once more: what seemed stored may have been in one that then failed."""
        await self._take_back(group)
        group.results, group.fresh, group.keys = [], [], []
        return await self._prepare(group)

    async def _store_group(self, group: _Group) -> bool:
        """Store what is fresh of a group and tell; False: it was refused."""
        try:
            if group.fresh:
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(self._files, self._store, group.fresh, group.keys)
        except OSError as error:
            await self._take_back(group)
            group.refuse(error)
        except Exception as error:  # noqa: BLE001  # because: wherever it was: better a double than a loss
            await self._take_back(group, all_of_them=True)
            group.refuse(error)
        else:
            group.tell()
            return True
        return False

    async def _take_back(self, group: _Group, *, all_of_them: bool = False) -> None:
        """Forget what is fresh of a group, or all that came."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._memory, partial(self._forget_group, group, all_of_them=all_of_them))

    def _forget_group(self, group: _Group, *, all_of_them: bool) -> None:
        if all_of_them:
            batches = [batch.keys for batch in group.batches]
            self._recent.forget(chain.from_iterable(batches), batches)
            return
        told = zip(group.batches, group.results, strict=True)
        self._recent.forget(chain.from_iterable(group.keys), [batch.keys for batch, result in told if result.stored])

    def _look_through(self, group: _Group) -> None:
        """Part what is new from what is stored, in the thread of the memory."""
        self._neighbours.catch_up(self._clock())
        try:
            for batch in group.batches:
                self._look_through_batch(batch, group)
        except BaseException:  # wherever it was: better a double than to take for stored what is not
            self._forget_group(group, all_of_them=True)
            raise

    def _look_through_batch(self, batch: _Batch, group: _Group) -> None:
        lines, keys = batch.lines, batch.keys
        doubled = self._recent.remember(keys)
        if doubled:
            new = bytearray(b"\1" * len(keys))
            for at in doubled:
                new[at] = 0
            lines, keys = list(compress(lines, new)), list(compress(keys, new))
        group.results.append(Appended(len(lines), len(doubled)))
        if lines:
            group.fresh.append(lines)
            group.keys.append(keys)

    def _store(self, batches: Sequence[Sequence[bytes]], keys: Sequence[Sequence[bytes]]) -> None:
        """Write, sync, and note the checksums; where a sync fails, once more in a new segment. Raises OSError."""
        segment = self._ready_segment()
        written = segment.write(batches)
        try:
            segment.sync()
        except OSError as error:
            logger.warning("journal: %s is given up: %s", segment.path, error.strerror)
            segment = self._ready_segment()
            segment.write(batches)
            segment.sync()
        segment.keep(list(_groups(segment.size, written, keys)))

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


def _groups(at: int, written: Sequence[tuple[int, int]], keys: Sequence[Sequence[bytes]]) -> Iterator[Group]:
    """Describe batches that stand one behind another from `at` on."""
    for (length, crc), some in zip(written, keys, strict=True):
        yield Group(at, length, len(some), crc, b"".join(some))
        at += length


def _examined(items: Sequence[Item]) -> tuple[list[bytes], list[bytes], int]:
    """Give lines, keys and the lines' size, if all are sound: by few calls, each of which goes through all of them."""
    lines = [item.line for item in items]
    keys = [item.identity[:KEY_BYTES] for item in items]
    lacking = not all(lines) or len(b"".join(keys)) != KEY_BYTES * len(keys)
    if lacking or any(map(contains, lines, _NEWLINES)) or any(map(contains, lines, _NULS)):
        raise ValueError("an item of a journal is one line without NUL, and has an identity")
    return lines, keys, sum(map(len, lines))


def _copy(error: Exception) -> Exception:
    """Give each waiter an exception of its own: raising one in several tasks mixes their tracebacks."""
    if isinstance(error, OSError):
        return OSError(error.errno, error.strerror).with_traceback(error.__traceback__)
    return error
