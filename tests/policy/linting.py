"""Checking a few rules, for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from decklog.policy.lint import Remark, Report, check

if TYPE_CHECKING:
    from collections.abc import Iterable

HEAD = "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n"
"""Rules begin on line 5."""
CATCH_ALL = "- level: Metadata\n"


def report(rules: str, *, head: str = HEAD, **settings: Any) -> Report:
    """Check a policy of these rules."""
    return check((head + rules).encode(), source="p", **settings)


def remarks(rules: str, code: str, **settings: Any) -> list[Remark]:
    """Give the remarks of one code."""
    return [remark for remark in report(rules, **settings).remarks if remark.code == code]


def codes(found: Iterable[Remark]) -> set[str]:
    """Give the codes alone."""
    return {remark.code for remark in found}
