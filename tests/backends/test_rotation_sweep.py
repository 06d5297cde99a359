"""Every step of a rotation fails, or is where the process is killed; nothing that was written is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from backends import dying_writer
from backends.faulty_disk import DISK_FULL, IO_ERROR, FaultyDisk
from backends.log_family import Clock, Reports, all_numbers, family, line, numbers
from decklog.backends.retention import Limits, Retention
from decklog.backends.rotate import RotatingFile
from decklog.disk import Disk

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def restart(directory: Path) -> list[int]:
    """Start again after a kill, write three more lines, sweep, and read everything."""
    path = directory / "audit.log"
    file = RotatingFile(Disk(), path, max_bytes=300, report=Reports(), clock_ns=Clock())
    retention = Retention(
        Disk(), path, Limits(compress=True), in_use=lambda: file.identity, report=Reports(), clock_ns=Clock()
    )
    file.open()
    for number in range(100, 103):
        file.write(line(number))
    file.close()
    retention.sweep()
    assert not list(directory.glob(".*")), "leftovers are gone"
    assert all(part == path or part.name.endswith(".gz") for part in family(path)), "everything is packed"
    return all_numbers(path)


@pytest.mark.parametrize("kind", ["kill", "kill torn"])
def test_a_kill_at_any_step_loses_nothing_that_was_written(kind: str, tmp_path: Path) -> None:
    """Before and after the restart each line that was taken is there once, in order; a torn one stands alone."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, dying_writer.__file__, str(tmp_path), kind]
    subprocess.run(command, env=environment, check=True, timeout=60)
    runs = sorted(int(place.name) for place in tmp_path.iterdir() if place.is_dir())
    assert len(runs) > 100
    for run in runs:
        taken = [int(text) for text in (tmp_path / f"{run}.taken").read_text().split()]
        place = tmp_path / str(run)
        found = [number for number in all_numbers(place / "audit.log") if number >= 0]
        assert found[: len(taken)] == taken, f"killed at call {run}"
        assert len(found) <= len(taken) + 1, f"killed at call {run}"
        after = [number for number in restart(place) if number >= 0]
        assert after == [*found, 100, 101, 102], f"killed at call {run}"


@pytest.mark.parametrize("code", [IO_ERROR, DISK_FULL])
def test_a_failure_at_any_step_is_told_or_costs_nothing(code: int, tmp_path: Path) -> None:
    """A line is there exactly once if it was taken, and not at all if it was refused, whichever call failed."""
    at = 0
    met = "?"
    while met:
        at += 1
        place = tmp_path / str(at)
        place.mkdir()
        taken: list[int] = []
        disk = FaultyDisk()
        file = RotatingFile(disk, place / "audit.log", max_bytes=300, report=Reports(), clock_ns=Clock())
        file.open()
        disk.arm("fail", at, code=code)
        for number in range(dying_writer.LINES):
            try:
                file.write(line(number, 400 if number % 4 == 3 else 100))
                taken.append(number)
            except OSError:
                pass
            file.check()
        file.close()
        met = disk.met
        found = all_numbers(place / "audit.log")
        assert sorted(found) == taken, f"call {at}, {met}"
        assert len(taken) >= dying_writer.LINES - (met == "append"), f"only a failing write costs an event: {at}, {met}"
    assert at > 50


class Meddling(FaultyDisk):
    """Somebody does something to the log just before the n-th call."""

    def __init__(self, deed: Callable[[], None]) -> None:
        super().__init__()
        self._deed = deed

    def _meet(self, name: str, real: Callable[..., Any], *args: Any) -> Any:
        self._deed()
        return super()._meet(name, real, *args)


def meddle(deed: str, path: Path, moved: Path, taken: list[int], before: list[int]) -> None:
    """Do the deed, and note in `before` what was taken until then."""
    before.extend(taken)
    if path.exists():
        path.unlink() if deed == "remove" else path.rename(moved)
    if deed == "link":
        path.symlink_to(path.with_name("target"))


@pytest.mark.parametrize("deed", ["remove", "rename", "link"])
def test_somebody_meddles_at_any_step(deed: str, tmp_path: Path) -> None:
    """Before whichever call the log is removed, renamed or replaced by a link: what is written later is there once."""
    at = 0
    met = "?"
    while met:
        at += 1
        place = tmp_path / str(at)
        place.mkdir()
        path, moved = place / "audit.log", place / "moved"
        taken: list[int] = []
        before: list[int] = []
        disk = Meddling(partial(meddle, deed, path, moved, taken, before))
        file = RotatingFile(disk, path, max_bytes=300, report=Reports(), clock_ns=Clock())
        file.open()
        disk.arm("meddle", at)
        for number in range(dying_writer.LINES):
            file.write(line(number, 400 if number % 4 == 3 else 100))
            taken.append(number)
            if number % 2:
                file.check()
        file.close()
        met = disk.met
        if path.is_symlink():
            path.unlink()
        found = all_numbers(path) + (numbers(moved.read_bytes()) if moved.exists() else [])
        assert len(set(found)) == len(found), f"doubled: call {at}, {met}"
        lost = set(range(dying_writer.LINES)) - set(found)
        assert lost <= (set(before) if deed == "remove" else set()), f"lost: call {at}, {met}"
        assert not (place / "target").exists(), f"followed: call {at}, {met}"
    assert at > 50


@pytest.mark.parametrize("kind", ["tear", "full"])
def test_a_disk_that_fills_at_any_step(kind: str, tmp_path: Path) -> None:
    """Short writes are completed; a full disk refuses lines, tears at most one, and is written again when freed."""
    at = 0
    met = "?"
    while met:
        at += 1
        place = tmp_path / str(at)
        place.mkdir()
        disk = FaultyDisk(kind, at)
        file = RotatingFile(disk, place / "audit.log", max_bytes=300, report=Reports(), clock_ns=Clock())
        file.open()
        taken = []
        for number in range(dying_writer.LINES):
            try:
                file.write(line(number))
                taken.append(number)
            except OSError:
                pass
            if number % 4 == 3:
                disk.freed()
        file.close()
        met = disk.met
        found = all_numbers(place / "audit.log")
        assert [number for number in found if number >= 0] == taken, f"call {at}, {met}"
        assert found.count(-1) <= 1, f"call {at}, {met}"
        assert kind == "full" or len(taken) == dying_writer.LINES, f"call {at}, {met}"
    assert at > 30
