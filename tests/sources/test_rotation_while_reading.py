from __future__ import annotations

import io
import subprocess
import sys
from typing import TYPE_CHECKING

from ask.logs import event
from decklog.audit.wire import encode_event
from decklog.sources.places import find
from decklog.sources.reader import read
from decklog.sources.record import Coverage

if TYPE_CHECKING:
    from pathlib import Path

EVENTS = 3000

WRITER = """
import gzip, pathlib, sys
path, progress, line = pathlib.Path(sys.argv[1]), open(sys.argv[2], "r+b", buffering=0), sys.argv[3]

def backup(times):
    return path.with_name(f"audit-2026-01-01T00-{times // 60:02}-{times % 60:02}.000.log")

def pack(plain):
    unfinished = plain.with_name(f".{plain.name}.gz.tmp")
    unfinished.write_bytes(gzip.compress(plain.read_bytes(), 1))
    unfinished.rename(f"{plain}.gz")
    plain.unlink()

file = path.open("ab", buffering=0)
for number in range(int(sys.argv[4])):
    file.write(line.replace("NUMBER", str(number)).encode() + b"\\n")
    progress.seek(0)
    progress.write(b"%10d" % (number + 1))
    times, rest = divmod(number + 1, 10)
    if rest == 0:
        path.rename(backup(times))
        file = path.open("ab", buffering=0)
        if times > 1:
            pack(backup(times - 1))
"""
"""Writes numbered events, rotates every ten lines and packs what it rotated before; as fast as it can."""


def test_every_reading_of_a_rotating_log_has_all_that_was_there_once_and_in_order(tmp_path: Path) -> None:
    """Whatever is renamed or packed meanwhile: what was written before a reading began is in it, once, in order."""
    path, progress = tmp_path / "audit.log", tmp_path / "progress"
    path.touch()
    progress.write_bytes(b"0")
    line = encode_event(event(audit_id="NUMBER")).decode()
    with subprocess.Popen([sys.executable, "-c", WRITER, path, progress, line, str(EVENTS)]) as writer:
        while writer.poll() is None:
            _read_all(path, written=int(progress.read_bytes() or 0))
    assert writer.returncode == 0
    assert _read_all(path, written=EVENTS) == EVENTS


def _read_all(path: Path, written: int) -> int:
    coverage = Coverage()
    records = list(read(find([str(path)], io.BytesIO()), coverage))
    numbers = [int(record.event.audit_id) for record in records if record.event]
    between = f"{path}: the log itself is not there; its older parts were read"  # renamed, not yet made anew
    assert coverage.problems in ([], [between])
    assert coverage.bad_lines <= 1  # a line that is being written
    assert numbers[:written] == list(range(written))
    assert numbers == sorted(set(numbers))
    return len(numbers)
