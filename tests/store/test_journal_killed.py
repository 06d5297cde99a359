"""A journal whose process is killed: what was acknowledged is there, once, and it opens again within two seconds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from store import dying_writer
from store.journal_peers import numbers_in

if TYPE_CHECKING:
    from pathlib import Path

DEADLINE_S = 900
OPENING_S = 2.0


def write_and_die(directory: Path, mode: str, count: int, seed: int) -> dict[str, float]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, dying_writer.__file__, str(directory), mode, str(count), str(seed)]
    told: dict[str, float] = json.loads(
        subprocess.run(
            command, env=environment, check=True, timeout=DEADLINE_S, stdout=subprocess.PIPE, text=True
        ).stdout
    )
    print(told)
    return told


def check(directory: Path) -> None:
    """Hold what is stored against what was acknowledged and what was sent."""
    taken, sent = ({int(line) for line in (directory / name).read_text().split()} for name in ("taken", "sent"))
    stored = Counter(numbers_in(directory / "store"))
    assert taken <= stored.keys(), "lost"
    assert set(stored.values()) <= {1}, "doubled"
    assert stored.keys() <= sent


@pytest.mark.parametrize(
    ("kills", "seed"), [pytest.param(12, 1, id="short"), pytest.param(300, 2, id="long", marks=pytest.mark.torture)]
)
def test_kills_at_random_lose_nothing_and_double_nothing(kills: int, seed: int, tmp_path: Path) -> None:
    """Killed again and again while it stores: all that was acknowledged is there once, what was resent, too."""
    told = write_and_die(tmp_path, "random", kills, seed)
    check(tmp_path)
    assert told["effective"] > kills / 2, "most kills are to hit a writer that stored something"
    assert told["opening_s"] <= OPENING_S


@pytest.mark.parametrize(
    ("kind", "calls"),
    [
        pytest.param("kill", 25, id="short"),
        pytest.param("kill torn", 25, id="torn-short"),
        pytest.param("kill", 300, id="long", marks=pytest.mark.torture),
        pytest.param("kill torn", 300, id="torn-long", marks=pytest.mark.torture),
    ],
)
def test_a_kill_at_each_call_loses_nothing(kind: str, calls: int, tmp_path: Path) -> None:
    """Killed at the n-th call to the file system, for each n: nothing is lost, nothing doubled."""
    told = write_and_die(tmp_path, kind, calls, 3)
    assert told["kills"] == calls, "the scenario is to have that many calls"
    for at in range(1, calls + 1):
        check(tmp_path / str(at))
    assert told["opening_s"] <= OPENING_S
