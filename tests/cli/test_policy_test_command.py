from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

from cli.running import run
from decklog.cli import decklog
from decklog.policy.lint import check

if TYPE_CHECKING:
    from click.testing import Result

EXAMPLES = Path(__file__).parents[2] / "examples" / "policy"
POLICY = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: None\n  users: [bob]\n- level: Metadata\n"
GOOD = "- name: alice is seen\n  request: get /version\n  as: alice\n  expect: Metadata\n"
BAD = "- name: bob is seen\n  request: get /version\n  as: bob\n  expect: {level: Metadata, rule: 1}\n"


def run_table(folder: Path, table: str, *args: str, policy: str = POLICY) -> Result:
    (folder / "policy.yaml").write_text(policy)
    (folder / "expect.yaml").write_text(table)
    named = [str(folder / name) for name in ("policy.yaml", "expect.yaml")]
    return CliRunner().invoke(decklog, ["policy", "test", *named, *args], catch_exceptions=False)


def test_all_as_expected_is_one_line(tmp_path: Path) -> None:
    """Exit code 0, a summary; -v names what passed."""
    result = run_table(tmp_path, f"cases:\n{GOOD}")
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path}/policy.yaml: 1 case, all as expected\n")
    assert run_table(tmp_path, f"cases:\n{GOOD}", "-v").stdout.startswith(
        f"ok    {tmp_path}/expect.yaml:2: alice is seen\n"
    )


def test_a_failure_is_explained(tmp_path: Path) -> None:
    """Exit code 1: the case with its place, the request, what differs, and why."""
    result = run_table(tmp_path, f"cases:\n{GOOD}{BAD}")
    policy = tmp_path / "policy.yaml"
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        f"FAIL  {tmp_path}/expect.yaml:6: bob is seen",
        "      get /version, by 'bob' in 'system:authenticated'",
        "      level is None, expected Metadata",
        "      rule is 0, expected 1",
        f"      {policy}:6: rule 1 (Metadata) matches, but comes too late",
        f"      {policy}:4: rule 0 (None) matches",
        f"{policy}: 2 cases, 1 not as expected",
    ]


def test_json_is_stable(tmp_path: Path) -> None:
    """-o json has every case with what was expected and found."""
    shown = json.loads(run_table(tmp_path, f"cases:\n{BAD}", "-o", "json").stdout)
    (case,) = shown.pop("cases")
    assert shown == {"policy": f"{tmp_path}/policy.yaml", "total": 1, "failed": 1}
    assert len(case.pop("reasons")) == 2
    assert case == {
        "file": f"{tmp_path}/expect.yaml",
        "line": 2,
        "name": "bob is seen",
        "passed": False,
        "request": {
            "resourceRequest": False,
            "verb": "get",
            "path": "/version",
            "apiGroup": "",
            "resource": "",
            "subresource": "",
            "namespace": "",
            "name": "",
        },
        "user": {"username": "bob", "groups": ["system:authenticated"]},
        "expected": {"level": "Metadata", "rule": 1},
        "found": {
            "level": "None",
            "stages": [],
            "omitStages": [],
            "rule": 0,
            "line": 4,
            "omitManagedFields": False,
            "requestBody": False,
            "responseBody": False,
        },
    }


def test_junit_is_written_beside_the_text(tmp_path: Path) -> None:
    """--junit FILE, whatever the outcome; where it cannot be written, that is said."""
    result = run_table(tmp_path, f"cases:\n{GOOD}{BAD}", "--junit", str(tmp_path / "results.xml"))
    root = ET.parse(tmp_path / "results.xml").getroot()
    assert (result.exit_code, root.attrib["tests"], root.attrib["failures"]) == (1, "2", "1")
    refused = run_table(tmp_path, f"cases:\n{GOOD}", "--junit", str(tmp_path / "no" / "results.xml"))
    assert refused.exit_code == 2
    assert "give --junit another file" in refused.stderr


@pytest.mark.parametrize(
    ("table", "policy", "says"),
    [
        ("cases: []", POLICY, "expect.yaml:1:8: a table needs cases"),
        ("cases:\n- request: get podz\n  expect: Nothing\n", POLICY, "expect.yaml:3:11: 'Nothing' is not a level"),
        (f"cases:\n{GOOD}", POLICY.replace("Metadata", "metadata"), "policy.yaml:6:10: rules[1].level: 'metadata' is"),
    ],
)
def test_what_cannot_be_used_is_exit_code_2(tmp_path: Path, table: str, policy: str, says: str) -> None:
    """A table or policy that is wrong is told with its place, and nothing is judged."""
    result = run_table(tmp_path, table, policy=policy)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    """Said with what to do; the mistakes of all tables are told together."""
    result = run_table(tmp_path, "cases: []", str(tmp_path / "no.yaml"))
    assert result.exit_code == 2
    assert "no.yaml cannot be read: No such file or directory: name a file of expectations" in result.stderr
    (tmp_path / "second.yaml").write_text("case: []")
    both = run_table(tmp_path, "cases: []", str(tmp_path / "second.yaml")).stderr
    assert "expect.yaml:1:8" in both
    assert "second.yaml:1:1" in both


def test_lenient_loading_and_its_warning(tmp_path: Path) -> None:
    """Judged as a server would load the policy, with the warning on stderr."""
    policy = f"{POLICY}  verb: [get]\n"
    assert run_table(tmp_path, f"cases:\n{GOOD}", policy=policy).exit_code == 2
    result = run_table(tmp_path, f"cases:\n{GOOD}", "--audit-policy-lenient", policy=policy)
    assert result.exit_code == 0
    assert "warning: rules[1].verb" in result.stderr


def test_the_example_holds_and_its_policy_is_clean() -> None:
    """The policy and the table that the documentation shows, by the program itself; several tables may be named."""
    policy, table = EXAMPLES / "policy.yaml", EXAMPLES / "expect.yaml"
    ran = run("policy", "test", policy, table, "-", stdin=f"cases:\n{GOOD}".replace("Metadata", "None").encode())
    assert (ran.code, ran.out, ran.err) == (0, f"{policy}: 10 cases, all as expected\n", "")
    assert not check(policy.read_bytes(), source="policy.yaml").remarks
