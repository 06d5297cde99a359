"""The store's journal: events that are synced before they are acknowledged, against the device alone.

`run()` gives measurements; `benchmarks/core.py` prints them. Lines are those of `benchmarks/logs.py`, 1.8 KB on
average, in batches of 400; values are the best of the rounds, in which all take turns. The device alone: the same
bytes, joined beforehand, by write and fdatasync, a batch at a time. What the device takes depends on the machine: the
ratio to it, and the processor's time for an event, say more about the journal.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.logs import lines
from decklog.disk import Disk
from decklog.store.journal import Item, Journal, identity_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ROUNDS = 9
EVENTS = 60_000
BATCH = 400
CLUSTER = "bench"

Batches = list[list[Item]]


@dataclass(frozen=True)
class Took:
    """What a run took: seconds, and seconds of the processor."""

    seconds: float
    processor: float


def _batches() -> Batches:
    found = [line.rstrip(b"\n") for line in lines(EVENTS)]
    items = [Item(line, identity_of(CLUSTER, line)) for line in found]
    return [items[at : at + BATCH] for at in range(0, len(items), BATCH)]


def _journal(directory: Path, batches: Batches, senders: int) -> Took:
    async def store() -> Took:
        async with Journal(directory / "journal" / "bench", Disk(), cluster=CLUSTER) as journal:
            waiting = iter(batches)
            begun, processor = time.perf_counter(), time.process_time()
            await asyncio.gather(*(_send(journal, waiting) for _ in range(senders)))
            return Took(time.perf_counter() - begun, time.process_time() - processor)

    return asyncio.run(store())


async def _send(journal: Journal, batches: Iterator[Sequence[Item]]) -> None:
    for batch in batches:
        await journal.append(batch)


def _device(directory: Path, batches: Batches) -> Took:
    blobs = [b"".join(item.line + b"\n" for item in batch) for batch in batches]
    fd = os.open(directory / "device", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    begun, processor = time.perf_counter(), time.process_time()
    for blob in blobs:
        os.write(fd, blob)
        os.fdatasync(fd)
    took = Took(time.perf_counter() - begun, time.process_time() - processor)
    os.close(fd)
    return took


CASES: dict[str, Callable[[Path, Batches], Took]] = {
    "device": _device,
    "one sender": lambda directory, batches: _journal(directory, batches, 1),
    "eight senders": lambda directory, batches: _journal(directory, batches, 8),
}


def _best(rounds: int) -> dict[str, Took]:
    """Give seconds an event, the best of the rounds."""
    batches = _batches()
    best = dict.fromkeys(CASES, Took(float("inf"), float("inf")))
    for _ in range(rounds):
        for name, case in CASES.items():
            with tempfile.TemporaryDirectory() as directory:
                took = case(Path(directory), batches)
            seconds, processor = took.seconds / EVENTS, took.processor / EVENTS
            best[name] = Took(min(best[name].seconds, seconds), min(best[name].processor, processor))
    return best


def run(rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """Measure; rows of name, value, unit, target and peer, as `benchmarks/core.py` prints them."""
    best = _best(rounds)
    device, one, eight = (best[name] for name in ("device", "one sender", "eight senders"))
    peer = f"write and fdatasync alone {1 / device.seconds:,.0f}"
    return [
        _row("journal, synced, batches of 400, eight senders", 1 / eight.seconds, "events/s", "≥ 400000", peer),
        _row("the same against the device alone", device.seconds / eight.seconds, "x", "", ""),
        _row("journal, one sender", 1 / one.seconds, "events/s", "", peer),
        _row(
            "the processor's time for an event", eight.processor * 1e6, "µs", "≤ 2.5", f"{device.processor * 1e6:.2f}"
        ),
    ]


def _row(name: str, value: float, unit: str, target: str, peer: str) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "target": target, "peer": peer}
