from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml
from click.testing import CliRunner

from ask.logs import log
from ask.workloads import at, body, deployment
from decklog.cli import decklog

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

WEB = {
    "kind": "Deployment",
    "apiVersion": "apps/v1",
    "metadata": {
        "name": "web",
        "managedFields": [{"manager": "x"}],
        "annotations": {"a": "\x1b[2J\u202ejaune", "n": "no"},
    },
    "spec": {"replicas": 3},
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return log(
        tmp_path / "audit.log",
        at(0, "alice", "create", deployment(), response_object=body(WEB)),
        at(1, "bob", "patch", deployment(), request_object=body({"spec": {"replicas": 0}})),
    )


def get(path: Path, *args: str) -> Result:
    return CliRunner().invoke(decklog, ["get", *args, "-f", str(path)], catch_exceptions=False)


def test_the_manifest_is_yaml_that_can_be_applied(path: Path) -> None:
    """YAML with the keys in their order; nothing in it acts on a terminal; where it comes from is told beside it."""
    result = get(path, "deploy/web", "-n", "shop")
    document = yaml.safe_load(result.stdout)
    assert list(document) == ["kind", "apiVersion", "metadata", "spec"]
    assert document["metadata"]["annotations"] == WEB["metadata"]["annotations"]  # type: ignore[index]  # because: it is a map
    assert "managedFields" not in document["metadata"]
    assert not set(result.stdout) & {"\x1b", "\u202e"}
    source, later, searched = result.stderr.splitlines()
    assert source.startswith(f"From {path}:1 (ResponseComplete of request ")
    assert later == f"Afterwards: bob patched it at 2026-03-01 10:01:00 UTC ({path}:2)."
    assert searched.startswith("searched all times")


def test_a_time_before_a_change_knows_nothing_of_it(path: Path) -> None:
    """--at is "at or before", to the microsecond."""
    assert "bob" not in get(path, "deploy/web", "--at", "2026-03-01T10:01:00.499999Z").stderr
    assert "bob" in get(path, "deploy/web", "--at", "2026-03-01T10:01:00.5Z").stderr


def test_json_holds_what_the_sentences_say(path: Path) -> None:
    """The manifest with its provenance, or alone."""
    found = json.loads(get(path, "deploy/web", "-o", "json", "--show-managed-fields").stdout)
    assert found["manifest"] == WEB
    assert (found["provenance"]["body"], found["provenance"]["line"], found["gone"]) == ("response", 1, False)
    assert found["later"][0]["request"]["user"] == "bob"
    assert json.loads(get(path, "deploy/web", "-o", "manifest").stdout)["spec"] == {"replicas": 3}


def test_nothing_known_is_exit_code_1(path: Path) -> None:
    """It is said whether there is no body, or no request at all."""
    early = get(path, "deploy/web", "--at", "2026-01-01", "-o", "json")
    assert (early.exit_code, json.loads(early.stdout)["manifest"]) == (1, None)
    assert early.stderr.startswith("Nothing is known of web at that time")
    assert "no request in the log shows web: the log begins after that window" in early.stderr
    assert get(path, "deploy/web", "--at", "yesterday").exit_code == 2
