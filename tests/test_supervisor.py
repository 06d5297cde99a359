"""The supervisor and its workers as processes: starts, deaths, messages, figures, ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

import supervised_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEADLINE_S = 20.0
BOTH = pytest.mark.parametrize("count", [1, 2])


class Running:
    """A supervisor that is up."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.first = self.line()
        self.port = int(self.first.split()[-1]) if self.first.startswith("ready") else 0

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ask(self, question: str) -> Any:
        """Ask the supervisor itself."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{question}\n")
        self.process.stdin.flush()
        return json.loads(self.line())

    def call(self) -> dict[str, Any]:
        """Connect once; a connection that a dying worker had taken already is tried again."""
        for _ in range(100):
            with contextlib.suppress(ConnectionError), socket.create_connection(("127.0.0.1", self.port), 10) as it:
                it.sendall(b"\n")
                if line := it.makefile().readline():
                    answer: dict[str, Any] = json.loads(line)
                    return answer
        raise AssertionError("nobody answers")

    def workers(self, count: int) -> dict[int, dict[str, Any]]:
        """Connect until every worker has answered; the last answer of each."""
        found: dict[int, dict[str, Any]] = {}

        def all_seen() -> bool:
            answer = self.call()
            found[answer["worker"]] = answer
            return len(found) == count

        until(all_seen)
        return found


def until(condition: Callable[[], bool]) -> None:
    """Wait for it, with a deadline."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, "it did not come about"


@contextlib.contextmanager
def supervised(count: int, how: str = "") -> Iterator[Running]:
    command = [sys.executable, supervised_process.__file__, str(count), how]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Running(process)
        finally:
            process.kill()


def ended(running: Running, code: int = 0) -> list[str]:
    """Wait for the end; its last words."""
    out, err = running.process.communicate(timeout=DEADLINE_S)
    assert running.process.returncode == code, err
    return [*out.splitlines(), *err.splitlines()]


@BOTH
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all(count: int, number: signal.Signals) -> None:
    """SIGTERM and SIGINT stop every worker, and say which it was."""
    with supervised(count) as running:
        pids = [answer["pid"] for answer in running.workers(count).values()]
        running.process.send_signal(number)
        assert ended(running) == [f"ended by {number.name}"]
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_workers_are_processes_of_their_own() -> None:
    """Two workers are two processes, and neither is the supervisor; one worker is the supervisor itself."""
    with supervised(2) as running:
        pids = {answer["pid"] for answer in running.workers(2).values()}
        assert len(pids) == 2
        assert running.process.pid not in pids
    with supervised(1) as running:
        assert running.call()["pid"] == running.process.pid


@BOTH
def test_a_hangup_reaches_every_worker(count: int) -> None:
    """What the supervisor tells on SIGHUP comes to all, in order."""
    with supervised(count) as running:
        for times in (1, 2):
            running.process.send_signal(signal.SIGHUP)
            expected = [f"hangup {number + 1}" for number in range(times)]
            until(lambda wanted=expected: all(w["heard"] == wanted for w in running.workers(count).values()))  # type: ignore[misc]  # because: a lambda's default has no type


@BOTH
def test_figures_are_those_of_now(count: int) -> None:
    """Asked, every worker tells what it has counted by then."""
    with supervised(count) as running:
        for _ in range(7):
            running.call()
        told = running.ask("gather")
        assert len(told) == count
        assert sum(stats["answered"] for stats in told) == 7


def test_a_killed_worker_is_replaced_and_its_figures_stay() -> None:
    """Its successor goes on counting where it was last heard of, and a line says what happened."""
    with supervised(2) as running:
        before = running.workers(2)
        counted = sum(stats["answered"] for stats in running.ask("gather"))
        os.kill(before[2]["pid"], signal.SIGKILL)
        until(lambda: running.workers(2)[2]["pid"] != before[2]["pid"])
        assert sum(stats["answered"] for stats in running.ask("gather")) > counted
        assert running.workers(2)[1]["pid"] == before[1]["pid"]
        running.process.send_signal(signal.SIGTERM)
        said = ended(running)
    assert "decklog: worker 2: it was killed by SIGKILL: it is started again in 0.25 s" in said


def test_who_is_not_ready_is_said() -> None:
    """A worker that is gone is named, and so is what troubles one that runs."""
    with supervised(2, "troubled") as running:
        until(lambda: running.ask("problems") == ["worker 1: it is a test", "worker 2: it is a test"])
        os.kill(running.workers(2)[1]["pid"], signal.SIGKILL)
        until(lambda: running.ask("problems")[0] != "worker 1: it is a test")
        until(lambda: running.ask("problems")[0] == "worker 1: it is a test")


