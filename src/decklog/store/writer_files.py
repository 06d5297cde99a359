"""A writer's folder: names, lock, the cluster's name, and the repair of what a crash left.

``DIR/journal/<writer>/`` holds ``NNNNNNNNNN.ndjson`` with ``.sums`` beside each, ``cluster`` and ``lock``. A number is
never used twice: the newest segment always stays, and no other is ever written to. Checksums outlive a sealed segment
by an hour: they hold the identities of what was stored lately. What a crash tore off is kept in ``NNNNNNNNNN.torn``, if
there is room: it was never acknowledged.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from decklog import line_files
from decklog.errors import DecklogError
from decklog.store import checksums
from decklog.store.checksums import End, Group, sums_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from decklog.disk import Disk

JOURNAL: Final = "journal"
"""The directory of a store that holds a folder for each writer."""
SUFFIX: Final = ".ndjson"
TORN: Final = ".torn"
CLUSTER: Final = "cluster"
LOCK: Final = "lock"
LOCK_WAIT_S: Final = 1.0
"""Maintenance looks for a moment whether a journal has an owner."""
_LOCK_AGAIN_S: Final = 0.02
_DIGITS: Final = 10
_CHUNK: Final = 1 << 20
_NAME_BYTES: Final = 4096
_LEVELS: Final = 3
"""Folder, journal, store."""
_FRESH: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Repaired:
    """What was done to a segment that was not finished, or found out about it."""

    path: Path
    cut: int
    """Bytes torn off at the end, which nobody was told are stored."""
    recomputed: int
    """Events whose checksums were missing."""
    missing: int
    """Bytes that were stored and are gone: damage."""
    events: int


def segment_path(folder: Path, number: int) -> Path:
    """Give the path of a segment."""
    return folder / f"{number:0{_DIGITS}d}{SUFFIX}"


def numbers(disk: Disk, folder: Path) -> list[int]:
    """List the segments of a folder, oldest first. Raises OSError."""
    return sorted(
        int(name[:_DIGITS])
        for name in disk.list(folder)
        if name.endswith(SUFFIX) and len(name) == _DIGITS + len(SUFFIX) and name[:_DIGITS].isdigit()
    )


def make_folder(disk: Disk, folder: Path) -> None:
    """Make a folder and its missing parents, each 0700, durably. Raises OSError.

    The names of folder, journal and store are synced even if they are there: who made them may have been killed.
    """
    made = 0
    at = folder
    while not _exists(disk, at):
        made += 1
        at = at.parent
    line_files.make_directories(disk, folder)
    for level, parent in enumerate(folder.parents):
        if level < made:
            disk.sync_dir(parent)
        elif level < _LEVELS:
            with contextlib.suppress(PermissionError):  # not ours, then not made by us
                disk.sync_dir(parent)


def take_lock(disk: Disk, folder: Path, wait_s: float = LOCK_WAIT_S) -> int:
    """Take the folder for this process; gives what to close. Raises DecklogError if another one has it for `wait_s`."""
    began = time.monotonic()
    told = False
    while (fd := try_lock(disk, folder)) is None:
        waited_s = time.monotonic() - began
        if waited_s >= wait_s:
            raise DecklogError(f"the journal {folder} is in use by another process: give each its own")
        if waited_s > LOCK_WAIT_S and not told:
            told = True
            logger.warning("journal: %s is in use by another process: waiting for its end", folder)
        time.sleep(_LOCK_AGAIN_S)
    return fd


def try_lock(disk: Disk, folder: Path) -> int | None:
    """Take the folder for this process; gives what to close. None: another one has it. Raises OSError."""
    fd = disk.open(folder / LOCK, os.O_RDWR | os.O_CREAT)
    try:
        free = line_files.lock(fd)
    except OSError:
        disk.close(fd)
        raise
    if not free:
        disk.close(fd)
        return None
    return fd


def claim(disk: Disk, folder: Path, cluster: str) -> None:
    """Write the cluster's name, or hold it against the one that is there. Raises DecklogError, OSError."""
    there = cluster_of(disk, folder)
    if there is None:
        replace(disk, folder / CLUSTER, cluster.encode() + b"\n")
    elif there != cluster:
        raise DecklogError(
            f"the journal {folder} belongs to the cluster {there!r}, not {cluster!r}: give each cluster its own"
        )


