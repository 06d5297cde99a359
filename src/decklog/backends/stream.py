"""Stream: the log that goes to standard output (``--audit-log-path -``): whole lines, and no file to look after."""

from __future__ import annotations

import errno
import os
import select
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from decklog.disk import Disk

PATIENCE_S: Final = 5.0
"""How long a reader that set the pipe to non-blocking may leave it full."""
_STDOUT: Final = 1


class Stream:
    """Lines to an open descriptor, which stays open: it is not ours. For any thread."""

    def __init__(self, disk: Disk, fd: int = _STDOUT, *, patience_s: float = PATIENCE_S) -> None:
        self._append = disk.append
        self._fd = fd
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._torn = False
        self.rotations = 0
        """Always 0."""

    def open(self) -> None:
        """Nothing to do: it is open."""

    def write(self, line: bytes) -> None:
        """Write a whole line. OSError: it is lost."""
        with self._lock:
            if self._torn:
                self._write_all(b"\n")
                self._torn = False
            self._write_all(line)

    def write_lines(self, lines: Sequence[bytes]) -> list[OSError]:
        """Write whole lines in order. Answers with an error for each that was lost."""
        errors = []
        for line in lines:
            try:
                self.write(line)
            except OSError as error:
                errors.append(error)
        return errors

    def check(self) -> None:
        """Nothing to look after."""

    def reopen(self) -> None:
        """Nothing to reopen."""

    def close(self) -> int:
        """Leave it open; nothing is owed."""
        return 0

    def _write_all(self, data: bytes) -> None:
        whole = len(data)
        while data:
            try:
                step = self._append(self._fd, data)
            except BlockingIOError:
                if select.select([], [self._fd], [], self._patience_s)[1]:
                    continue
                self._torn = self._torn or len(data) < whole
                raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from None
            except OSError:
                self._torn = self._torn or len(data) < whole
                raise
            data = data[step:]
