"""The memory of what was stored lately: bounded, exact within its bound.

Identities stand in two sets, which compare a whole batch in one call. When the newer one is full, the older one goes,
and a new one begins. A batch as a whole is remembered for longer than its events: a sender that got no answer sends the
same batch again. An event that comes again after it was forgotten is stored a second time; compaction and answers let
one of the two through.

| | |
|---|---|
| events | the last 314,000 for certain, up to 628,000: `capacity`; 91 bytes each, taken as they come: 57 MB when full |
| batches | the last 100,000 for certain (40,000,000 events in batches of 400), up to 200,000; 18 MB when full |
| compared | 16 bytes of SHA-256: finding two events that agree takes 2^64 attempts |

kube-apiserver sends a batch again for at most 250 s: at any rate of events that a journal can take, its batches are
within the bound.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CAPACITY: Final = 628_000
"""Each half of it a little less than what would make a set double its table."""
BATCHES: Final = 200_000
KEY_BYTES: Final = 16
"""How much of an identity is compared."""


class Recent:
    """The identities of the last `capacity` events, about. For one journal; for one thread at a time."""

    def __init__(self, capacity: int = CAPACITY, batches: int = BATCHES) -> None:
        self.capacity = capacity
        self._events = _Halves(capacity)
        self._batches = _Halves(batches)

    def remember(self, keys: Sequence[bytes]) -> list[int]:
        """Give the places of those that are here already, and remember the others."""
        batch = {_name(keys)}
        if not self._batches.lacks(batch):
            return list(range(len(keys)))
        fresh = set(keys)
        if len(fresh) == len(keys) and self._events.lacks(fresh):
            doubled = []
            self._events.add(fresh)
        else:
            doubled = [place for place, key in enumerate(keys) if not self._events.add_one(key)]
        self._batches.add(batch)
        return doubled

    def forget(self, keys: Iterable[bytes], batches: Iterable[Sequence[bytes]] = ()) -> None:
        """Take back keys that `remember` was told, and batches of them: they were not stored.

        What had to make room for them stays forgotten.
        """
        self._events.discard(set(keys))
        self._batches.discard(set(map(_name, batches)))

    def add(self, keys: Sequence[bytes]) -> None:
        """Remember a batch, each key of KEY_BYTES."""
        self._events.add(set(keys))
        self._batches.add({_name(keys)})

    def __len__(self) -> int:
        return len(self._events)


def _name(keys: Sequence[bytes]) -> bytes:
    """Name a batch."""
    return hashlib.sha256(b"".join(keys)).digest()[:KEY_BYTES]


class _Halves:
    """Two sets of keys, the older of which goes when the newer one is full."""

    def __init__(self, capacity: int) -> None:
        self._most = max(1, capacity // 2)
        self._newer: set[bytes] = set()
        self._older: set[bytes] = set()

    def lacks(self, keys: set[bytes]) -> bool:
        """Tell whether none of them is here."""
        return self._newer.isdisjoint(keys) and self._older.isdisjoint(keys)

    def add(self, keys: set[bytes]) -> None:
        if len(self._newer) + len(keys) > self._most and self._newer:
            self._newer, self._older = set(), self._newer
        self._newer |= keys

    def add_one(self, key: bytes) -> bool:
        """Add one; False: it was here."""
        if key in self._newer or key in self._older:
            return False
        self.add({key})
        return True

    def discard(self, keys: set[bytes]) -> None:
        self._newer -= keys
        self._older -= keys

    def __len__(self) -> int:
        return len(self._newer | self._older)
