"""`python -m benchmarks.web`: the pages over a store: first byte, against the same questions asked bare; weight; tail.

A generated log goes into a store, sealed and compacted as a receiver's maintenance leaves it; `--store` takes one that
is there (a few hundred events are written into it). `decklog web` is a process of its own and is asked over one
connection after a warm-up:

* warm: the store is as it was when the page was asked for last, so answers are remembered;
* after an event: one has come since, as in a store that is being written to, so no answer is, but what a question found
  in sealed segments is;
* bare: the page's value made in this process from a store that is held open, with no answer remembered, and the
  segments' rows likewise: no HTTP, no template, one question after the other.

Times are medians of the rounds, in turns. The tail is the time from an event's acknowledgement by the journal to its
line in the stream.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.logs import write
from decklog.ask.moments import microtime
from decklog.audit.event import User
from decklog.audit.wire import encode_event
from decklog.disk import Disk
from decklog.store.compaction import compact
from decklog.store.items import Item, identity_of
from decklog.store.journal import Journal
from decklog.store.parquet import engine
from decklog.store.segment import Maintenance, seal
from decklog.testing import event
from decklog.web.asking import Asked, Fields
from decklog.web.limits import Deadline
from decklog.web.links import quoted
from decklog.web.pages import log, objects, who
from decklog.web.stored import Stored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROUNDS = 9
BATCH = 400
TAILED = 20


def main() -> None:
    """Make the store, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--store", type=Path, default=None, help="a store that is there; default: one is made")
    parser.add_argument("--folder", type=Path, default=None, help="where it is made")
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.2f}")
    if arguments.store is not None:
        measure(arguments.store, arguments.rounds)
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="decklog-bench-") as folder:
        source = Path(folder) / "audit.log"
        size = write(source, arguments.events)["bytes"]
        print(f"{arguments.events:,} events, {size:,} B")
        store = Path(folder) / "store"
        asyncio.run(fill(store, source))
        source.unlink()
        measure(store, arguments.rounds)


async def fill(store: Path, source: Path) -> None:
    """Put a log into a store, and let maintenance have been there."""
    disk = Disk()
    async with Journal(store / "journal" / "import", disk, cluster="") as journal:
        batch: list[Item] = []
        with source.open("rb") as lines:
            for line in lines:
                bare = line.rstrip(b"\n")
                batch.append(Item(bare, identity_of("", bare)))
                if len(batch) == BATCH:
                    await journal.append(batch)
                    batch = []
        await journal.append(batch)
        await journal.turn(now=True)
    with Maintenance(store, disk, grace_s=0) as work, engine(work.aside) as ready:
        seal(work, ready)
        compact(work, ready)


class Reader:
    """A connection with a session."""

    def __init__(self, address: str) -> None:
        self.host = address.removeprefix("http://").partition("/")[0]
        self._connection = http.client.HTTPConnection(self.host)
        self._connection.request("GET", "/?" + address.partition("?")[2])
        answer = self._connection.getresponse()
        answer.read()
        self.cookie = (answer.getheader("set-cookie") or "").partition(";")[0]

    def get(self, target: str) -> tuple[float, bytes]:
        """Give the seconds to the first byte, and the page."""
        begin = time.perf_counter()
        self._connection.request("GET", target, headers={"Cookie": self.cookie})
        answer = self._connection.getresponse()
        first = time.perf_counter() - begin
        body = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{target}: {answer.status}")
        return first, body


