"""Follow: hands over what is written to a log, over its rotations, and from where it stopped last time.

::

    stopping = threading.Event()
    follower = Follower(Path("/var/log/audit.log"), checkpoint=Path("/var/lib/decklog/audit.checkpoint"),
                        wait=stopping.wait, stopped=stopping.is_set)
    for batch in follower.batches():
        ...  # batch.records; when the loop comes back for the next one, the checkpoint says that this one is done

Plain and blocking: `batches` returns when `stopped()` says so, and calls `wait(poll_seconds)` while there is nothing
new. `follower.coverage` counts what was read, and names what befell files.

**At least once.** The checkpoint is written after a batch was taken and before the next one is given. Who is killed in
between gets that batch again; nothing is left out. Without a kill nothing comes twice.

Followed are rename and create (kube-apiserver, logrotate), copying and truncating (logrotate's ``copytruncate``), and
packing of the older files, also while nobody follows: a file is recognised by its first bytes (`checkpoint`). A line
counts when its line feed is there; what a renamed file still lacks is waited for, `linger_seconds` after its last
growth. What a writer itself loses (the lines between copying and truncating) is lost; what was removed before it
was read is named in `coverage.problems`. Lines only: a log is no array.
"""

from __future__ import annotations

import io
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from decklog.disk import Disk
from decklog.errors import DecklogError
from decklog.sources.checkpoint import HEAD_BYTES, Checkpoint, Position, Print, load, print_of, save
from decklog.sources.lines import CHUNK_BYTES, MAX_LINE_BYTES
from decklog.sources.packing import DamagedError, chunks, is_packed
from decklog.sources.places import STANDARD_INPUT, find
from decklog.sources.reader import records_of
from decklog.sources.record import Coverage, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from decklog.sources.places import Place

POLL_SECONDS: Final = 0.25
LINGER_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Batch:
    """What was new: some records, and where they end."""

    records: tuple[Record, ...]
    position: Position


