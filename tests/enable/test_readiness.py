from __future__ import annotations

import pytest

from decklog.enable.readiness import Answer, State, Verdict, Watch

UP = Answer(State.READY, "answers 200 to /readyz")
STARTING = Answer(State.NOT_READY, "answers 500 to /readyz")
GONE = Answer(State.DOWN, "refuses connections")
STRANGER = Answer(State.STRANGER, "answers 401 to /readyz")

Told = tuple[float, Answer, bool | None]
WATCHED: dict[str, tuple[Answer, list[Told], tuple[float, bool, bool] | None]] = {
    "it restarts": (
        UP,
        [(1, UP, None), (2, GONE, None), (3, STARTING, None), (4, UP, None), (9, UP, None)],
        (9, True, True),
    ),
    "not before it is steady": (UP, [(2, GONE, None), (4, UP, None), (8.9, UP, None)], None),
    "the new process is seen": (UP, [(1, UP, True), (6, UP, True)], (6, True, True)),
    "the old process is seen": (UP, [(1, UP, False), (40, UP, False), (99, UP, False)], None),
    "the old process to the end": (UP, [(1, UP, False), (100, UP, False)], (100, False, True)),
    "nobody saw it restart": (UP, [(0, UP, None), (29, UP, None), (30, UP, None)], (30, True, False)),
    "it was down before": (GONE, [(0, GONE, None), (1, UP, None), (6, UP, None)], (6, True, True)),
    "it comes up and dies": (
        UP,
        [(1, GONE, None), (2, UP, None), (100, GONE, None)],
        (100, False, True),
    ),
    "it never comes back": (UP, [(1, GONE, None), (100, GONE, None)], (100, False, True)),
    "strangers have to wait longer": (UP, [(1, GONE, None), (2, STRANGER, None), (20, STRANGER, None)], None),
    "strangers in the end": (UP, [(1, GONE, None), (2, STRANGER, None), (36, STRANGER, None)], (36, True, True)),
}


@pytest.mark.parametrize("case", WATCHED)
def test_from_answers_to_a_verdict(case: str) -> None:
    """A wait of 100 s, told what the API server answers and what processes are seen, ends when it should and how."""
    before, told, expected = WATCHED[case]
    watch = Watch(0, 100, before)
    verdicts: list[tuple[float, Verdict]] = []
    for now, answer, running in told:
        verdict = watch.take(now, answer, running)
        if verdict is not None:
            verdicts.append((now, verdict))
            break
    assert [(now, each.ready, each.sure) for now, each in verdicts] == ([expected] if expected else [])


def test_a_short_wait_has_short_spans() -> None:
    """The spans in which it has to be steady, or to settle, shrink with the timeout."""
    watch = Watch(0, 2, UP)
    assert watch.take(0, UP, None) is None
    verdict = watch.take(1, UP, None)
    assert verdict is not None
    assert verdict.ready


@pytest.mark.parametrize(
    ("told", "says"),
    [
        (
            [(1, GONE, None), (2, UP, None), (3, GONE, None), (9, GONE, None)],
            "became ready and went down again",
        ),
        ([(1, GONE, None), (9, GONE, None)], "not ready after 9 s: the API server refuses connections"),
        ([(9, UP, False)], "still runs with its old flags"),
    ],
)
def test_the_end_says_why(told: list[Told], says: str) -> None:
    """A wait in vain says what the API server did."""
    watch = Watch(0, 9, UP)
    verdict = None
    for now, answer, running in told:
        verdict = watch.take(now, answer, running)
    assert verdict is not None
    assert says in verdict.says
