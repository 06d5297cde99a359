"""`python -m benchmarks.store`: sealing against zstd, and what is kept against gzip, over the same log, in one run.

A generated log goes into journals, these into segments (sealing), these into one a day (compaction); what is compacted
is then asked (`benchmarks.store_asking`). Peers are zstd and gzip of the system on the same log. Times are wall clock,
the best of the rounds, in turns. Everything is made in a temporary folder (`--folder`; it takes three times the log's
size) and removed at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import store_asking
from benchmarks.logs import write
from decklog.disk import Disk
from decklog.store.compaction import compact
from decklog.store.items import Item, identity_of
from decklog.store.journal import Journal
from decklog.store.parquet import engine
from decklog.store.segment import Maintenance, seal

BATCH = 400


def main() -> None:
    """Make the log, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=None)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="decklog-bench-") as folder:
        measure(Path(folder), arguments.events, arguments.rounds)


def measure(folder: Path, events: int, rounds: int) -> None:
    """Print a table."""
    log = folder / "audit.log"
    size = write(log, events)["bytes"]
    asyncio.run(_fill(folder / "filled", log))
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.2f}; {events:,} events, {size:,} B")
    zstd_s = seal_s = compact_s = float("inf")
    kept = sealed = 0
    store = folder / "store"
    for _ in range(rounds):
        shutil.rmtree(store, ignore_errors=True)
        began = time.perf_counter()
        subprocess.run(["zstd", "-3", "-T1", "-q", "-f", log, "-o", folder / "log.zst"], check=True)
        zstd_s = min(zstd_s, time.perf_counter() - began)
        shutil.copytree(folder / "filled", store)
        with Maintenance(store, Disk(), grace_s=0) as work, engine(work.aside) as ready:
            began = time.perf_counter()
            sealed = seal(work, ready).file_bytes
            seal_s = min(seal_s, time.perf_counter() - began)
            began = time.perf_counter()
            done = compact(work, ready)
            kept = done.bytes_after
            compact_s = min(compact_s, time.perf_counter() - began)
            if done.left:
                sys.exit(f"not compacted: {done.left}")
    subprocess.run(["gzip", "-6", "-k", log], check=True)
    gzip_bytes = log.with_name("audit.log.gz").stat().st_size
    print(f"zstd -3 -T1        {zstd_s:8.2f} s")
    print(f"sealing            {seal_s:8.2f} s   {events / seal_s:,.0f} events/s, {zstd_s / seal_s:.3f} (target 0.25)")
    print(f"compaction         {compact_s:8.2f} s   {events / compact_s:,.0f} events/s")
    print(f"sealed             {sealed / events:8.1f} bytes an event")
    print(f"compacted          {kept / events:8.1f} bytes an event, {kept / gzip_bytes:.3f} of gzip -6 (target 0.75)")
    store_asking.measure(store, max(rounds, 9))


async def _fill(store: Path, log: Path) -> None:
    async with Journal(store / "journal" / "one", Disk(), cluster="bench") as journal:
        batch: list[Item] = []
        with log.open("rb") as lines:
            for line in lines:
                bare = line[:-1]
                batch.append(Item(bare, identity_of("bench", bare)))
                if len(batch) == BATCH:
                    await journal.append(batch)
                    batch = []
        if batch:
            await journal.append(batch)
        await journal.turn(now=True)


if __name__ == "__main__":
    main()