class Follower:
    """Follows one log. One for a checkpoint: two would answer for each other's batches."""

    def __init__(
        self,
        path: Path,
        checkpoint: Path | None = None,
        *,
        from_start: bool = False,
        poll_seconds: float = POLL_SECONDS,
        linger_seconds: float = LINGER_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] = time.sleep,
        stopped: Callable[[], bool] = lambda: False,
        disk: Disk | None = None,
        max_line_bytes: int = MAX_LINE_BYTES,
        declared: bool = False,
    ) -> None:
        """Follow `path`, from its checkpoint if there is one; else from its end, or with `from_start` all there is."""
        self.coverage = Coverage()
        self._path = path
        self._checkpoint = checkpoint
        self._from_start = from_start
        self._poll_seconds = poll_seconds
        self._linger_seconds = linger_seconds
        self._clock = clock
        self._wait = wait
        self._stopped = stopped
        self._disk = disk or Disk()
        self._max_line_bytes = max_line_bytes
        self._declared = declared
        self._reading: _Reading | None = None
        self._done: tuple[Print, ...] = ()
        self._quiet_since: float | None = None
        self._saved: Position | None = None

    def batches(self) -> Iterator[Batch]:
        """Yield what is new, batch after batch, until `stopped`. Raises DecklogError for what cannot be begun.

        OSError where the checkpoint cannot be written: whoever goes on regardless would get all of it again.
        """
        if self._path.is_dir() or str(self._path) == STANDARD_INPUT:
            raise DecklogError(f"{self._path} cannot be followed: name one log file")
        known = load(self._checkpoint) if self._checkpoint else None
        try:
            while not self._stopped():
                if self._reading is None:
                    self._begin(known)
                batch = self._next()
                if batch is None:
                    self._wait(self._poll_seconds)
                    continue
                if batch.records:
                    yield batch
                self._save(batch.position)
        finally:
            if self._reading is not None:
                self._reading.close()

    def _save(self, position: Position | None = None) -> None:
        """Write the checkpoint, if it is another one; by default of where reading begins."""
        if position is None and self._reading is not None:
            position = self._reading.position
        if self._checkpoint and position is not None and position != self._saved:
            save(self._checkpoint, Checkpoint(position, self._done), self._disk)
            self._saved = position

    # Where to read

    def _begin(self, known: Checkpoint | None) -> None:
        """Open the file where reading begins, or leave it for later if nothing is there yet."""
        parts = self._parts()
        if known is not None:
            self._done = known.done
            self._resume(parts, known.position)
        elif not parts:
            self._from_start = True  # what is not there yet is new from its first byte
        else:
            chosen = parts[0] if self._from_start else parts[-1]
            self._done = tuple(part.print for part in parts[: parts.index(chosen)])
            self._open(parts, chosen, None if self._from_start else chosen.end_of_lines())
            self._save()

    def _parts(self) -> list[_Part]:
        """Open all files of the log, oldest first; those that vanish meanwhile are not there."""
        try:
            places = find([str(self._path)], io.BytesIO())
        except DecklogError as error:
            if os.path.exists(self._path):  # noqa: PTH110  # because: Path.exists raises where it may not look
                if self._reading is None:
                    raise
                self._tell(str(error))
            return []
        parts = []
        for place in places:
            if not place.problem:
                with suppress(FileNotFoundError):
                    parts.append(_Part(place))
        return parts

    def _resume(self, parts: list[_Part], position: Position) -> None:
        """Go on behind `position`, in whatever file holds it now; without one, in the first that is not done."""
        if not parts:
            return
        same = [part for part in parts if part.begins_as(position.head)]
        exact = [part for part in same if part.inode == (position.device, position.inode)]
        if same:
            self._open(parts, (exact or same)[-1], position)
            return
        if position.head.size:
            self._tell(f"the file that was read to byte {position.offset} is gone; what came behind that is not known")
        rest = self._rest(parts)
        self._open(parts, rest[0] if rest else parts[-1], None)

    def _rest(self, parts: list[_Part]) -> list[_Part]:
        """Give the files that are not done, without older ones that hold nothing."""
        rest = parts[self._known_until(parts) :]
        return [part for part in rest if part is parts[-1] or part.head(1)]

    def _known_until(self, parts: list[_Part], *more: Print) -> int:
        """Give the place behind the last of `parts` that is done."""
        known = (*self._done, *more)
        places = [place for place, part in enumerate(parts, 1) if any(map(part.begins_as, known))]
        return max(places, default=0)

    def _open(self, parts: list[_Part], chosen: _Part, position: Position | None) -> None:
        if self._reading is not None:
            self._reading.close()
        for part in parts:
            if part is not chosen:
                part.close()
        self._quiet_since = None
        self._reading = _Reading(chosen, position, self._max_line_bytes)
        if chosen.name not in self.coverage.files:
            self.coverage.files.append(chosen.name)

    def _tell(self, problem: str) -> None:
        text = f"{self._path}: {problem}"
        if text not in self.coverage.problems[-1:]:  # a disk that fails does so at every turn
            self.coverage.problems.append(text)

    # What to hand over

    def _next(self) -> Batch | None:
        """Give what is new; None if there is nothing now."""
        reading = self._reading
        if reading is None:
            return None
        # Asked before reading: what is not written any more by then is read to its very end.
        ended = reading.part.packed or not self._is_written(reading.part)
        try:
            data = reading.read()
        except _TruncatedError:
            self._resume(self._parts(), reading.position)
            return None
        except (DamagedError, OSError) as error:
            self._tell(f"{reading.part.name}: {error}")
            data = b""
        if reading.fresh and self._overtaken(reading.part):
            return None
        if data:
            self.coverage.size_bytes += len(data)
            self._quiet_since = None
            return self._batch(reading, reading.lines(data))
        return self._at_end(reading) if ended else None

    def _batch(self, reading: _Reading, lines: list[tuple[int, bytes | None]]) -> Batch:
        records: list[Record] = []
        for number, line in lines:
            if line is None:
                problem = f"longer than {self._max_line_bytes >> 20} MiB"
                records.append(Record(b"", reading.part.name, number, None, problem))
            elif line.strip():
                records += records_of(line, reading.part.name, number, self.coverage, declared=self._declared)
        for record in records:
            self.coverage.count(record)
        return Batch(tuple(records), reading.position)

    def _at_end(self, reading: _Reading) -> Batch | None:
        """Go to the next file, or stay if there is none yet."""
        parts = self._parts()
        own = [place for place, part in enumerate(parts, 1) if part.inode == reading.part.inode]
        rest = parts[max(self._known_until(parts, reading.position.head), *own, 0) :]
        rest = [part for part in rest if part is parts[-1] or part.head(1)]
        if not rest or (len(rest) == 1 and not reading.part.packed and not self._lingered()):
            _close(parts)
            return None
        last = self._batch(reading, reading.leftover())
        present = tuple(part.print for part in parts if any(map(part.begins_as, self._done)))
        self._done = (*present, reading.position.head)
        self._open(parts, rest[0], None)
        return Batch(last.records, last.position) if last.records else None

    def _overtaken(self, part: _Part) -> bool:
        """Tell whether the log was copied and truncated before anything was read of it, and turn to the copy."""
        if part.packed:
            return False
        parts = self._parts()
        rest = self._rest(parts)
        if not rest or rest[0].inode == part.inode:
            _close(parts)
            return False
        self._open(parts, rest[0], None)
        return True

    def _is_written(self, part: _Part) -> bool:
        """Tell whether the log's name still stands for this file, or for none."""
        try:
            now = self._path.stat()
        except FileNotFoundError:
            return True
        return (now.st_dev, now.st_ino) == part.inode

    def _lingered(self) -> bool:
        now = self._clock()
        if self._quiet_since is None:
            self._quiet_since = now
        return now - self._quiet_since >= self._linger_seconds


class _TruncatedError(Exception):
    """The file that was being read is not what it was."""


