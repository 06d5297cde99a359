"""Runs the program as a user does: in a process of its own, or with its output on a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from typing import NamedTuple

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


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # Linux says so when the last writer has gone
        return b""


def _environment(changes: dict[str, str]) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key not in {"NO_COLOR", "COLUMNS", "DECKLOG_SOURCE"}}
    return {**kept, "TERM": "xterm", "PYTHONIOENCODING": "utf-8", **changes}
