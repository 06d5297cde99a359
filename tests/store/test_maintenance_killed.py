"""Maintenance whose process is killed at its n-th system call, DuckDB's and SQLite's among them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from decklog.disk import Disk
from store import whole_round

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEADLINE_S = 60
MOST = 300
CALLS = ("pwrite64", "fdatasync", "fsync", "unlink", "ftruncate", "renameat2", "write")


def run_until_killed(store: Path, call: str, at: int) -> int:
    """Do a round; gives how its process ended."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not here")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [strace, "-f", "-qq", "-o", os.devnull, "-e", f"inject={call}:signal=KILL:when={at}"]
    ended = subprocess.run(
        [*command, sys.executable, whole_round.__file__, str(store)],
        env=environment,
        check=False,
        timeout=DEADLINE_S,
        capture_output=True,
        text=True,
    )
    if "ptrace" in ended.stderr and "permitted" in ended.stderr:
        pytest.skip("strace may not be used here")
    return ended.returncode


def each_call() -> Iterator[tuple[str, int]]:
    """Give each system call, and how many-th of it."""
    yield from ((call, at) for call in CALLS for at in range(1, MOST + 1))


@pytest.mark.parametrize(
    "calls",
    [
        pytest.param([("pwrite64", 70), ("fdatasync", 20), ("fsync", 15), ("unlink", 5), ("renameat2", 2)], id="short"),
        pytest.param(list(each_call()), id="long", marks=pytest.mark.torture),
    ],
)
def test_a_kill_at_any_system_call_leaves_a_complete_store(calls: list[tuple[str, int]], tmp_path: Path) -> None:
    """Killed at the n-th write, sync, rename or removal of a round: nothing is lost, and the next round ends it."""
    made = tmp_path / "made"
    whole_round.make(made)
    killed: Counter[str] = Counter()
    lived: set[str] = set()
    for call, at in calls:
        if call in lived:
            continue  # there are no so many of it
        store = tmp_path / f"{call}-{at}"
        shutil.copytree(made, store)
        code = run_until_killed(store, call, at)
        assert code in {0, -signal.SIGKILL, 128 + signal.SIGKILL}, code
        if code == 0:
            lived.add(call)
        else:
            killed[call] += 1
        whole_round.check_now(store, tmp_path)
        whole_round.work_through(store, Disk())
        whole_round.check_after(store, tmp_path)
        shutil.rmtree(store)
    print(killed)
    assert killed.total() >= 4
