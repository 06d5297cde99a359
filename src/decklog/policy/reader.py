"""Reader: a policy file → Policy, or every problem in it at once, each with line and column.

Two answers come from one reading. `Finding`s are ours: all of them, in the order of the file, in words that say what
would be right. `reference` and `reference_warning` are what kube-apiserver 1.26 to 1.37 says of the same bytes: its
one error, or its one warning before it falls back to lenient decoding (spec §2.1 to §2.4). They are equal to its words
but for Go's renderings of odd map keys (``invalid map key``, ``unsupported map key of type``), which are only begun.

Where we differ from kube-apiserver on purpose:

| What                              | kube-apiserver                    | here                                       |
|-----------------------------------|-----------------------------------|--------------------------------------------|
| an unknown field, a duplicate key | a warning; the rule matches more  | an error; with `lenient` a warning, and    |
|                                   | than it seems to say              | the same policy as there                   |
| a key that overrides a merge      | a warning                         | a warning                                  |
| a second document                 | ignored in silence                | ignored, with a warning                    |
| several problems                  | all bad values, or one wrong type | all                                        |
| a file of more than 1 MiB         | read                              | refused                                    |
| JSON with bytes that are no UTF-8 | each becomes U+FFFD in silence    | an error; with `lenient` a warning         |
| unknown fields, target below 1.26 | dropped in silence                | as for any target; `reference_warning` is  |
|                                   |                                   | empty                                      |

(`yaml_tree` has the limits on aliases and nesting.)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from decklog.audit.documents.tree import MAX_BYTES, Clash, Document, Position, Scalar, Unreadable
from decklog.audit.documents.yaml_tree import read_yaml
from decklog.policy.advice import tell
from decklog.policy.binding import Bound, Issue, Problem, bind
from decklog.policy.findings import Finding, PolicyError, Severity
from decklog.policy.identity import identify
from decklog.policy.json_tree import is_json, read_json
from decklog.policy.releases import NEWEST, parse_release
from decklog.policy.rules import Policy, policy_from
from decklog.policy.schema import policy_schema
from decklog.policy.validate import Violation, aggregate, validate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from decklog.policy.releases import Release

DEFAULT_TARGET: Final = f"1.{NEWEST}"
NO_RULES: Final = "loaded illegal policy with 0 rules"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A policy that can be used."""

    policy: Policy
    warnings: tuple[Finding, ...] = ()
    positions: Mapping[str, Position] = field(default_factory=dict)
    """Where each field stands, by its path (``rules[3].omitStages[0]``): a scalar or list item where it is written, a
    list or mapping at its key."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """The object's own metadata in Kubernetes' spelling; it means nothing to a policy."""
    reference_warning: str = ""
    """What follows "falling back to lenient decoding: " in kube-apiserver's log; empty: nothing does."""


def load(path: str, *, lenient: bool = False, kubernetes: str = DEFAULT_TARGET) -> Loaded:
    """Read the policy file at `path`; as `parse` otherwise. A file that cannot be read is a PolicyError, too."""
    return parse(read(path), source=path, lenient=lenient, kubernetes=kubernetes)


def read(path: str) -> bytes:
    """Read the bytes of a policy file, at most one more than a policy may have. Raises PolicyError."""
    if not path:
        text = "no policy file is named: give its path (--audit-policy-file)"
        raise PolicyError((Finding("policy", 0, 0, "", text),), "file path not specified")
    try:
        with Path(path).open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise _unreadable_file(path, error) from None


def _unreadable_file(path: str, error: OSError | ValueError) -> PolicyError:
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    verb, advice = "open", "check the path"
    match error:
        case PermissionError():
            advice = "check who may read it"
        case IsADirectoryError():
            verb, advice = "read", "name a file in it"
    said = f"{reason[:1].lower()}{reason[1:]}"
    finding = Finding(path, 0, 0, "", f"cannot be read: {said}: {advice}")
    return PolicyError((finding,), f'failed to read file path "{path}": {verb} {path}: {said}')


def parse(data: bytes, *, source: str, lenient: bool = False, kubernetes: str = DEFAULT_TARGET) -> Loaded:
    """Read a policy of YAML or JSON; `source` is how findings name it.

    `lenient`: unknown fields and duplicate keys are warnings, as kube-apiserver has them. `kubernetes`: the release
    that the policy is for, from 1.12 on (`releases`). Raises PolicyError with every finding, warnings included, and
    DecklogError if `kubernetes` is no version.
    """
    release = parse_release(kubernetes)
    if len(data) > MAX_BYTES:
        text = f"larger than {MAX_BYTES >> 20} MiB, which no policy is: check the path"
        raise PolicyError((Finding(source, 0, 0, "", text),))
    try:
        document = read_json(data) if is_json(data) else read_yaml(data)
    except Unreadable as error:
        line, column = error.at or (0, 0)
        reference = f"failed decoding: {error.reference}" if error.reference else ""
        raise PolicyError((Finding(source, line, column, "", error.text, reference=reference),), reference) from None
    return _Reading(document, data, source, release, lenient=lenient).result()


