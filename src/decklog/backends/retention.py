"""Retention: which backups are removed, which are packed, and doing it so that a kill at any point loses nothing.

`condemned` decides (pure); `Retention.sweep` does. Order is the order of the names' times, which `rotate` never lets
run backwards. Removal by age is held back for a day after the wall clock jumped by more than an hour against the
monotonic one, and never touches names from before 2014, which only a clock that was not set yet gives. A log that is
still being written is never touched, whatever its name.

Packing writes a hidden temporary file, brings it to the device, gives it its name, and only then removes the original.
A kill leaves the temporary file (removed at the next sweep) or both files (packed again at the next sweep).

| what happens | kube-apiserver (lumberjack) | here | why |
|---|---|---|---|
| a failed removal or packing | not a word | counted, logged, tried again | a full disk has a cause |
| packing | straight into the ``.gz``, readers see it grow | whole or not at all, synced | a kill left half a file |
| a backup that grows while it is packed | what came late is lost | not packed yet | the same |
| the clock jumps | removes by it | held back, see above | the same |
| when | at the first write and after each rotation | the same, and every hour | a quiet log ages, too |
| time of a packed file | the time of packing | the original's | tools sort by it |
"""

from __future__ import annotations

import os
import stat
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from decklog.backends.backup_names import Backup, Family, packed_path, packing_path
from decklog.backends.opening import identity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from decklog.backends.opening import Report
    from decklog.disk import Disk

DAY_MS: Final = 24 * 3600 * 1000
JUMP_NS: Final = 3600 * 1_000_000_000
"""How far the wall clock may run from the monotonic one between two sweeps."""
DISTRUST_NS: Final = 24 * 3600 * 1_000_000_000
"""How long removal by age is held back after a jump."""
UNSET_CLOCK_MS: Final = 1_388_534_400_000
"""2014: there was no Kubernetes before, so the clock was not set."""
_CHUNK_BYTES: Final = 256 * 1024
_GZIP_WINDOW: Final = 31
"""zlib's way of saying: gzip header and trailer."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What is kept of rotated files; zero: no limit."""

    max_backups: int = 0
    max_age_days: int = 0
    compress: bool = False


def condemned(stamps_ms: Iterable[int], limits: Limits, now_ms: int | None) -> set[int]:
    """Choose the backups to remove, by the times in their names; `now_ms` None: the clock is not trusted."""
    newest_first = sorted(set(stamps_ms), reverse=True)
    gone = set(newest_first[limits.max_backups :]) if limits.max_backups else set()
    if limits.max_age_days and now_ms is not None:
        oldest_kept_ms = now_ms - limits.max_age_days * DAY_MS
        gone.update(stamp for stamp in newest_first if UNSET_CLOCK_MS <= stamp < oldest_kept_ms)
    return gone


class Retention:
    """Removes and packs the backups of one log. For one thread; `in_use` tells which file is being written."""

    def __init__(
        self,
        disk: Disk,
        path: Path,
        limits: Limits,
        *,
        in_use: Callable[[], tuple[int, int]],
        report: Report,
        clock_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._disk = disk
        self._family = Family.of(path.absolute())
        self._limits = limits
        self._in_use = in_use
        self._report = report
        self._clock_ns = clock_ns
        self._monotonic_ns = monotonic_ns
        self._ahead_ns = clock_ns() - monotonic_ns()
        self._trusted_from_ns = monotonic_ns()

    def sweep(self, hurry: Callable[[], bool] = lambda: False) -> None:
        """Remove and pack what is due; stop at the next chunk when `hurry` says so. Reports every OSError."""
        if self._limits == Limits():
            return  # nothing will ever be due, and listing thousands of backups takes time
        try:
            members = [member for member in self._family.members(self._disk) if self._is_ours_to_touch(member)]
        except OSError as error:
            self._report("remove", f"the log's directory cannot be listed: {error.strerror}")
            return
        backups = [member for member in members if not member.leftover]
        gone = condemned((backup.stamp_ms for backup in backups), self._limits, self._trusted_now_ms())
        for member in members:
            if member.leftover or member.stamp_ms in gone:
                self._remove(member.path)
        if self._limits.compress:
            for backup in backups:
                if backup.stamp_ms not in gone and not backup.packed and not hurry():
                    self._pack(backup.path, hurry)

    def _is_ours_to_touch(self, member: Backup) -> bool:
        """Only plain files, and not the one that is being written."""
        try:
            found = self._disk.stat(member.path)
        except FileNotFoundError:
            return False
        return stat.S_ISREG(found.st_mode) and identity(found) != self._in_use()

    def _trusted_now_ms(self) -> int | None:
        now_ns, monotonic_ns = self._clock_ns(), self._monotonic_ns()
        ahead_ns = now_ns - monotonic_ns
        if abs(ahead_ns - self._ahead_ns) > JUMP_NS:
            self._trusted_from_ns = monotonic_ns + DISTRUST_NS
            self._report("clock", "the clock jumped by more than an hour: no backup is removed by age for a day")
        self._ahead_ns = ahead_ns
        return now_ns // 1_000_000 if monotonic_ns >= self._trusted_from_ns else None

    def _remove(self, path: Path) -> None:
        try:
            self._disk.unlink(path)
        except FileNotFoundError:
            pass
        except OSError as error:
            self._report("remove", f"a rotated log could not be removed: {error.strerror}")

    def _pack(self, path: Path, hurry: Callable[[], bool]) -> None:
        temporary = packing_path(path)
        try:
            if not pack(self._disk, path, temporary, hurry):
                return
            self._disk.rename(temporary, packed_path(path))
            self._disk.sync_dir(self._family.directory)
            self._disk.unlink(path)
        except OSError as error:
            self._report("compress", f"a rotated log could not be compressed: {error.strerror}")
            self._remove(temporary)


def pack(disk: Disk, path: Path, temporary: Path, hurry: Callable[[], bool]) -> bool:
    """Write the file at `path`, packed, to `temporary` and bring it to the device; False: gave up to hurry.

    Raises OSError; a temporary file is left to the caller, unless it gave up.
    """
    source = disk.open(path, os.O_RDONLY)
    try:
        target = disk.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            done = _copy_packed(disk, source, target, hurry)
        finally:
            disk.close(target)
    finally:
        disk.close(source)
    if not done:
        disk.unlink(temporary)
    return done


def _copy_packed(disk: Disk, source: int, target: int, hurry: Callable[[], bool]) -> bool:
    """Pack an open file into another, with its mode, owner and times."""
    packer = zlib.compressobj(wbits=_GZIP_WINDOW)
    offset = 0
    while chunk := disk.read_at(source, _CHUNK_BYTES, offset):
        if hurry():
            return False
        offset += len(chunk)
        _append_all(disk, target, packer.compress(chunk))
    _append_all(disk, target, packer.flush())
    found = disk.fstat(source)
    if found.st_size != offset:
        raise OSError(None, "it is still being written")
    fresh = disk.fstat(target)
    if (fresh.st_uid, fresh.st_gid) != (found.st_uid, found.st_gid):
        disk.set_owner(target, found.st_uid, found.st_gid)
    disk.set_mode(target, stat.S_IMODE(found.st_mode))
    disk.set_times(target, found.st_atime_ns, found.st_mtime_ns)
    disk.datasync(target)
    return True


def _append_all(disk: Disk, fd: int, data: bytes) -> None:
    while data:
        data = data[disk.append(fd, data) :]
