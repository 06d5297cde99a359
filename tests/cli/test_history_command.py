from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml
from click.testing import CliRunner

from ask.logs import lines, log, ref
from ask.workloads import GARBAGE, POD, SET, at, body, deployment, pod, replica_set
from decklog.audit.event import Status
from decklog.cli import decklog

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


def web(replicas: int) -> object:
    return body({"kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": replicas, "x": "y" * 200}})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return log(
        tmp_path / "audit.log",
        at(0, "alice", "create", deployment(), response_object=web(3)),
        at(1, "bob", "update", deployment(), response_object=web(5), user_agent="kubectl/v1.36"),
        at(2, "bob", "patch", deployment(subresource="scale"), request_object=body({"spec": {"replicas": 0}})),
        at(3, "eve", "delete", deployment(), response_status=Status(code=403)),
        at(4, "alice", "delete", deployment()),
        at(5, GARBAGE, "delete", replica_set(SET)),
        at(6, GARBAGE, "delete", pod()),
        at(7, "zed", "update", ref("deployments", "lab", "other", "apps")),
    )


def history(path: Path, *args: str, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(decklog, ["history", *args, "-f", str(path)], input=stdin, catch_exceptions=False)


def test_the_text_says_who_when_from_where_and_what(path: Path) -> None:
    """One line a change, what changed below it, what is left out at the end."""
    result = history(path, "deploy/web", "-n", "shop")
    shown = result.stdout.splitlines()
    assert result.exit_code == 0
    assert shown[0].startswith("2026-03-01 10:00:00  alice created it  from 10.0.0.7 with kubectl/v1.36.2")
    assert shown[0].endswith(f"{path}:1")
    assert shown[2:4] == ["    ~ spec.replicas: 3 → 5", shown[3]]
    assert "bob scaled it" in shown[3]
    assert shown[4:6] == ["    ~ spec.replicas: 5 → 0", "    (by what was sent)"]
    assert "alice deleted it" in shown[-1]
    assert result.stderr.startswith("1 more changed nothing")


def test_attempts_and_windows(path: Path) -> None:
    """Failures are shown on demand; a window hides what was before, and yet compares with it."""
    assert "eve tried: delete it (403)" in history(path, "deploy/web", "--attempts").stdout
    late = history(path, "deploy/web", "--since", "2026-03-01T10:02:00Z").stdout
    assert "alice created" not in late
    assert "spec.replicas: 5 → 0" in late
    assert "spec.replicas" not in history(path, "deploy/web", "--no-diff").stdout


def test_json_has_changes_and_the_chain(path: Path) -> None:
    """-o json is the requests of query with what changed, and why a controller deleted."""
    found = json.loads(history(path, "deploy/web", "-o", "json").stdout)
    assert found["requests"][1]["changes"] == [{"path": "spec.replicas", "old": 3, "new": 5}]
    assert found["requests"][1]["user"] == "bob"
    (last,) = json.loads(history(path, f"pod/{POD}", "-o", "json").stdout)["requests"]
    assert [step["actor"] for step in last["because"]] == ["the garbage collector", "alice"]
    assert "probably because alice deleted deployments/web at" in history(path, f"pod/{POD}").stdout


def test_nothing_found_is_exit_code_1(path: Path) -> None:
    """What nobody changed is said with what was searched."""
    result = history(path, "deploy/none")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("nothing in the log changed none: ")
    assert "\nsearched all times" in result.stderr
    assert history(path, "deploy").exit_code == 2


def test_who_tells_the_chain_beside_its_answer(path: Path) -> None:
    """A deletion by a controller is followed up below the table, unless that is not wanted or cannot be."""
    question = ["who", "deleted", f"pod/{POD}", "--exact"]
    followed = CliRunner().invoke(decklog, [*question, "-f", str(path)])
    assert f"pods/{POD} was deleted by the garbage collector, probably because alice deleted" in followed.stderr
    for output, read in (("json", json.loads), ("yaml", yaml.safe_load)):
        made = read(CliRunner().invoke(decklog, [*question, "-f", str(path), "-o", output]).stdout)
        assert [[step["actor"] for step in steps] for steps in made["because"]] == [["the garbage collector", "alice"]]
        assert made["searched"]["files"] == [str(path)]
    assert "because" not in CliRunner().invoke(decklog, [*question, "--no-chain", "-f", str(path)]).stderr
    piped = CliRunner().invoke(decklog, [*question, "-f", "-"], input=lines([at(6, GARBAGE, "delete", pod())]))
    assert "standard input cannot be read twice" in piped.stderr


def test_many_deletions_are_not_followed_up(tmp_path: Path) -> None:
    """Each costs readings of the log: it is said how to ask."""
    many = log(tmp_path / "many.log", *(at(n, GARBAGE, "delete", pod(f"web-7d9f6c5b4-{n}")) for n in range(9)))
    result = CliRunner().invoke(decklog, ["who", "deleted", "pods", "-f", str(many)])
    assert "ask for one object" in result.stderr
    assert "because" not in result.stderr


def test_what_the_log_does_not_tell_is_said(tmp_path: Path) -> None:
    """A change without a body is no "nothing changed"."""
    bare = log(tmp_path / "bare.log", at(0, "a", "create", deployment()), at(1, "b", "update", deployment()))
    assert [line.strip() for line in history(bare, "deploy/web").stdout.splitlines()[1:]][1:] == [
        "(no body is in the log: what changed is not known)"
    ]
