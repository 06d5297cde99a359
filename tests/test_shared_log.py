"""One log for several workers: the assembly's own backend in several processes."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

import shared_log_process
from decklog.audit.wire import decode_event

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20


@pytest.mark.parametrize(
    ("writers", "events"),
    [pytest.param(2, 12_000, id="short"), pytest.param(4, 250_000, id="long", marks=pytest.mark.torture)],
)
def test_no_line_is_lost_torn_or_doubled_over_rotations(tmp_path: Path, writers: int, events: int) -> None:
    """Every event of every process is in the log or its backups once and whole, and every backup is full."""
    path = tmp_path / "audit.log"
    command = [sys.executable, shared_log_process.__file__, str(path)]
    processes = [
        subprocess.Popen([*command, str(number), str(events)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for number in range(writers)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=300)
        assert process.returncode == 0
    files = sorted(tmp_path.glob("audit*.log"))
    found = Counter(decode_event(line).audit_id for file in files for line in file.read_bytes().splitlines())
    assert found == Counter(f"{number}-{count}" for number in range(writers) for count in range(events))
    sizes = [file.stat().st_size for file in files if file != path]
    assert len(sizes) >= 5
    assert min(sizes) > 0.9 * MIB  # nobody sets a small file aside that another has just begun