@contextmanager
def serving(store: Path) -> Iterator[str]:
    """Run the pages; give the address."""
    command = [sys.executable, "-m", "decklog", "web", "--store", str(store), "--listen", "127.0.0.1:0"]
    with subprocess.Popen([*command, "--record-reading=false"], stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr or ():
            if found := re.search(r"listening on (\S+)", line):
                break
        else:
            raise SystemExit("the pages did not start")
        threading.Thread(target=lambda: list(process.stderr or ()), daemon=True).start()
        try:
            yield found[1]
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


class Writer:
    """Writes events into the store, as a receiver does."""

    def __init__(self, store: Path) -> None:
        self._runner = asyncio.Runner()
        self._journal = Journal(store / "journal" / "bench", Disk(), cluster="")
        self._runner.run(self._journal.__aenter__())

    def write(self) -> str:
        """Store one event; give its audit ID."""
        now = microtime(datetime.now(UTC))
        made = event(request_received_timestamp=now, stage_timestamp=now, audit_id=f"bench-{now}", user=User("tail"))
        line = encode_event(made)
        self._runner.run(self._journal.append([Item(line, identity_of("", line))]))
        return made.audit_id

    def close(self) -> None:
        """Finish the journal."""
        self._runner.run(self._journal.__aexit__(None, None, None))
        self._runner.close()


def measure(store: Path, rounds: int) -> None:
    """Print a table."""
    data = Stored(str(store), Disk(), remembers=False)
    writer = Writer(store)
    with serving(store) as address:
        reader = Reader(address)
        changed = json.loads(reader.get("/log.json?verb=patch&resource=deployments.apps/-*")[1])["requests"][0]
        person = json.loads(reader.get("/who.json")[1])["people"][0]["name"]
        older = "/log"
        for _ in range(20):
            older = json.loads(reader.get(older.replace("/log", "/log.json", 1))[1])["older"]
        segments = ("apps", "deployments", changed["namespace"], changed["name"])
        pages: dict[str, tuple[str, Callable[[], object]]] = {
            "Log": ("/log", lambda: log.make(_asked(data, ""))),
            "Log, deletions": ("/log?verb=delete", lambda: log.make(_asked(data, "verb=delete"))),
            "Log, 21st page": (older, lambda: log.make(_asked(data, older.partition("?")[2]))),
            "Object": ("/objects/" + "/".join(segments), lambda: objects.make(_asked(data, "", segments))),
            "Who": (f"/who?user={person}", lambda: who.make(_asked(data, f"user={person}"))),
        }
        print(f"{'page':16}{'warm':>10}{'after an event':>16}{'bare':>10}{'ratio':>8}{'weight':>12}")
        for name, (target, make) in pages.items():
            warm, changed_s, bare, weight = _taken(reader, writer, target, make, rounds)
            print(
                f"{name:16}{warm * 1e3:>7.0f} ms{changed_s * 1e3:>13.0f} ms{bare * 1e3:>7.0f} ms"
                f"{changed_s / bare:>8.2f}{weight:>10,} B"
            )
        lags = sorted(tail(reader, writer))
        print(f"live tail: median {statistics.median(lags) * 1e3:.0f} ms, longest {lags[-1] * 1e3:.0f} ms")
    writer.close()
    data.close()


def _asked(data: Stored, query: str, segments: tuple[str, ...] = ()) -> Asked:
    return Asked(data=data, fields=Fields.parse(query), now=datetime.now(UTC), deadline=Deadline(60), segments=segments)


def _taken(
    reader: Reader, writer: Writer, target: str, make: Callable[[], object], rounds: int
) -> tuple[float, float, float, int]:
    """Give the medians, and the weight of the page without the files that all pages share."""
    warm, changed, bare, weight = [], [], [], 0
    for number in range(rounds + 2):
        writer.write()
        first, _ = reader.get(target)
        again, body = reader.get(target)
        weight = len(body)
        begin = time.perf_counter()
        make()
        taken = time.perf_counter() - begin
        if number >= 2:
            changed.append(first)
            warm.append(again)
            bare.append(taken)
    return statistics.median(warm), statistics.median(changed), statistics.median(bare), weight


def tail(reader: Reader, writer: Writer) -> list[float]:
    """Write events one by one; give the seconds until each stands in the stream."""
    connection = http.client.HTTPConnection(reader.host)
    connection.request("GET", "/log/live?user=tail", headers={"Cookie": reader.cookie})
    stream = connection.getresponse()
    lags = []
    for number in range(TAILED):
        audit_id = writer.write()
        begin = time.perf_counter()
        while quoted(audit_id).encode() not in stream.readline():
            """Heartbeats, and events of before."""
        lags.append(time.perf_counter() - begin)
        time.sleep(0.05 + 0.01 * number)  # so that the polling is met at all its phases
    connection.close()
    return lags


if __name__ == "__main__":
    main()
