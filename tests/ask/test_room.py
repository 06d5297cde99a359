from __future__ import annotations

import pytest

from decklog.ask.bytesearch import TooMuchError
from decklog.ask.forking import fork_map
from decklog.ask.room import Room


def test_parts_share_the_room_whichever_process_they_are_in() -> None:
    """Each part may take little enough, and all of them too much."""
    room = Room(4, 39)
    assert fork_map(lambda part: room.of(part)(9), range(4), 3) == [None] * 4
    with pytest.raises(TooMuchError):
        fork_map(lambda part: room.of(part)(10), range(4), 3)


def test_a_part_that_is_done_again_takes_its_room_once() -> None:
    """What a part takes is said anew, not added: a part whose process was killed is done by another."""
    room = Room(2, 10)
    for _ in range(3):
        room.of(1)(10)
    with pytest.raises(TooMuchError):
        room.of(0)(1)


def test_a_log_without_parts_has_room() -> None:
    """There may be nothing to search."""
    Room(0, 0)
