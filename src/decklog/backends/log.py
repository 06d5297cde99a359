"""The log backend: one line an event, into a rotating file or to standard output (spec §6.1, §6.3, §7).

| what | kube-apiserver | here | why |
|---|---|---|---|
| lost events are told | a line each, and the event | a line a cause a minute | no floods, no events in diagnostics |
| many events in a call | one write each | one for 32 lines, if they fit | the same bytes, fewer system calls |

Rotation and retention have tables of their own (`rotate`, `retention`).
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, Self

from decklog.audit.sink import DeliveryError
from decklog.backends.books import give_up
from decklog.backends.caretaker import Caretaker
from decklog.backends.failures import Failures, Notices, Troubles
from decklog.backends.log_options import LogOptions
from decklog.backends.retention import Limits, Retention
from decklog.backends.rotate import RotatingFile
from decklog.backends.stream import Stream
from decklog.disk import Disk
from decklog.metrics import Account

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from decklog.audit.event import Event
    from decklog.metrics import AuditCounters

    Sweep = Callable[[Callable[[], bool]], None]

__all__ = ["LogBackend", "LogOptions", "log_backend"]

STDOUT: Final = "-"
PLUGIN: Final = "log"
"""The name in apiserver_audit_error_total and in `str`."""
_MIB: Final = 1024 * 1024
_PIECE: Final = 32
"""Lines in a write of many."""


class LineWriter(Protocol):
    """Where lines go: a RotatingFile or a Stream."""

    rotations: int

    def open(self) -> None:
        """Start; DecklogError if it cannot be written."""

    def write(self, line: bytes) -> None:
        """Write a whole line; OSError: it is lost."""

    def write_lines(self, lines: Sequence[bytes]) -> list[OSError]:
        """Write whole lines in order; answer with an error for each that was lost."""
        ...

    def check(self) -> None:
        """Follow the file if it was moved."""

    def reopen(self) -> None:
        """Follow at once."""

    def close(self) -> int:
        """Finish; answer how many lines taken earlier were lost."""
        ...


class LogBackend:
    """Writes events as lines. `process` is synchronous: when it returns, the operating system has them.

    Books in `account` what is written, and what is not as ``failed`` or ``unencodable``.

    Raises DeliveryError after having tried every event of the call; it has counted them by then, so that wrappings
    need not and strict mode counts the same. Make one with `log_backend`.
    """

    def __init__(
        self,
        writer: LineWriter,
        encode: Callable[[Event], bytes],
        *,
        failures: Failures,
        troubles: Troubles,
        notices: Notices,
        sweep: Sweep,
        account: Account | None = None,
    ) -> None:
        self._writer = writer
        self._write = writer.write
        self._encode = encode
        self._failures = failures
        self._troubles = troubles
        self._notices = notices
        self._sweep = sweep
        self._account = account if account is not None else Account()
        self._swept = 0
        self._caretaker: Caretaker | None = None

    def __str__(self) -> str:
        return PLUGIN

    @property
    def troubles(self) -> Counter[str]:
        """What went wrong without costing an event, by kind (`failures` lists the kinds)."""
        return self._troubles.total

    def process(self, events: Sequence[Event]) -> None:
        """Write `events` in order."""
        try:
            (event,) = events  # nearly always: a request's stages come one by one
        except ValueError:
            pass
        else:
            try:
                self._write(self._encode(event))
            except OSError as error:
                raise self._lost(0, None, (error,)) from error
            except Exception as error:
                raise self._lost(1, error, ()) from error
            account = self._account
            account.in_flight -= 1
            account.delivered += 1
            return
        self._process_many(events)

    def _process_many(self, events: Sequence[Event]) -> None:
        lines = []
        encode = self._encode
        bad: Exception | None = None
        for event in events:
            try:
                lines.append(encode(event))
            except Exception as error:  # noqa: BLE001  # because: an event that nobody can encode hurts only itself
                bad = error
        errors = self._write_many(lines)
        written = len(lines) - len(errors)
        self._account.in_flight -= written
        self._account.delivered += written
        if errors or bad is not None:
            raise self._lost(len(events) - len(lines), bad, errors)

    def _write_many(self, lines: list[bytes]) -> Sequence[OSError]:
        """Write piece by piece: of a large one that does not fit, the writer would write every line by itself."""
        if len(lines) <= _PIECE:
            return self._writer.write_lines(lines) if lines else ()
        errors: list[OSError] = []
        for begin in range(0, len(lines), _PIECE):
            errors += self._writer.write_lines(lines[begin : begin + _PIECE])
        return errors

    def reopen(self) -> None:
        """Follow a renamed log at once: for SIGHUP, from `loop.add_signal_handler`. Loses and doubles nothing."""
        self._writer.reopen()

    async def __aenter__(self) -> Self:
        """Open the log and begin to look after it. Raises DecklogError if it cannot be written."""
        self._writer.open()
        self._caretaker = Caretaker(self._look, self._sweep)
        self._caretaker.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Finish what is being packed (for five seconds at most) and close."""
        try:
            if self._caretaker is not None:
                await asyncio.to_thread(self._caretaker.stop)
        finally:
            self._caretaker = None
            if unkept := self._writer.close():
                self._account.delivered -= unkept
                self._account.dropped["failed"] += unkept
                self._failures.lost(unkept, "the log was removed and could not be made anew")
            self._notices.flush(everything=True)

    def _lost(self, refused: int, bad: Exception | None, errors: Sequence[OSError]) -> DeliveryError:
        """Book and count each failure under its cause; one error tells of all."""
        give_up(self._account, refused, "unencodable")
        give_up(self._account, len(errors), "failed")
        told = [self._failures.lost(refused, bad)] if bad is not None else []
        told += [self._failures.lost(1, error) for error in errors]
        causes = dict.fromkeys(str(failure.cause) for failure in told)
        return DeliveryError(PLUGIN, sum(failure.lost for failure in told), "; ".join(causes))

    def _look(self) -> bool:
        self._writer.check()
        self._notices.flush()
        rotated = self._writer.rotations != self._swept
        self._swept = self._writer.rotations
        return rotated


