"""JUnit: outcomes of expectations as the XML that CI systems show; one suite a table.

There is no standard: this is the part that Jenkins, GitLab and GitHub's reporters agree on. XML 1.0 has no place for
control characters, so that they are spelled.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from decklog.policy.explained import asked, by

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from decklog.policy.expect import Outcome

_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(suites: Iterable[tuple[str, Sequence[Outcome]]], policy: str) -> bytes:
    """Write the outcomes of (table, its outcomes) pairs; `policy` is the name of the policy's file."""
    root = Element("testsuites", {"name": "decklog policy test"})
    total = failed = 0
    for table, outcomes in suites:
        failures = sum(not outcome.passed for outcome in outcomes)
        total, failed = total + len(outcomes), failed + failures
        counts = {"tests": str(len(outcomes)), "failures": str(failures), "errors": "0", "skipped": "0"}
        suite = SubElement(root, "testsuite", {"name": _xml(table), **counts, "time": "0"})
        for outcome in outcomes:
            _case(suite, outcome, table, policy)
    root.attrib |= {"tests": str(total), "failures": str(failed), "errors": "0", "time": "0"}
    indent(root)
    return bytes(tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _case(suite: Element, outcome: Outcome, table: str, policy: str) -> None:
    case = outcome.case
    called = {"classname": _xml(policy), "name": _xml(case.name)}
    place = {"file": _xml(table), "line": str(case.line)}
    shown = SubElement(suite, "testcase", {**called, **place, "time": "0"})
    if not outcome.passed:
        message = "; ".join(map(str, outcome.mismatches))
        failure = SubElement(shown, "failure", {"type": "mismatch", "message": _xml(message)})
        failure.text = _xml("\n".join([f"{asked(case.attributes)}, by {by(case.user)}", *outcome.reasons]))


def _xml(text: str) -> str:
    return _NOT_XML.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
