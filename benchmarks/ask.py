"""`make bench-ask`: questions put to a generated log, against jq and grep on the same file, in the same run.

Each command is a fresh process; its time is the best of a few rounds, in which all take turns, so that load hits them
alike. Peers are Debian's (apt-get install jq); one that is missing is named and its ratios are left out. The log is
made in a temporary folder (`--folder`; it takes the log's size and a sixth of it) and removed at the end.

A ratio "x jq" is the peer's time through ours; "x grep -c" ours through the peer's. Memory is the peak of the largest
process, children included.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.logs import PLANTED_ID, PLANTED_NAME, PLANTED_NAMESPACE, PLANTED_TEXT, write

ROUNDS = 3
SMALL_BYTES = 1_000_000
SPARE = 1.5
"""So much of the log's size has to be free on the disk."""
_BYTES_AN_EVENT = 1800


@dataclass(frozen=True)
class Command:
    """One process to measure."""

    name: str
    shell: str
    once: bool = False
    """Slow peers run once."""


@dataclass(frozen=True)
class Taken:
    """What a command took."""

    seconds: float
    peak_mb: float


def main() -> None:
    """Make the log, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument(
        "--folder", type=Path, default=None, help="where the log is made; default: the temporary folder"
    )
    parser.add_argument("--no-packed", action="store_true", help="leave the .gz out")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="decklog-bench-") as folder:
        as_installed(Path(folder))
        _ask_for_room(Path(folder), arguments.events)
        rows = _measure(Path(folder), arguments.events, arguments.rounds, packed=not arguments.no_packed)
    for row in rows:
        print(f"{row['name']:44} {row['value']:>10.3f} {row['unit']:10} target {row['target']:10} {row['peer']}")
    _write(rows)


def as_installed(folder: Path) -> None:
    """Let processes keep their bytecode, in `folder`, as an installed package has it; the first round fills it."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")


def _ask_for_room(folder: Path, events: int) -> None:
    needed = int(events * _BYTES_AN_EVENT * SPARE)
    if shutil.disk_usage(folder).free < needed:
        sys.exit(f"{folder} has less than {needed >> 20} MiB free: give --folder or fewer --events")


def _measure(folder: Path, events: int, rounds: int, *, packed: bool) -> list[dict[str, Any]]:
    log = folder / "audit.log"
    about = write(log, events)
    small = folder / "small.log"
    with log.open("rb") as whole:
        small.write_bytes(whole.read(SMALL_BYTES))
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()},"
        f" load {os.getloadavg()[0]:.2f}"
    )
    print(f"{events:,} events, {about['bytes'] / 1e9:.2f} GB, {about['bodies']:.0%} with bodies")
    taken = _best(_commands(log, small), rounds)
    if packed and shutil.which("gzip"):
        subprocess.run(["gzip", "-k", log], check=True)
        log.unlink()
        taken |= _best(_packed_commands(Path(f"{log}.gz")), rounds)
    return _rows(taken)


def _commands(log: Path, small: Path) -> list[Command]:
    program = f"{sys.executable} -m decklog"
    return _present(
        [
            Command("who", f"{program} who deleted deploy/{PLANTED_NAME} -n {PLANTED_NAMESPACE} -f {log}"),
            Command("show", f"{program} show {PLANTED_ID} -f {log}"),
            Command("rare text", f"{program} query -f {log} --text '{PLANTED_TEXT}'"),
            Command("help", f"{program} --help"),
            Command("who, 1 MB", f"{program} who updated leases -f {small}"),
            Command("history", f"{program} history deploy/{PLANTED_NAME} -n {PLANTED_NAMESPACE} -f {log}"),
            Command("grep for who", f'grep -c \'"name":"{PLANTED_NAME}"\' {log}'),
            Command("grep for show", f"grep -c {PLANTED_ID} {log}"),
            Command("grep for rare text", f"grep -c '{PLANTED_TEXT}' {log}"),
            Command("jq", f"jq -c '{_filter()}' {log}", once=True),
        ]
    )


