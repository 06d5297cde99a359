"""Counts over a whole log against jq on the same file, in the same run: `python -m benchmarks.aggregates`.

Each command is a fresh process, the best of a few rounds in which all take turns; jq runs once. The log is made in a
temporary folder and removed at the end; `--log` takes one that is there. Memory is the peak of the largest process.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.ask import as_installed
from benchmarks.logs import write

ROUNDS = 3
_MEASURED = """
import json, resource, subprocess, sys, time
begun = time.perf_counter()
done = subprocess.run(sys.argv[1], shell=True, capture_output=True)
took = time.perf_counter() - begun
print(json.dumps([done.returncode, took, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024]))
"""
PEERS = {
    "top": "jq -r .user.username {log} | sort | uniq -c | sort -rn | head -20",
    "timeline": "jq -r '.requestReceivedTimestamp[:16]' {log} | sort | uniq -c",
}
OURS = {
    "top": "top --by user {log}",
    "top by three": "top --by user,verb,resource {log}",
    "top, filtered": "top --by user --code 4xx {log}",
    "timeline": "timeline {log}",
    "timeline by verb": "timeline --by verb {log}",
    "sql": "sql 'select user, count(*) from requests group by user' {log}",
}
SLOW = frozenset(("sql",))
"""Run once; there is no target for them."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--log", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="decklog-bench-") as folder:
        as_installed(Path(folder))
        if arguments.log:
            measure(arguments.log, arguments.rounds)
            return
        log = Path(folder, "audit.log")
        print(write(log, arguments.events))
        measure(log, arguments.rounds)


def measure(log: Path, rounds: int) -> None:
    """Time every command on a log."""
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.2f}, {log.stat().st_size / 1e9:.2f} GB")
    best: dict[str, tuple[float, float]] = {}
    for turn in range(rounds):
        for name, command in OURS.items():
            if turn == 0 or name not in SLOW:
                seconds, peak = _run(f"{sys.executable} -m decklog {command.format(log=log)}")
                known = best.get(name, (seconds, peak))
                best[name] = min(known[0], seconds), max(known[1], peak)
    peers = {name: _run(command.format(log=log))[0] for name, command in PEERS.items() if shutil.which("jq")}
    for name, (seconds, peak) in best.items():
        peer = peers.get(name.split(",")[0].split()[0])
        ratio = f"{peer / seconds:5.1f} x jq ({peer:.1f} s), target ≥ 12" if peer else ""
        print(f"{name:20} {seconds:6.2f} s  {peak:5.0f} MB (target ≤ 1000)  {ratio}")


def _run(shell: str) -> tuple[float, float]:
    done = subprocess.run([sys.executable, "-c", _MEASURED, shell], capture_output=True, check=True, text=True)
    status, seconds, peak = json.loads(done.stdout)
    if status:
        sys.exit(f"exit code {status}: {shell}")
    return seconds, peak


if __name__ == "__main__":
    main()
