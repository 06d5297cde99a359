"""The file system as an object. Lives in the cellar: knows nothing of audit.

Whatever writes evidence takes a `Disk` and does all of its file work through it. A test hands over a subclass whose
n-th call fails, tears or kills the process, and so walks through every step of a rotation (`tests/test_disk.py` and
`tests/backends/faulty_disk.py` show how). One method is one system call or nearly so; each raises OSError as `os` does.

No method follows a symbolic link in the last part of a path: whoever may create names beside a log must not be able to
turn our writing elsewhere.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_ALWAYS: Final = os.O_CLOEXEC | os.O_NOFOLLOW | getattr(os, "O_NONBLOCK", 0)
"""O_NONBLOCK: opening a FIFO that somebody put in a file's place must not hang; plain files ignore it."""
_NOREPLACE: Final = 1
"""RENAME_NOREPLACE of renameat2(2)."""
_AT_FDCWD: Final = -100
_NOT_OFFERED: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM})
"""What renameat2 answers where kernel, file system (NFS) or sandbox does not offer RENAME_NOREPLACE."""


class Disk:
    """The real file system."""

    def __init__(self) -> None:
        self._renameat2 = _load_renameat2()

    append = staticmethod(os.write)
    """append(fd, data) → bytes written, one write(2): may be fewer than asked (a disk that fills).

    On a descriptor opened with O_APPEND it lands at the end in one piece. It is `os.write` itself, so that the hot path
    pays for no frame of ours.
    """

    def open(self, path: Path, flags: int, mode: int = 0o600) -> int:
        """Open; close-on-exec, never through a symbolic link (ELOOP), never waiting for a FIFO's other end."""
        return os.open(path, flags | _ALWAYS, mode)

    def close(self, fd: int) -> None:
        """Give the descriptor back."""
        os.close(fd)

    def read_at(self, fd: int, size: int, offset: int) -> bytes:
        """Read up to `size` bytes from `offset`, without moving anything."""
        return os.pread(fd, size, offset)

    def fstat(self, fd: int) -> os.stat_result:
        """Tell about an open file; `st_nlink` 0: it has no name any more."""
        return os.fstat(fd)

    def stat(self, path: Path) -> os.stat_result:
        """Tell about what stands at `path`; of a symbolic link, about the link."""
        return path.lstat()

    def list(self, directory: Path) -> Sequence[str]:
        """List the names in a directory, unordered."""
        return os.listdir(directory)  # noqa: PTH208  # because: the names are wanted, thousands of them, not paths

    def datasync(self, fd: int) -> None:
        """Return when the file's bytes and length are on the device."""
        _datasync(fd)

    def truncate(self, fd: int, size: int) -> None:
        """Cut the file to `size` bytes."""
        os.ftruncate(fd, size)

    def sync_dir(self, directory: Path) -> None:
        """Return when the directory's names are on the device."""
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def rename(self, old: Path, new: Path) -> None:
        """Rename; what stood at `new` is gone."""
        old.replace(new)

    def rename_noreplace(self, old: Path, new: Path) -> None:
        """Rename; FileExistsError if anything stands at `new`, even if it came a moment ago."""
        if self._renameat2 is None or not self._renameat2(old, new):
            _rename_with_placeholder(old, new)

    def unlink(self, path: Path) -> None:
        """Remove a name."""
        path.unlink()

    def mkdir(self, path: Path, mode: int) -> None:
        """Make one directory."""
        path.mkdir(mode)

    def set_mode(self, fd: int, mode: int) -> None:
        """Set the permission bits of an open file."""
        os.fchmod(fd, mode)

    def set_owner(self, fd: int, uid: int, gid: int) -> None:
        """Set owner and group of an open file."""
        os.fchown(fd, uid, gid)

    def set_times(self, fd: int, accessed_ns: int, modified_ns: int) -> None:
        """Set the times of an open file, in nanoseconds since 1970."""
        os.utime(fd, ns=(accessed_ns, modified_ns))


_datasync: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)  # not every Unix has fdatasync


def _load_renameat2() -> Callable[[Path, Path], bool] | None:
    """Find renameat2(2); None where the C library has none (macOS, old musl)."""
    import ctypes  # noqa: PLC0415  # because: 6 ms, a fifth of a command's start, and only who writes logs needs it

    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is None:
        return None

    def renameat2(old: Path, new: Path) -> bool:
        """Rename without replacing; False where that is not offered."""
        if function(_AT_FDCWD, os.fsencode(old), _AT_FDCWD, os.fsencode(new), _NOREPLACE) == 0:
            return True
        code = ctypes.get_errno()
        if code in _NOT_OFFERED:
            return False
        raise OSError(code, os.strerror(code), str(old), None, str(new))

    return renameat2


def _rename_with_placeholder(old: Path, new: Path) -> None:
    """Take the name `new` with an empty file, which only one can, and rename over that.

    A kill in between leaves the empty file; a link(2) instead would leave the log with two names.
    """
    os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _ALWAYS, 0o600))
    try:
        old.rename(new)
    except OSError:
        new.unlink()
        raise
