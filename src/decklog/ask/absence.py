"""Absence: what an empty answer tells. "Nobody did" is true only of what was recorded, and read."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct

from decklog.ask.moments import readable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from decklog.ask.foresight import Foreseen
    from decklog.audit.query import Query
    from decklog.sources.record import Coverage


class Verdict(StrEnum):
    """Why nothing was found, as far as it can be told."""

    OUTSIDE = "outside the window"
    NOT_RECORDED = "not recorded"
    DID_NOT_HAPPEN = "did not happen"
    UNTOLD = "cannot be told"


class Absence(Struct, frozen=True):
    """Why nothing was found."""

    verdict: Verdict
    text: str


def absence(coverage: Coverage, queries: Sequence[Query], foreseen: Foreseen | None) -> Absence:
    """Say what can be told from an empty answer; `foreseen` is what a policy would have done, if one was given."""
    if coverage.first is None or coverage.last is None:
        return Absence(Verdict.UNTOLD, "no event was read, so the log tells nothing")
    if outside := _outside(coverage.first, coverage.last, queries):
        return Absence(Verdict.OUTSIDE, outside)
    if foreseen is not None and foreseen.never:
        return Absence(Verdict.NOT_RECORDED, "whether it happened, this log cannot tell: it would not be recorded")
    scope = _scope(coverage.first, coverage.last, queries)
    doubts = []
    if foreseen is None:
        doubts.append("if such a request is recorded at all (--policy FILE tells)")
    elif not foreseen.always:
        doubts.append("unless it was one of those that the policy leaves out")
    if coverage.bad_lines or coverage.problems:
        doubts.append("unless it is in what could not be read")
    if doubts:
        return Absence(Verdict.UNTOLD, f"it did not happen {scope}, {', and '.join(doubts)}")
    return Absence(Verdict.DID_NOT_HAPPEN, f"it did not happen {scope}, if that policy was in force")


def _outside(first: str, last: str, queries: Sequence[Query]) -> str:
    if queries and all(_start(query) > last for query in queries):
        return f"the log ends before that window, at {readable(last)} UTC"
    if queries and all(query.until is not None and query.until <= first for query in queries):
        return f"the log begins after that window, at {readable(first)} UTC"
    return ""


def _start(query: Query) -> str:
    return max(filter(None, (query.since, query.after)), default="")


def _scope(first: str, last: str, queries: Sequence[Query]) -> str:
    """Say of which time the answer holds: of the window, as far as the log covers it."""
    if all(_start(query) >= first and query.until is not None and query.until <= last for query in queries):
        return "in that window"
    return f"from {readable(first)} to {readable(last)} UTC, which is what the log covers"
