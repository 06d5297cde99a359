"""A spool whose process is killed: what was stored arrives, and doubles come from one place only."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from backends import dying_spooler
from backends.dying_spooler import refused
from backends.spool_peers import numbers_in

if TYPE_CHECKING:
    from pathlib import Path

DEADLINE_S = 500


def spool_and_die(directory: Path, mode: str, count: int, seed: int) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, dying_spooler.__file__, str(directory), mode, str(count), str(seed)]
    return subprocess.run(
        command, env=environment, check=True, timeout=DEADLINE_S, stdout=subprocess.PIPE, text=True
    ).stdout


def check(directory: Path) -> Counter[str]:
    """Hold what was received against what was taken."""
    bodies = [[*map(int, line.split())] for line in (directory / "received").read_text().splitlines()]
    taken = {int(line) for line in (directory / "taken").read_text().split()}
    parked = directory / "spool" / "parked.ndjson"
    aside = numbers_in(parked.read_bytes()) if parked.exists() else []
    seen = Counter(number for _, *numbers in bodies for number in numbers)
    lost = taken - seen.keys() - set(aside)
    assert lost == set()
    assert {number for number in taken if refused(number)} <= set(aside)
    assert all(refused(number) for number in aside)
    last_of_life = {life: numbers for life, *numbers in bodies}
    for life, *numbers in bodies:
        if any(number in later for number in numbers for later in _later(bodies, life)):
            assert numbers == last_of_life[life], "only the last body before a kill may come again"
    assert len(numbers_in_segments(directory)) == 0
    return Counter(taken=len(taken), doubled=sum(count - 1 for count in seen.values()), parked=len(aside))


def _later(bodies: list[list[int]], life: int) -> list[list[int]]:
    """Bodies of later lives that hold events of `life` or earlier ones."""
    return [numbers for other, *numbers in bodies if other > life]


def numbers_in_segments(directory: Path) -> list[int]:
    return [number for path in (directory / "spool").glob("0*") for number in numbers_in(path.read_bytes())]


@pytest.mark.parametrize(
    ("kills", "seed"), [pytest.param(20, 1, id="short"), pytest.param(200, 2, id="long", marks=pytest.mark.torture)]
)
def test_killed_at_random_points_nothing_is_lost(kills: int, seed: int, tmp_path: Path) -> None:
    """After SIGKILLs everything that was stored arrives or is parked; only the body that was on its way may double."""
    spool_and_die(tmp_path, "random", kills, seed)
    found = check(tmp_path)
    assert found["taken"] > kills
    print(f"{kills} kills: {dict(found)}")


@pytest.mark.parametrize("mode", ["kill", "kill torn"])
@pytest.mark.parametrize(
    ("sends", "seed"), [pytest.param(2, 7, id="short"), pytest.param(8, 3, id="long", marks=pytest.mark.torture)]
)
def test_killed_at_each_call_nothing_is_lost(mode: str, sends: int, seed: int, tmp_path: Path) -> None:
    """The same for a kill at each single call to the file system, also with half of what was to be written."""
    kills = int(spool_and_die(tmp_path, mode, sends, seed))
    assert kills > 50
    total: Counter[str] = Counter()
    for at in range(1, kills + 1):
        total += check(tmp_path / str(at))
    assert total["taken"] > kills
    print(f"{kills} kills: {dict(total)}")
