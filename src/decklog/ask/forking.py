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
    from collections.abc import Callable, Iterator, Sequence

T = TypeVar("T")
R = TypeVar("R")


MOST_PROCESSES: Final = 8
"""Past so many, reading the file is what takes the time."""

_TOKEN_BYTES: Final = 2
_MOST_TOKENS: Final = 2_000
"""They fit into any pipe: macOS begins with 16 KiB, and one that is out of room for its pipes gives 4 KiB."""


def usable_processes() -> int:
    """Give the number of processes that are worth forking here: one a processor that this process may use."""
    if not hasattr(os, "fork"):
        return 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(usable, MOST_PROCESSES)


def fork_map(function: Callable[[T], R], values: Sequence[T], processes: int) -> list[R]:
    """Give the results of `function`, in order; an error of one is raised here, and the children are ended.

    Who is done with one value takes the next one: a process that others keep waiting for the processor does less. What
    a child could not do (it was killed, its result cannot be sent) is done here.
    """
    ways = min(processes, len(values))
    if ways < 2:
        return [function(value) for value in values]
    places = _Places(len(values))
    children = [_Child(function, values, places) for _ in range(1, ways)]
    try:
        done = {place: function(values[place]) for place in places.taken()}
        for child in children:
            done |= child.result() or {}
        return [done[place] if place in done else function(value) for place, value in enumerate(values)]
    finally:
        places.close()
        for child in children:
            child.end()


class _Places:
    """Places of values to be done: in a pipe, out of which several processes take."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._step = -(-number // _MOST_TOKENS)
        self._reading, writing = os.pipe()
        for token in range(-(-number // self._step)):
            os.write(writing, token.to_bytes(_TOKEN_BYTES, "big"))
        os.close(writing)

    def taken(self) -> Iterator[int]:
        while token := os.read(self._reading, _TOKEN_BYTES):
            start = int.from_bytes(token, "big") * self._step
            yield from range(start, min(start + self._step, self._number))

    def drop(self) -> None:
        """Leave nothing to do for anyone: an error is the answer."""
        while os.read(self._reading, 1 << 12):
            pass

    def close(self) -> None:
        os.close(self._reading)


class _Child:
    def __init__(self, function: Callable[[Any], Any], values: Sequence[Any], places: _Places) -> None:
        self._reading, writing = os.pipe()
        self._process = os.fork()
        if self._process == 0:
            os.close(self._reading)
            _work(function, values, places, writing)
        os.close(writing)

    def result(self) -> dict[int, Any] | None:
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


def _work(function: Callable[[Any], Any], values: Sequence[Any], places: _Places, writing: int) -> NoReturn:
    """Be the child; leave without the parent's clean-up (its buffers, its exit handlers)."""
    try:
        try:
            done: object = {place: function(values[place]) for place in places.taken()}
        except Exception as error:  # noqa: BLE001  # because: it is raised in the parent
            done = error
            places.drop()
        with os.fdopen(writing, "wb") as pipe:
            pickle.dump(done, pipe, pickle.HIGHEST_PROTOCOL)
    finally:
        os._exit(0)