class _Reading:
    """One document on its way to a policy."""

    def __init__(self, document: Document, data: bytes, source: str, release: Release, *, lenient: bool) -> None:
        self._document = document
        self._source = source
        self._release = release
        self._lenient = lenient
        self._identity = identify(document.root, release, data.decode(errors="replace"))
        schema = policy_schema(omit_managed_fields=release.omit_managed_fields)
        self._bound = Bound() if self._identity.other_kind else bind(document.root, schema)
        self._policy = policy_from(self._bound.fields)
        self._violations = validate(self._policy, star_group=release.star_group)

    def result(self) -> Loaded:
        decoded = self._decoded()
        warning = self._reference_warning(decoded)
        findings = tuple(sorted(self._findings(), key=lambda finding: (finding.line, finding.column)))
        if any(finding.severity is Severity.ERROR for finding in findings):
            raise PolicyError(findings, self._reference(decoded), warning)
        metadata = {key: value for key, value in (self._bound.fields.get("metadata") or {}).items() if value}
        return Loaded(self._policy, findings, self._bound.positions, metadata, warning)

    # What kube-apiserver says.

    def _decoded(self) -> Bound:
        """Give what its decoder makes of the document, which for other versions is not what ours does."""
        schema = self._identity.schema
        if schema is None:
            return Bound()
        return self._bound if schema.go == "v1.Policy" else bind(self._document.root, schema)

    def _reference(self, decoded: Bound) -> str:
        if self._identity.schema is None:
            return self._identity.stops
        wrong = _first(decoded.issues, Problem.TIME) or _first(decoded.issues, Problem.TYPE)
        if wrong:
            return f"failed decoding: {wrong}"
        return self._identity.stops or aggregate(self._violations) or ("" if self._policy.rules else NO_RULES)

    def _reference_warning(self, decoded: Bound) -> str:
        if self._identity.schema is None or not self._release.tells:
            return ""
        if any(issue.problem in {Problem.TYPE, Problem.TIME} for issue in decoded.issues):
            return ""
        told = dict.fromkeys(
            issue.reference
            for issue in decoded.issues
            if issue.reference and issue.problem in {Problem.UNKNOWN, Problem.DUPLICATE}
        )
        said = list(told)[:100]
        if self._document.yaml_duplicates:
            said.insert(0, "\n  ".join(["yaml: unmarshal errors:", *self._document.yaml_duplicates]))
        return f"strict decoding error: {', '.join(said)}" if said else ""

    # What we say.

    def _findings(self) -> list[Finding]:
        if self._document_is_empty():
            return [self._empty_document()]
        faulty = {fault.path for fault in self._identity.faults}
        issues = [each for each in self._bound.issues if each.problem is not Problem.TYPE or each.path not in faulty]
        found = [self._of_issue(issue) for issue in issues]
        found += [self._finding(each.path, each.at, each.text, self._identity.stops) for each in self._identity.faults]
        wrong = {issue.path for issue in self._bound.issues if issue.problem is Problem.TYPE}
        found += [self._of_violation(each) for each in self._violations if not _below(each.path, wrong)]
        if self._identity.old_version:
            found.append(self._old_version())
        if not self._policy.rules and not self._identity.other_kind and not _below("rules", wrong):
            at = self._bound.positions.get("rules", self._document.root.at)
            text = "a policy needs a rule; to record nothing at all, write one: '- level: None'"
            found.append(self._finding("rules", at, text, NO_RULES))
        if self._document.replaced is not None:
            severity = Severity.WARNING if self._lenient else Severity.ERROR
            text = "not UTF-8 from here on; each such byte is read as U+FFFD: save the file as UTF-8"
            found.append(self._finding("", self._document.replaced, text, severity=severity))
        if self._document.ignored is not None:
            text = "a second document begins here, and only the first one is read: use one file for each"
            found.append(self._finding("", self._document.ignored, text, severity=Severity.WARNING))
        return found

    def _document_is_empty(self) -> bool:
        return isinstance(self._document.root, Scalar) and self._document.root.value is None

    def _empty_document(self) -> Finding:
        text = (
            "nothing is said here (an empty file, or only comments): a policy begins with apiVersion: audit.k8s.io/v1"
        )
        if self._document.ignored is not None:
            line = self._document.ignored.line
            text = f"this document is empty, and the one on line {line} is not read, because it is the second"
        return self._finding("", self._document.root.at, text, self._identity.stops)

    def _of_issue(self, issue: Issue) -> Finding:
        forgiven = issue.problem is Problem.UNKNOWN or issue.problem is Problem.DUPLICATE
        mild = issue.clash is Clash.OVERRIDE or (forgiven and self._lenient)
        severity = Severity.WARNING if mild else Severity.ERROR
        return self._finding(issue.path, issue.at, tell(issue, self._release), issue.reference, severity)

    def _of_violation(self, violation: Violation) -> Finding:
        at = self._position(violation.path)
        return self._finding(violation.path, at, violation.text, violation.message)

    def _position(self, path: str) -> Position:
        """Give the place of a field, or of what it is missing from."""
        while path and path not in self._bound.positions:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self._bound.positions.get(path, self._document.root.at)

    def _old_version(self) -> Finding:
        text = f"{self._identity.old_version!r} is refused since Kubernetes 1.24: write audit.k8s.io/v1"
        return self._finding("apiVersion", self._position("apiVersion"), text, severity=Severity.WARNING)

    def _finding(
        self, path: str, at: Position, text: str, reference: str = "", severity: Severity = Severity.ERROR
    ) -> Finding:
        return Finding(self._source, at.line, at.column, path, text, severity, reference)


def _first(issues: list[Issue], problem: Problem) -> str:
    return next((issue.reference for issue in issues if issue.problem is problem), "")


def _below(path: str, wrong: set[str]) -> bool:
    """Whether a field, or what it is in, is of a wrong type: what else is said of it follows from that."""
    return any(path == above or path.startswith((f"{above}.", f"{above}[")) for above in wrong)
