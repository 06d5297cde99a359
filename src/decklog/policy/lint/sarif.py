"""SARIF 2.1.0: reports in the form that code review reads (OASIS Static Analysis Results Interchange Format)."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from decklog.policy.findings import Severity
from decklog.policy.lint.codes import CODES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from decklog.policy.lint.checking import Report
    from decklog.policy.lint.codes import Code
    from decklog.policy.lint.remarks import Remark

_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
_NUMBERS: Final = {code: number for number, code in enumerate(CODES)}


def sarif(reports: Iterable[Report], *, version: str) -> dict[str, Any]:
    """Give one SARIF log with one run over all files; `version` is the program's."""
    results = [_result(remark) for report in reports for remark in report.remarks]
    driver = {
        "name": "decklog policy check",
        "semanticVersion": version,
        "rules": [_rule(code) for code in CODES.values()],
    }
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(code: Code) -> dict[str, Any]:
    return {
        "id": code.id,
        "shortDescription": {"text": code.name},
        "fullDescription": {"text": code.why},
        "defaultConfiguration": {"level": "error" if code.id == "DL000" else "warning"},
    }


def _result(remark: Remark) -> dict[str, Any]:
    only = f" (Kubernetes {', '.join(remark.releases)})" if remark.releases else ""
    place: dict[str, Any] = {"artifactLocation": {"uri": _uri(remark.source)}}
    if remark.line:
        place["region"] = {"startLine": remark.line, "startColumn": max(remark.column, 1)}
    location: dict[str, Any] = {"physicalLocation": place}
    if remark.path:
        location["logicalLocations"] = [{"fullyQualifiedName": remark.path}]
    return {
        "ruleId": remark.code,
        "ruleIndex": _NUMBERS[remark.code],
        "level": "error" if remark.severity is Severity.ERROR else "warning",
        "message": {"text": f"{remark.text}{only}. {remark.why} Write: {remark.write}"},
        "locations": [location],
    }


def _uri(source: str) -> str:
    """Give a file's URI: relative as it was named, so that a review finds it in its own tree."""
    path = PurePath(source)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())
