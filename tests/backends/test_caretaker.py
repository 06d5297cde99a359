from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from decklog.backends.caretaker import Caretaker

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

DEADLINE_S = 20.0


class Work:
    """Counts looks and sweeps, and lets a test wait for them."""

    def __init__(self, *, rotates: bool = False, failing: bool = False) -> None:
        self.looks = 0
        self.sweeps = 0
        self._rotates = rotates
        self._failing = failing
        self._changed = threading.Condition()

    def look(self) -> bool:
        with self._changed:
            self.looks += 1
            # Once the sweep of the start is done: one that waits while another is wanted does for both.
            rotated = self._rotates and self.sweeps == 1
            self._rotates = self._rotates and not rotated
            self._changed.notify_all()
        if self._failing:
            raise ValueError("a fault")
        return rotated

    def sweep(self, hurry: Callable[[], bool]) -> None:
        del hurry
        with self._changed:
            self.sweeps += 1
            self._changed.notify_all()
        if self._failing:
            raise ValueError("a fault")

    def wait(self, *, looks: int = 0, sweeps: int = 0) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.looks >= looks and self.sweeps >= sweeps, DEADLINE_S)


def test_it_looks_again_and_again_and_sweeps_at_the_start_and_the_end() -> None:
    """Without rotations there are two sweeps, and many looks."""
    work = Work()
    caretaker = Caretaker(work.look, work.sweep, look_every_s=0.001)
    caretaker.start()
    work.wait(looks=5, sweeps=1)
    caretaker.stop()
    assert work.sweeps == 2


def test_a_rotation_is_swept_up_behind() -> None:
    """A look that saw a rotation brings a sweep."""
    work = Work(rotates=True)
    caretaker = Caretaker(work.look, work.sweep, look_every_s=0.001)
    caretaker.start()
    work.wait(sweeps=2)
    caretaker.stop()


def test_a_fault_ends_neither_thread(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever look or sweep raise is logged, and both go on."""
    work = Work(failing=True)
    caretaker = Caretaker(work.look, work.sweep, look_every_s=0.001)
    with caplog.at_level(logging.ERROR):
        caretaker.start()
        work.wait(looks=3, sweeps=1)
        caretaker.stop()
    assert work.sweeps == 2
    assert "a fault" in caplog.text


def test_a_stop_does_not_wait_for_ever() -> None:
    """A sweep that takes longer than the stop may wait is told to hurry."""
    started = threading.Event()

    def sweep(hurry: Callable[[], bool]) -> None:
        started.set()
        deadline = threading.Event()
        while not hurry():
            deadline.wait(0.001)

    caretaker = Caretaker(lambda: False, sweep, drain_s=0.0)
    caretaker.start()
    assert started.wait(DEADLINE_S)
    caretaker.stop()
