from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from cli.running import PROGRAM, run, run_on_terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HEAD = "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n"
CLEAN = (
    HEAD
    + """\
- level: None
  users: ["system:serviceaccount:kube-system:kube-proxy", "system:kube-scheduler"]
- level: None
  userGroups: ["system:nodes"]
  resources:
  - {group: "", resources: [nodes/status, pods/status]}
  - {group: coordination.k8s.io, resources: [leases]}
- level: None
  resources:
  - {group: "", resources: [events]}
  - {group: events.k8s.io, resources: [events]}
  - {group: metrics.k8s.io}
  - {group: authorization.k8s.io, resources: [selfsubjectaccessreviews, selfsubjectrulesreviews]}
  - {group: authentication.k8s.io, resources: [selfsubjectreviews]}
- level: None
  nonResourceURLs: ["/healthz*", "/livez*", "/readyz*"]
- level: None
  userGroups: ["system:authenticated"]
  nonResourceURLs: ["/api*", "/openapi/*", /version, /metrics]
- level: Metadata
"""
)
WARNED = HEAD + '- {level: Metadata, resources: [{group: "", resources: [deployments]}]}\n- level: Metadata\n'
REFUSED = HEAD + "- level: Everything\n- {level: Metadata, omitStages: [Start]}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "policy.yaml"


@pytest.mark.parametrize(
    ("text", "args", "code"),
    [
        (CLEAN, [], 0),
        (CLEAN, ["--strict"], 0),
        (WARNED, [], 0),
        (WARNED, ["--strict"], 1),
        (REFUSED, [], 2),
        (REFUSED, ["--strict"], 2),
        (HEAD + "- {level: Metadata, verb: [get]}\n", [], 2),
        (HEAD + "- {level: Metadata, verb: [get]}\n", ["--audit-policy-lenient"], 0),
        (HEAD + "- {level: Metadata, verb: [get]}\n", ["--audit-policy-lenient", "--strict"], 1),
    ],
)
def test_the_exit_code_says_how_bad_it_is(file: Path, text: str, args: list[str], code: int) -> None:
    """0: clean, or warnings only; 1: warnings, where strict; 2: errors."""
    file.write_text(text)
    assert run("policy", "check", file, *args).code == code


def test_a_clean_policy_is_said_to_be() -> None:
    """Where there is nothing to say, one line says so; - is standard input."""
    done = run("policy", "check", "-", stdin=CLEAN.encode())
    assert (done.code, done.out, done.err) == (0, "<stdin>: nothing to say\n", "")


def test_a_finding_has_place_code_reason_and_advice(file: Path) -> None:
    """Three lines a finding: where and what, why, and what to write; then the count."""
    file.write_text(WARNED)
    lines = run("policy", "check", file).out.splitlines()
    place = next(number for number, line in enumerate(lines) if "DL105" in line)
    assert lines[place].startswith(f"{file}:5:57: warning DL105: 'deployments' is not in the core group but in apps")
    assert lines[place + 1].startswith("    why: No request is about")
    assert lines[place + 2] == "    write: deployments below group: apps"
    assert lines[-1].startswith(f"{file}: 0 errors, ")


def test_all_errors_come_first_file_by_file(file: Path, tmp_path: Path) -> None:
    """Every error of every file is told, and one bad file keeps no other from being checked."""
    file.write_text(REFUSED)
    done = run("policy", "check", tmp_path / "missing.yaml", file, "-", stdin=CLEAN.encode())
    assert done.code == 2
    assert "missing.yaml: error DL000: cannot be read" in done.out
    assert f"{file}:5:10: error DL000: 'Everything' is not a level" in done.out
    assert f"{file}:6:34: error DL000: 'Start' is not a stage" in done.out
    assert "<stdin>: nothing to say" in done.out


