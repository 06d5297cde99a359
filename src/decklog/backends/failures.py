"""What went wrong, counted and told: a plugin's lost events, and troubles that cost none.

Counting stands here, at the plugin that fails, and not in the wrappings: so that an event is counted exactly once
whether its backend stands bare (blocking-strict), inside ``blocking<…>`` or in a union, as in kube-apiserver, where the
plugin itself calls HandlePluginError. Whoever raises DeliveryError has counted it.

A full disk under load fails thousands of times a second: each cause gets one line a minute, with a count. Lines hold
reasons and numbers, never events; of an exception that is no OSError only the type and the place are shown, since its
text may quote what it choked on.

Kinds of trouble (`Troubles.total`):

=============  ====================================================================================
``replaced``   the log was removed, renamed or replaced; it was opened anew at its path
``truncated``  the log was cut by somebody else
``torn``       a last line without newline was found and closed with one
``detour``     something that is no plain file stands at the path; events go to a backup name
``rotate``     a rotation failed; the file grows past its size
``owner``      a new file could not get the owner of the old one (``mode``: nor its mode)
``check``      the path could not be looked at, or what is left to finish could not be finished
``close``      closing a file failed
``compress``   a backup could not be packed (tried again after the next rotation)
``remove``     a backup or leftover could not be removed, or the directory not be listed
``clock``      the clock jumped: removal by age is held back
=============  ====================================================================================
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections import Counter
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from decklog.audit.sink import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Callable

    from decklog.metrics import AuditCounters

QUIET_S: Final = 60.0
"""How long a cause stays silent after it was told."""
_log = logging.getLogger(__name__)


class Notices:
    """One line a cause a minute, with a count. For any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._told: dict[str, float] = {}
        self._held: Counter[str] = Counter()

    def tell(self, cause: str, count: int = 1, level: int = logging.WARNING) -> None:
        """Tell it, or hold it back if the same `cause` was told less than a minute ago."""
        with self._lock:
            now = self._clock()
            if now - self._told.get(cause, -QUIET_S) < QUIET_S:
                self._held[cause] += count
                return
            held = self._held.pop(cause, 0)
            self._told[cause] = now
        counted = f" ({count + held} times)" if count + held > 1 else ""
        _log.log(level, "%s%s", cause, counted)

    def flush(self, *, everything: bool = False) -> None:
        """Tell what was held back and is due; `everything` at the end of a life."""
        with self._lock:
            now = self._clock()
            due = [cause for cause in self._held if everything or now - self._told[cause] >= QUIET_S]
            lines = [(cause, self._held.pop(cause)) for cause in due]
            self._told = {cause: at for cause, at in self._told.items() if now - at < QUIET_S or cause in self._held}
            self._told.update(dict.fromkeys(due, now))
        for cause, count in lines:
            _log.warning("%s (%d more times)", cause, count)


class Failures:
    """Counts and tells what one plugin lost."""

    def __init__(self, plugin: str, counters: AuditCounters, notices: Notices) -> None:
        self._plugin = plugin
        self._counters = counters
        self._notices = notices

    def lost(self, count: int, cause: BaseException | str) -> DeliveryError:
        """Count `count` events as failed (apiserver_audit_error_total), tell why, and give back what to raise."""
        self._counters.error_total[self._plugin] += count
        reason = cause if isinstance(cause, str) else reason_of(cause)
        self._notices.tell(f"audit backend {self._plugin}: events not stored: {reason}", count, logging.ERROR)
        return DeliveryError(self._plugin, count, reason)


class Troubles:
    """Counts and tells what went wrong without costing an event; called as ``troubles(kind, text)``."""

    def __init__(self, notices: Notices) -> None:
        self._notices = notices
        self.total: Counter[str] = Counter()
        """How often, by kind."""

    def __call__(self, kind: str, text: str) -> None:
        """Count and tell one."""
        self.total[kind] += 1
        self._notices.tell(f"audit log: {text}")


def reason_of(error: BaseException) -> str:
    """Say why, without anything that an event may have brought in."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {PurePath(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"
