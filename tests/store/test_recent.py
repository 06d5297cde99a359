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
    recent.forget(keys(500, 1500), [keys(0, 1000)])
    assert recent.remember(keys(0, 1000)) == list(range(500))


def test_memory_has_a_bound_and_the_newest_are_held() -> None:
    """Whatever comes, no more than `capacity` is held, and the last quarter of that for certain."""
    recent = Recent(4096)
    for start in range(0, 40_000, 500):
        recent.remember(keys(start, start + 500))
        assert len(recent) <= recent.capacity
    assert recent.remember(keys(39_000, 40_000)) == list(range(1000))
    assert not recent.remember(keys(0, 20_000))


def test_a_batch_is_known_for_longer_than_its_events() -> None:
    """Sent again as it was, it is known when its events are no more; in other company they are new."""
    recent = Recent(1000)
    for start in range(0, 10_000, 100):
        assert recent.remember(keys(start, start + 100)) == []
    assert recent.remember(keys(0, 100)) == list(range(100))
    assert recent.remember(keys(50, 150)) == []
    assert recent.remember(keys(9_000, 9_200)) == []
    assert recent.remember(keys(9_850, 10_050)) == list(range(150))


def test_a_batch_that_was_not_stored_is_new_again() -> None:
    """Its events and itself are taken back."""
    recent = Recent(1000)
    recent.remember(batch := keys(0, 100))
    recent.forget(batch, [batch])
    assert recent.remember(batch) == []
    assert recent.remember(batch) == list(range(100))


def test_an_event_that_stands_twice_in_a_batch_is_known_the_second_time() -> None:
    """The first of the two is new."""
    assert Recent(100).remember([*keys(0, 3), *keys(1, 2)]) == [3]
