"""Absence: what an empty answer tells. "Nobody did" is true only of what was recorded, and read."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct

from decklog.ask.moments import readable
from decklog.ask.names import is_known, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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
    doubts = list(_unknown_types(queries))
    if foreseen is None:
        doubts.append("if such a request is recorded at all (--policy FILE tells)")
    elif not foreseen.always:
        doubts.append("unless it was one of those that the policy leaves out")
    if coverage.bad_lines or coverage.problems:
        doubts.append("unless it is in what could not be read")
    if doubts:
        return Absence(Verdict.UNTOLD, f"it did not happen {scope}, {', and '.join(doubts)}")
    return Absence(Verdict.DID_NOT_HAPPEN, f"it did not happen {scope}, if that policy was in force")


def _unknown_types(queries: Sequence[Query]) -> Iterator[str]:
    """Doubt types that no Kubernetes has: a slip of the finger must not read as "nobody did"."""
    wanted = (pattern for query in queries for pattern in query.resources if not pattern.negated)
    words = (pattern.resource.text for pattern in wanted if not pattern.resource.prefix and pattern.group is None)
    for word in dict.fromkeys(word for word in words if not is_known(word)):
        near = nearest(word)
        meant = f"did you mean {near}?" if near else "of a custom one, write the plural"
        yield f"if {word} is a type (Kubernetes has none of that name: {meant})"


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
