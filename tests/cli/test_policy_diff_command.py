from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from cli.running import run
from decklog.cli import decklog
from decklog.cli.policy import command
from policy.reading import HEAD

if TYPE_CHECKING:
    from pathlib import Path

OLD = f"""{HEAD}rules:
- level: Request
  users: ["jane"]
  resources:
  - resources: ["secrets"]
- level: Metadata
"""
NEW = f"""{HEAD}omitStages: [RequestReceived]
rules:
- level: None
  verbs: ["get", "list"]
  resources:
  - resources: ["secrets"]
    resourceNames: ["noise"]
- level: Metadata
  resources:
  - resources: ["secrets"]
- level: Request
"""
MORE = f"{HEAD}rules:\n- level: Request\n"
LESS = f"{HEAD}rules:\n- level: Metadata\n"
STAGED = f"{HEAD}rules:\n- level: Metadata\n  omitStages: [Panic]\n"
NOTHING = f"{HEAD}rules:\n- level: None\n"
NOTHING_STAGED = f"{HEAD}rules:\n- level: None\n  omitStages: [Panic]\n"


@pytest.fixture
def diff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)

    def ask(old: str, new: str, *args: str) -> tuple[int, str, str]:
        (tmp_path / "old.yaml").write_text(old)
        (tmp_path / "new.yaml").write_text(new)
        result = CliRunner().invoke(decklog, ["policy", "diff", "old.yaml", "new.yaml", *args], catch_exceptions=False)
        return result.exit_code, result.stdout, result.stderr

    return ask


def test_a_reviewer_reads_what_changes(diff: Any) -> None:
    """Each difference has both rules' lines, what becomes of the record, the requests and an example."""
    code, out, err = diff(OLD, NEW)
    assert (code, err) == (1, "")
    assert out.split("\n\n")[0] == (
        "No longer recorded:\n"
        "  Request → nothing\n"
        "    old.yaml:4 (rule 0) → new.yaml:5 (rule 0)\n"
        "    get, list on secrets named noise by user jane\n"
        "    for example: get secrets noise -n default, by jane\n"
        "  Metadata → nothing\n"
        "    old.yaml:8 (rule 1) → new.yaml:5 (rule 0)\n"
        "    get, list on secrets named noise by every user but jane\n"
        "    for example: get secrets noise -n default, by alice"
    )
    assert "  Request → Metadata, without RequestReceived\n" in out
    assert "  Metadata → Request, without RequestReceived\n" in out
    assert out.endswith("\n2 no longer recorded, 3 recorded less.\n")


def test_json(diff: Any) -> None:
    """The same for programs: rules, decisions, requests by dimension, and the example."""
    code, out, _ = diff(OLD, NEW, "-o", "json")
    answer = json.loads(out)
    assert code == 1
    assert (answer["old"], answer["new"]) == ("old.yaml", "new.yaml")
    assert answer["summary"] == {"gone": 2, "less": 3, "more": 0, "none": 0, "undecided": 0}
    first = answer["differences"][0]
    text = first["requests"][0].pop("text")
    assert text == "get, list on secrets named noise by user jane"
    assert first == {
        "direction": "gone",
        "old": {
            "rule": 0,
            "line": 4,
            "level": "Request",
            "stages": ["RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"],
            "managedFields": True,
        },
        "new": {"rule": 0, "line": 5, "level": "None", "stages": [], "managedFields": None},
        "requests": [
            {
                "users": {"in": ["jane"]},
                "groups": [],
                "verbs": {"in": ["get", "list"]},
                "namespaces": {"notIn": []},
                "resources": {"in": ["secrets named noise"]},
                "paths": None,
            }
        ],
        "except": {"old": [], "new": []},
        "example": {
            "resourceRequest": True,
            "verb": "get",
            "path": "/api/v1/namespaces/default/secrets/noise",
            "apiGroup": "",
            "resource": "secrets",
            "subresource": "",
            "namespace": "default",
            "name": "noise",
            "user": {"username": "jane", "groups": []},
        },
    }


