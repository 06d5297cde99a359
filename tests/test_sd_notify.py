from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from decklog import sd_notify

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("is_abstract", [False, True])
def test_the_manager_hears_what_is_said(tmp_path: Path, is_abstract: bool) -> None:
    """Over a socket with a file, and over one with a name alone."""
    name = f"@decklog-test-{os.getpid()}" if is_abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name.replace("@", "\0", 1))
        manager.settimeout(10)
        sd_notify.tell(sd_notify.READY, {"NOTIFY_SOCKET": name})
        assert manager.recv(100) == b"READY=1"


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "/nonexistent/socket"}])
def test_nobody_there_is_no_failure(environment: dict[str, str]) -> None:
    """Started by hand, or by a manager that is gone."""
    sd_notify.tell(sd_notify.READY, environment)


@pytest.mark.journey
@pytest.mark.parametrize("workers", [1, 2])
def test_a_door_says_that_it_serves_and_that_it_stops(tmp_path: Path, workers: int) -> None:
    """The manager waits with what needs it until every worker listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        command = [sys.executable, "-m", "decklog", "receive", "--listen", "127.0.0.1:0", "--insecure"]
        command += ["--store", str(tmp_path / "store"), "--workers", str(workers), "--min-free-bytes", "0"]
        environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")}
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
            try:
                assert manager.recv(100) == b"READY=1"
                process.send_signal(signal.SIGTERM)
                assert manager.recv(100) == b"STOPPING=1"
                assert process.wait(30) == 0
            finally:
                process.kill()
