"""The policy page: findings at their lines, an explanation, a replay of the log's last events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from ask.logs import event, log, ref
from decklog.audit.event import User
from decklog.web.scanned import Files
from web.web_client import Answer, Door

if TYPE_CHECKING:
    from pathlib import Path

POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- level: None
  users: ["system:kube-proxy"]
- level: Metadata
  resources:
  - group: ""
    resources: ["secrets"]
- level: None
- level: Request
  verbs: ["delete"]
"""
NAMES = ("system:kube-proxy", "alice", "alice")
RESOURCES = ("pods", "secrets", "pods")


@pytest.fixture
def door(tmp_path: Path) -> Door:
    """Three events: two that the policy leaves out, and one of a secret that it keeps."""
    events = (
        event(
            audit_id=f"00000000-0000-4000-8000-00000000000{number}",
            user=User(user, groups=("system:authenticated",)),
            request_uri=f"/api/v1/namespaces/shop/{resource}/web",
            object_ref=ref(resource, name="web"),
        )
        for number, (user, resource) in enumerate(zip(NAMES, RESOURCES, strict=True))
    )
    return Door(Files([str(log(tmp_path / "audit.log", *events))]))


def post(door: Door, path: str = "/policy.json", **fields: str) -> Answer:
    headers = {"origin": "http://127.0.0.1:8080", "content-type": "application/x-www-form-urlencoded"}
    return door.look(path, method="POST", headers=headers, body=urlencode(fields).encode())


def test_a_first_look_is_an_empty_form(door: Door) -> None:
    """Without a policy the page says what to do, and has nothing to say of lines."""
    answer = door.look("/policy")
    assert answer.status == 200
    assert "Paste an audit policy" in answer.text
    assert door.look("/policy.json").json["lines"] == []


def test_the_policy_of_the_command_line_is_there_at_a_first_look(tmp_path: Path) -> None:
    """`decklog web --policy FILE` shows that file checked."""
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    door = Door(Files([str(log(tmp_path / "audit.log", event()))]), settings={"policy": str(path)})
    page = door.look("/policy.json").json
    assert page["policy"] == POLICY
    assert page["starts"] is True


def test_findings_stand_at_their_lines(door: Door) -> None:
    """The rule behind one that matches everything never decides, and that is said where it begins."""
    page = post(door, policy=POLICY, do="check").json
    codes = {note["code"] for line in page["lines"] if line["number"] == 11 for note in line["notes"]}
    assert "DL010" in codes
    assert len(page["lines"]) == 12
    assert (page["errors"], page["starts"]) == (0, True)


def test_what_is_no_policy_is_an_error_at_its_line(door: Door) -> None:
    """A level that is none is an error at its line, and the API server would not start."""
    page = post(door, policy=POLICY.replace("level: Metadata", "level: Meta"), do="check").json
    wrong = [line["number"] for line in page["lines"] for note in line["notes"] if note["severity"] == "error"]
    assert wrong == [6]
    assert page["starts"] is False


EXPLAINED: dict[str, tuple[dict[str, str], int, str]] = {
    "the rule of secrets": ({"request": "get secrets db -n shop"}, 6, "Metadata"),
    "the rule of one user": ({"request": "get secrets db -n shop", "user": "system:kube-proxy"}, 4, "None"),
    "the last rule that is reached": ({"request": "GET /healthz"}, 10, "None"),
    "nobody authenticated": ({"request": "list secrets -A", "unauthenticated": "1"}, 6, "Metadata"),
}


@pytest.mark.parametrize("name", EXPLAINED)
def test_a_request_is_explained(door: Door, name: str) -> None:
    """The rule that decides is named by its line, those before it say why they do not match."""
    fields, line, level = EXPLAINED[name]
    page = post(door, policy=POLICY, do="explain", **fields).json
    assert page["explained"]["line"] == line
    assert page["explained"]["answers"][0][1].startswith(level)
    marks = {each["number"]: each["mark"] for each in page["lines"] if each["mark"]}
    assert marks.pop(line) == "decides"
    assert set(marks) == {each for each in (4, 6, 10) if each < line}


REFUSED: dict[str, tuple[dict[str, str], str]] = {
    "no policy": ({"policy": "", "do": "check"}, "policy"),
    "no request": ({"policy": POLICY, "do": "explain"}, "request"),
    "a user that cannot be": (
        {"policy": POLICY, "do": "explain", "request": "get pods", "user": "system:serviceaccount:x"},
        "user",
    ),
    "an unknown span": ({"policy": POLICY, "do": "replay", "span": "1y"}, "span"),
    "a policy with errors explains nothing": ({"policy": "rules: 3", "do": "explain", "request": "get pods"}, "policy"),
    "a policy with errors keeps nothing": ({"policy": "rules: 3", "do": "replay"}, "policy"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_said_beside_its_field(door: Door, name: str) -> None:
    """The form comes back with what was typed, and the problem at its field."""
    fields, field = REFUSED[name]
    answer = post(door, **fields)
    assert answer.status == 400
    assert list(answer.json["problems"]) == [field]
    assert 'aria-invalid="true"' in post(door, "/policy", **fields).text


def test_a_replay_counts_what_would_be_kept(door: Door) -> None:
    """Of three events the one about a secret is kept, and the rule that keeps it has its line."""
    found: dict[str, Any] = post(door, policy=POLICY, do="replay", span="1h").json["replayed"]
    assert (found["whole"]["events"], found["whole"]["keptEvents"]) == (3, 1)
    by_line = {rule["line"]: (rule["events"], rule["keptEvents"]) for rule in found["rules"]}
    assert by_line == {4: (1, 0), 6: (1, 1), 10: (1, 0), 11: (0, 0)}


def test_an_empty_log_is_said(tmp_path: Path) -> None:
    """There is nothing to replay, and the page says so."""
    path = tmp_path / "audit.log"
    path.write_bytes(b"")
    page = post(Door(Files([str(path)])), policy=POLICY, do="replay").json
    assert "no events" in page["problems"]["span"]


def test_hostile_text_of_a_policy_is_no_markup(door: Door) -> None:
    """A policy is foreign text, too."""
    hostile = POLICY.replace("system:kube-proxy", "</textarea><script>alert(1)</script>")
    text = post(door, "/policy", policy=hostile, do="check").text
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_a_policy_of_too_many_rules_ends_with_the_pages_time(tmp_path: Path) -> None:
    """What would keep the pages busy for minutes is refused, and the command that has the time is named."""
    door = Door(Files([str(log(tmp_path / "audit.log", event()))]), answer_s=-1)
    answer = post(door, policy=POLICY)
    assert answer.status == 503
    assert "too many rules" in answer.json["error"]
    assert answer.json["advice"].endswith("decklog policy check policy.yaml")
