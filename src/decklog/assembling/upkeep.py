"""The upkeep of a store: sealing, compaction, retention and removal, as one round; and the rules of retention.

A command does one round, or a part of it; a process that serves does one from time to time.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from decklog.disk import Disk
from decklog.errors import DecklogError
from decklog.line_files import make_directories
from decklog.policy import keeping
from decklog.store.segment import GRACE_S, Maintenance
from decklog.store.writer_files import JOURNAL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from decklog.store.compaction import Compacted
    from decklog.store.parquet import Engine
    from decklog.store.retention import Rules
    from decklog.store.segment import Sealed


@dataclass(frozen=True, slots=True)
class Round:
    """What a round did."""

    deleted: int
    """Events that went by the rules."""
    left: tuple[str, ...]
    """What could not be sealed or compacted, and why."""


def make_store(path: Path) -> None:
    """Make the directory of a store. Raises DecklogError if it cannot be used."""
    try:
        make_directories(Disk(), path / JOURNAL)
    except OSError as error:
        raise DecklogError(f"--store {path}: {error.strerror}: give a directory that you may write") from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise DecklogError(f"--store {path}: it may not be written: give a directory that you may write")


@contextmanager
def maintaining(
    store: Path, disk: Disk, *, clock: Callable[[], float] = time.time, grace_s: float = GRACE_S
) -> Iterator[tuple[Maintenance, Engine]]:
    """Hold a store's lock, with DuckDB at hand. Raises DecklogError if somebody else holds it."""
    # Because: DuckDB takes 30 ms and more to import, and a door that keeps journals alone needs none.
    from decklog.store.parquet import engine  # noqa: PLC0415  # because: DuckDB, for who looks after a store

    with Maintenance(store, disk, clock=clock, grace_s=grace_s) as work, engine(work.aside) as ready:
        yield work, ready


def seal_and_compact(work: Maintenance, engine: Engine, *, all_days: bool = False) -> tuple[Sealed, Compacted, int]:
    """Do what deletes no event: seal, compact, remove files that count no more; gives how many of these went."""
    from decklog.store import compaction, segment  # noqa: PLC0415  # because: the same

    sealed = segment.seal(work, engine)
    compacted = compaction.compact(work, engine, all_days=all_days)
    return sealed, compacted, work.remove_dead()


def retention_rules(path: str | None, max_bytes: int | None = None, *, believe_clock: bool = False) -> Rules:
    """Read a retention file (None: nothing goes by age). Raises PolicyError, which is a DecklogError."""
    from decklog.store.retention import Rules  # noqa: PLC0415  # because: the same

    if path is None:
        return Rules(max_bytes=max_bytes, believe_clock=believe_clock)
    loaded = keeping.load(path)
    return Rules(loaded.keep, loaded.digest, max_bytes, believe_clock)


def round_of(store: Path, disk: Disk, rules: Rules | None = None, *, clock: Callable[[], float] = time.time) -> Round:
    """Do a whole round; with `rules`, delete by them. Raises OSError, DecklogError."""
    from decklog.store import retention  # noqa: PLC0415  # because: the same

    with maintaining(store, disk, clock=clock) as (work, ready):
        sealed, compacted, _ = seal_and_compact(work, ready)
        left = (*sealed.left, *compacted.left)
        if rules is None:
            return Round(0, left)
        return Round(retention.carry_out(work, ready, retention.plan(work, ready, rules), rules), left)
