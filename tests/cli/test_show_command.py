from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from ask.logs import event, life, log
from cli.running import run_on_terminal
from decklog.audit.event import Stage, User
from decklog.cli import decklog

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

RECEIVED, STARTED, COMPLETE, PANIC = Stage


@pytest.fixture
def audit_log(tmp_path: Path) -> Path:
    return log(
        tmp_path / "audit.log",
        *life(RECEIVED, COMPLETE, audit_id="abcd-1"),
        *life(RECEIVED, COMPLETE, audit_id="reused"),
        *life(RECEIVED, COMPLETE, audit_id="reused", request_received_timestamp="2026-03-01T09:59:59.000000Z"),
        *(event(audit_id=f"many-{number}") for number in range(30)),
    )


def show(path: Path, *args: str) -> Result:
    return CliRunner().invoke(decklog, ["show", *args, "-f", str(path)], catch_exceptions=False)


def test_the_six_answers_and_the_stages(audit_log: Path) -> None:
    """One request: six sentences, then where each of its stages stands."""
    result = show(audit_log, "abcd-1")
    assert result.exit_code == 0
    answers = [line[20:] for line in result.stdout.splitlines()]
    assert [line[:20].strip() for line in result.stdout.splitlines()] == [
        "Request abcd-1",
        "Who?",
        "When?",
        "Which namespace?",
        "From where?",
        "What response?",
        "What happened?",
        "Stages",
        "",
    ]
    assert answers[1] == "alice (groups dev, system:authenticated)."
    assert answers[6].startswith("alice deleted deployments.apps web in namespace shop. Authorization: allow")
    assert answers[7:] == [
        f"RequestReceived 2026-03-01 10:00:00 {audit_log}:1",
        f"ResponseComplete 2026-03-01 10:00:00 {audit_log}:2",
    ]
    assert result.stderr.startswith("searched all times; 1 file")


def test_the_beginning_of_an_id_will_do(audit_log: Path) -> None:
    """Four characters or more stand for any rest; fewer are taken as they are."""
    assert show(audit_log, "abcd").stdout.startswith("Request abcd-1\n")
    assert show(audit_log, "abc").exit_code == 1


def test_a_reused_id_shows_every_request(audit_log: Path) -> None:
    """Two requests under one ID are two answers, and it is said why."""
    lines = show(audit_log, "reused").stdout.splitlines()
    assert lines[0] == "2 requests; clients may choose the audit ID, so it need not be unique."
    assert lines.count("Request reused") == 2


def test_very_many_requests_are_not_all_shown(audit_log: Path) -> None:
    """Past twenty the rest is counted; an exact ID hides those that only begin with it."""
    lines = show(audit_log, "many").stdout.splitlines()
    assert sum(line.startswith("Request ") for line in lines) == 20
    assert lines[-1] == "... and 10 more"
    assert show(audit_log, "many-2").stdout.startswith("Request many-2\n")
    assert show(audit_log, "many-2").stdout.count("Request many") == 1


def test_json_has_row_and_answers(audit_log: Path) -> None:
    """-o json is the request as in query, with the six sentences."""
    found = json.loads(show(audit_log, "abcd-1", "-o", "json").stdout)
    (request,) = found["requests"]
    assert request["user"] == "alice"
    assert request["answers"]["What response"] == "200 OK."
    assert list(request["answers"]) == [
        "Who",
        "When",
        "Which namespace",
        "From where",
        "What response",
        "What happened",
    ]
    assert found["searched"]["lines"] == 36


def test_an_unknown_id_is_exit_code_1(audit_log: Path) -> None:
    """What is not there is said with what was searched; an empty ID is a mistake."""
    result = show(audit_log, "no\x1bsuch")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("no request has the audit ID no\\x1bsuch: it did not happen from ")
    assert "\nsearched all times; 1 file" in result.stderr
    assert show(audit_log, "").exit_code == 2


def test_on_a_terminal_sentences_are_wrapped(tmp_path: Path) -> None:
    """Long answers are broken between words, below each other; a text without end is cut."""
    path = log(
        tmp_path / "audit.log", event(audit_id="abcd", user=User(username="u" * 10_000), user_agent="word " * 40)
    )
    ran = run_on_terminal("show", "abcd", "-f", path, columns=60)
    lines = ran.out.splitlines()
    assert all(len(line) <= 60 for line in lines if "audit.log" not in line)
    assert sum(line.endswith("word word word word word word word") for line in lines) >= 2
    assert "(6,0" in ran.out
    assert "characters more" in " ".join(ran.out.split())
