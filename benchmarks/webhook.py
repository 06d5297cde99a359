"""``batch<webhook>`` to a receiver on loopback, throttle off: events a second of our core.

The receiver is a process of its own, on the other cores: what it costs is not ours. It reads bodies and counts them.
`run()` gives measurements; `benchmarks/core.py` prints them. Each is the best of nine rounds.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
from typing import TYPE_CHECKING, Any

from benchmarks.through import EVENTS, through
from decklog.audit.wire import encode_list
from decklog.backends.batch import Batch
from decklog.backends.books import Entered
from decklog.backends.failures import Failures, Notices
from decklog.backends.limits import BatchLimits
from decklog.backends.webhook import HttpPoster, Webhook
from decklog.kubeconfig import ClusterAccess
from decklog.metrics import AuditCounters

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

ROUNDS = 9
LIMITS = BatchLimits(buffer_size=EVENTS, max_size=400, max_wait_s=30.0, throttle=False)
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


async def _through_webhook(port: int) -> float:
    """Seconds for EVENTS single events into batch<webhook>, until the receiver has answered for the last."""
    counters = AuditCounters()
    account = counters.account("webhook")
    poster = HttpPoster(ClusterAccess(f"http://127.0.0.1:{port}"))
    leaf = Webhook(poster, encode_list, account=account, failures=Failures("webhook", counters, Notices()))
    nest = Entered(Batch(leaf, LIMITS, account=account, counters=counters, asynchronous=True), account)
    return await through(nest, account)


async def _take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n")[0]))
            writer.write(_ANSWER)
    writer.close()


async def _receive(ours: int, told: Connection) -> None:
    others = set(range(os.cpu_count() or 1)) - {ours}
    with contextlib.suppress(OSError):  # one core alone: then the receiver's time counts as ours
        os.sched_setaffinity(0, others)
    server = await asyncio.start_server(_take, "127.0.0.1", 0, limit=1 << 22)
    told.send(server.sockets[0].getsockname()[1])
    await asyncio.get_running_loop().run_in_executor(None, told.recv)


def _receiver(ours: int, told: Connection) -> None:
    asyncio.run(_receive(ours, told))


def run(rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """Measure; rows of name, value, unit, target and peer."""
    context = multiprocessing.get_context("spawn")
    told, theirs = context.Pipe()
    receiver = context.Process(target=_receiver, args=(max(os.sched_getaffinity(0)), theirs))
    receiver.start()
    try:
        port = told.recv()
        took = min(asyncio.run(_through_webhook(port)) for _ in range(rounds))
    finally:
        told.send("enough")
        receiver.join()
    row = {"name": "batch<webhook>, 400 events a batch", "value": EVENTS / took, "unit": "events/s"}
    return [{**row, "target": "≥ 50000", "peer": ""}]


if __name__ == "__main__":
    for row in run():
        print(f"{row['name']:40} {row['value']:>14,.3f} {row['unit']:10} target {row['target']}")
