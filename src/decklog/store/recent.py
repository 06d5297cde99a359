"""The memory of what was stored lately: bounded, exact within its bound.

Identities are spread by their hash over buckets; each bucket forgets its oldest when it is full. So memory has
a bound, and there is no moment at which much is forgotten. An event that comes again after it was forgotten is stored
a second time; compaction and answers let one of the two through.

| | |
|---|---|
| held | `capacity` identities, by default 2,097,152 (580 events/s for an hour, 5,000 events/s for 7 minutes) |
| memory | 20 bytes each, taken as they come: 42 MB when full |
| forgotten | nothing within the last half of `capacity`; then by chance of the bucket, oldest first |
| compared | 16 bytes of SHA-256: finding two events that agree takes 2^64 attempts |

kube-apiserver sends a batch again for at most 250 s, hence 5,000 events/s are within the bound.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

CAPACITY: Final = 1 << 21
KEY_BYTES: Final = 16
"""How much of an identity is compared."""
_BUCKET_KEYS: Final = 64
_BUCKET_BYTES: Final = _BUCKET_KEYS * KEY_BYTES


class Recent:
    """The identities of the last `capacity` events, about. For one journal; for one thread at a time."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._count = max(1, capacity // _BUCKET_KEYS)
        self._buckets = [bytearray() for _ in range(self._count)]
        self.capacity = self._count * _BUCKET_KEYS

    def remember(self, keys: Iterable[bytes]) -> list[int]:
        """Give the places of those that are here already, and remember the others.

        A bucket is searched without regard to where a key begins in it: a find across two keys is a collision of hashes
        like any other. Telling and remembering is one step because each touches memory that is far away (0.4 µs).
        """
        buckets, count = self._buckets, self._count
        doubled: list[int] = []
        for place, key in enumerate(keys):
            bucket = buckets[hash(key) % count]  # which nobody can foresee: no sender can fill a bucket on purpose
            if key in bucket:
                doubled.append(place)
                continue
            bucket += key
            if len(bucket) > _BUCKET_BYTES:
                del bucket[:KEY_BYTES]
        return doubled

    def forget(self, keys: Iterable[bytes]) -> None:
        """Take back what `remember` was told: it was not stored. What had to make room for it stays forgotten."""
        for key in keys:
            bucket = self._buckets[hash(key) % self._count]
            at = bucket.rfind(key)
            if at >= 0:
                del bucket[at : at + KEY_BYTES]

    def add(self, keys: Iterable[bytes]) -> None:
        """Remember `keys`, each of KEY_BYTES. One that is here already only takes room."""
        buckets, count = self._buckets, self._count
        for key in keys:
            bucket = buckets[hash(key) % count]
            bucket += key
            if len(bucket) > _BUCKET_BYTES:
                del bucket[:KEY_BYTES]

    def __len__(self) -> int:
        return sum(map(len, self._buckets)) // KEY_BYTES
