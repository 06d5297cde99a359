"""`decklog demo`: the newcomer's first command."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from decklog.audit.wire import decode_event

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.journey

DEMO = (sys.executable, "-m", "decklog", "demo")


def test_the_demo_tells_who_deleted_the_deployment(tmp_path: Path) -> None:
    """The story's requests are in the log, and the answer names alice."""
    done = subprocess.run(
        [*DEMO, "--directory", str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert "alice deleted deployments.apps web in namespace shop" in done.stdout
    events = [decode_event(line) for line in (tmp_path / "audit.log").read_bytes().splitlines()]
    told = {(event.user.username, event.verb, event.response_status.code) for event in events if event.response_status}
    assert {("bob", "create", 201), ("carol", "delete", 403), ("alice", "delete", 200), ("carol", "watch", 200)} <= told
    assert "Panic" in {event.stage for event in events}
    secrets = [
        bytes(event.request_object) for event in events if event.object_ref and event.object_ref.resource == "secrets"
    ]
    assert secrets
    assert not any(secrets)


def test_the_demo_stays_up_when_asked(tmp_path: Path) -> None:
    """Until Ctrl-C, which leaves nothing broken."""
    with subprocess.Popen(
        [*DEMO, "--keep", "--directory", str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert any("Staying up" in line for line in process.stdout or ())
            assert (tmp_path / "kubeconfig").is_file()
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 130
        finally:
            process.kill()


def test_a_directory_that_cannot_be_made_is_told() -> None:
    """Exit code 2, and no traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "decklog", "demo", "--directory", "/proc/nowhere"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("decklog: cannot use the directory /proc/nowhere: ")
