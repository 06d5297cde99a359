"""The watchdog: a process that puts the old manifest back if the one that waits for the API server ends before it.

A new manifest that nobody has seen serve must not stay because an SSH connection broke, or somebody killed the wait.
The watchdog is forked before anything is written, holds one end of a socket pair, and lives in a session of its own:
where the other end closes without the word that all is decided, it undoes what was written. Only who kills both leaves
the new manifest.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

from decklog.errors import DecklogError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_READY: Final = b"r"
_DECIDED: Final = b"d"


class Watchdog:
    """A context: `undo` is called, in a process of its own, if this process ends in it without `decided`.

    Enter it before threads, locks and event loops exist. `undo` has to do nothing where nothing was written.
    """

    def __init__(self, undo: Callable[[], str]) -> None:
        """`undo` gives what is to be said on stderr; empty: nothing."""
        self._undo = undo
        self._end: socket.socket | None = None
        self._child = 0

    def __enter__(self) -> Self:
        """Fork, and return when the watchdog is out of reach of our signals. Raises DecklogError if it cannot be."""
        sys.stdout.flush()
        sys.stderr.flush()
        ours, its = socket.socketpair()
        try:
            self._child = os.fork()
        except OSError as error:
            ours.close()
            its.close()
            raise DecklogError(f"no watchdog can be started: {error.strerror}: free processes, or memory") from None
        if self._child == 0:
            ours.close()
            self._watch(its)
        its.close()
        self._end = ours
        ours.recv(1)
        return self

    def decided(self) -> None:
        """Say that what is in place may stay, or that it was undone already; the watchdog is gone then."""
        if self._end is None:
            return
        with suppress(OSError):
            self._end.sendall(_DECIDED)
        self._let_go()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave: what was not decided is undone now, and waited for."""
        self._let_go()

    def _let_go(self) -> None:
        if self._end is None:
            return
        self._end.close()
        self._end = None
        with suppress(ChildProcessError):
            os.waitpid(self._child, 0)

    def _watch(self, end: socket.socket) -> None:
        """Wait for the word, or the end of who would have said it; never returns."""
        code = 1
        try:
            os.setsid()
            for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGPIPE):
                signal.signal(number, signal.SIG_IGN)
            end.sendall(_READY)
            word = end.recv(1)
            said = "" if word == _DECIDED else self._said()
            if said:
                os.write(2, f"decklog: {said}\n".encode("utf-8", "replace"))
            code = 0
        finally:
            os._exit(code)  # the parent's buffers and handlers are not ours to run down

    def _said(self) -> str:
        try:
            return self._undo()
        except DecklogError as error:
            return str(error)
