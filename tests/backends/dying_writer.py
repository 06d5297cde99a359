"""Runs as a process of its own: ``dying_writer.py DIRECTORY KIND``.

For n = 1, 2, 3 … it forks a child that writes a log in ``DIRECTORY/n`` and is killed by SIGKILL at the n-th call to the
file system, until one lives to the end. What a child was told that it is written, it notes in ``DIRECTORY/n.taken``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from backends.faulty_disk import FaultyDisk
from backends.log_family import Clock, Reports, line
from decklog.backends.retention import Limits, Retention
from decklog.backends.rotate import RotatingFile

LINES = 14


def write(directory: Path, disk: FaultyDisk, taken: int) -> None:
    """Ten lines and four oversized ones, with a rotation every third, packing, removal, and a removed log."""
    path = directory / "audit.log"
    file = RotatingFile(disk, path, max_bytes=300, report=Reports(), clock_ns=Clock())
    retention = Retention(
        disk, path, Limits(compress=True), in_use=lambda: file.identity, report=Reports(), clock_ns=Clock()
    )
    file.open()
    for number in range(LINES):
        file.write(line(number, 400 if number % 4 == 3 else 100))
        os.write(taken, b"%d\n" % number)
        if number % 5 == 4:
            retention.sweep()
        file.check()
    file.close()
    retention.sweep()


def lives(directory: Path, kind: str, at: int) -> bool:
    """Fork a child that dies at its `at`-th call; True: it did not."""
    place = directory / str(at)
    place.mkdir()
    child = os.fork()
    if not child:
        taken = os.open(directory / f"{at}.taken", os.O_WRONLY | os.O_CREAT)
        write(place, FaultyDisk(kind, at), taken)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


if __name__ == "__main__":
    at = 1
    while not lives(Path(sys.argv[1]), sys.argv[2], at):
        at += 1
