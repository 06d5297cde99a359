from __future__ import annotations

import pickle

from decklog.policy.findings import SHOWN_FINDINGS, Finding, PolicyError, Severity


def finding(line: int = 3, path: str = "rules[0]", severity: Severity = Severity.ERROR) -> Finding:
    return Finding("p.yaml", line, 5, path, "is wrong: do this", severity)


def test_one_line_a_finding() -> None:
    """A finding is one line: file, line, column, field, text; a warning says that it is one."""
    assert str(finding()) == "p.yaml:3:5: rules[0]: is wrong: do this"
    assert str(finding(path="")) == "p.yaml:3:5: is wrong: do this"
    assert str(finding(line=0, path="")) == "p.yaml: is wrong: do this"
    assert str(finding(severity=Severity.WARNING)) == "p.yaml:3:5: warning: rules[0]: is wrong: do this"


def test_paths_cannot_act() -> None:
    """Keys of the file in a path are escaped and cut short."""
    assert str(finding(path="a\x1b[2J\n\u202e")) == "p.yaml:3:5: a\\u001b[2J\\u000a\\u202e: is wrong: do this"
    assert len(str(finding(path="x" * 10_000))) < 300


def test_error() -> None:
    """A PolicyError shows all findings, up to a number, and holds all."""
    many = tuple(finding(line=line) for line in range(1, SHOWN_FINDINGS + 51))
    error = PolicyError(many, "kube-apiserver's words")
    lines = str(error).split("\n")
    assert lines[0] == str(many[0])
    assert lines[-1] == "… and 50 more"
    assert len(error.findings) == SHOWN_FINDINGS + 50
    assert str(PolicyError(many[:2])) == f"{many[0]}\n{many[1]}"
    assert pickle.loads(pickle.dumps(error)).reference == "kube-apiserver's words"
