from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from cli.running import run
from policy.recorded_logs import component, line, ref

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    lease = line(
        verb="update",
        user=component("node:n1", "system:nodes"),
        object_ref=ref("leases", "n1", "coordination.k8s.io", namespace="kube-node-lease"),
    )
    path = tmp_path / "audit.log"
    path.write_bytes(b"\n".join([lease] * 9 + [line(), b""]))
    return path


def test_the_suggestion_passes_check_and_replay_proves_it(log: Path, tmp_path: Path) -> None:
    """What it prints is a policy file: check finds no error in it, replay shows what it saves."""
    suggested = tmp_path / "suggested.yaml"
    done = run("policy", "suggest", log)
    suggested.write_text(done.out)
    assert (done.code, "90.0 % of this log's events" in done.out) == (0, True)
    checked = run("policy", "check", suggested)
    assert checked.code == 0, checked.out
    replayed = json.loads(run("policy", "replay", suggested, log, "-o", "json").out)
    assert replayed["before"]["events"] == 10
    assert replayed["after"]["events"] == 1


def test_programs_read_json(log: Path) -> None:
    """The policy as kube-apiserver would write it, and what each rule drops."""
    made = json.loads(run("policy", "suggest", log, "-o", "json").out)
    assert made["policy"]["kind"] == "Policy"
    assert len(made["policy"]["rules"]) == len(made["comments"])
    assert made["dropped"][0]["events"] == 9


def test_the_least_share_can_be_chosen(log: Path) -> None:
    """Noise below it gets no rule."""
    assert "level: None" not in run("policy", "suggest", log, "--least-share", "95").out
    assert run("policy", "suggest", log, "--least-share", "101").code == 2


def test_an_empty_log_is_said_to_be_one(tmp_path: Path) -> None:
    """Nobody takes the suggestion for one that knows the cluster."""
    (tmp_path / "audit.log").touch()
    done = run("policy", "suggest", tmp_path / "audit.log")
    assert "the log holds no events" in done.err
    assert done.code == 0