def test_a_worker_that_hangs_is_named() -> None:
    """It is alive, and says nothing."""
    with supervised(2) as running:
        pid = running.workers(2)[2]["pid"]
        os.kill(pid, signal.SIGSTOP)
        until(lambda: any(line.startswith("worker 2: it has said nothing for") for line in running.ask("problems")))
        os.kill(pid, signal.SIGCONT)
        until(lambda: running.ask("problems") == [])


@BOTH
def test_what_is_said_to_a_worker_that_is_starting_is_not_lost(count: int) -> None:
    """It hears it once it serves, in order."""
    with supervised(count, "slow") as running:
        assert all(worker["heard"] == ["early 1", "early 2"] for worker in running.workers(count).values())


@BOTH
def test_a_worker_that_cannot_start_ends_all(count: int) -> None:
    """Before everything serves, the user's error is the program's error."""
    with supervised(count, "failing") as running:
        assert running.first == "failed: the log cannot be written: give another"
        assert ended(running, 2) == []


@BOTH
def test_a_fault_at_the_start_ends_all(count: int) -> None:
    """With the exit code of a door that died, and the traceback in the log."""
    with supervised(count, "crashing") as running:
        assert running.first.startswith("failed: ")
        said = ended(running, 3)
    assert said.count("ZeroDivisionError") == 1


@BOTH
def test_an_announcement_that_fails_ends_all(count: int) -> None:
    """Such as a kubeconfig that cannot be written."""
    with supervised(count, "unready") as running:
        assert running.first == "failed: cannot announce"
        ended(running, 2)


@pytest.mark.parametrize(("count", "code"), [(1, 3), (2, 0)])
def test_what_does_not_stop_is_killed(count: int, code: int) -> None:
    """The end comes in time, whatever a worker is doing."""
    with supervised(count, "stubborn") as running:
        running.workers(count)
        running.process.send_signal(signal.SIGTERM)
        assert any("did not" in line for line in ended(running, code))


@BOTH
def test_a_second_signal_ends_at_once(count: int) -> None:
    """Who asks twice does not want to wait."""
    with supervised(count, "") as running:
        running.workers(count)
        os.kill(running.process.pid, signal.SIGSTOP)
        running.process.send_signal(signal.SIGTERM)
        running.process.send_signal(signal.SIGINT)
        os.kill(running.process.pid, signal.SIGCONT)
        running.process.communicate(timeout=DEADLINE_S)
        assert running.process.returncode in {-signal.SIGINT, -signal.SIGTERM}


def test_workers_do_not_outlive_their_supervisor() -> None:
    """A supervisor that is killed takes them along."""
    with supervised(2) as running:
        pids = [answer["pid"] for answer in running.workers(2).values()]
        running.process.kill()
        running.process.wait(DEADLINE_S)

        def gone(pid: int) -> bool:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return True
            with open(f"/proc/{pid}/stat") as state:  # noqa: PTH123  # because: a zombie of a container without init
                return state.read().rpartition(") ")[2].startswith("Z")

        until(lambda: all(map(gone, pids)))


def test_crews_live_and_die_together() -> None:
    """One that listens nowhere beside one that does: told apart, each restarted for itself, all ended at once."""
    with supervised(1, "beside") as running:
        front = running.call()
        assert front["heard"] == []
        back = next(stats for stats in running.ask("gather") if "answered" not in stats)
        assert running.ask("problems") == ["back worker 1: it is dark"]
        os.kill(back["pid"], signal.SIGKILL)
        until(lambda: running.ask("gather")[1]["pid"] != back["pid"])
        assert running.call()["pid"] == front["pid"]
        running.process.send_signal(signal.SIGTERM)
        assert running.line() == "ended by SIGTERM"


def test_a_crew_that_cannot_start_ends_all() -> None:
    """It is told which one."""
    with supervised(1, "beside-failing") as running:
        assert running.first == "failed: back: there is no back"
        assert running.process.wait(DEADLINE_S) == 3


def test_an_address_in_use_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    """Also where the other one shares its port."""
    with supervised(2) as running:
        command = (
            "from decklog.crew import Crew\n"
            "from decklog.supervisor import Supervisor\n"
            f"Supervisor([Crew(None, '127.0.0.1:{running.port}', 2)], on_ready=print).run()\n"
        )
        done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=False)
    assert "DoorError: cannot listen on 127.0.0.1" in done.stderr
    assert "Address already in use" in done.stderr
    assert capfd.readouterr().out == ""
