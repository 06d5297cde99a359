"""Identities of events: which a store has, and which an answer has given already. Exact, without a bound.

For who adds much at a time to a store, long after it happened (import), and for answers, which give an event that is
stored twice once. `recent` is the bounded memory of a journal.

Memory is 16 to 20 bytes an event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from decklog.errors import DecklogError
from decklog.store import checksums, reading
from decklog.store.items import identity_of
from decklog.store.recent import KEY_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from decklog.disk import Disk
    from decklog.store.reading import JournalSegment

_BUCKETS: Final = 1 << 16
_ROWS: Final = 10_000


class Keys:
    """A set of identities; of each its first KEY_BYTES count."""

    def __init__(self) -> None:
        self._buckets: dict[int, bytearray] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, identity: bytes) -> bool:
        """Add one; False: it was here."""
        key = identity[:KEY_BYTES]
        bucket = self._buckets.setdefault(hash(key) % _BUCKETS, bytearray())
        if bucket.find(key) >= 0:  # across two keys, too: a collision of hashes like any other
            return False
        bucket += key
        self._size += 1
        return True

    def add_all(self, identities: Iterable[bytes]) -> None:
        """Add many."""
        for identity in identities:
            self.add(identity)


def add_journals(keys: Keys, store: Path, disk: Disk) -> None:
    """Add what stands in the journals of a store. Raises OSError."""
    for segment in reading.segments(store, disk):
        try:
            _add_segment(keys, segment, disk)
        except FileNotFoundError:
            continue  # sealed meanwhile


def _add_segment(keys: Keys, segment: JournalSegment, disk: Disk) -> None:
    """Take identities from the checksums, and compute those of lines that have none yet."""
    covered = 0
    for group in checksums.groups_of(disk, segment.path):
        keys.add_all(group.each_key())
        covered = group.end
    for _, line in reading.lines(segment, disk, covered):
        keys.add(identity_of(segment.cluster, line))


def add_parquet(keys: Keys, file: Path) -> None:
    """Add what stands in a segment's file. Raises DecklogError."""
    import duckdb  # noqa: PLC0415  # because: 30 ms, and a store that was never sealed has no such file

    with duckdb.connect(":memory:") as connection:
        try:
            connection.execute('SELECT "identity" FROM read_parquet(?, hive_partitioning = false)', [str(file)])
            while rows := connection.fetchmany(_ROWS):
                keys.add_all(identity for (identity,) in rows)
        except duckdb.Error as error:
            raise DecklogError(f"{file} cannot be read: decklog store check names the damage") from error