def test_json_has_everything(file: Path) -> None:
    """Findings with all their fields, what releases do, CIS by first match, and witnesses if asked for."""
    file.write_text(WARNED)
    done = run("policy", "check", file, "-o", "json", "--witness", "--kubernetes", "1.36-1.37")
    (found,) = json.loads(done.out)["files"]
    assert (found["file"], found["errors"]) == (str(file), 0)
    finding = next(each for each in found["findings"] if each["code"] == "DL105")
    assert finding == {
        "code": "DL105",
        "severity": "warning",
        "line": 5,
        "column": 57,
        "path": "rules[0].resources[0].resources[0]",
        "text": "'deployments' is not in the core group but in apps",
        "why": "No request is about a resource that the group does not have.",
        "write": "deployments below group: apps",
        "kubernetes": [],
    }
    assert [each["version"] for each in found["kubernetes"]] == ["1.36", "1.37"]
    assert {"code", "request", "level", "rule", "line"} == set(found["cis"][0])
    rules = found["rules"]
    assert [rule["reachable"] for rule in rules] == [True, True]
    assert rules[0]["witness"]["resource"] == "deployments"


def test_witnesses_prove_that_rules_are_reachable(file: Path) -> None:
    """A request is printed for each rule, and none for one that never decides."""
    file.write_text(WARNED + "- level: None\n")
    done = run("policy", "check", file, "--witness")
    lines = [line for line in done.out.splitlines() if ": rule " in line]
    assert "rule 0 decides: " in lines[0]
    assert "deployments" in lines[0]
    assert "rule 1 decides: " in lines[1]
    assert lines[2] == f"{file}:7: rule 2 decides no request"
    assert "warning DL010: never decides: the rule on line 6" in done.out


def test_sarif_is_one_run(file: Path) -> None:
    """SARIF 2.1.0 with the file's own name, for code review."""
    file.write_text(WARNED)
    log = json.loads(run("policy", "check", file, "-o", "sarif").out)
    assert log["version"] == "2.1.0"
    results = log["runs"][0]["results"]
    assert "DL105" in {result["ruleId"] for result in results}


@pytest.mark.parametrize("spelled", ["1.34…1.37", "1.34...1.37", "1.34..1.37", "1.34-1.37", "1.34,1.35,1.36,v1.37.2"])
def test_several_releases_are_told_apart(file: Path, spelled: str) -> None:
    """A list or a range of releases says what each would do."""
    file.write_text(HEAD + '- {level: Metadata, resources: [{group: "*"}]}\n- level: None\n')
    done = run("policy", "check", file, "--kubernetes", spelled)
    assert done.code == 2
    assert "Kubernetes 1.34…1.35 does not start: " in done.out
    assert "Kubernetes 1.36…1.37 starts with this policy" in done.out
    assert "before Kubernetes 1.36" in done.out
    assert "[Kubernetes 1.34…1.35]" in done.out


def test_codes_can_be_left_out(file: Path) -> None:
    """Warnings of a code are left out; errors are not."""
    file.write_text(WARNED)
    every = "DL105,DL402,dl403,DL404,DL405,DL406"
    done = run("policy", "check", file, "--strict", "--ignore", every, "--ignore", "DL407", "--ignore", "DL011")
    assert (done.code, done.out) == (0, f"{file}: nothing to say\n")
    file.write_text(REFUSED)
    assert run("policy", "check", file, "--ignore", "DL000").code == 2


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--kubernetes", "new"], "'new' is not a version of Kubernetes"),
        (["--kubernetes", "1.30…1.24"], "ends before it begins"),
        (["--kubernetes", "1.24…1.25…1.26"], "is no range"),
        (["--ignore", "X1"], "there is no code 'X1'"),
        (["--discovery", "/nowhere"], "cannot be read"),
        (["--context", "x"], "give --discovery FILE"),
    ],
)
def test_wrong_options_are_told(file: Path, args: list[str], says: str) -> None:
    """What is wrong with an option is one line on stderr, and the exit code is 2."""
    file.write_text(CLEAN)
    done = run("policy", "check", file, *args)
    assert (done.code, done.out) == (2, "")
    assert says in done.err
    assert done.err.count("\n") == 1


