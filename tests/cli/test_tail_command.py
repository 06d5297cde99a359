from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Self

import pytest

from ask.logs import event, life, lines, log
from cli.running import PROGRAM, run
from decklog.audit.event import Stage

if TYPE_CHECKING:
    from pathlib import Path

DEADLINE_S = 30
RECEIVED, STARTED, COMPLETE, _ = Stage


class Tail:
    """A running ``decklog tail``."""

    def __init__(self, *args: object) -> None:
        self._process = subprocess.Popen(
            [*PROGRAM, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
        )
        self._seen = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    def line(self) -> str:
        """Wait for the next line of the answer."""
        assert self._process.stdout is not None
        end = time.monotonic() + DEADLINE_S
        while b"\n" not in self._seen:
            ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, end - time.monotonic()))
            assert ready, "nothing came in time"
            piece = os.read(self._process.stdout.fileno(), 1 << 16)
            assert piece, "the program ended"
            self._seen += piece
        line, _, self._seen = self._seen.partition(b"\n")
        return line.decode()

    def complaint(self) -> str:
        """Wait for the next line of what is said beside the answer."""
        assert self._process.stderr is not None
        return self._process.stderr.readline().decode().rstrip("\n")

    def interrupt(self) -> tuple[int, str, str]:
        """Press Ctrl-C; give the exit code and what came then."""
        self._process.send_signal(signal.SIGINT)
        out, err = self._process.communicate(timeout=DEADLINE_S)
        return self._process.returncode, (self._seen + out).decode(), err.decode()


def add(path: Path, *events: object) -> None:
    with path.open("ab") as file:
        file.write(lines(events))  # type: ignore[arg-type]  # because: events of the builders


def test_what_comes_is_listed_when_it_ends(tmp_path: Path) -> None:
    """A request is printed with its last stage, at once, over a rotation; Ctrl-C ends with 130 and the coverage."""
    path = log(tmp_path / "audit.log", event(audit_id="old"))
    with Tail("tail", path, "-o", "jsonl", "--from-start", "--verb", "delete") as tail:
        assert json.loads(tail.line())["auditID"] == "old"
        add(path, *life(RECEIVED, COMPLETE, audit_id="one"), event(audit_id="no", verb="get"))
        assert json.loads(tail.line())["auditID"] == "one"
        path.rename(tmp_path / "audit-2026-03-01T10-00-00.100.log")
        add(path, *life(RECEIVED, COMPLETE, audit_id="two"), *life(RECEIVED, audit_id="open"))
        found = json.loads(tail.line())
        assert (found["auditID"], found["stages"]) == ("two", ["RequestReceived", "ResponseComplete"])
        code, out, err = tail.interrupt()
    assert code == 130
    assert [json.loads(line)["auditID"] for line in out.splitlines()] == ["open"]
    assert "searched all times" in err
    assert "Traceback" not in err


def test_a_table_does_not_wait_for_its_rows(tmp_path: Path) -> None:
    """The title comes with the first row, and each row as it is there."""
    path = log(tmp_path / "audit.log", event(audit_id="old"))
    with Tail("query", "-F", "--from-start", "-f", path) as tail:
        assert tail.line().startswith("TIME (UTC)")
        assert "alice" in tail.line()


def test_a_checkpoint_goes_on_where_the_last_run_stopped(tmp_path: Path) -> None:
    """What came in between is listed, and nothing twice."""
    path, mark = log(tmp_path / "audit.log", event(audit_id="old")), tmp_path / "mark"
    args = ("tail", path, "--events", "-o", "jsonpath={.auditID}", "--from-start", "--checkpoint", mark)
    with Tail(*args) as tail:
        assert tail.line() == "old"
        assert tail.interrupt()[0] == 130
    add(path, event(audit_id="between"))
    with Tail(*args) as tail:
        assert tail.line() == "between"


def test_standard_input_is_listed_as_it_comes(tmp_path: Path) -> None:
    """A pipe is followed to its end."""
    ran = run("tail", "-", "-o", "jsonpath={.auditID}", stdin=lines([event(audit_id="x")]))
    assert (ran.code, ran.out) == (0, "x\n")


@pytest.mark.parametrize("files", [(), ("a.log", "b.log")])
def test_following_is_for_one_log(files: tuple[str, ...]) -> None:
    """None or several are the user's mistake."""
    ran = run("tail", *files)
    assert (ran.code, ran.out) == (2, "")
    assert "name one file" in ran.err


def test_a_log_that_is_not_there_yet_is_waited_for_and_said(tmp_path: Path) -> None:
    """A slip in the path is seen at once; Ctrl-C ends the wait."""
    missing = tmp_path / "audit.log"
    with Tail("tail", "-f", missing, "-o", "jsonpath={.auditID}") as tail:
        assert tail.complaint() == f"{missing} is not there yet: waiting for it; Ctrl-C ends"
        missing.write_bytes(lines([event(audit_id="x")]))
        assert tail.line() == "x"
        assert tail.interrupt()[0] == 130


def test_a_directory_is_not_followed(tmp_path: Path) -> None:
    """The log in it has to be named."""
    ran = run("tail", "-f", tmp_path)
    assert (ran.code, "name the log in it" in ran.err) == (2, True)


def test_a_policy_says_before_and_after_what_it_records(tmp_path: Path) -> None:
    """Who waits for what is never recorded should know at once."""
    policy = tmp_path / "policy.yaml"
    policy.write_text("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: None\n", "utf-8")
    ran = run("tail", "-", "--from-start", "--policy", policy, stdin=lines([event()]))
    first, *_, last = ran.err.splitlines()
    assert "policy.yaml" in first
    assert last.startswith("searched all times")
    assert last.endswith(first)
