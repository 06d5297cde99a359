"""Runs as a process of its own: ``tailing_reader.py LOG COUNT``: follows a log through its rotations, as shippers do.

It says that it is ready, then reads the file that stands at the path; when another stands there it reads the old one to
its end, then those backups that it has not seen, by name, then the new one. When it has read COUNT lines it prints how
many that were, in how many of them the number was not the next one, and how many files it has read to the end.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

DEADLINE_S = 600.0
_CHUNK = 1 << 16
_PAUSE_S = 0.02
"""Shippers poll, too; four that list a directory of thousands all the time would keep the writer from renaming."""


class Reader:
    """Counts lines that are not the next number."""

    def __init__(self, path: Path, count: int) -> None:
        self.path = path
        self.count = count
        self.next = 0
        self.wrong = 0
        self.files = 0
        self._rest = b""
        self._seen = ""
        """The last backup's name up to which all were read."""
        self._finished: set[int] = set()

    def follow(self) -> None:
        """Read until `count` lines came by."""
        give_up = time.monotonic() + DEADLINE_S
        fd = self._open()
        while self.next < self.count and not self.wrong and time.monotonic() < give_up:
            if self._read(fd):
                continue
            if self._moved(fd):
                self._finish(fd)
                time.sleep(_PAUSE_S)
                fd = self._open()
            else:
                time.sleep(_PAUSE_S)
        os.close(fd)

    def _open(self) -> int:
        """Open what stands at the path, after having read what was rotated before it."""
        give_up = time.monotonic() + DEADLINE_S
        while (fd := self._at_path()) < 0:
            if time.monotonic() > give_up:
                raise TimeoutError(f"nothing stands at {self.path}")
            time.sleep(_PAUSE_S)
        inode = os.fstat(fd).st_ino
        for name, backup in self._older(fd):
            if backup == inode:
                break
            if backup not in self._finished:
                self._finish(os.open(self.path.with_name(name), os.O_RDONLY))
            self._seen = name
        return fd

    def _older(self, fd: int) -> list[tuple[str, int]]:
        """List the backups that were not seen yet, with their inodes, up to the open file.

        A listing under way may miss a name that comes and show one that comes after it. What is older than the open
        file is complete if the open file is in it, or still stands at the path afterwards.
        """
        while True:
            with os.scandir(self.path.parent) as entries:
                found = [(entry.name, entry.inode()) for entry in entries if entry.name > self._seen]
            backups = sorted((name, inode) for name, inode in found if name != self.path.name)
            if os.fstat(fd).st_ino in {inode for _, inode in backups} or not self._moved(fd):
                return backups

    def _at_path(self) -> int:
        try:
            return os.open(self.path, os.O_RDONLY)
        except FileNotFoundError:
            return -1

    def _moved(self, fd: int) -> bool:
        try:
            return self.path.stat().st_ino != os.fstat(fd).st_ino
        except FileNotFoundError:
            return True

    def _finish(self, fd: int) -> None:
        """Read a rotated file to its end."""
        while self._read(fd):
            pass
        self.wrong += bool(self._rest)
        self._rest = b""
        self.files += 1
        self._finished.add(os.fstat(fd).st_ino)
        os.close(fd)

    def _read(self, fd: int) -> int:
        data = os.read(fd, _CHUNK)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for text in lines:
            self.wrong += text[: text.find(b",")] != b'{"n":%d' % self.next
            self.next += 1
        return len(data)


if __name__ == "__main__":
    reader = Reader(Path(sys.argv[1]), int(sys.argv[2]))
    print("ready", flush=True)
    reader.follow()
    print(reader.next, reader.wrong, reader.files)
