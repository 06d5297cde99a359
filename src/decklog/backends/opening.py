"""Opening a log for appending: what is taken, what is refused, and with which mode and owner a new one is made.

Only a plain file with one name is taken. A symbolic link, a second hard link, a FIFO or a device at the path may have
been put there by somebody who wants our lines, or our permissions, to go elsewhere.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from decklog.disk import Disk

    Report = Callable[[str, str], None]
    """report(kind, text): something went wrong that costs no event; kinds are listed in `failures`."""

PRIVATE: Final = 0o600
_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT
"""Readable, too: the last byte tells whether the last line is whole."""
_KINDS: Final = (
    (stat.S_ISLNK, "it is a symbolic link, which is not followed"),
    (stat.S_ISDIR, "it is a directory"),
    (stat.S_ISFIFO, "it is a FIFO"),
    (stat.S_ISSOCK, "it is a socket"),
    (stat.S_ISCHR, "it is a device"),
    (stat.S_ISBLK, "it is a device"),
)


@dataclass(frozen=True, slots=True)
class Opened:
    """A log that is open for appending."""

    fd: int
    identity: tuple[int, int]
    """Device and inode."""
    size: int


def identity(found: os.stat_result) -> tuple[int, int]:
    """Tell which file it is, whatever its names."""
    return found.st_dev, found.st_ino


def refusal(found: os.stat_result) -> str:
    """Say why a file is not taken as a log; empty: it is."""
    for is_kind, why in _KINDS:
        if is_kind(found.st_mode):
            return why
    if not stat.S_ISREG(found.st_mode):
        return "it is no plain file"
    if found.st_nlink > 1:
        return f"it has {found.st_nlink} names (hard links)"
    return "" if found.st_nlink else "it was removed just now"


def open_log(disk: Disk, path: Path, report: Report, like: os.stat_result | None = None) -> Opened:
    """Open the log at `path`; if it is missing make it (and its directories, 0700) with mode and owner of `like`.

    Raises OSError with the reason, also for what is refused.
    """
    made = not _stands(disk, path)
    try:
        fd = disk.open(path, _FLAGS, PRIVATE)
    except FileNotFoundError:
        _make_directories(disk, path.parent)
        fd = disk.open(path, _FLAGS, PRIVATE)
    return _examined(disk, fd, report, like if made else None)


def make_log(disk: Disk, path: Path, report: Report, like: os.stat_result | None) -> Opened:
    """Make a log at `path`, where nothing stands (else FileExistsError), with mode and owner of `like`."""
    return _examined(disk, disk.open(path, _FLAGS | os.O_EXCL, PRIVATE), report, like)


def _stands(disk: Disk, path: Path) -> bool:
    """Tell whether a file is there; raises OSError if it is one that is refused.

    Asked before opening, because opening alone can have effects on a device, and gives a worse reason.
    """
    try:
        found = disk.stat(path)
    except FileNotFoundError:
        return False
    _refuse(found)
    return True


def _refuse(found: os.stat_result) -> None:
    if why := refusal(found):
        raise OSError(errno.EINVAL, why)


def _examined(disk: Disk, fd: int, report: Report, like: os.stat_result | None) -> Opened:
    """Look at what was really opened: it may have been exchanged since we asked."""
    try:
        found = disk.fstat(fd)
        _refuse(found)
    except OSError:
        disk.close(fd)
        raise
    if like is not None:
        _inherit(disk, fd, found, like, report)
    return Opened(fd, identity(found), found.st_size)


def _inherit(disk: Disk, fd: int, found: os.stat_result, like: os.stat_result, report: Report) -> None:
    """Give a new file the mode and owner of its forerunner; a failure is told and costs nothing.

    Execute and set-id bits are not inherited: a log is never a program.
    """
    try:
        if (found.st_uid, found.st_gid) != (like.st_uid, like.st_gid):
            disk.set_owner(fd, like.st_uid, like.st_gid)
    except OSError as error:
        report("owner", f"the new log file could not be given the owner of the old one: {error.strerror}")
    try:
        if stat.S_IMODE(found.st_mode) != like.st_mode & 0o666:
            disk.set_mode(fd, like.st_mode & 0o666)
    except OSError as error:
        report("mode", f"the new log file could not be given the mode of the old one: {error.strerror}")


def _make_directories(disk: Disk, directory: Path) -> None:
    """Make the missing directories, each 0700 (os.makedirs gives its mode to the last one only)."""
    missing = []
    while True:
        try:
            disk.mkdir(directory, 0o700)
        except FileNotFoundError:
            missing.append(directory)
            directory = directory.parent
        except FileExistsError:
            break
        else:
            break
    for below in reversed(missing):
        disk.mkdir(below, 0o700)