def test_foreign_text_cannot_act_on_a_terminal(file: Path) -> None:
    """Control characters of a policy are spelled out in what is printed."""
    file.write_text(HEAD + '- {level: Metadata, verbs: ["\\e[31mget"], "\\e]0;x\\a": 1}\n')
    for output in ("text", "json", "sarif"):
        done = run_on_terminal("policy", "check", file, "-o", output)
        assert "\x1b" not in done.out
        assert "\x07" not in done.out


@pytest.mark.parametrize("output", ["text", "json", "sarif"])
def test_names_that_are_no_text_are_reported(tmp_path: Path, output: str) -> None:
    """A file name that is no UTF-8, and half characters in a policy of JSON, end in a report."""
    file = tmp_path / os.fsdecode(b"\xff.yaml")
    half = '{"level":"None","nonResourceURLs":["/\\ud800?x"],"verbs":["\\ud800"],"users":["\\udfff*"],"\\ud83d":1}'
    file.write_text('{"apiVersion":"audit.k8s.io/v1","kind":"Policy","rules":[' + half + ', {"level":"Metadata"}]}')
    done = run("policy", "check", file, tmp_path / os.fsdecode(b"missing-\xfe"), "-o", output, "--witness")
    assert (done.code, done.err) == (2, "")
    assert "DL114" in done.out


DISCOVERED = (
    HEAD + "- {level: Metadata, resources: [{group: shop.example, resources: [carts, cats]}]}\n- level: Metadata\n"
)


def test_discovery_comes_from_a_file(file: Path, tmp_path: Path) -> None:
    """With a cluster's discovery document, custom resources are known and misspelled ones told."""
    served = {
        "kind": "APIResourceList",
        "groupVersion": "shop.example/v1",
        "resources": [{"name": "carts", "singularName": "cart", "namespaced": True, "kind": "Cart"}],
    }
    answer = tmp_path / "served.json"
    answer.write_text(json.dumps(served))
    file.write_text(DISCOVERED)
    assert "DL105" not in run("policy", "check", file).out
    assert f"{file}:5:74: warning DL105: the group 'shop.example' has no resource 'cats'" in (
        run("policy", "check", file, "--discovery", answer).out
    )


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Iterator[Path]:
    """A sandbox that runs, by its kubeconfig."""
    policy, path = tmp_path / "sandbox.yaml", tmp_path / "kubeconfig"
    policy.write_text(CLEAN)
    args = ["--listen", "127.0.0.1:0", "--kubeconfig-out", str(path), "--audit-policy-file", str(policy)]
    with subprocess.Popen(
        [*PROGRAM, "sandbox", *args, "--audit-log-path", str(tmp_path / "audit.log")],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "listening on" in line:
                break
        yield path
        process.send_signal(signal.SIGTERM)
        process.stderr.read()


@pytest.mark.journey
def test_discovery_comes_from_a_cluster(file: Path, kubeconfig: Path) -> None:
    """With a kubeconfig the cluster is asked what it serves."""
    file.write_text(HEAD + '- {level: Metadata, resources: [{group: "", resources: [podz]}]}\n- level: Metadata\n')
    done = run("policy", "check", file, "--discovery", kubeconfig)
    assert (done.code, done.err) == (0, "")
    assert "the core group has no resource 'podz'" in done.out


def test_help_loads_no_check() -> None:
    """`decklog policy check --help` does not pay for the checks."""
    program = (
        "import sys; from decklog.cli import decklog\n"
        "decklog.main(['policy', 'check', '--help'], standalone_mode=False)\n"
        "sys.exit(repr([name for name in sys.modules if name.startswith(('decklog.policy.lint', 'yaml', 'aiohttp'))]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "[]"
    assert "decklog policy check policy.yaml" in done.stdout
