"""A load on a proxy, as a figure."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.gateway import load, usage
from benchmarks.gateway.upstream import BIG_BYTES, CHUNKS

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.gateway.carriers import Carrier

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is done in a round."""

    requests: int
    watches: int

    @property
    def warm_up(self) -> int:
        """Requests before anything is measured: connections, caches and allocators are then as they stay."""
        return self.requests // 10 + 100


def check_recorded(carrier: Carrier, log: Path) -> None:
    """Raise RuntimeError unless the gateway writes two lines at Metadata a request: figures without them are none."""
    asked = 10
    load.steady(carrier, asked, 1000.0)
    deadline = time.monotonic() + 5
    while (lines := log.read_bytes().splitlines()) and len(lines) < 2 * asked and time.monotonic() < deadline:
        time.sleep(0.01)
    if len(lines) != 2 * asked or not all(b'"level":"Metadata"' in line for line in lines):
        raise RuntimeError(f"{len(lines)} lines were written for {asked} requests, or not at Metadata")


def requests(carrier: Carrier, sizes: Sizes) -> Figures:
    """CPU µs of a GET of 1 KB, 32 connections at once; and how many were answered a second."""
    load.saturate(carrier, sizes.warm_up)
    before, begun = usage.cpu(carrier.pid), time.perf_counter()
    load.saturate(carrier, sizes.requests)
    took, after = time.perf_counter() - begun, usage.cpu(carrier.pid)
    return {
        "cpu_us": (after.total_us - before.total_us) / sizes.requests,
        "user_us": (after.user_us - before.user_us) / sizes.requests,
        "per_second": sizes.requests / took,
    }


def latency(carrier: Carrier, sizes: Sizes) -> Figures:
    """Median and 99th percentile of a GET of 1 KB at 300 requests a second, in µs, the upstream's part within."""
    load.saturate(carrier, 200)
    took = sorted(load.steady(carrier, max(300, sizes.requests // 30), 300.0))
    return {"p50_us": statistics.median(took), "p99_us": took[len(took) * 99 // 100]}


def big(carrier: Carrier, sizes: Sizes) -> Figures:
    """MB/s of a 5 MB body, and the CPU ms that one costs."""
    count = max(5, sizes.requests // 400)
    load.big(carrier, 3)
    before = usage.cpu(carrier.pid)
    took = load.big(carrier, count)
    cpu_us = usage.cpu(carrier.pid).total_us - before.total_us
    return {"mb_per_second": count * BIG_BYTES / took / 1e6, "cpu_ms": cpu_us / count / 1000}


def chunks(carrier: Carrier, sizes: Sizes) -> Figures:
    """CPU µs of a chunk of 230 B in a watch."""
    count = max(2, sizes.requests // 3000)
    load.chunks(carrier, 1)
    before = usage.cpu(carrier.pid)
    load.chunks(carrier, count)
    return {"cpu_us": (usage.cpu(carrier.pid).total_us - before.total_us) / (count * CHUNKS)}


def idle_watches(carrier: Carrier, sizes: Sizes) -> Figures:
    """KB of memory that an idle watch holds, in a proxy fresh from its start."""
    load.saturate(carrier, sizes.warm_up)
    before = usage.rss_kb(carrier.pid)
    with load.watches(carrier, sizes.watches):
        return {"kb": (usage.rss_kb(carrier.pid) - before) / sizes.watches}
