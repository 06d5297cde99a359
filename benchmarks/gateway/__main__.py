"""`make bench-gateway`: prints a table, writes benchmarks/results/gateway.json. See the package's docstring."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.gateway import measures
from benchmarks.gateway.carriers import COMMANDS, Carrier, missing, start, start_upstream
from benchmarks.gateway.ground import Ground, cores, raise_file_limit
from benchmarks.gateway.measures import Figures, Sizes

if TYPE_CHECKING:
    from collections.abc import Callable

MEASURES: dict[str, Callable[[Carrier, Sizes], Figures]] = {
    "requests": measures.requests,
    "latency": measures.latency,
    "chunks": measures.chunks,
    "big": measures.big,
    "watches": measures.idle_watches,
}
ONCE = {"watches"}
"""Wants a process fresh from its start, so there is one round."""
WITHOUT_PROXY = {"latency"}
"""Measured on the way without a proxy too."""
TARGETS: dict[tuple[str, str, str], str] = {
    ("plain", "requests", "cpu_us"): "<= 60, <= 2.3 x nginx",
    ("tls", "requests", "cpu_us"): "<= 85",
    ("plain", "latency", "p50_us"): "<= direct + 300",
    ("plain", "chunks", "cpu_us"): "<= 4",
    ("tls", "watches", "kb"): "<= 100",
    ("plain", "big", "mb_per_second"): ">= 400",
}


def main() -> None:
    """Measure, print, write."""
    options = _options()
    names = [name for name in options.proxies if not missing(name)]
    for name in sorted(set(options.proxies) - set(names)):
        print(f"{name} is not on this machine: left out")
    core, other = cores()
    raise_file_limit()
    os.sched_setaffinity(0, {other})
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, proxy on core {core}, "
        f"load and upstream on core {other}, load average {os.getloadavg()[0]:.2f}, {options.rounds} rounds"
    )
    rows = []
    for scheme in options.schemes:
        with tempfile.TemporaryDirectory(prefix="bench-gateway-") as folder:
            ground = Ground(Path(folder))
            ground.make_certificates()
            rows += _scheme(scheme, ground, names, options, (core, other))
    _write(rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, epilog="make bench-gateway ARGS='--only requests chunks'")
    parser.add_argument("--schemes", nargs="+", choices=("plain", "tls"), default=["plain", "tls"])
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=list(MEASURES))
    parser.add_argument("--proxies", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=30_000, help="a round; the other measures follow it")
    parser.add_argument("--watches", type=int, default=2000)
    return parser.parse_args()


def _scheme(
    scheme: str, ground: Ground, names: list[str], options: argparse.Namespace, places: tuple[int, int]
) -> list[dict[str, Any]]:
    """Run the measures over one scheme: every proxy in turn, again and again."""
    core, other = places
    sizes = Sizes(options.requests, options.watches)
    upstream = start_upstream(ground, other, tls=scheme == "tls")
    rows = []
    try:
        for measure in options.only:
            proxies = []
            try:
                for name in names:
                    proxies.append(start(name, ground, upstream, core))
                    if name == "decklog":
                        measures.check_recorded(proxies[-1], ground.file(f"audit-{proxies[-1].port}.log"))
                rows += _measure(scheme, measure, [*proxies, upstream], sizes, options.rounds)
            finally:
                for proxy in proxies:
                    proxy.stop()
    finally:
        upstream.stop()
    return rows


def _measure(scheme: str, measure: str, carriers: list[Carrier], sizes: Sizes, rounds: int) -> list[dict[str, Any]]:
    found: dict[str, list[Figures]] = {}
    for _ in range(1 if measure in ONCE else rounds):
        for carrier in carriers:
            if carrier.name == "direct" and measure not in WITHOUT_PROXY:
                continue
            found.setdefault(carrier.name, []).append(MEASURES[measure](carrier, sizes))
    rows = []
    for figure in next(iter(found.values()))[0]:
        rounds_of = {name: [one[figure] for one in figures] for name, figures in found.items()}
        row = {
            "scheme": scheme,
            "measure": measure,
            "figure": figure,
            "target": TARGETS.get((scheme, measure, figure), ""),
            "median": {name: statistics.median(values) for name, values in rounds_of.items()},
            "rounds": rounds_of,
        }
        _print(row)
        rows.append(row)
    return rows


def _print(row: dict[str, Any]) -> None:
    name = f"{row['scheme']} {row['measure']} {row['figure']}"
    figures = "  ".join(f"{carrier} {value:,.1f}" for carrier, value in row["median"].items())
    median = row["median"]
    against = f"  ({median['decklog'] / median['nginx']:.2f} x nginx)" if {"decklog", "nginx"} <= median.keys() else ""
    target = f"  target {row['target']}" if row["target"] else ""
    print(f"{name:30} {figures}{against}{target}")
    sys.stdout.flush()


def _write(rows: list[dict[str, Any]]) -> None:
    folder = Path(__file__).resolve().parents[1] / "results"
    folder.mkdir(exist_ok=True)
    machine = {"machine": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()}
    path = folder / "gateway.json"
    path.write_text(json.dumps({**machine, "load": os.getloadavg()[0], "rows": rows}, indent=1) + "\n")
    print(f"written to {path}")


if __name__ == "__main__":
    main()
