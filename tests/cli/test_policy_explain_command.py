from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ask.logs import event, life, log
from cli.running import run
from decklog.audit.event import Stage, User
from decklog.audit.wire import encode_event, encode_list
from decklog.cli import decklog

EXAMPLE = Path(__file__).parents[2] / "examples" / "policy" / "policy.yaml"
POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- level: None
  users: [bob]
- level: Request
  verbs: [delete]
- level: Metadata
"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return path


def explain(policy: Path, *args: object, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(decklog, ["policy", "explain", str(policy), *map(str, args)], input=stdin)


def test_a_request_is_explained_rule_by_rule(policy: Path) -> None:
    """Request, caller, each rule with its place, then what is written."""
    result = explain(policy, "--as", "alice", "--groups", "dev,ops", "create", "pods/exec", "web-0", "-n", "shop")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "create pods/exec web-0 -n shop",
        "  by 'alice' in 'dev', 'ops', 'system:authenticated'",
        "",
        f"{policy}:4: rule 0 (None) does not match: users: the user is 'alice', the rule wants 'bob'",
        f"{policy}:6: rule 1 (Request) does not match: verbs: the verb is 'create', the rule wants 'delete'",
        f"{policy}:8: rule 2 (Metadata) matches",
        "",
        "level           Metadata",
        "stages          RequestReceived, ResponseStarted, ResponseComplete; Panic, if the handler panics",
        "request body    none that the server would record",
        "response body   none that the server would record",
        "managed fields  no body is kept that could have them",
    ]


def test_json_is_stable(policy: Path) -> None:
    """-o json has these keys."""
    shown = json.loads(explain(policy, "-o", "json", "--as", "bob", "get", "po", "-A").stdout)
    assert shown == {
        "policy": str(policy),
        "request": {
            "resourceRequest": True,
            "verb": "list",
            "path": "/api/v1/pods",
            "apiGroup": "",
            "resource": "pods",
            "subresource": "",
            "namespace": "",
            "name": "",
        },
        "user": {"username": "bob", "groups": ["system:authenticated"]},
        "rules": [{"rule": 0, "line": 4, "column": 3, "level": "None", "matches": True}],
        "rule": 0,
        "line": 4,
        "level": "None",
        "stages": [],
        "panic": False,
        "omitStages": [],
        "omitManagedFields": False,
        "requestBody": False,
        "responseBody": False,
        "notes": ["get without a name is a list: that is what kubectl sends"],
        "warnings": [],
    }


@pytest.mark.parametrize(
    "args",
    [
        ("GET", "/api/v1/namespaces/shop/pods/web-0/exec"),
        ("get pods/exec web-0 -n shop",),
        ("get", "pods", "web-0", "--subresource", "exec", "-n=shop"),
        ("get", "pod/web-0/exec", "--namespace", "shop"),
    ],
)
def test_one_request_can_be_written_in_many_ways(policy: Path, args: tuple[str, ...]) -> None:
    """By path, in one text, with options."""
    assert explain(policy, *args).stdout.startswith("get pods/exec web-0 -n shop\n")


def test_nobody_authenticated(policy: Path) -> None:
    """--unauthenticated is a failed login, --as system:anonymous one who did not try."""
    assert "  by nobody authenticated\n" in explain(policy, "--unauthenticated", "get", "/version").stdout
    by = explain(policy, "--as", "system:anonymous", "get", "/version").stdout
    assert "  by 'system:anonymous' in 'system:unauthenticated'\n" in by


DELETED = life(*Stage, audit_id="abcd-1")
BY_BOB = event(audit_id="bcde-2", user=User("bob"))


@pytest.mark.parametrize(
    ("args", "by"),
    [((), "alice"), (("--audit-id", "bcde"), "bob"), (("--audit-id", "abcd-1"), "alice")],
)
@pytest.mark.parametrize("form", ["lines", "list", "damaged first line"])
def test_a_recorded_event_is_explained(tmp_path: Path, policy: Path, args: tuple[str, ...], by: str, form: str) -> None:
    """The first of a log or list, or the one of an audit ID; a damaged line before it does no harm."""
    events = [*DELETED, BY_BOB]
    path = log(tmp_path / "audit.log", *events)
    if form == "list":
        path.write_bytes(encode_list(events))
    elif form == "damaged first line":
        path.write_bytes(b'{"kind":"Event","apiVer\n' + path.read_bytes())
    result = explain(policy, "--event", path, *args)
    assert (result.exit_code, f"  by '{by}'" in result.stdout) == (0, True)
    assert "  note: event" in result.stdout
    assert "was recorded at level" in result.stdout


def test_an_event_written_over_several_lines_on_standard_input(policy: Path) -> None:
    """As jq prints it."""
    text = json.dumps(json.loads(encode_event(BY_BOB)), indent=2).encode()
    assert "  by 'bob'" in explain(policy, "--event", "-", stdin=text).stdout
    several = b'[\n"' + text
    assert explain(policy, "--event", "-", stdin=several).exit_code == 2


def test_an_impersonated_user_is_not_asked_for(tmp_path: Path, policy: Path) -> None:
    """A policy decides by whoever sent the request, and that is said."""
    path = log(tmp_path / "audit.log", event(user=User("alice"), impersonated_user=User("bob")))
    shown = explain(policy, "--event", path).stdout
    assert "  by 'alice'" in shown
    assert "in another user's name" in shown


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ((), "no request is given"),
        (("exec", "web-0"), "write create pods/exec NAME"),
        (("get", "pods", "--audit-id", "x"), "give --event FILE as well"),
        (("get", "pods", "--event", "x"), "leave out the request"),
        (("--event", "no-such"), "no-such is not there"),
        (("--event", "-", "--audit-id", "x"), "no audit event with the audit ID x"),
        (("--kubernetes", "2", "get", "pods"), "is not a version of Kubernetes"),
        (("--as", "a", "--unauthenticated", "get", "pods"), "neither name nor groups"),
    ],
)
def test_what_cannot_be_explained_is_the_user_s_input(policy: Path, args: tuple[str, ...], says: str) -> None:
    """Exit code 2, one line."""
    result = explain(policy, *args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_broken_policy_is_told_as_loading_tells_it(policy: Path) -> None:
    """Every finding; with --audit-policy-lenient warnings, and the explanation."""
    policy.write_text(POLICY + "  verb: [get]\n")
    refused = explain(policy, "get", "pods")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert f"{policy}:9:3: rules[2].verb: 'verb' is not a field of a rule" in refused.stderr
    taken = explain(policy, "--audit-policy-lenient", "get", "pods")
    assert taken.exit_code == 0
    assert "warning: rules[2].verb" in taken.stderr


def test_foreign_text_is_escaped(policy: Path) -> None:
    """Neither names nor paths act on a terminal."""
    result = explain(policy, "--as", "a\x1b[2J", "GET", "/\u202e")
    assert result.exit_code == 0
    assert "\x1b" not in result.stdout
    assert "\u202e" not in result.stdout


def test_the_program_explains_the_example() -> None:
    """In a process of its own, on the policy of the examples."""
    ran = run("policy", "explain", EXAMPLE, "--as", "alice", "update", "secret/db", "-n", "shop")
    assert (ran.code, ran.err) == (0, "")
    assert "level           Metadata\n" in ran.out
