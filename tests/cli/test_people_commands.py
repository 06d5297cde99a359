"""The commands that group what people do: denied, exec, secrets."""

from __future__ import annotations

import json
import unicodedata
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from ask.logs import life, log, ref
from ask.workloads import at, body
from cli.running import run_on_terminal
from decklog.audit.event import ObjectReference, Stage, Status, User
from decklog.cli import decklog

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

RECEIVED, STARTED, COMPLETE, PANIC = Stage
EXEC: dict[str, Any] = {
    "verb": "create",
    "user": User(username="bob"),
    "object_ref": ref("pods", name="web-0", subresource="exec"),
    "request_uri": "/api/v1/namespaces/shop/pods/web-0/exec?command=cat&command=/etc/my+file&container=app",
    "response_status": Status(code=101),
    "annotations": {},
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    values = body({"kind": "SecretList", "items": [{"data": {"a": "b"}}]})
    return log(
        tmp_path / "audit.log",
        at(1, "ci", "list", ref("secrets", ""), response_object=values),
        at(2, "mallory", "get", ref("secrets", name="db"), response_status=Status(code=403)),
        *life(STARTED, COMPLETE, **EXEC),
        *life(STARTED, COMPLETE, **(EXEC | {"user": User(username="eve"), "response_status": Status(code=403)})),
    )


def ask(command: str, path: Path, *args: str) -> Result:
    return CliRunner().invoke(decklog, [command, *args, "-f", str(path)], catch_exceptions=False)


@pytest.mark.parametrize(
    ("command", "args", "expected"),
    [
        ("denied", (), ["eve", "mallory"]),
        ("denied", ("--user=-eve",), ["mallory"]),
        ("denied", ("--resource", "secret"), ["mallory"]),
        ("denied", ("-n", "lab"), []),
        ("denied", ("--until", "2026-03-01T10:01:00Z"), ["eve"]),
        ("exec", (), ["bob", "eve"]),
        ("exec", ("--opened",), ["bob"]),
        ("exec", ("--kind", "attach"), []),
        ("exec", ("--kind", "exec", "--pod", "web-*", "-n", "shop", "--user", "eve"), ["eve"]),
        ("exec", ("--pod", "x"), []),
        ("secrets", (), ["ci", "mallory"]),
        ("secrets", ("db", "-n", "shop"), ["ci", "mallory"]),
        ("secrets", ("other",), ["ci"]),
        ("secrets", ("--verb", "get"), ["mallory"]),
    ],
)
def test_filters_choose_what_is_told(path: Path, command: str, args: tuple[str, ...], expected: list[str]) -> None:
    """Each command takes its filters; without an answer it exits with 1 and says what was searched."""
    result = ask(command, path, *args, "-o", "json")
    found = json.loads(result.stdout)
    assert sorted(item["user"] for item in next(iter(found.values()))) == expected
    assert found["searched"]["files"] == [str(path)]
    assert result.exit_code == (0 if expected else 1)
    assert "searched " in result.stderr


@pytest.mark.parametrize(
    ("command", "titles", "row"),
    [
        ("denied", "COUNT USER VERB WHAT NAMESPACE VERDICT FIRST LAST FROM", "eve create pods/exec shop single"),
        (
            "exec",
            "START TOOK USER KIND NAMESPACE POD WHAT STATE FROM",
            "ms bob exec shop web-0 (app) cat '/etc/my file'",
        ),
        (
            "secrets",
            "COUNT FAILED USER DID SECRET FIRST LAST FROM CLIENT",
            "1 - ci listed all of all namespaces 2026-03-01",
        ),
    ],
)
def test_tables_have_their_columns(path: Path, command: str, titles: str, row: str) -> None:
    """A table for people, with a wide form."""
    head, *rows = ask(command, path).stdout.splitlines()
    assert " ".join(head.replace("(UTC)", "").split()) == titles
    assert any(row in " ".join(line.split()) for line in rows)
    assert len(ask(command, path, "-o", "wide").stdout.splitlines()) == 3


def test_a_log_that_holds_secrets_is_named_as_one(path: Path) -> None:
    """The number of bodies with values is told."""
    assert "1 of these requests stand in the log with the secrets' values" in ask("secrets", path).stderr


ATTACK = "\x1b]0;x\x07\x9b2J\u202e\u200bend\n"


@pytest.mark.parametrize("command", ["denied", "exec", "secrets", "history secret/db", "get secret/db -o yaml"])
@pytest.mark.parametrize("output", ["default", "json"])
def test_foreign_text_acts_in_none_of_them(tmp_path: Path, command: str, output: str) -> None:
    """Whatever an event holds, no control character reaches the terminal."""
    user = User(username=f"u{ATTACK}", groups=(ATTACK,))
    hostile = {
        "user": user,
        "impersonated_user": user,
        "user_agent": ATTACK,
        "source_ips": (ATTACK,),
        "audit_id": ATTACK,
        "response_object": body(
            {"kind": f"S{ATTACK}", "metadata": {"name": "db", "x": ATTACK}, ATTACK: {ATTACK: ATTACK}}
        ),
    }
    secret = ObjectReference("secrets", f"shop{ATTACK}", "db", api_version="v1")
    denied = Status(code=403, message=ATTACK, reason=ATTACK)
    path = log(
        tmp_path / "audit.log",
        replace(at(1, "a", "create", secret), **hostile),
        replace(
            at(2, "a", "update", secret),
            **hostile | {"response_object": body({"kind": "S", "metadata": {"name": "db", ATTACK: 1}})},
        ),
        replace(at(3, "a", "get", secret, response_status=denied), **hostile),
        replace(
            at(4, "a", "patch", secret, request_object=body({ATTACK: ATTACK})),
            **hostile | {"response_object": body([])},
        ),
        *life(STARTED, COMPLETE, **EXEC | hostile | {"request_uri": f"/exec?command={ATTACK}&container={ATTACK}"}),
    )
    flags = ["-o", "json"] if output == "json" and "-o" not in command else []
    ran = run_on_terminal(*command.split(), "-f", path, *flags, columns=200)
    assert ran.out.strip()
    shown = (ran.out + ran.err).replace("\x1b[?25h", "")
    assert {char for char in shown if char not in "\n " and unicodedata.category(char)[0] in "CZ"} == set()


def test_an_empty_answer_says_what_a_policy_would_have_recorded(path: Path, tmp_path: Path) -> None:
    """With --policy "nobody" is told apart from "not recorded"."""
    policy = tmp_path / "policy.yaml"
    policy.write_text("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: None}]\n")
    result = ask("secrets", path, "-n", "lab", "--verb", "delete", "--policy", str(policy))
    assert result.exit_code == 1
    assert "nobody touched such secrets: " in result.stderr
    assert "not recorded" in result.stderr
    assert ask("exec", path, "--policy", str(tmp_path / "none.yaml")).exit_code == 2
