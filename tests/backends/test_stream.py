from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from backends.faulty_disk import FaultyDisk
from backends.log_family import line, numbers
from decklog.backends.stream import Stream
from decklog.disk import Disk

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)
    os.close(writing)


def test_lines_go_to_the_descriptor(pipe: tuple[int, int]) -> None:
    """Lines come out whole and in order, and the descriptor stays open."""
    stream = Stream(Disk(), pipe[1])
    stream.open()
    stream.write(line(0))
    assert stream.write_lines([line(1), line(2)]) == []
    stream.check()
    stream.reopen()
    assert stream.close() == 0
    assert numbers(os.read(pipe[0], 1000)) == [0, 1, 2]
    os.write(pipe[1], b"still open")


def test_a_torn_line_is_closed_before_the_next(pipe: tuple[int, int]) -> None:
    """What could be written in part does not run into the next line."""
    disk = FaultyDisk("full", 1, only="append")
    stream = Stream(disk, pipe[1])
    assert len(stream.write_lines([line(0), line(1)])) == 2
    disk.freed()
    stream.write(line(2))
    assert numbers(os.read(pipe[0], 1000)) == [-1, 2]


def test_a_slow_reader_of_a_non_blocking_pipe_is_waited_for(pipe: tuple[int, int]) -> None:
    """A full pipe loses nothing as long as somebody reads."""
    os.set_blocking(pipe[1], False)
    stream = Stream(Disk(), pipe[1])
    received = bytearray()

    def read() -> None:
        while len(received) < 300_000:
            received.extend(os.read(pipe[0], 10_000))

    reader = threading.Thread(target=read)
    reader.start()
    assert stream.write_lines([line(number, 1000) for number in range(300)]) == []
    reader.join()
    assert numbers(bytes(received)) == list(range(300))


def test_a_reader_that_has_stopped_is_not_waited_for_for_ever(pipe: tuple[int, int]) -> None:
    """A pipe that stays full is an error."""
    os.set_blocking(pipe[1], False)
    stream = Stream(Disk(), pipe[1], patience_s=0.0)
    errors = stream.write_lines([line(number, 60_000) for number in range(3)])
    assert [type(error) for error in errors] == [BlockingIOError, BlockingIOError]


def test_a_reader_that_is_gone_is_an_error() -> None:
    """A closed pipe refuses lines."""
    reading, writing = os.pipe()
    os.close(reading)
    with pytest.raises(BrokenPipeError):
        Stream(Disk(), writing).write(line(0))
    os.close(writing)
