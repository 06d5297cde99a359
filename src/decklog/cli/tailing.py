"""Tailing: the answer that goes on: what comes into a log is asked as it comes, over rotations, until Ctrl-C."""

from __future__ import annotations

import signal
import sys
import threading
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from decklog.ask.requests import merge
from decklog.ask.rows import row
from decklog.cli.asking import Asking, matching, print_events
from decklog.cli.helm import INTERRUPTED
from decklog.cli.printing import printer
from decklog.cli.searching import tell
from decklog.errors import DecklogError
from decklog.sources.follow import Follower
from decklog.sources.places import STANDARD_INPUT, find
from decklog.sources.reader import read

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TextIO

    from decklog.audit.query import Query
    from decklog.cli.searching import Search

T = TypeVar("T")


def tail(search: Search, queries: tuple[Query, ...], *, events: bool, checkpoint: str | None, from_start: bool) -> None:
    """Answer with what comes; a request is printed when its last stage has come. Ends with 130 on Ctrl-C.

    Requests that are still open then are printed last. Raises DecklogError where there is nothing to follow.
    """
    if search.store:
        raise DecklogError("a store is not followed yet: follow the log with -f FILE, or ask the store again")
    if len(search.files) != 1:
        raise DecklogError("following is for one log: name one file")
    stop = threading.Event()
    asking = Asking(search, *queries)
    follower = None
    if search.files[0] == STANDARD_INPUT:
        stdin = sys.stdin.buffer if sys.stdin else BytesIO()
        records = read(find((STANDARD_INPUT,), stdin), asking.coverage, declared=search.declared)
    else:
        path = Path(search.files[0])
        if path.is_dir():
            raise DecklogError(f"{path} is a directory: name the log in it")
        if _is_missing(path):
            from_start = True  # whatever comes after these words is new, from its first byte
            tell(f"{path} is not there yet: waiting for it; Ctrl-C ends")
        follower = Follower(
            path,
            Path(checkpoint) if checkpoint else None,
            from_start=from_start,
            wait=stop.wait,
            stopped=stop.is_set,
            declared=search.declared,
        )
        asking.coverage = follower.coverage
        records = (record for batch in follower.batches() for record in batch.records)
        signal.signal(signal.SIGINT, lambda *_: stop.set())
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
    asking.expect()
    with printer(search.output, events=events) as out:
        out.streams = True
        if events:
            found = print_events(_flushed(matching(records, queries), out.out), out)
        else:
            found = out.rows(_flushed(map(row, merge(records, *queries)), out.out))
        out.also = asking.also(found=bool(found))
        out.finish(asking.coverage, search.since, search.until)
    asking.conclude(found=True)
    if stop.is_set():
        click.get_current_context().exit(INTERRUPTED)


def _is_missing(path: Path) -> bool:
    """Tell whether there is neither the log nor an older part of it."""
    try:
        return not path.exists() and not find([str(path)], BytesIO())
    except DecklogError:
        return True


def _flushed(values: Iterable[T], out: TextIO) -> Iterator[T]:
    """Pass values on; what was printed of one is out before the next is waited for."""
    for value in values:
        yield value
        out.flush()
