"""Rotation under readers: nothing is lost, nothing is doubled, for them and on the disk."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from backends import tailing_reader
from backends.log_family import Reports, family, line, numbers
from decklog.backends.rotate import RotatingFile
from decklog.disk import Disk

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("events", "rotations", "readers"),
    [
        pytest.param(20_000, 200, 2, id="short"),
        pytest.param(1_000_000, 10_000, 4, id="long", marks=pytest.mark.torture),
    ],
)
def test_readers_that_tail_see_every_event_once(events: int, rotations: int, readers: int, tmp_path: Path) -> None:
    """While the log rotates, each reader sees all events once and in order, and so does who reads them afterwards."""
    path = tmp_path / "audit.log"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, tailing_reader.__file__, str(path), str(events)]
    tailing = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(readers)]
    assert [reader.stdout.readline() for reader in tailing if reader.stdout] == ["ready\n"] * readers
    reports = Reports()
    file = RotatingFile(Disk(), path, max_bytes=100 * events // rotations, report=reports)
    file.open()
    for number in range(events):
        file.write(line(number))
    file.close()
    for reader in tailing:
        said, _ = reader.communicate(timeout=tailing_reader.DEADLINE_S)
        seen, wrong, files = map(int, said.split())
        assert (seen, wrong) == (events, 0)
        assert files >= rotations - 1
    assert file.rotations == rotations - 1
    assert reports.kinds == []
    found = [number for part in family(path) for number in numbers(part.read_bytes())]
    assert found == list(range(events))
