"""RotatingFile: a log of whole lines that is set aside when it is full, and is never lost sight of.

The promise is write(2): when a line was taken, the operating system has it, in one piece, at the end of the file that
stands at the path. Names and sizes are lumberjack's (spec §6.3), so that its users' tools go on working.

How nothing is lost when somebody else moves the file: the path is looked at four times a second by the caretaker, and
by the writer after every `RECENT_BYTES`. Lines written since the last look are kept. If the file turns out to have no
name any more, they are written again into the new one, so what was written after the removal is not lost; what stood
in it before is gone, as whoever removed it wished (but for what the last quarter of a second brought). A file that was
only renamed (logrotate) keeps its lines, and nothing is written twice; one that is copied and cut (``copytruncate``)
loses what came in between, which logrotate's manual says. Several processes may write one log: each
remembers its own lines, every write lands at the end in one piece, one of them rotates (whoever has the file's lock,
flock(2), where the file system offers it), and each follows a rotation of the others within a look. A file may then
grow past its size by what each writes between two looks.

A torn line (the disk filled in the middle of it) is closed with a newline before the next event is written. Its event
is reported as lost, so completing it later would make a lie of the report; cutting it off would move the end of the
file under readers that have already read it, and could cut off another writer's line. A fragment on a line of its own
is what every reader can count and name.

Where it differs from kube-apiserver on purpose:

| what happens | kube-apiserver (lumberjack) | here |
|---|---|---|
| two rotations in one millisecond | the second overwrites the first | the next free millisecond is taken |
| the clock was set back | the newest backups sort as the oldest, and go first | no name is older than the last one |
| a line longer than maxsize | refused, lost | written whole, to a file of its own |
| renaming or making a file fails | the event is lost | the file grows past its size; tried again, reported |
| chown of the new file fails | the event is lost | reported |
| log removed, renamed, replaced, cut | written to for ever, without a trace | noticed within a second, see above |
| disk full, then freed | the torn line runs into the next event | it is closed with a newline |
| no newline at the end, at the start | the same | the same |
| symbolic link, FIFO, device, hard link | written to | refused; while running, lines go to a backup name |
| an empty log, a line as long as maxsize | an empty backup is made | none |
| the directory is missing while running | made 0755 | made 0700, as at the start |
| execute and set-id bits of the log | inherited by the next file | not inherited |
| SIGHUP | ends the server | `reopen` |

Why, for all of them: an event counts for more than a limit or a convention, and nobody may turn our lines elsewhere.
"""

from __future__ import annotations

import contextlib
import errno
import stat
import sys
import threading
import time
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final

from decklog import line_files
from decklog.backends.backup_names import LAST_MS, Family, packed_path
from decklog.backends.opening import Opened, identity, make_log, open_log
from decklog.errors import DecklogError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from decklog.backends.opening import Report
    from decklog.disk import Disk

RECENT_BYTES: Final = 256 * 1024
"""How much is written at most before the path is looked at again, and so how much is kept to be written again."""
_LOOKS: Final = 5
"""How often, at most, a line without its end is looked at again before it counts as torn."""
_CLOSED: Final = Opened(-1, (0, 0), 0)


