"""Runs as a process of its own: ``dying_spooler.py DIRECTORY MODE COUNT SEED``.

It forks children that spool in ``DIRECTORY`` one after another, each taking up what the last one left, and are killed:
in the mode ``random`` by SIGKILL from outside after a random time, COUNT times; in the modes ``kill`` and ``kill torn``
at the n-th call to the file system, n = 1, 2, 3 … until one lives to the end of COUNT sends, each n in a directory of
its own that begins with what a first child left. The last child of a directory is not killed and sends what is left.

The receiver is a file, ``received``: a line for each body that was taken, ``LIFE NUMBER NUMBER …``. It is away, and
refuses, by chance. What a child was told that is stored, it notes in ``taken``.
"""

from __future__ import annotations

import asyncio
import os
import random
import select
import shutil
import signal
import sys
from pathlib import Path

from backends.faulty_disk import FaultyDisk
from backends.spool_peers import Nest, numbered, numbers_in
from decklog.backends.delivery import PostError

LIVES_MS = 80
"""The longest life of a child that is killed at random."""


class FileReceiver:
    """Takes a body by writing its numbers to a file; each 41st event is refused."""

    def __init__(self, directory: Path, life: int, chance: random.Random, *, away: float) -> None:
        self._fd = os.open(directory / "received", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._life = life
        self._chance = chance
        self._away = away

    async def post(self, body: bytes) -> None:
        numbers = numbers_in(body)
        await asyncio.sleep(0)
        if self._chance.random() < self._away:
            raise PostError(503, None, "the receiver answered 503")
        if any(refused(number) for number in numbers):
            raise PostError(400, None, "the receiver answered 400")
        os.write(self._fd, " ".join(map(str, (self._life, *numbers))).encode() + b"\n")
        await asyncio.sleep(0)


def refused(number: int) -> bool:
    return number % 41 == 40


async def live(
    directory: Path, life: int, seed: int, *, disk: FaultyDisk, calls: int | None, away: float = 0.4
) -> None:
    """Spool `calls` times, or for ever, then send what is left; `away`: how likely a body is not taken, 1: never."""
    chance = random.Random(seed * 1000 + life)
    nest = Nest(directory / "spool", disk=disk, max_bytes=1 << 30, segment_bytes=3000)
    nest.spool._poster = FileReceiver(directory, life, chance, away=away)
    nest.spool._sleep = lambda _: asyncio.sleep(0)
    taken = os.open(directory / "taken", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    next_number = life * 1_000_000
    async with nest.entered:
        while calls is None or calls > 0:
            count = chance.randint(1, 30)
            numbers = range(next_number, next_number + count)
            next_number += count
            await nest.send(numbered(*numbers))
            os.write(taken, "".join(f"{number}\n" for number in numbers).encode())
            for _ in range(chance.randint(0, 3)):
                await asyncio.sleep(0)
            calls = calls - 1 if calls is not None else None
        while away < 1 and nest.account.spooled:
            await asyncio.sleep(0)


def child(
    directory: Path, life: int, seed: int, disk: FaultyDisk, calls: int | None = None, *, away: float = 0.4
) -> int:
    """Fork a child; gives its process ID."""
    directory.mkdir(parents=True, exist_ok=True)
    process = os.fork()
    if not process:
        asyncio.run(live(directory, life, seed, disk=disk, calls=calls, away=away))
        os._exit(0)
    return process


def ended_well(process: int) -> bool:
    return os.waitpid(process, 0)[1] == 0


def kill_at_random(directory: Path, count: int, seed: int) -> None:
    chance = random.Random(seed)
    for life in range(1, count + 1):
        process = child(directory, life, seed, FaultyDisk())
        handle = os.pidfd_open(process)
        select.select([handle], [], [], chance.uniform(0.002, LIVES_MS / 1000))
        os.kill(process, signal.SIGKILL)
        os.close(handle)
        ended_well(process)


def finish(directory: Path, life: int, seed: int) -> None:
    """Send what is left."""
    if not ended_well(child(directory, life, seed, FaultyDisk(), 0, away=0)):
        raise SystemExit(f"the last run in {directory} failed")


def kill_at_each_call(directory: Path, kind: str, count: int, seed: int) -> int:
    """Give the number of kills."""
    begun = directory / "0"
    if not ended_well(child(begun, 1, seed, FaultyDisk(), 3, away=1)):
        raise SystemExit("the first run failed")
    at = 1
    while True:
        place = directory / str(at)
        shutil.copytree(begun, place)
        if ended_well(child(place, 2, seed, FaultyDisk(kind, at), count)):
            return at - 1
        finish(place, 3, seed)
        at += 1


if __name__ == "__main__":
    place, mode, count, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    if mode == "random":
        kill_at_random(place, count, seed)
        finish(place, count + 1, seed)
    else:
        print(kill_at_each_call(place, mode, count, seed))
