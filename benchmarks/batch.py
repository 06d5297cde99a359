"""The batch mode and what the wrappings cost: events a second through batch<log>, microseconds an event a wrapping.

`run()` gives measurements; `benchmarks/core.py` prints them. Each is the best of nine rounds. What is measured of a
wrapping is what it adds: a call through it, less the same call without it. Truncation has to know an event's size, as
kube-apiserver has, so that it encodes; its row with and without that tells them apart.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.through import ALONE, EVENTS, through
from decklog.audit.wire import encode_line
from decklog.backends.batch import Batch
from decklog.backends.blocking import Blocking
from decklog.backends.books import Entered
from decklog.backends.limits import BatchLimits, TruncateLimits
from decklog.backends.log import LogOptions, log_backend
from decklog.backends.truncate import Truncate
from decklog.backends.union import Union
from decklog.metrics import Account, AuditCounters
from decklog.testing import MemoryBackend

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from decklog.audit.event import Event
    from decklog.audit.sink import Backend

ROUNDS = 9
LIMITS = BatchLimits(buffer_size=10_000, max_size=400, max_wait_s=0.0, throttle=False)


class Sink(MemoryBackend):
    """Takes events and does nothing."""

    def process(self, events: Sequence[Event]) -> None:
        del events


async def _through_batch(folder: Path) -> float:
    """Seconds for EVENTS single events into batch<log>, until the last is in the file."""
    account, counters = Account(), AuditCounters()
    options = LogOptions(path=str(folder / "audit.log"), max_size_mib=100, max_backups=2)
    log = log_backend(options, encode_line, counters, account=account)
    nest = Entered(Batch(log, LIMITS, account=account, counters=counters, asynchronous=False), account)
    return await through(nest, account)


def _batch_process() -> float:
    """Seconds an event for the caller alone: nothing is sent meanwhile."""
    limits = BatchLimits(buffer_size=EVENTS, max_size=400, throttle=False)
    batch = Batch(Sink(), limits, account=Account(), counters=AuditCounters(), asynchronous=False)
    return _seconds_a_call(batch.process)


def _seconds_a_call(process: Callable[[Sequence[Event]], object], events: int = EVENTS) -> float:
    begun = time.perf_counter()
    for _ in range(events):
        process(ALONE)
    return (time.perf_counter() - begun) / events


def _nests() -> dict[str, Backend]:
    account, counters = Account(), AuditCounters()
    limits = TruncateLimits()

    def truncate(encode: Callable[[Event], bytes]) -> Truncate:
        return Truncate(Sink(), limits, encode, account=account, counters=counters)

    return {
        "nothing": Sink(),
        "Entered": Entered(Sink(), account),
        "blocking": Blocking(Sink(), counters),
        "union of two": Union([Sink(), Sink()]),
        "truncate, size known": truncate(lambda _: b""),
        "truncate": truncate(encode_line),
        "all but truncate": Union([Entered(Blocking(Sink(), counters), account) for _ in range(2)]),
    }


def run(rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """Measure; rows of name, value, unit, target and peer."""
    nests = _nests()
    calls = dict.fromkeys(nests, float("inf"))
    whole = caller = float("inf")
    for _ in range(rounds):
        for name, nest in nests.items():
            calls[name] = min(calls[name], _seconds_a_call(nest.process))
        caller = min(caller, _batch_process())
        with tempfile.TemporaryDirectory() as folder:
            whole = min(whole, asyncio.run(_through_batch(Path(folder))))
    return [
        _row("batch<log>, 400 events a batch", EVENTS / whole, "events/s", "≥ 300000"),
        _row("batch, the caller's side", caller * 1e6, "µs/event", "≤ 1"),
        *(
            _row(f"wrapping: {name}", (seconds - calls["nothing"]) * 1e6, "µs/event", "≤ 1")
            for name, seconds in calls.items()
            if name != "nothing"
        ),
    ]


def _row(name: str, value: float, unit: str, target: str) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "target": target, "peer": ""}


if __name__ == "__main__":
    for row in run():
        print(f"{row['name']:40} {row['value']:>14,.3f} {row['unit']:10} target {row['target']}")
