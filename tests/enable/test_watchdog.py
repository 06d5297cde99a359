from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from decklog.enable.watchdog import Watchdog
from decklog.errors import DecklogError

if TYPE_CHECKING:
    from pathlib import Path


def undoing(marker: Path) -> str:
    marker.write_text("undone")
    return "put back"


def test_what_is_decided_stays(tmp_path: Path) -> None:
    """After the word, nothing is undone, and no process is left."""
    marker = tmp_path / "marker"
    with Watchdog(lambda: undoing(marker)) as dog:
        dog.decided()
        dog.decided()
    assert not marker.exists()
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_what_is_left_undecided_is_undone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """An error in between ends in the undo, which has happened when the context is left."""
    marker = tmp_path / "marker"
    with pytest.raises(KeyError), Watchdog(lambda: undoing(marker)):
        raise KeyError
    assert marker.read_text() == "undone"
    assert capfd.readouterr().err == "decklog: put back\n"


def test_an_undo_that_fails_says_why(capfd: pytest.CaptureFixture[str]) -> None:
    """The watchdog's own failure is told."""

    def failing() -> str:
        raise DecklogError("the disk is gone: check it")

    with Watchdog(failing):
        pass
    assert capfd.readouterr().err == "decklog: the disk is gone: check it\n"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_who_waits_may_be_killed(tmp_path: Path, number: signal.Signals) -> None:
    """Killed while it waits: the watchdog, out of reach of the signal, undoes."""
    marker, (reading, writing) = tmp_path / "marker", os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.setpgid(0, 0)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        with Watchdog(lambda: undoing(marker)):
            os.write(writing, b"x")
            signal.pause()
        os._exit(0)
    os.close(writing)
    assert os.read(reading, 1) == b"x"
    os.killpg(child, number)
    os.waitpid(child, 0)
    assert os.read(reading, 1) == b""  # the watchdog held the other end, and is gone
    os.close(reading)
    assert marker.read_text() == "undone"