class _Part:
    """One file of a log, open."""

    def __init__(self, place: Place) -> None:
        self._file = place.open()
        self._fd = self._file.fileno()
        self.name = os.fsencode(place.path).decode("utf-8", "backslashreplace")
        state = os.fstat(self._fd)
        self.inode = state.st_dev, state.st_ino
        self.packed = is_packed(os.pread(self._fd, 4, 0))

    def close(self) -> None:
        self._file.close()

    def head(self, size: int) -> bytes:
        """Give the first `size` bytes of the text, or fewer if there are no more."""
        if not self.packed:
            return os.pread(self._fd, size, 0)
        head = b""
        with suppress(DamagedError):
            for piece in self.pieces():
                head += piece
                if len(head) >= size:
                    break
        return head[:size]

    @property
    def print(self) -> Print:
        return print_of(self.head(HEAD_BYTES))

    def begins_as(self, mark: Print) -> bool:
        """Tell whether this is the file of a fingerprint; of one of no bytes, none is."""
        return mark.size > 0 and print_of(self.head(mark.size)) == mark

    def pieces(self) -> Iterator[bytes]:
        return chunks(_FromStart(self._fd))

    def read_at(self, offset: int) -> bytes:
        return os.pread(self._fd, CHUNK_BYTES, offset)

    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def end_of_lines(self) -> Position:
        """Give the place behind the last whole line; of a packed file, behind all."""
        end = sum(map(len, self.pieces())) if self.packed else self.size()
        start = max(0, end - CHUNK_BYTES)
        tail = b"\n" if self.packed else os.pread(self._fd, end - start, start)
        cut = tail.rfind(b"\n") + 1
        offset = end if self.packed else start + cut
        return Position(*self.inode, offset, 0, print_of(self.head(min(HEAD_BYTES, offset))))


class _FromStart:
    """An open file, read from its beginning without moving anything."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._at = 0

    def read(self, size: int, /) -> bytes:
        data = os.pread(self._fd, size, self._at)
        self._at += len(data)
        return data


class _Reading:
    """A file that is being read: what of it was handed over, and the beginning of a line whose end is to come."""

    def __init__(self, part: _Part, position: Position | None, max_line_bytes: int) -> None:
        self.part = part
        self._max_line_bytes = max_line_bytes
        self._offset = position.offset if position else 0
        self._line = position.line if position else 0
        self._head = part.head(position.head.size) if position else b""
        self._begun: list[bytes] = []
        self._begun_size = 0
        self._begun_head = b""
        self._pieces = _behind(self._offset, part.pieces()) if part.packed else None

    def close(self) -> None:
        self.part.close()

    @property
    def position(self) -> Position:
        """Where what was handed over ends."""
        return Position(*self.part.inode, self._offset, self._line, print_of(self._head))

    @property
    def fresh(self) -> bool:
        """Whether nothing was handed over of it yet, so that its first bytes do not tell it apart."""
        return not self._offset

    def read(self) -> bytes:
        """Read on; raises _TruncatedError if the file was emptied since, whatever was written into it then."""
        if self._pieces is not None:
            return next(self._pieces, b"")
        at = self._offset + self._begun_size
        data = self.part.read_at(at)
        if self._head and self.part.head(len(self._head)) != self._head:
            raise _TruncatedError
        if not data and self.part.size() < at:
            raise _TruncatedError
        return data

    def lines(self, data: bytes) -> list[tuple[int, bytes | None]]:
        """Take what was read; give the lines that are whole now."""
        end = data.rfind(b"\n")
        if end < 0:
            self._keep(data)
            return []
        whole = data[:end].split(b"\n")
        first = self._taken(whole[0])
        numbered = enumerate(
            [first, *(line if len(line) <= self._max_line_bytes else None for line in whole[1:])], self._line + 1
        )
        lines = list(numbered)
        self._advance(data[: end + 1], len(lines))
        self._keep(data[end + 1 :])
        return lines

    def leftover(self) -> list[tuple[int, bytes | None]]:
        """Give the last line of a file that has ended without a line feed."""
        if not self._begun_size:
            return []
        line = self._taken(b"")
        self._advance(line or b"", 1)
        return [(self._line, line)]

    def _keep(self, data: bytes) -> None:
        self._begun_size += len(data)
        self._begun_head = (self._begun_head + data[:HEAD_BYTES])[:HEAD_BYTES]
        if self._begun_size <= self._max_line_bytes:
            self._begun.append(data)
        else:
            self._begun.clear()

    def _taken(self, end: bytes) -> bytes | None:
        """Give the line whose end has come."""
        too_long = self._begun_size + len(end) > self._max_line_bytes
        return None if too_long else b"".join((*self._begun, end))

    def _advance(self, data: bytes, lines: int) -> None:
        if len(self._head) < HEAD_BYTES:
            begun = self._begun_head + data if self._begun_size <= HEAD_BYTES else self._begun_head
            self._head = (self._head + begun)[:HEAD_BYTES]
        self._offset += self._begun_size + len(data)
        self._line += lines
        self._begun.clear()
        self._begun_size = 0
        self._begun_head = b""


def _behind(size: int, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Leave out the first `size` bytes."""
    for piece in pieces:
        if rest := piece[size:]:
            yield rest
        size = max(0, size - len(piece))


def _close(parts: list[_Part]) -> None:
    for part in parts:
        part.close()
