from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from cli.running import run, run_on_terminal
from decklog.audit.event import User
from decklog.cli import decklog
from policy.recorded_logs import line

if TYPE_CHECKING:
    from pathlib import Path

POLICY = """apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- level: None
  users: [nobody]
- level: Metadata
  verbs: [create]
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    policy, log = tmp_path / "policy.yaml", tmp_path / "audit.log"
    policy.write_text(POLICY)
    log.write_bytes(b"\n".join([line(), line(verb="get"), line(user=User("\x1b[2Jeve")), b"torn", b""]))
    return str(policy), str(log)


def replay(*args: str, stdin: bytes = b"") -> Any:
    return CliRunner().invoke(decklog, ["policy", "replay", *args], input=stdin, catch_exceptions=False)


def test_people_read_a_table(files: tuple[str, str]) -> None:
    """What is kept, by rule with its line, by user and resource; a rule that matched nothing says so."""
    policy, log = files
    result = replay(policy, log)
    assert result.exit_code == 0
    words = [" ".join(row.split()) for row in result.stdout.splitlines()]
    assert "events 3 2 67 %" in words
    assert any(row.startswith(f"{policy}:4 None 0 0 0 bytes 0 bytes this rule matched nothing") for row in words)
    assert any(row.startswith(f"{policy}:6 Metadata 2 2") for row in words)
    assert any(row.startswith("(no rule) None 1 0") for row in words)
    assert any(row.startswith("alice 2 1") for row in words)
    assert any(row.startswith("- requests that the recording policy left out") for row in words)
    assert "1 line could not be read" in result.stderr


def test_programs_read_json(files: tuple[str, str]) -> None:
    """All figures, each rule with its line, and what was read."""
    policy, log = files
    answer = json.loads(replay(policy, log, "-o", "json").stdout)
    assert answer["policy"] == policy
    assert answer["before"]["events"] == 3
    assert [(rule["line"], rule["matched"], rule["after"]["events"]) for rule in answer["rules"]] == [
        (4, False, 0),
        (6, True, 2),
        (None, True, 0),
    ]
    assert answer["unreadable"] == 1
    assert answer["searched"]["files"] == [log]
    assert answer["unknown"]


def test_foreign_names_are_escaped(files: tuple[str, str]) -> None:
    """A user's name cannot act on the terminal."""
    for output in ("text", "json"):
        assert "\x1b" not in replay(*files, "-o", output).stdout


def test_the_list_is_cut_where_asked(files: tuple[str, str]) -> None:
    """--top names the largest, and sums the rest."""
    assert "(1 more)" in replay(*files, "--top", "1").stdout
    assert "USER" not in replay(*files, "--top", "0").stdout


@pytest.mark.parametrize(
    ("policy", "log", "says"),
    [
        ("missing.yaml", "{log}", "missing.yaml: cannot be read"),
        ("{policy}", "missing.log", "missing.log is not there"),
        ("{log}", "{log}", "decklog: "),
    ],
)
def test_wrong_input_is_said_in_a_line(files: tuple[str, str], policy: str, log: str, says: str) -> None:
    """A policy or a log that is not there, or is none, ends with 2."""
    names = {"policy": files[0], "log": files[1]}
    result = replay(policy.format(**names), log.format(**names))
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr


def test_no_bar_without_a_terminal(files: tuple[str, str]) -> None:
    """A pipe gets no bar and no control characters; a terminal gets the same table."""
    done = run("policy", "replay", *files)
    assert (done.code, "\r" in done.err, "\x1b" in done.err) == (0, False, False)
    assert "this rule matched nothing" in run_on_terminal("policy", "replay", *files).out


def test_standard_input_and_the_environment(files: tuple[str, str]) -> None:
    """A log comes from a pipe, or is the one that the environment names."""
    policy, log = files
    done = run("policy", "replay", policy, "-", "-o", "json", stdin=line() + b"\n")
    assert json.loads(done.out)["before"]["events"] == 1
    named = run("policy", "replay", policy, "-o", "json", DECKLOG_SOURCE=log)
    assert json.loads(named.out)["before"]["events"] == 3
