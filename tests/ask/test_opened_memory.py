from __future__ import annotations

import pytest

from decklog.ask.opened_memory import Memory, Rows


class Asked:
    """Answers with so many rows, and counts how often."""

    def __init__(self) -> None:
        self.times = 0

    def rows(self, number: int) -> Rows:
        self.times += 1
        return [(place,) for place in range(number)]


def test_what_was_found_is_not_looked_for_again() -> None:
    """The same question has the same rows; another one its own."""
    asked, memory = Asked(), Memory()
    for _ in range(3):
        assert memory.get("a", lambda: asked.rows(2)) == [(0,), (1,)]
        assert memory.get("b", lambda: asked.rows(1)) == [(0,)]
    assert asked.times == 2


def test_too_many_rows_are_not_kept() -> None:
    """A question with very many rows is asked each time."""
    asked, memory = Asked(), Memory(most_of_one=3)
    for _ in range(2):
        assert len(memory.get("a", lambda: asked.rows(4))) == 4
    assert asked.times == 2


def test_what_was_not_asked_for_long_is_forgotten_first() -> None:
    """Altogether no more is kept than may be."""
    asked, memory = Asked(), Memory(most=330)
    for name in ("a", "b", "c", "a", "d", "a"):  # with "d" there is no room, and "b" was asked for longest ago
        memory.get(name, lambda: asked.rows(5))
    assert asked.times == 4
    memory.get("b", lambda: asked.rows(5))
    assert asked.times == 5


def test_a_question_that_fails_is_asked_again() -> None:
    """Nothing is kept of what could not be answered."""
    memory = Memory()

    def fail() -> Rows:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        memory.get("a", fail)
    assert memory.get("a", lambda: [(1,)]) == [(1,)]