def _packed_commands(log: Path) -> list[Command]:
    program = f"{sys.executable} -m decklog"
    return _present(
        [
            Command("who, .gz", f"{program} who deleted deploy/{PLANTED_NAME} -n {PLANTED_NAMESPACE} -f {log}"),
            Command("show, .gz", f"{program} show {PLANTED_ID} -f {log}"),
            Command("zcat", f"zcat {log} | jq -c '{_filter()}'", once=True),
        ]
    )


def _filter() -> str:
    return (
        f'select(.verb=="delete" and .objectRef.resource=="deployments" and .objectRef.name=="{PLANTED_NAME}"'
        f' and .objectRef.namespace=="{PLANTED_NAMESPACE}") | .user.username'
    )


def _present(commands: list[Command]) -> list[Command]:
    """Leave out the peers that are not installed, and say so."""
    tools = {"grep": ("grep",), "jq": ("jq",), "zcat": ("zcat", "jq")}
    missing = {name for name, needed in tools.items() if not all(map(shutil.which, needed))}
    for command in commands:
        if command.name.split()[0] in missing:
            print(f"{command.name} is skipped: not installed")
    return [command for command in commands if command.name.split()[0] not in missing]


def _best(commands: list[Command], rounds: int) -> dict[str, Taken]:
    best: dict[str, Taken] = {}
    for turn in range(rounds):
        for command in commands:
            if command.once and turn:
                continue
            taken = _run(command)
            known = best.get(command.name, taken)
            best[command.name] = Taken(min(known.seconds, taken.seconds), max(known.peak_mb, taken.peak_mb))
    return best


_MEASURED = """
import json, resource, subprocess, sys, time
begun = time.perf_counter()
done = subprocess.run(sys.argv[1], shell=True, capture_output=True)
took = time.perf_counter() - begun
print(json.dumps([done.returncode, took, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss]))
"""
"""Runs a command from a process of its own, whose children are that command alone: so the peak is its peak.
Its output is read: grep stops at the first match if it sees that nobody does."""


def _run(command: Command) -> Taken:
    code = [sys.executable, "-c", _MEASURED, command.shell]
    done = subprocess.run(code, capture_output=True, check=True, text=True)
    status, seconds, peak = json.loads(done.stdout)
    if status != 0:
        sys.exit(f"{command.name} failed with exit code {status}: {command.shell}")
    return Taken(seconds, peak / (1 << 20 if sys.platform == "darwin" else 1 << 10))


def _rows(taken: dict[str, Taken]) -> list[dict[str, Any]]:
    rows = []
    for name in ("who", "history", "show", "rare text"):
        if peer := taken.get("jq"):
            rows.append(_against(f"{name}, times faster than jq", peer, taken[name], "≥ 25"))
        if peer := taken.get(f"grep for {'who' if name == 'history' else name}"):
            rows.append(_against(f"{name}, times the time of grep -c", taken[name], peer, "≤ 3"))
    if peer := taken.get("zcat"):
        names = [name for name in ("who, .gz", "show, .gz") if name in taken]
        rows += [_against(f"{name}, times faster than zcat | jq", peer, taken[name], "≥ 5") for name in names]
    rows += [
        _row(f"memory of {name}", used.peak_mb, "MB", "≤ 250", "")
        for name, used in taken.items()
        if name.startswith(("who", "history", "show", "rare"))
    ]
    rows.append(_row("decklog --help", taken["help"].seconds * 1000, "ms", "≤ 120", ""))
    rows.append(_row("who on a file of 1 MB", taken["who, 1 MB"].seconds * 1000, "ms", "≤ 200", ""))
    return rows


def _against(name: str, slower: Taken, faster: Taken, target: str) -> dict[str, Any]:
    return _row(name, slower.seconds / faster.seconds, "x", target, f"{slower.seconds:.2f} s / {faster.seconds:.2f} s")


def _row(name: str, value: float, unit: str, target: str, peer: str) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "target": target, "peer": peer}


def _write(rows: list[dict[str, Any]]) -> None:
    folder = Path(__file__).resolve().parent / "results"
    folder.mkdir(exist_ok=True)
    machine = {"machine": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()}
    text = json.dumps({**machine, "load": os.getloadavg()[0], "rows": rows}, indent=1)
    (folder / "ask.json").write_text(text + "\n")
    print(f"written to {folder / 'ask.json'}")


if __name__ == "__main__":
    main()
