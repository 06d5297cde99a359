"""Runs the program as a user does: in a process of its own, or with its output on a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from typing import IO

PROGRAM = (sys.executable, "-m", "decklog")


class Ran(NamedTuple):
    """What a run left behind."""

    code: int
    out: str
    err: str


def run(*args: object, stdin: bytes = b"", **environment: str) -> Ran:
    """Run to the end with pipes."""
    done = subprocess.run(
        [*PROGRAM, *map(str, args)],
        input=stdin,
        capture_output=True,
        env=_environment(environment),
        timeout=60,
        check=False,
    )
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())


def run_on_terminal(*args: object, columns: int = 100, **environment: str) -> Ran:
    """Run to the end with stdout on a terminal of so many columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    with subprocess.Popen(
        [*PROGRAM, *map(str, args)],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.PIPE,
        env=_environment(environment),
    ) as process:
        os.close(theirs)
        out = b"".join(iter(lambda: _read(ours), b""))
        os.close(ours)
        err = process.stderr.read() if process.stderr else b""
        code = process.wait(60)
    return Ran(code, out.decode().replace("\r\n", "\n"), err.decode())


def until_it_waits(process: subprocess.Popen[bytes], pipe: IO[bytes]) -> None:
    """Return when the program has read what is in the pipe and sleeps until more comes.

    A signal that comes just before a read begins to wait does not end the read (CPython): whoever sends one waits
    for this first.
    """
    deadline = time.monotonic() + 60
    while _unread(pipe) or not _sleeps(process.pid):
        assert process.poll() is None, "the program ended"
        assert time.monotonic() < deadline, "the program reads nothing"
        select.select([], [], [], 0.01)


def _unread(pipe: IO[bytes]) -> int:
    number = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4))[0]
    assert isinstance(number, int)
    return number


def _sleeps(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # Linux says so when the last writer has gone
        return b""


def _environment(changes: dict[str, str]) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key not in {"NO_COLOR", "COLUMNS", "DECKLOG_SOURCE"}}
    return {**kept, "TERM": "xterm", "PYTHONIOENCODING": "utf-8", **changes}
