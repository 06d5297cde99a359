"""The caretaker: two threads beside a log, one that looks after the file, one that sweeps up behind it.

Threads and not tasks: a loop that is busy or blocked must not keep a removed log from being noticed, and packing 100 MB
takes seconds (zlib works outside the interpreter's lock).
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

LOOK_EVERY_S: Final = 0.25
"""Four looks within the second in which a removed log is to be noticed."""
SWEEP_EVERY_S: Final = 3600.0
DRAIN_S: Final = 5.0
"""How long a stop waits for packing; what is left is done after the next start."""
_log = logging.getLogger(__name__)


class Caretaker:
    """Runs `look` four times a second and `sweep` whenever `look` answers True, at the start, at the end and hourly.

    `sweep` is given a function that says whether to hurry, which it does when a stop has waited for `DRAIN_S`.
    """

    def __init__(
        self,
        look: Callable[[], bool],
        sweep: Callable[[Callable[[], bool]], None],
        *,
        look_every_s: float = LOOK_EVERY_S,
        drain_s: float = DRAIN_S,
    ) -> None:
        self._look = look
        self._sweep = sweep
        self._look_every_s = look_every_s
        self._drain_s = drain_s
        self._stopping = threading.Event()
        self._due = threading.Event()
        self._hurry_at = float("inf")
        self._threads = (
            threading.Thread(target=self._looking, name="decklog-log-look", daemon=True),
            threading.Thread(target=self._sweeping, name="decklog-log-sweep", daemon=True),
        )

    def start(self) -> None:
        """Begin, with a sweep."""
        self._due.set()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Sweep up what is due, for `drain_s` at most, and end. Blocks."""
        self._hurry_at = time.monotonic() + self._drain_s
        self._stopping.set()
        self._due.set()
        for thread in self._threads:
            thread.join()

    def _looking(self) -> None:
        while not self._stopping.wait(self._look_every_s):
            try:
                if self._look():
                    self._due.set()
            except Exception:  # noqa: BLE001  # because: whatever it was, the next look must come
                _log.exception("audit log: looking after the log failed")

    def _sweeping(self) -> None:
        last = False
        while not last:
            self._due.wait(SWEEP_EVERY_S)
            self._due.clear()
            last = self._stopping.is_set()  # asked before sweeping: what was rotated before the stop is swept
            try:
                self._sweep(self._is_late)
            except Exception:  # noqa: BLE001  # because: whatever it was, the next sweep must come
                _log.exception("audit log: sweeping up failed")

    def _is_late(self) -> bool:
        return time.monotonic() > self._hurry_at