def log_backend(
    options: LogOptions,
    encode: Callable[[Event], bytes],
    counters: AuditCounters,
    *,
    account: Account | None = None,
    disk: Disk | None = None,
    clock_ns: Callable[[], int] = time.time_ns,
) -> LogBackend:
    """Make the log backend that `options` ask for; `encode` gives an event's line with its newline."""
    disk = disk or Disk()
    notices = Notices()
    troubles = Troubles(notices)
    writer: LineWriter = Stream(disk)
    sweep: Sweep = _nothing_to_sweep
    if options.path != STDOUT:
        file = writer = RotatingFile(
            disk, options.path, max_bytes=options.max_size_mib * _MIB, report=troubles, clock_ns=clock_ns
        )
        sweep = _sweeping(file, options, disk, troubles, clock_ns)
    return LogBackend(
        writer,
        encode,
        failures=Failures(PLUGIN, counters, notices),
        troubles=troubles,
        notices=notices,
        sweep=sweep,
        account=account,
    )


def _sweeping(
    file: RotatingFile, options: LogOptions, disk: Disk, troubles: Troubles, clock_ns: Callable[[], int]
) -> Sweep:
    """Make what sweeps up behind `file`; without rotation there is nothing to sweep (spec §6.3)."""
    if not options.max_size_mib:
        return _nothing_to_sweep
    limits = Limits(options.max_backups, options.max_age_days, options.compress)
    retention = Retention(
        disk, Path(options.path), limits, in_use=lambda: file.identity, report=troubles, clock_ns=clock_ns
    )
    return retention.sweep


def _nothing_to_sweep(hurry: Callable[[], bool]) -> None:
    del hurry
