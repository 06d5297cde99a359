"""Files of lines: the moves that spool, intents, log and journal share. A line without its newline was never taken.

Lives in the cellar: knows nothing of audit.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

    from decklog.disk import Disk

_CHUNK: Final = 1 << 18
_TAKEN: Final = frozenset({errno.EWOULDBLOCK, errno.EACCES})


def make_directories(disk: Disk, directory: Path) -> None:
    """Make the missing directories, each 0700. Raises OSError where none can be made."""
    try:
        disk.mkdir(directory, 0o700)
    except FileExistsError:
        return
    except FileNotFoundError:
        make_directories(disk, directory.parent)
        with contextlib.suppress(FileExistsError):
            disk.mkdir(directory, 0o700)  # once: below /proc or a dangling link the parent is there, and it fails again


def lock(fd: int) -> bool:
    """Take the file for this process, for as long as `fd` is open; False: another one has it."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _TAKEN:
            raise
        return False
    return True


def unlock(fd: int) -> None:
    """Let others take the file again, while it stays open."""
    with contextlib.suppress(OSError):  # it may be closed, or there are no locks here
        fcntl.flock(fd, fcntl.LOCK_UN)


def write_whole(disk: Disk, fd: int, data: bytes) -> None:
    """Append all of `data`, in as many writes as it takes."""
    while data:
        data = data[disk.append(fd, data) :]


def cut_torn_end(disk: Disk, fd: int) -> int:
    """Cut off a last line that has no newline; gives the number of bytes that went."""
    size = end = disk.fstat(fd).st_size
    while end:
        start = max(0, end - _CHUNK)
        newline = disk.read_at(fd, end - start, start).rfind(b"\n")
        end = start + newline + 1
        if newline >= 0:
            break
    if end != size:
        disk.truncate(fd, end)
        disk.datasync(fd)
    return size - end


def count_lines(disk: Disk, fd: int, offset: int) -> tuple[int, int]:
    """Count lines and bytes from `offset` on."""
    lines, at = 0, offset
    while chunk := disk.read_at(fd, 1 << 20, at):
        lines += chunk.count(b"\n")
        at += len(chunk)
    return lines, at - offset


def read_lines(disk: Disk, fd: int, start: int, end: int, *, count: int, size_bytes: int) -> list[bytes]:
    """Read whole lines between two offsets: at most `count`, about `size_bytes`, at least one however long it is."""
    data = bytearray()
    newlines = 0
    while newlines < count and (not newlines or len(data) < size_bytes) and start + len(data) < end:
        chunk = disk.read_at(fd, min(_CHUNK, end - start - len(data)), start + len(data))
        if not chunk:
            break
        newlines += chunk.count(b"\n")
        data += chunk
    return bytes(data).split(b"\n")[:-1][:count]
