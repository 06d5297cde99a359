"""`make bench`: the measurements of docs/performance.md, as a table and as benchmarks/results/core.json.

Each figure is the minimum of nine rounds on one pinned core; ratios are taken within the run. The load of the machine
is printed, because figures taken on a busy one say little.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Any

from benchmarks import batch, decision, encode, journal, log_writer, path, policy_log, receive, webhook

PARTS = {
    "decision": decision.run,
    "encode": encode.run,
    "path": path.run,
    "log": log_writer.run,
    "batch": batch.run,
    "webhook": webhook.run,
    "policy": policy_log.run,
    "journal": journal.run,
    "receive": receive.run,
}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: make bench ARGS='decision encode'")
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="what to measure; default: all")
    chosen = parser.parse_args().parts or list(PARTS)
    core = _pin()
    load = os.getloadavg()[0]
    print(f"{platform.machine()}, {os.cpu_count()} cores, {platform.python_version()}, core {core}, load {load:.2f}")
    rows = [row for part in chosen for row in PARTS[part]()]
    for row in rows:
        peer = f"  peer: {row['peer']}" if row.get("peer") else ""
        print(f"{row['name']:58} {row['value']:>12,.3f} {row['unit']:10} target {row.get('target', '-'):12}{peer}")
    _write(rows, load, core)


def _pin() -> int:
    """Stay on one core: the last, which is the least busy by custom."""
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return core


def _write(rows: list[dict[str, Any]], load: float, core: int) -> None:
    folder = Path(__file__).resolve().parent / "results"
    folder.mkdir(exist_ok=True)
    machine = {"machine": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()}
    (folder / "core.json").write_text(
        json.dumps({**machine, "load": load, "core": core, "rows": rows}, indent=1) + "\n"
    )
    print(f"written to {folder / 'core.json'}")


if __name__ == "__main__":
    main()
