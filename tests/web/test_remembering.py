from __future__ import annotations

from decklog.web.remembering import Remembered


class Asked:
    """A question that counts how often it was put."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> int:
        self.times += 1
        return self.times


def test_an_answer_is_remembered_while_nothing_changes() -> None:
    """The same question is put once; after a change it is put again."""
    state = ["a"]
    remembered, asked = Remembered(lambda: tuple(state)), Asked()
    assert [remembered.get("q", asked), remembered.get("q", asked)] == [1, 1]
    state.append("b")
    assert [remembered.get("q", asked), remembered.get("q", asked)] == [2, 2]
    assert remembered.get("other", asked) == 3


def test_so_many_answers_are_remembered() -> None:
    """The one that was not asked for the longest goes; none is kept where none is wanted, or worth it."""
    remembered, asked = Remembered(lambda: 1, most=2), Asked()
    for question in ("a", "b", "a", "c"):
        remembered.get(question, asked)
    assert (remembered.get("a", asked), asked.times) == (1, 3)
    assert remembered.get("b", asked) == 4
    forgetful, asked = Remembered(lambda: 1, most=0), Asked()
    assert [forgetful.get("q", asked), forgetful.get("q", asked)] == [1, 2]
    picky, asked = Remembered(lambda: 1), Asked()
    assert [picky.get("q", asked, worth=lambda value: value > 1) for _ in range(3)] == [1, 2, 2]