@pytest.mark.parametrize(
    ("old", "new", "args", "code"),
    [
        (LESS, LESS, [], 0),
        (LESS, MORE, [], 0),
        (MORE, LESS, [], 1),
        (LESS, STAGED, [], 1),
        (STAGED, LESS, [], 0),
        (LESS, MORE, ["--exit-code", "any"], 1),
        (LESS, LESS, ["--exit-code", "any"], 0),
        (NOTHING, NOTHING_STAGED, ["--exit-code", "any"], 0),
        (MORE, LESS, ["--exit-code", "never"], 0),
    ],
)
def test_exit_codes(diff: Any, old: str, new: str, args: list[str], code: int) -> None:
    """The exit code is 1 where something is lost, and otherwise as --exit-code says."""
    assert diff(old, new, *args)[0] == code


def test_what_makes_no_difference_is_counted(diff: Any) -> None:
    """What is decided otherwise without effect is shown only when asked for."""
    summary = "1 decided otherwise without effect"
    assert diff(NOTHING, NOTHING_STAGED)[1] == f"{summary} (--all shows them).\n"
    out = diff(NOTHING, NOTHING_STAGED, "--all")[1]
    assert out.startswith("Decided otherwise, recorded the same:\n  nothing as before\n")
    assert out.endswith(f"\n{summary}.\n")
    assert diff(LESS, LESS)[1] == "Both policies record the same.\n"


def test_requests_that_no_rule_matches(diff: Any) -> None:
    """Where no rule matches, the report says so in the place of a line."""
    paths = f"{HEAD}rules:\n- level: Metadata\n  nonResourceURLs: ['/a*']\n"
    out = diff(LESS, paths)[1]
    assert "    old.yaml:4 (rule 0) → new.yaml (no rule matches)\n" in out
    assert "    every verb on every resource and every path but /a*\n" in out


def test_rules_that_come_first_are_named(diff: Any) -> None:
    """What earlier rules take from a group is said with their lines."""
    head = f"{HEAD}rules:\n- level: Request\n  userGroups: [nodes]\n"
    out = diff(f"{head}- level: Metadata\n", f"{head}- level: None\n")[1]
    assert "      but for what rules before these take: old.yaml line 4; new.yaml line 4\n" in out


@pytest.mark.parametrize(
    ("old", "says"),
    [("kind: Pod\n", "old.yaml:1:7: kind: 'Pod' is not a policy"), (f"{HEAD}rules: []\n", "a policy needs a rule")],
)
def test_a_policy_that_cannot_be_used(diff: Any, old: str, says: str) -> None:
    """A policy with errors is exit code 2, with all that is wrong."""
    code, out, err = diff(old, LESS)
    assert (code, out) == (2, "")
    assert says in err


def test_standard_input(tmp_path: Path) -> None:
    """One of the policies may come through a pipe, such as git's; both cannot."""
    path = tmp_path / "new.yaml"
    path.write_text(LESS)
    done = run("policy", "diff", "-", path, stdin=MORE.encode())
    assert (done.code, done.err) == (1, "")
    assert f"<stdin>:4 (rule 0) → {path}:4 (rule 0)" in done.out
    assert run("policy", "diff", "-", "-").code == 2


def test_foreign_text_is_escaped(diff: Any) -> None:
    """Names of a policy cannot act on a terminal, in any format."""
    hostile = f'{HEAD}rules:\n- level: None\n  users: ["\\e[2Jjane\\u202e"]\n- level: Metadata\n'
    for args in ([], ["-o", "json"]):
        out = diff(LESS, hostile, *args)[1]
        assert "jane" in out
        assert "\x1b" not in out
        assert "\u202e" not in out


def test_lenient_loading(diff: Any) -> None:
    """Policies that kube-apiserver loads with a warning can be compared on request."""
    misspelt = f"{HEAD}rules:\n- level: Metadata\n  resource: [pods]\n"
    assert diff(LESS, misspelt)[0] == 2
    assert diff(LESS, misspelt, "--audit-policy-lenient")[:2] == (0, "Both policies record the same.\n")


def test_help() -> None:
    """The help begins as the workbench's overview has it, and shows how the command is called."""
    text = CliRunner().invoke(decklog, ["policy", "diff", "--help"]).output
    assert "decklog policy diff old.yaml new.yaml" in text
    entry = command.entries["diff"]
    assert (entry.load().help or "").startswith(entry.help)
