"""Findings of enable: what is wrong, or worth a word, before anything is written; each says what to do."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Severity(StrEnum):
    """How much a finding weighs."""

    GRAVE = "grave"
    """kube-apiserver would not start, or would record nothing: nothing is written."""
    WARNING = "warning"
    """It would start, and something would be other than one may think."""
    NOTE = "note"
    """Good to know."""


class Finding(Struct, frozen=True):
    """One thing found."""

    severity: Severity
    code: str
    """Stable, for scripts: ``policy-missing``."""
    what: str
    do: str
    """What to do about it; for a note it may be empty."""
    line: int = 0
    """Of the manifest, from 1; 0: of none."""

    def __str__(self) -> str:
        place = f" (line {self.line})" if self.line else ""
        return f"{self.severity}: {self.what}{place}{f': {self.do}' if self.do else ''}"
