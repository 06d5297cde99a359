"""Runs as a process of its own: ``dying_writer.py DIRECTORY MODE COUNT SEED``.

It forks children that write to one journal one after another, each sending again first what the last one sent last, and
are killed: in the mode ``random`` by SIGKILL from outside after a random time, COUNT times; in the modes ``kill`` and
``kill torn`` at the n-th call to the file system, n = 1, 2, 3 … until one lives to its end, or n is COUNT, each n in a
store of its own that begins with what a first child left. The last child of a store is not killed.

What a child was told that is stored it notes in ``taken``; what it sends, before it does, in ``sent``. It prints, as
JSON: kills, how many of them hit a child that had stored something, events, seconds, and the longest opening.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import select
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from backends.faulty_disk import FaultyDisk
from store.journal_peers import items, journal

if TYPE_CHECKING:
    from decklog.store.journal import Journal

LIVES_S = 0.15
"""The longest life of a child that is killed at random: three of four are counted from when it stored something new."""
BATCH = 40
SENDERS = 4


async def live(directory: Path, life: int, seed: int, disk: FaultyDisk, batches: int | None, ready: int) -> None:
    """Send again what is not known to be stored, then store `batches` of each sender, or for ever."""
    chance = random.Random(seed * 1000 + life)
    sent = os.open(directory / "sent", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    taken = os.open(directory / "taken", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    again = sorted(_last_life(directory, "sent"))
    begun = time.monotonic()
    async with journal(directory / "store", disk, segment_bytes=200_000) as opened:
        os.write(ready, b"%.6f\n" % (time.monotonic() - begun))
        for at in range(0, len(again), BATCH):
            await _send(opened, again[at : at + BATCH], None, taken)
        first = life * 10_000_000 + 9_000_000
        await _send(opened, [first], sent, taken)
        os.write(ready, b"stored\n")
        await asyncio.gather(
            *(
                _send_on(opened, life * 10_000_000 + sender * 1_000_000, batches, chance, sent, taken)
                for sender in range(SENDERS)
            )
        )


async def _send_on(
    opened: Journal, first: int, batches: int | None, chance: random.Random, sent: int, taken: int
) -> None:
    while batches is None or batches > 0:
        count = chance.randint(1, 2 * BATCH)
        await _send(opened, range(first, first + count), sent, taken)
        first += count
        batches = batches - 1 if batches is not None else None


async def _send(opened: Journal, numbers: range | list[int], sent: int | None, taken: int) -> None:
    text = "".join(f"{number}\n" for number in numbers).encode()
    if sent is not None:
        os.write(sent, text)
    await opened.append(items(numbers))
    os.write(taken, text)


def _last_life(directory: Path, name: str) -> set[int]:
    numbers = {int(line) for line in (directory / name).read_text().split()}
    last = max(numbers, default=0) // 10_000_000
    return {number for number in numbers if number // 10_000_000 == last}


def child(directory: Path, life: int, seed: int, disk: FaultyDisk, batches: int | None = None) -> tuple[int, BinaryIO]:
    """Fork a child; gives its process ID and what tells that it is open."""
    directory.mkdir(parents=True, exist_ok=True)
    heard, ready = os.pipe()
    process = os.fork()
    if not process:
        os.close(heard)
        asyncio.run(live(directory, life, seed, disk, batches, ready))
        os._exit(0)
    os.close(ready)
    return process, os.fdopen(heard, "rb")


def ended_well(process: int) -> bool:
    return os.waitpid(process, 0)[1] == 0


def opening_s(heard: BinaryIO) -> float | None:
    """Wait until the child is open; None: it died before."""
    said = heard.readline()
    return float(said) if said else None


def kill_at_random(directory: Path, count: int, seed: int) -> dict[str, float]:
    chance = random.Random(seed)
    longest = 0.0
    effective, stored, seconds = 0, 0, 0.0
    for life in range(1, count + 1):
        process, heard = child(directory, life, seed, FaultyDisk())
        longest = max(longest, opening_s(heard) or 0.0)
        if chance.random() < 0.75:
            heard.readline()
        begun = time.monotonic()
        handle = os.pidfd_open(process)
        select.select([handle], [], [], chance.uniform(0.002, LIVES_S))
        os.kill(process, signal.SIGKILL)
        os.close(handle)
        ended_well(process)
        heard.close()
        seconds += time.monotonic() - begun
        taken = (directory / "taken").read_bytes().count(b"\n")
        effective += taken > stored
        stored = taken
    return {"kills": count, "effective": effective, "events": stored, "seconds": seconds, "opening_s": longest}


def finish(directory: Path, life: int, seed: int) -> float:
    """Send the rest, unharmed."""
    process, heard = child(directory, life, seed, FaultyDisk(), 0)
    with heard:
        took = opening_s(heard)
        ended = ended_well(process)
    if not ended or took is None:
        raise SystemExit(f"the last run in {directory} failed")
    return took


def kill_at_each_call(directory: Path, kind: str, count: int, seed: int) -> dict[str, float]:
    begun = directory / "0"
    process, heard = child(begun, 1, seed, FaultyDisk(), 3)
    with heard:
        longest = opening_s(heard) or 0.0
        ended = ended_well(process)
    if not ended:
        raise SystemExit("the first run failed")
    for at in range(1, count + 1):
        place = directory / str(at)
        shutil.copytree(begun, place)
        process, heard = child(place, 2, seed, FaultyDisk(kind, at), 40)
        survived = ended_well(process)
        heard.close()
        longest = max(longest, finish(place, 3, seed))
        if survived:
            return {"kills": at - 1, "opening_s": longest}
    return {"kills": count, "opening_s": longest}


if __name__ == "__main__":
    place, mode, count, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    if mode == "random":
        told = kill_at_random(place, count, seed)
        told["opening_s"] = max(told["opening_s"], finish(place, count + 1, seed))
    else:
        told = kill_at_each_call(place, mode, count, seed)
    print(json.dumps(told))
