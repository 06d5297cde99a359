"""What the other writers of a store have stored, and what an earlier life of this one had.

A sender that got no answer sends its batch again, maybe to another process. So before a journal stores a group, it
reads what the others wrote into their checksum files since it last looked. What stands there is synced: it may be
acknowledged as a double at once. Two processes that store the same event at the same moment both keep it; compaction
and answers let one through. So it is, too, with what a neighbour that crashed has not yet computed again.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from decklog.store import checksums
from decklog.store.checksums import SUFFIX, End, Group

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from decklog.disk import Disk
    from decklog.store.recent import Recent

WINDOW_S: Final = 3600.0
"""How far back what an earlier life stored is remembered."""
_BYTES_A_KEY: Final = 21
"""What an event takes in a checksum file, at least."""

logger = logging.getLogger(__name__)


class Neighbours:
    """Reads checksum files into `recent`. For one thread. `folder` is the writer's own."""

    def __init__(self, disk: Disk, folder: Path, recent: Recent) -> None:
        self._disk = disk
        self._folder = folder
        self._recent = recent
        self._read: dict[Path, int] = {}
        """Up to where each file was read."""
        self._finished: dict[Path, set[str]] = {}
        """By folder, the files that nothing comes to any more: an hour of them may be there."""
        self._loaded = False

    def catch_up(self, now: float) -> None:
        """Read what is new; the first time, what was written in the hour before `now`, this writer's own included.

        What cannot be read is told, and tried again the next time: a double is the lesser evil.
        """
        try:
            if self._loaded:
                self._follow()
            else:
                self._load(now - WINDOW_S)
                self._loaded = True
        except OSError as error:
            logger.warning("what was stored lately cannot be read, doubles may be stored: %s", error)

    def _load(self, since: float) -> None:
        """Choose the newest files first, and read them last: they are to be forgotten last."""
        written = []
        for path in self._files(own=True):
            found = self._disk.stat(path)
            written.append((found.st_mtime, path, found.st_size))
            self._read[path] = found.st_size
        room = self._recent.capacity
        chosen = []
        for moment, path, size in sorted(written, reverse=True):
            if moment < since or room <= 0:
                break
            chosen.append(path)
            room -= size // _BYTES_A_KEY
        for path in reversed(chosen):
            self._read[path] = self._take(path, 0)

    def _follow(self) -> None:
        read: dict[Path, int] = {}
        for path in self._files(own=False):
            at = self._read.get(path, 0)
            try:
                read[path] = self._take(path, at) if self._disk.stat(path).st_size > at else at
            except FileNotFoundError:
                continue  # removed meanwhile
        self._read = read

    def _files(self, *, own: bool) -> Iterator[Path]:
        """Give the files that something may have come to."""
        for writer in self._disk.list(self._folder.parent):
            folder = self._folder.parent / writer
            if folder == self._folder and not own:
                continue
            try:
                names = {name for name in self._disk.list(folder) if name.endswith(SUFFIX)}
            except (FileNotFoundError, NotADirectoryError):
                continue
            finished = self._finished.setdefault(folder, set())
            finished &= names
            yield from (folder / name for name in sorted(names - finished))

    def _take(self, path: Path, at: int) -> int:
        """Take the groups from an offset on; gives the offset behind them."""
        for line in checksums.read_lines(self._disk, path, at):
            found = checksums.parse(line)
            if isinstance(found, Group):
                self._recent.add(list(found.each_key()))
            elif isinstance(found, End):
                self._finished[path.parent].add(path.name)
            at += len(line) + 1
        return at
