"""Segments: closed journals become Parquet, one file a day, and files become part of the store.

| step | what a crash after it leaves |
|---|---|
| written aside, read back and counted | a file aside, which the next one removes |
| announced in the catalog | the same |
| synced, renamed, its directory synced | a file that does not count, which the next one removes |
| one transaction: it counts, what it is made of does not | files that count no more, which go after the grace period |
| the grace period over, removed | nothing |

So every event stands in exactly one file that counts. A journal segment that does not fit its checksums is left as it
is: `decklog store check` names the damage.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self
from zlib import crc32

from decklog import line_files
from decklog.errors import DecklogError
from decklog.store import adopting, catalog, checksums, reading, writer_files
from decklog.store.catalog import BLOCK_BYTES, SEALED, SEGMENTS, Catalog, SealedJournal, Segment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

    from decklog.disk import Disk
    from decklog.store.parquet import Engine, Made, Prepared
    from decklog.store.reading import JournalSegment

ASIDE: Final = "aside"
LOCK: Final = "store.lock"
AT_ONCE: Final = 2
"""So many journals are written at once; each takes four times its size of memory."""
GRACE_S: Final = 3600.0
"""How long a file stays that counts no more: longer than any question takes."""

logger = logging.getLogger(__name__)


class Maintenance:
    """The one who may change what counts in a store: holds its lock. Readers and writers of journals need it not."""

    def __init__(
        self, store: Path, disk: Disk, *, clock: Callable[[], float] = time.time, grace_s: float = GRACE_S
    ) -> None:
        self.store = store
        self.disk = disk
        self.clock = clock
        self.grace_s = grace_s
        self.aside = store / ASIDE
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Take the lock, remove what a crash left. Raises DecklogError if another one has it, or it cannot."""
        try:
            with ExitStack() as stack:
                stack.callback(self.disk.close, take_lock(self.store, self.disk))
                catalog.refuse_lost(self.store)
                self.catalog = stack.enter_context(Catalog(self.store, write=True))
                shutil.rmtree(self.aside, ignore_errors=True)
                line_files.make_directories(self.disk, self.aside)
                self._remove_unfinished()
                self._stack = stack.pop_all()
        except OSError as error:
            raise DecklogError(
                f"cannot maintain the store {self.store}: {error.strerror}: give a store that you may write to"
            ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let go of the lock."""
        self._stack.close()

    def _remove_unfinished(self) -> None:
        self._remove(self.catalog.unfinished())

    # What every change does

    def publish(
        self,
        made: Sequence[Made],
        kind: str,
        *,
        segments: Sequence[Segment] = (),
        journals: Sequence[SealedJournal] = (),
    ) -> list[Segment]:
        """Let files count from now on, and what they were made of no more. Raises OSError, DecklogError."""
        now_s = self.clock()
        fresh = [self._described(one, kind, now_s) for one in made if one.rows]
        self.catalog.announce(segment.path for segment in fresh)
        for one, segment in zip((one for one in made if one.rows), fresh, strict=True):
            target = self.store / segment.path
            writer_files.make_folder(self.disk, target.parent)
            self.disk.rename_noreplace(one.file, target)
            self.disk.sync_dir(target.parent)
        self.catalog.replace(fresh, now_s=now_s, segments=segments, journals=journals)
        return fresh

    def _described(self, made: Made, kind: str, now_s: float) -> Segment:
        sha256, crcs, size = digest(self.disk, made.file, sync=True)
        path = f"{SEGMENTS}/day={made.day}/{self.catalog.next_number():010d}-{kind}-{sha256[:16]}.parquet"
        return Segment(
            path=path,
            kind=kind,
            cluster=made.cluster,
            day=made.day,
            rows=made.rows,
            raw_bytes=made.raw_bytes,
            file_bytes=size,
            min_time=made.min_time,
            max_time=made.max_time,
            sha256=sha256,
            crcs=crcs,
            made_s=now_s,
        )

    def remove_dead(self) -> int:
        """Remove the files that count no more, their grace period over; gives how many. Raises OSError, DecklogError.

        A clock that goes back only makes them stay longer.
        """
        before_s = self.clock() - self.grace_s
        dead = self.catalog.dead(before_s)
        self._remove(segment.path for segment in dead)
        gone = [journal for journal in self.catalog.removable(before_s) if self._remove_journal(journal)]
        for writer in {journal.writer for journal in gone}:
            with contextlib.suppress(FileNotFoundError):
                self.disk.sync_dir(self.store / writer_files.JOURNAL / writer)
        for journal in gone:
            self.catalog.removed(journal)
        return len(dead) + len(gone)

    def _remove(self, paths: Iterable[str]) -> None:
        """Remove files of segments, and strike them out: not before no power cut can bring them back."""
        going = list(paths)
        for path in going:
            with contextlib.suppress(FileNotFoundError):
                self.disk.unlink(self.store / path)
        for folder in {(self.store / path).parent for path in going}:
            with contextlib.suppress(FileNotFoundError):
                self.disk.sync_dir(folder)
        for path in going:
            self.catalog.forget(path)

    def _remove_journal(self, journal: SealedJournal) -> bool:
        folder = self.store / writer_files.JOURNAL / journal.writer
        with contextlib.suppress(FileNotFoundError):
            if writer_files.numbers(self.disk, folder)[-1:] == [journal.number]:
                return False  # the newest keeps the number, so that none is used twice
            writer_files.remove(self.disk, writer_files.segment_path(folder, journal.number))
        return True


def take_lock(store: Path, disk: Disk) -> int:
    """Take a store's lock, for who changes what counts in it; gives what to close. Raises DecklogError, OSError."""
    if not (store / writer_files.JOURNAL).is_dir() and not catalog.exists(store):
        raise DecklogError(f"{store} is no store: give the directory that decklog receive writes to")
    fd = disk.open(store / LOCK, os.O_RDWR | os.O_CREAT)
    try:
        free = line_files.lock(fd)
    except OSError:
        disk.close(fd)
        raise
    if not free:
        disk.close(fd)
        raise DecklogError(f"the store {store} is being maintained by another process: try again later")
    return fd


@dataclass(frozen=True, slots=True)
class Sealed:
    """What sealing did."""

    journals: int
    events: int
    raw_bytes: int
    file_bytes: int
    left: tuple[str, ...]
    """Journal segments that could not be sealed, and why."""


def seal(work: Maintenance, engine: Engine) -> Sealed:
    """Seal every finished journal segment, and those that nobody will finish any more. Raises OSError, DecklogError.

    While DuckDB writes some, the next is read; DuckDB leaves Python alone meanwhile.
    """
    adopting.adopt(work)
    done = _Sealing(work, engine)
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="sealing") as writing:
        for journal in waiting(work):
            prepared = done.prepare(journal)
            if prepared is not None:
                done.begin(journal, writing.submit(engine.beside().write, prepared))
            done.finish(AT_ONCE)
        done.finish()
    return done.result()


