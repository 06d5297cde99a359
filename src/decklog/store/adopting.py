"""Adopting: journals that nobody owns any more are ended, so that their newest segments can be sealed, too.

A writer ends its segment after an hour. One that never comes back (there were more workers once, a cluster has another
name, a machine was exchanged) leaves its newest segment open for ever, maybe torn by a kill: its events are in every
answer, but never compacted, and never deleted by age.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from decklog.errors import DecklogError
from decklog.store import writer_files
from decklog.store.open_segment import OpenSegment

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from decklog.disk import Disk
    from decklog.store.segment import Maintenance

UNOWNED_S: Final = 2 * 3600.0
"""How long nothing may have come to a journal before somebody else looks whether it has an owner."""

logger = logging.getLogger(__name__)


def adopt(work: Maintenance) -> list[Path]:
    """End the newest segments of journals without an owner; gives these. Raises OSError if journals cannot be listed.

    One that cannot be ended is told, and left for the next time.
    """
    journal = work.store / writer_files.JOURNAL
    try:
        writers = sorted(work.disk.list(journal))
    except FileNotFoundError:
        return []
    ended = []
    for writer in writers:
        try:
            ended += _end(work.disk, journal / writer, work.clock())
        except (OSError, DecklogError) as error:
            logger.warning("store: %s has no owner, and cannot be ended: %s", journal / writer, error)
    return ended


def _end(disk: Disk, folder: Path, now_s: float) -> list[Path]:
    try:
        numbers = writer_files.numbers(disk, folder)
        if not numbers or not _is_left(disk, folder, numbers, now_s):
            return []
    except (FileNotFoundError, NotADirectoryError):
        return []
    lock = writer_files.try_lock(disk, folder)
    if lock is None:
        return []  # its owner has nothing to store
    try:
        return _end_owned(disk, folder, now_s)
    finally:
        disk.close(lock)


def _is_left(disk: Disk, folder: Path, numbers: Sequence[int], now_s: float) -> bool:
    """Tell whether something is there to be ended, and nobody wrote lately."""
    newest = disk.stat(writer_files.segment_path(folder, numbers[-1]))
    if now_s - newest.st_mtime < UNOWNED_S:
        return False
    return newest.st_size > 0 or bool(_unfinished(disk, folder, numbers[:-1]))


def _unfinished(disk: Disk, folder: Path, numbers: Sequence[int]) -> list[Path]:
    paths = [writer_files.segment_path(folder, number) for number in numbers]
    return [path for path in paths if not writer_files.is_finished(disk, path)]


def _end_owned(disk: Disk, folder: Path, now_s: float) -> list[Path]:
    """Do what the next opening would do: repair, and begin a new segment, which keeps the number."""
    numbers = writer_files.numbers(disk, folder)
    cluster = writer_files.cluster_of(disk, folder)
    if cluster is None:
        return []
    for path in _unfinished(disk, folder, numbers):
        writer_files.repair(disk, path, cluster)
    newest = writer_files.segment_path(folder, numbers[-1])
    if not disk.stat(newest).st_size:
        return []
    OpenSegment(disk, writer_files.segment_path(folder, numbers[-1] + 1), now_s).finish()
    logger.info("store: the journal %s has no owner any more, and is ended", folder)
    return [newest]
