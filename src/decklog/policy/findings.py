"""Findings: what is wrong, or worth a word, in a policy file, each with its place; PolicyError carries them all."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from decklog.errors import DecklogError

SHOWN_FINDINGS = 200
"""A PolicyError's text names so many findings and counts the rest; `findings` holds all."""
SHOWN_PATH = 200
"""Characters of a field's path in a finding's text."""


class Severity(StrEnum):
    """Whether a finding keeps the policy from being used."""

    ERROR = "error"
    WARNING = "warning"


class Finding(Struct, frozen=True):
    """One thing found in a policy file."""

    source: str
    """The file, as the user named it."""
    line: int
    """From 1; 0: the finding is about the file as a whole."""
    column: int
    path: str
    """The field, with indexes: ``rules[3].omitStages[0]``. Empty: the document."""
    text: str
    """What is wrong and what would be right. Quoted values are escaped and cut short."""
    severity: Severity = Severity.ERROR
    reference: str = ""
    """What kube-apiserver says of this one thing (spec §2.2, §2.3); empty where it says nothing."""

    def __str__(self) -> str:
        place = f"{self.source}:{self.line}:{self.column}" if self.line else self.source
        kind = "warning: " if self.severity is Severity.WARNING else ""
        # A path holds keys as they stand in the file, which may be long, or meant for a terminal.
        path = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in self.path[:SHOWN_PATH])
        return f"{place}: {kind}{path and f'{path}: '}{self.text}"


class PolicyError(DecklogError):
    """A policy that cannot be used. `str()` is one line a finding, in the order of the file."""

    def __init__(self, findings: tuple[Finding, ...], reference: str = "", reference_warning: str = "") -> None:
        super().__init__(findings, reference, reference_warning)
        self.findings = findings
        self.reference = reference
        """The error that kube-apiserver stops with, given the same bytes (spec §2.1 steps 2 to 5, without the suffix of
        step 6); empty: it would start."""
        self.reference_warning = reference_warning
        """What follows "falling back to lenient decoding: " in its log; empty: nothing does."""

    def __str__(self) -> str:
        shown = [str(finding) for finding in self.findings[:SHOWN_FINDINGS]]
        rest = len(self.findings) - len(shown)
        return "\n".join([*shown, f"… and {rest} more"] if rest else shown)
