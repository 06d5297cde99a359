from __future__ import annotations

from decklog.policy.findings import Finding, PolicyError
from decklog.policy.lint import CODES, check
from decklog.policy.lint.checking import unreadable
from decklog.policy.lint.sarif import sarif
from policy.linting import CATCH_ALL, HEAD, report

LEVELS = {"error", "warning", "note", "none"}


def test_the_log_has_what_the_standard_requires() -> None:
    """Version, one run, its tool with all rules, and results that point to them."""
    log = sarif([report(CATCH_ALL), report("- level: X\n")], version="1.2.3")
    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("sarif-2.1.0.json")
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"]
    assert driver["semanticVersion"] == "1.2.3"
    assert [rule["id"] for rule in driver["rules"]] == list(CODES)
    assert run["columnKind"] in {"utf16CodeUnits", "unicodeCodePoints"}
    assert run["results"]
    for result in run["results"]:
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in LEVELS
        assert result["message"]["text"]
        region = result["locations"][0]["physicalLocation"]["region"]
        assert region["startLine"] >= 1
        assert region["startColumn"] >= 1
    assert {result["level"] for result in run["results"]} == {"error", "warning"}


def test_files_are_named_as_uris() -> None:
    """A relative path stays one, escaped; an absolute one becomes a file URI."""
    reports = [check((HEAD + CATCH_ALL).encode(), source=source) for source in ("a b/p#1.yaml", "/etc/p.yaml")]
    found = sarif(reports, version="1")["runs"][0]["results"]
    uris = {result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for result in found}
    assert uris == {"a%20b/p%231.yaml", "file:///etc/p.yaml"}


def test_a_file_as_a_whole_has_no_region() -> None:
    """What is about no line points to the file alone."""

    missing = unreadable("p", PolicyError((Finding("p", 0, 0, "", "cannot be read: check the path"),)))
    (result,) = sarif([missing], version="1")["runs"][0]["results"]
    assert "region" not in result["locations"][0]["physicalLocation"]
    assert "logicalLocations" not in result["locations"][0]