class _Sealing:
    """What was sealed so far, and what is being written."""

    def __init__(self, work: Maintenance, engine: Engine) -> None:
        self._work = work
        self._engine = engine
        self._now: deque[tuple[JournalSegment, Future[list[Made]]]] = deque()
        self._journals = 0
        self._made: list[Segment] = []
        self._left: list[str] = []

    def prepare(self, journal: JournalSegment) -> Prepared | None:
        """Read a journal; None: it is left as it is."""
        try:
            return _prepare(self._work, self._engine, journal)
        except DecklogError as error:
            self._leave(journal, error)
            return None

    def begin(self, journal: JournalSegment, writing: Future[list[Made]]) -> None:
        """Remember what is being written."""
        self._now.append((journal, writing))

    def finish(self, most: int = 0) -> None:
        """Wait until at most so many are being written; what is written counts."""
        while len(self._now) > most:
            self._finish_one(*self._now.popleft())

    def _finish_one(self, journal: JournalSegment, writing: Future[list[Made]]) -> None:
        try:
            made = writing.result()
        except DecklogError as error:
            self._leave(journal, error)
            return
        rows, raw_bytes = sum(one.rows for one in made), sum(one.raw_bytes for one in made)
        entry = SealedJournal(journal.writer, journal.number, rows, raw_bytes)
        self._made += self._work.publish(made, SEALED, journals=[entry])
        self._journals += 1

    def result(self) -> Sealed:
        """Give what was done."""
        return Sealed(self._journals, *total(self._made), tuple(self._left))

    def _leave(self, journal: JournalSegment, error: DecklogError) -> None:
        logger.error("store: %s was not sealed, and stays: %s", journal.path, error)
        self._left.append(f"{journal.path}: {error}")


def waiting(work: Maintenance) -> Iterator[JournalSegment]:
    """Give the journal segments that are finished and not sealed."""
    sealed = work.catalog.sealed()
    for journal in reading.segments(work.store, work.disk):
        known = (journal.writer, journal.number) in sealed
        if not known and not journal.open and writer_files.is_finished(work.disk, journal.path):
            yield journal


def _prepare(work: Maintenance, engine: Engine, journal: JournalSegment) -> Prepared | None:
    """Read a journal, and hold what is read against its checksums. Raises DecklogError, OSError."""
    groups, end = checksums.groups_of(work.disk, journal.path), checksums.end_of(work.disk, journal.path)
    keys = b"".join(group.keys for group in groups)

    def read() -> Iterator[bytes]:
        return _sound(work.disk, journal.path, groups, end)

    return engine.prepare(journal.path, read, keys, journal.cluster) if groups or any(read()) else None


def _sound(disk: Disk, path: Path, groups: Sequence[checksums.Group], end: checksums.End | None) -> Iterator[bytes]:
    for piece, damages in checksums.pieces(disk, path, groups, end):
        if damages:
            raise DecklogError(f"damaged at byte {damages[0].offset}: decklog store check tells more")
        yield piece


def digest(disk: Disk, path: Path, *, sync: bool = False) -> tuple[str, bytes, int]:
    """Give SHA-256, the CRC of each block and the size of a file; synced, if `sync`. Raises OSError."""
    total, crcs, size = hashlib.sha256(), bytearray(), 0
    if sync:
        fd = disk.open(path, os.O_RDWR)
        try:
            disk.datasync(fd)
        finally:
            disk.close(fd)
    for block in _blocks(disk, path, BLOCK_BYTES):
        total.update(block)
        crcs += crc32(block).to_bytes(4, "big")
        size += len(block)
    return total.hexdigest(), bytes(crcs), size


def _blocks(disk: Disk, path: Path, size: int) -> Iterator[bytes]:
    fd = disk.open(path, os.O_RDONLY)
    with closing(_Closing(disk, fd)):
        at = 0
        while block := disk.read_at(fd, size, at):
            yield block
            at += len(block)


class _Closing:
    def __init__(self, disk: Disk, fd: int) -> None:
        self._disk, self._fd = disk, fd

    def close(self) -> None:
        self._disk.close(self._fd)


def total(segments: Iterable[Segment]) -> tuple[int, int, int]:
    """Add up events, their bytes, and the bytes of the files."""
    rows = raw_bytes = size = 0
    for segment in segments:
        rows, raw_bytes, size = rows + segment.rows, raw_bytes + segment.raw_bytes, size + segment.file_bytes
    return rows, raw_bytes, size
