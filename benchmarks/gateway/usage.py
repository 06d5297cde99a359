"""CPU time and memory of a process and its children, from /proc (Linux)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Cpu:
    """CPU time since the start of the processes."""

    total_us: float
    user_us: float
    """To 10 ms: the kernel tells no more. The total is exact."""


def family(pid: int) -> list[int]:
    """Give a process and all that descend from it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += family(int(child))
    return found


def cpu(pid: int) -> Cpu:
    """Give the CPU time of a process and its descendants, all threads."""
    total = user = 0.0
    for member in family(pid):
        for task in Path(f"/proc/{member}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0]) / 1000
        fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        user += int(fields[11]) * 1_000_000 / os.sysconf("SC_CLK_TCK")
    return Cpu(total, user)


def rss_kb(pid: int) -> int:
    """Give the resident memory of a process and its descendants, pages that they share counted once for each."""
    lines = (line for member in family(pid) for line in Path(f"/proc/{member}/status").read_text().splitlines())
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