def cluster_of(disk: Disk, folder: Path) -> str | None:
    """Read the cluster's name; None: nobody wrote it yet. Raises OSError."""
    try:
        fd = disk.open(folder / CLUSTER, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        return disk.read_at(fd, _NAME_BYTES, 0).removesuffix(b"\n").decode("utf-8", "replace")
    finally:
        disk.close(fd)


def replace(disk: Disk, path: Path, data: bytes) -> None:
    """Write a file in one step: it holds what it held, or `data`. Raises OSError."""
    fresh = path.with_name(f"{path.name}.new")
    fd = disk.open(fresh, _FRESH)
    try:
        line_files.write_whole(disk, fd, data)
        disk.datasync(fd)
    finally:
        disk.close(fd)
    disk.rename(fresh, path)
    disk.sync_dir(path.parent)


def remove(disk: Disk, segment: Path) -> None:
    """Remove a segment that was sealed. Raises OSError if that cannot be done.

    Its checksums stay for a while: who stores the same event again must find it there. Never the newest of a folder:
    its number must stay.
    """
    disk.unlink(segment)
    with contextlib.suppress(OSError):
        disk.unlink(segment.with_suffix(TORN))


def remove_stale_sums(disk: Disk, folder: Path, before: float) -> None:
    """Remove checksums last written before a moment whose segment is gone. What cannot be removed stays."""
    with contextlib.suppress(OSError):
        names = set(disk.list(folder))
        for name in names:
            if name.endswith(checksums.SUFFIX) and name.removesuffix(checksums.SUFFIX) + SUFFIX not in names:
                with contextlib.suppress(OSError):
                    if disk.stat(folder / name).st_mtime < before:
                        disk.unlink(folder / name)


def is_finished(disk: Disk, segment: Path) -> bool:
    """Tell whether a segment is whole and has its checksums. Raises OSError."""
    end = checksums.end_of(disk, segment)
    return end is not None and end.size == disk.stat(segment).st_size


def repair(disk: Disk, segment: Path, cluster: str) -> Repaired:
    """Cut off what was never acknowledged, compute missing checksums, finish the segment; tell of it. Raises OSError.

    Lines that have a checksum were synced before it was written. Of the others, those up to the first hole (a NUL: the
    disk has a later write, not an earlier one) are kept; whole lines of the last group may be among them that nobody
    was told about, and that is as good.
    """
    groups = checksums.groups_of(disk, segment)
    end = checksums.end_of(disk, segment)
    fd = disk.open(segment, os.O_RDWR)
    try:
        size = disk.fstat(fd).st_size
        recorded = max(end.size if end else 0, groups[-1].end if groups else 0)
        groups = [group for group in groups if group.end <= size]
        covered = groups[-1].end if groups else 0
        good = _good_end(disk, fd, covered, size)
        if good != size:
            _keep_torn(disk, fd, segment, good, size)
            disk.truncate(fd, good)
        disk.datasync(fd)  # what is only in memory yet must not be taken for stored: a resend of it would be dropped
        fresh = list(checksums.compute(disk, fd, covered, good, cluster))
    finally:
        disk.close(fd)
    _write_sums(disk, segment, (*groups, *fresh), good)
    recomputed = sum(group.count for group in fresh)
    events = recomputed + sum(group.count for group in groups)
    done = Repaired(segment, size - good, recomputed, max(0, recorded - size), events)
    _tell(done)
    return done


def _tell(done: Repaired) -> None:
    if done.cut:
        logger.warning("journal: %d bytes that were never acknowledged are cut off %s", done.cut, done.path)
    if done.missing:
        logger.error("journal: %d bytes that were stored are missing at the end of %s", done.missing, done.path)
    if done.recomputed:
        logger.info("journal: the checksums of %d events in %s are computed again", done.recomputed, done.path)


def _write_sums(disk: Disk, segment: Path, groups: Sequence[Group], size: int) -> None:
    end = End(size, sum(group.count for group in groups))
    replace(disk, sums_of(segment), b"".join(map(checksums.group_line, groups)) + checksums.end_line(end))


def _good_end(disk: Disk, fd: int, start: int, size: int) -> int:
    """Find the end of the last whole line before a hole, or before the end."""
    good = at = start
    while at < size and (chunk := disk.read_at(fd, min(_CHUNK, size - at), at)):
        hole = chunk.find(b"\0")
        newline = chunk.rfind(b"\n", 0, hole if hole >= 0 else len(chunk))
        if newline >= 0:
            good = at + newline + 1
        if hole >= 0:
            break
        at += len(chunk)
    return good


def _keep_torn(disk: Disk, fd: int, segment: Path, start: int, end: int) -> None:
    """Keep what is cut off, if that can be done."""
    with contextlib.suppress(OSError):
        out = disk.open(segment.with_suffix(TORN), _FRESH)
        try:
            at = start
            while at < end and (chunk := disk.read_at(fd, min(_CHUNK, end - at), at)):
                line_files.write_whole(disk, out, chunk)
                at += len(chunk)
        finally:
            disk.close(out)


def _exists(disk: Disk, path: Path) -> bool:
    try:
        disk.stat(path)
    except FileNotFoundError:
        return False
    return True