class RotatingFile:
    """One log file and its rotation. For any thread; one lock, held for the length of a write."""

    def __init__(
        self,
        disk: Disk,
        path: str | Path,
        *,
        max_bytes: int,
        report: Report,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._disk = disk
        self._append = disk.append
        self._path = Path(path).absolute()
        self._family = Family.of(self._path)
        self._max = max_bytes or sys.maxsize
        self._report = report
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._file = _CLOSED
        self._fd = -1
        self._size = 0
        self._bound = -1
        """Writing past this size takes the slow path; -1: the next line does."""
        self._recent: list[bytes] = []
        """Lines written since the file was last seen at its path."""
        self._owed: list[bytes] = []
        """Lines whose file has vanished, to be written again before anything else."""
        self._unsure = False
        """The last line may not end in a newline."""
        self._just_opened = False
        self._detoured = False
        """Something else stands at the path; the open file bears a backup's name."""
        self._newest_ms = 0
        self.rotations = 0
        """How many files were set aside since the start."""

    @property
    def identity(self) -> tuple[int, int]:
        """Device and inode of the file that is being written, whatever it is called just now."""
        return self._file.identity

    def open(self) -> None:
        """Start. Raises DecklogError if the log cannot be written."""
        with self._lock:
            self._detoured = False
            try:
                self._take(open_log(self._disk, self._path, self._report))
                self._newest_ms = self._newest_there()
            except (OSError, ValueError) as error:
                self._drop_fd()
                reason = (isinstance(error, OSError) and error.strerror) or str(error)
                raise DecklogError(
                    f"cannot write the audit log {self._path}: {reason}: give --audit-log-path a plain file of its own "
                    "in a directory where decklog may write, or - for standard output"
                ) from error

    def write(self, line: bytes) -> None:
        """Write a whole line, which ends in its newline. OSError: it is lost."""
        length = len(line)
        self._lock.acquire()  # not `with`, which takes twice as long: this is the hot path
        try:
            size = self._size + length
            if size > self._bound:
                self._store(line)
                return
            try:
                written = self._append(self._fd, line)
            except OSError:
                self._doubt()
                self._store(line)  # once more: on a network file system it may only be that the file was removed
                return
            if written == length:
                self._size = size
                self._recent.append(line)
            else:
                self._put(line, written)
        finally:
            self._lock.release()

    def write_lines(self, lines: Sequence[bytes]) -> list[OSError]:
        """Write whole lines in order, in one piece if they fit. Answers with an error for each that was lost."""
        joined = b"".join(lines)
        with self._lock:
            size = self._size + len(joined)
            if size > self._bound:
                return self._one_by_one(lines)
            try:
                written = self._append(self._fd, joined)
            except OSError:
                self._doubt()
                return self._one_by_one(lines)
            if written != len(joined):
                return self._one_by_one(lines, written)
            self._size = size
            self._recent += lines
            return []

    def check(self) -> None:
        """Look whether the file still stands at its path, and follow; finish what can be finished. Never raises."""
        with self._lock:
            if self._fd < 0:
                return
            try:
                self._settle()
            except OSError as error:
                self._report("check", f"the log is in trouble: {error.strerror}")
                return
            if not self._just_opened:
                self._bound = min(self._max, self._size + RECENT_BYTES)

    def reopen(self) -> None:
        """Follow a rename at once (logrotate's SIGHUP).

        Not from a bare signal handler, which may interrupt a write: from `loop.add_signal_handler`.
        """
        self.check()

    def close(self) -> int:
        """Finish and close. Answers how many lines, taken earlier, could not be kept because their file vanished."""
        self.check()
        with self._lock:
            self._drop_fd()
            lost = len(self._owed)
            self._owed.clear()
            return lost

    # Writing.

    def _one_by_one(self, lines: Sequence[bytes], written: int = 0) -> list[OSError]:
        """Write lines singly, of which the first `written` bytes are already in the file."""
        errors = []
        for line in lines:
            try:
                if written:
                    self._put(line, min(written, len(line)))
                else:
                    self._store(line)
            except OSError as error:
                errors.append(error)
            written = max(0, written - len(line))
        return errors

    def _store(self, line: bytes) -> None:
        """Write one line after looking at everything. Raises OSError only if there is nowhere to write it."""
        self._settle()
        self._rotate_if_full(len(line))
        self._just_opened = False
        self._put(line)

    def _put(self, line: bytes, written: int = 0) -> None:
        """Write one line, of which the first `written` bytes are in the file; OSError: it is not whole."""
        begun = written
        try:
            while written < len(line):
                written += self._append(self._fd, line[written:] if written else line)
        except OSError:
            self._doubt()
            if written < len(line) - 1 or begun == written == 0:
                raise
            # Only its newline is missing: the event is there, and the newline is written before the next one.
        self._size += written
        self._recent.append(line)

    def _doubt(self) -> None:
        """Something failed: look at the file's end, and at the path, before the next line."""
        self._unsure = True
        self._bound = -1

    def _settle(self) -> None:
        """Find the file, close a torn line, and write what is owed."""
        if self._fd < 0:
            raise OSError(errno.EBADF, "the log is not open")
        self._look()
        self._close_torn_line()
        while self._owed:
            self._rotate_if_full(len(self._owed[0]))
            self._put(self._owed[0])
            del self._owed[0]

    def _close_torn_line(self) -> None:
        if not self._unsure:
            return
        self._bound = -1
        if self._size and self._last_byte() != b"\n" and not self._was_in_the_writing():
            self._size += self._append(self._fd, b"\n")
            self._report("torn", "a last line without its end was found and closed with a newline")
        self._unsure = False

    def _was_in_the_writing(self) -> bool:
        """Whether the last line was only on its way in, from another process.

        Asked of a file that was just opened: in one that is ours, an own write has failed, and waiting would not help.
        """
        for _ in range(_LOOKS if self._just_opened else 0):
            found = self._disk.fstat(self._fd)
            # The kernel takes the file's lock for this, so it returns when a write that was going on has ended.
            with contextlib.suppress(OSError):
                self._disk.set_mode(self._fd, stat.S_IMODE(found.st_mode))
            self._size = self._disk.fstat(self._fd).st_size
            if not self._size or self._last_byte() == b"\n":
                return True
        return False

    def _last_byte(self) -> bytes:
        try:
            return self._disk.read_at(self._fd, 1, self._size - 1)
        except OSError:
            return b""  # not known: an empty line too many is better than two lines in one

    # Rotating.

    def _newest_there(self) -> int:
        try:
            stamps = (member.stamp_ms for member in self._family.members(self._disk))
            return max((stamp for stamp in stamps if stamp < LAST_MS), default=0)
        except OSError as error:
            self._report("remove", f"the log's directory cannot be listed: {error.strerror}")
            return 0

    def _rotate_if_full(self, length: int) -> None:
        """Set the file aside if `length` more bytes do not fit. It may get exactly full, but at opening (spec §6.3)."""
        size = self._size + length
        if self._size and (size > self._max or (self._just_opened and size == self._max)):
            if not self._detoured and not self._has_the_turn():
                self._bound = -1  # another process is rotating: look at the next line again
                return
            self._rotate()
        # A rotation that failed is tried again after this much more, not at every line.
        self._bound = self._size + RECENT_BYTES if self._size > self._max else min(self._max, self._size + RECENT_BYTES)

    def _rotate(self) -> None:
        """Rename, then make a new file. Killed in between, the backup holds everything, and a start makes the file."""
        try:
            like = self._disk.fstat(self._fd)
            if not self._detoured:
                self._rename_aside()
            self._take(self._open_somewhere(like))
        except OSError as error:
            self._report("rotate", f"rotation failed, the file grows past its size: {error.strerror}")
            line_files.unlock(self._fd)
            return
        self.rotations += 1

    def _has_the_turn(self) -> bool:
        """Take the file's lock, which goes with its descriptor, and see that nobody has rotated it just before."""
        try:
            if not line_files.lock(self._fd):
                return False
        except OSError:
            return True  # no locks here: at worst a small file is set aside
        if self._is_at_path():
            return True
        line_files.unlock(self._fd)
        self._look()
        return False

    def _rename_aside(self) -> None:
        for stamp_ms in self._stamps():
            backup = self._family.backup(stamp_ms)
            if self._stands(packed_path(backup)):
                continue  # the packed backup of another process: its name is taken, too
            try:
                self._disk.rename_noreplace(self._path, backup)
            except FileExistsError:
                continue
            self._newest_ms = stamp_ms
            return

    def _stands(self, path: Path) -> bool:
        try:
            self._disk.stat(path)
        except FileNotFoundError:
            return False
        return True

    def _stamps(self) -> count[int]:
        """Yield moments for a new backup's name: now, but later than any name given before.

        So names sort in the order of writing, whatever the clock does.
        """
        return count(max(self._clock_ns() // 1_000_000, self._newest_ms + 1))

    # Following.

    def _look(self) -> None:
        """See whether the file still stands at its path; else go on where one does.

        The path is asked first: were it asked last, a file that is removed between the two questions would look as if
        it had only been renamed.
        """
        at_path = self._is_at_path()
        try:
            mine = self._disk.fstat(self._fd)
        except OSError as error:
            self._look_failed(error)
            return
        if mine.st_nlink and at_path:
            self._still_here(mine)
        elif mine.st_nlink and self._detoured:
            self._leave_detour(mine)
        else:
            self._move_on(mine)

    def _look_failed(self, error: OSError) -> None:
        """Nothing is known of the open file itself."""
        if error.errno == errno.ESTALE:  # a network file system's way of saying that it was removed
            self._move_on(None)
        else:
            self._recent.clear()  # memory stays bounded, whatever else goes wrong

    def _is_at_path(self) -> bool:
        try:
            return identity(self._disk.stat(self._path)) == self._file.identity
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            self._report("check", f"the log's path cannot be looked at: {error.strerror}")
            return True  # not known: go on in the open file, which has a name

    def _still_here(self, mine: os.stat_result) -> None:
        if mine.st_size < self._size:
            self._report("truncated", "the log was cut by somebody else")
            self._unsure = True
        self._size = mine.st_size
        self._recent.clear()

    def _leave_detour(self, mine: os.stat_result) -> None:
        """Go back to the path if it is free by now."""
        try:
            opened = open_log(self._disk, self._path, self._report, mine)
        except OSError:
            self._still_here(mine)
            return
        self._detoured = False
        self._take(opened)

    def _move_on(self, mine: os.stat_result | None) -> None:
        """Open what stands at the path now that our file does not, or make it."""
        vanished = mine is None or not mine.st_nlink
        if vanished:
            self._owed += self._recent
            self._recent.clear()
        try:
            opened = self._open_somewhere(mine)
        except OSError as error:
            if mine is None or vanished:
                self._bound = -1
                raise
            self._report("replaced", f"the log was moved and cannot be made anew at its path: {error.strerror}")
            self._still_here(mine)  # under another name, and so are our lines
            return
        self._report("replaced", "the log was removed, renamed or replaced: it was opened anew")
        self._take(opened)

    def _open_somewhere(self, like: os.stat_result | None) -> Opened:
        """Open the log at its path; if something else stands there, a new file under a backup's name."""
        try:
            opened = open_log(self._disk, self._path, self._report, like)
        except OSError as error:
            opened = self._detour(like, error)
            self._detoured = True
        else:
            self._detoured = False
        return opened

    def _detour(self, like: os.stat_result | None, why: OSError) -> Opened:
        for stamp_ms in self._stamps():
            path = self._family.backup(stamp_ms)
            try:
                opened = make_log(self._disk, path, self._report, like)
            except FileExistsError:
                continue
            except OSError:
                raise why from None
            self._newest_ms = stamp_ms
            self._report("detour", f"{self._path} cannot be written: {why.strerror}: events go to {path.name}")
            return opened
        raise why  # never reached: the moments do not end

    def _take(self, opened: Opened) -> None:
        """Go on in a file that was just opened."""
        self._drop_fd()
        self._file, self._fd, self._size = opened, opened.fd, opened.size
        self._recent.clear()
        self._just_opened = self._unsure = opened.size > 0

    def _drop_fd(self) -> None:
        fd, self._fd, self._bound = self._fd, -1, -1
        if fd >= 0:
            try:
                self._disk.close(fd)
            except OSError as error:  # a network file system may tell only now that it could not keep what it took
                self._report("close", f"closing a log file failed: {error.strerror}")
