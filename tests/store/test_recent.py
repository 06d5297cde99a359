from __future__ import annotations

import hashlib

from decklog.store.recent import Recent


def keys(start: int, end: int) -> list[bytes]:
    return [hashlib.sha256(b"%d" % number).digest()[:16] for number in range(start, end)]


def test_what_was_added_is_known_and_nothing_else() -> None:
    """Exact as long as there is room."""
    recent = Recent(4096)
    recent.add(keys(0, 1000))
    assert len(recent) == 1000
    assert recent.remember(keys(0, 2000)) == list(range(1000))
    assert recent.remember(keys(0, 2000)) == list(range(2000))


def test_what_is_taken_back_is_new_again() -> None:
    """And nothing else is."""
    recent = Recent(4096)
    recent.remember(keys(0, 1000))
    recent.forget(keys(500, 1500))
    assert recent.remember(keys(0, 1000)) == list(range(500))


def test_memory_has_a_bound_and_the_newest_are_held() -> None:
    """Whatever comes, no more than `capacity` is held, and the last quarter of that for certain."""
    recent = Recent(4096)
    for start in range(0, 40_000, 500):
        recent.remember(keys(start, start + 500))
        assert len(recent) <= recent.capacity
    assert recent.remember(keys(39_000, 40_000)) == list(range(1000))
    assert not recent.remember(keys(0, 20_000))


def test_a_small_capacity_is_one_bucket() -> None:
    """The oldest goes first."""
    recent = Recent(1)
    recent.add(keys(0, 65))
    assert recent.capacity == 64
    assert recent.remember(keys(1, 65)) == list(range(64))
    assert recent.remember(keys(0, 1)) == []
