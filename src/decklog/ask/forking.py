"""Forking: a function over many values on several processes, in plain `fork` and pipes.

A child has all that its parent has, so nothing is sent to it; it sends back one pickle. It costs some milliseconds,
where a pool of the standard library costs tens to import. Only for a process of one thread.
"""

from __future__ import annotations

import os
import pickle
import signal
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")
R = TypeVar("R")


MOST_PROCESSES: Final = 8
"""Past so many, reading the file is what takes the time."""


def usable_processes() -> int:
    """Give the number of processes that are worth forking here: one a processor that this process may use."""
    if not hasattr(os, "fork"):
        return 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(usable, MOST_PROCESSES)


def fork_map(function: Callable[[T], R], values: Sequence[T], processes: int) -> list[R]:
    """Give the results of `function`, in order; an error of one is raised here, and the children are ended.

    What a child could not do (it was killed, its result cannot be sent) is done here.
    """
    ways = min(processes, len(values))
    children = [_Child(function, values[way::ways]) for way in range(1, ways)]
    try:
        results: list[list[R]] = [[function(value) for value in values[::ways]]] if values else []
        for way, child in enumerate(children, start=1):
            done = child.result()
            results.append([function(value) for value in values[way::ways]] if done is None else done)
    finally:
        for child in children:
            child.end()
    return [results[place % ways][place // ways] for place in range(len(values))]


class _Child:
    def __init__(self, function: Callable[[Any], Any], values: Sequence[Any]) -> None:
        self._reading, writing = os.pipe()
        self._process = os.fork()
        if self._process == 0:
            os.close(self._reading)
            _work(function, values, writing)
        os.close(writing)

    def result(self) -> list[Any] | None:
        with os.fdopen(self._reading, "rb", closefd=False) as pipe:
            sent = pipe.read()
        try:
            done = pickle.loads(sent)  # noqa: S301  # because: our own child sent it, through our own pipe
        except (EOFError, pickle.UnpicklingError):
            return None
        if isinstance(done, Exception):
            raise done
        return done  # type: ignore[no-any-return]  # because: a pickle is of any type

    def end(self) -> None:
        os.close(self._reading)
        os.kill(self._process, signal.SIGKILL)  # a zombie takes it calmly, and its process ID is still its own
        os.waitpid(self._process, 0)


def _work(function: Callable[[Any], Any], values: Sequence[Any], writing: int) -> NoReturn:
    """Be the child; leave without the parent's clean-up (its buffers, its exit handlers)."""
    try:
        try:
            done: object = [function(value) for value in values]
        except Exception as error:  # noqa: BLE001  # because: it is raised in the parent
            done = error
        with os.fdopen(writing, "wb") as pipe:
            pickle.dump(done, pipe, pickle.HIGHEST_PROTOCOL)
    finally:
        os._exit(0)
