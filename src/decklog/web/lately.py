"""Lately: the last minutes of a large log, found from its end.

Lines are written when their stage ends, so their times rise, but for `DISORDER_S`. Only logs of kube-apiserver's own
lines are looked at so; others are read from their beginning.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO, Final

from decklog.ask.sifting import HEAD
from decklog.audit.times import microtime, nanoseconds
from decklog.sources.reader import records_of
from decklog.sources.record import Coverage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from decklog.audit.event import Event
    from decklog.sources.record import Record

DISORDER_S: Final = 60
"""Lines of several writers, and of a clock that was set, may stand so far from their place."""
_FIRST_STEP: Final = 1 << 20
_END: Final = 256 << 10


def offset_since(file: BinaryIO, since: str) -> int | None:
    """Find where to begin for what was written since a time (MicroTime); 0: the whole file may be asked for.

    None: this is no plain log of kube-apiserver's lines, and has to be read from its beginning.
    """
    size = _size_of_log(file)
    if size is None:
        return None
    wanted = _earlier(since)
    step = _FIRST_STEP
    while (start := size - step) > 0:
        offset, event = _event_behind(file, start)
        if event is not None and (event.stage_timestamp or since) < wanted:
            return offset
        step *= 4
    return 0


def last_event(file: BinaryIO) -> Event | None:
    """Give the event that a log ends with; None: it cannot be told from its end."""
    size = _size_of_log(file)
    if size is None:
        return None
    file.seek(max(0, size - _END))
    for line in reversed(file.read(_END).split(b"\n")):
        if (event := _event(line)) is not None:
            return event
    return None


def records_from(file: BinaryIO, name: str, offset: int) -> Iterator[Record]:
    """Read a log's lines from an offset on, which is the beginning of one. Numbers count from there."""
    file.seek(offset)
    coverage = Coverage()
    for number, line in enumerate(file, start=1):
        yield from records_of(line.rstrip(b"\r\n"), name, number, coverage)


def _size_of_log(file: BinaryIO) -> int | None:
    if not file.seekable():
        return None
    file.seek(0)
    return os.fstat(file.fileno()).st_size if file.read(len(HEAD)) == HEAD else None


def _event_behind(file: BinaryIO, start: int) -> tuple[int, Event | None]:
    """Give the first whole line behind an offset: where it begins, and its event, if it is one."""
    file.seek(start)
    file.readline()
    return file.tell(), _event(file.readline())


def _event(line: bytes) -> Event | None:
    if not line.startswith(HEAD):
        return None
    return next((record.event for record in records_of(line.rstrip(b"\r\n"), "", 1, Coverage())), None)


def _earlier(since: str) -> str:
    try:
        return microtime(nanoseconds(since) - DISORDER_S * 1_000_000_000)
    except ValueError:
        return ""
