from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from ask.logs import event
from decklog.audit.wire import encode_event
from decklog.sources.follow import Follower

if TYPE_CHECKING:
    from pathlib import Path

EVENTS = 1200
DEADLINE_SECONDS = 60

WRITER = """
import gzip, pathlib, shutil, sys
path, line, events, kind = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]

def backup(times):
    return path.with_name(f"audit-2026-01-01T{times // 3600:02}-{times // 60 % 60:02}-{times % 60:02}.000.log")

def pack(plain):
    unfinished = plain.with_name(f".{plain.name}.gz.tmp")
    unfinished.write_bytes(gzip.compress(plain.read_bytes(), 1))
    unfinished.rename(f"{plain}.gz")
    plain.unlink()

file = path.open("ab", buffering=0)
for number in range(events):
    whole = line.replace("NUMBER", str(number)).encode() + b"\\n"
    if number % 7:
        file.write(whole)
    else:
        file.write(whole[:50])
        file.write(whole[50:])
    times, rest = divmod(number + 1, 40)
    if rest == 0 and kind == "rename":
        path.rename(backup(times))
        if times % 3:
            file.write(b"")
        file = path.open("ab", buffering=0)
        if times > 1:
            pack(backup(times - 1))
    elif rest == 0:
        shutil.copy(path, backup(times))
        file.truncate(0)
        if times % 2:
            pack(backup(times))
"""
"""Writes numbered events, some in two pieces, rotates every forty lines, and packs; as fast as it can."""

LINE = encode_event(event(audit_id="NUMBER")).decode()


def writer(path: Path, kind: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WRITER, path, LINE, str(EVENTS), kind])


@pytest.mark.parametrize("kind", ["rename", "copy and truncate"])
def test_a_log_that_another_process_writes_and_rotates_is_followed(kind: str, tmp_path: Path) -> None:
    """Each of the writer's events is handed over once, in order, however the rotations fall."""
    path = tmp_path / "audit.log"
    path.touch()
    end = time.monotonic() + DEADLINE_SECONDS
    got: list[int] = []
    follower = Follower(
        path,
        tmp_path / "checkpoint",
        from_start=True,
        poll_seconds=0.001,
        linger_seconds=0.01,
        wait=threading.Event().wait,
        stopped=lambda: len(got) >= EVENTS or time.monotonic() > end,
    )
    with writer(path, kind) as process:
        for batch in follower.batches():
            got += [int(record.event.audit_id) for record in batch.records if record.event]
    assert process.returncode == 0
    assert got == list(range(EVENTS)), follower.coverage.problems
    assert follower.coverage.bad_lines == 0


FOLLOWER = """
import os, signal, sys
from pathlib import Path
from decklog.sources.follow import Follower
path, checkpoint, taken, moment = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
file = taken.open("ab", buffering=0)
follower = Follower(path, checkpoint, from_start=True, poll_seconds=0.001, linger_seconds=0.01)
for number, batch in enumerate(follower.batches()):
    file.write(b"".join(b"%s " % record.event.audit_id.encode() for record in batch.records) + b"\\n")
    if moment == "taken" and number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
"""
"""Writes down which events it was given, a line a batch; may kill itself when it has, before the checkpoint."""


def follow(tmp_path: Path, moment: str) -> subprocess.Popen[bytes]:
    arguments = (*(str(tmp_path / name) for name in ("audit.log", "checkpoint", "taken")), moment)
    return subprocess.Popen([sys.executable, "-c", FOLLOWER, *arguments])


def taken(tmp_path: Path) -> list[list[int]]:
    lines = (tmp_path / "taken").read_bytes().splitlines() if (tmp_path / "taken").exists() else []
    return [[int(number) for number in line.split()] for line in lines]


def complete(batches: list[list[int]]) -> bool:
    return bool(batches) and EVENTS - 1 in batches[-1]


@pytest.mark.parametrize("moment", ["taken", "any"])
def test_a_follower_that_is_killed_loses_nothing(moment: str, tmp_path: Path) -> None:
    """Killed between a batch and its checkpoint, or whenever: at least once. Only a batch in hand comes again."""
    end = time.monotonic() + DEADLINE_SECONDS
    (tmp_path / "audit.log").touch()
    kills = 0
    with writer(tmp_path / "audit.log", "rename") as writing:
        while not complete(taken(tmp_path)):
            assert time.monotonic() < end
            before = len(taken(tmp_path))
            # The first few are killed, the last may finish.
            with follow(tmp_path, moment if kills < 4 else "never") as following:
                while following.poll() is None and not complete(taken(tmp_path)) and time.monotonic() < end:
                    if moment == "any" and kills < 4 and len(taken(tmp_path)) > before:
                        following.send_signal(signal.SIGKILL)
                    threading.Event().wait(0.002)
                following.kill()
            kills += 1
    assert writing.returncode == 0
    batches = taken(tmp_path)
    seen: set[int] = set()
    for batch in batches:
        assert batch == list(range(batch[0], batch[-1] + 1))
        assert batch[0] <= len(seen)
        seen.update(batch)
    assert seen == set(range(EVENTS))
    assert kills > 1
    json.loads((tmp_path / "checkpoint").read_bytes())
