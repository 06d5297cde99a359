"""A Disk whose n-th call fails, tears or kills, so that a test can walk through every step of a scenario."""

from __future__ import annotations

import os
import signal
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from decklog.disk import Disk

if TYPE_CHECKING:
    from collections.abc import Callable

OPERATIONS: Final = tuple(name for name in vars(Disk) if not name.startswith("_"))
DISK_FULL: Final = 28
"""ENOSPC"""
IO_ERROR: Final = 5
"""EIO"""


class FaultyDisk(Disk):
    """Counts its calls; the call `at` meets with `kind`.

    ``fail``: raises OSError(`code`) and does nothing (a close closes all the same). ``tear``: an append writes half and
    says so. ``full``: the same, and every append after it fails with ENOSPC until `freed`. ``kill``: the process ends
    there and then. ``kill torn``: an append writes half before. `only` counts calls of that operation alone.
    """

    def __init__(self, kind: str = "", at: int = 0, *, only: str = "", code: int = IO_ERROR) -> None:
        super().__init__()
        self._full = False
        self.arm(kind, at, only=only, code=code)
        for name in OPERATIONS:
            setattr(self, name, partial(self._call, name, getattr(self, name)))

    def arm(self, kind: str, at: int, *, only: str = "", code: int = IO_ERROR) -> None:
        """Count from here."""
        self.calls = 0
        self.met = ""
        self._kind, self._at, self._only, self._code = kind, at, only, code

    def freed(self) -> None:
        """Somebody made room."""
        self._full = False

    def _call(self, name: str, real: Callable[..., Any], *args: Any) -> Any:
        if name == "append" and self._full:
            raise OSError(DISK_FULL, os.strerror(DISK_FULL))
        if not self._only or name == self._only:
            self.calls += 1
            if self.calls == self._at:
                self.met = name
                return self._meet(name, real, *args)
        return real(*args)

    def _meet(self, name: str, real: Callable[..., Any], *args: Any) -> Any:
        if self._kind in {"tear", "full", "kill torn"} and name == "append":
            fd, data = args
            written = real(fd, data[: len(data) // 2])
            self._full = self._kind == "full"
            if self._kind == "kill torn":
                os.kill(os.getpid(), signal.SIGKILL)
            return written
        if self._kind.startswith("kill"):
            os.kill(os.getpid(), signal.SIGKILL)
        if self._kind != "fail":
            return real(*args)
        if name == "close":
            real(*args)
        raise OSError(self._code, os.strerror(self._code))
