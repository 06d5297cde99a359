"""Reach: rules that never decide, and rules that make no difference (DL010, DL011), with the proof from `space`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from decklog.audit.event import Stage
from decklog.policy.lint.remarks import listed
from decklog.policy.space import Covered, Witness, first_match_witness, redundant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from decklog.policy.lint.remarks import Remark, Subject


class Reached(Struct, frozen=True):
    """What was found out about one rule."""

    index: int
    line: int
    witness: Witness | None
    """A request whose first match it is."""
    covered_by: tuple[int, ...] | None = None
    """The earlier rules that match all that it matches; empty: it matches no request at all; None and no witness: the
    search was given up, and nothing is claimed."""


def reach(subject: Subject) -> tuple[Reached, ...]:
    """Find for each rule a request that it decides, or the rules that leave it none."""
    return tuple(_reached(subject, index) for index, _ in subject.rules)


def _reached(subject: Subject, index: int) -> Reached:
    found = first_match_witness(subject.policy, index)
    line = subject.line(index)
    if isinstance(found, Witness):
        return Reached(index, line, found)
    return Reached(index, line, None, found.by if isinstance(found, Covered) else None)


def check(subject: Subject, reached: tuple[Reached, ...]) -> Iterator[Remark]:
    """Tell of unreachable and of redundant rules."""
    dead = {rule.index for rule in reached if rule.covered_by is not None}
    for rule in reached:
        subject.tick()
        if rule.covered_by is not None:
            yield _unreachable(subject, rule.index, rule.covered_by)
        elif rule.witness is not None:
            yield from _redundant(subject, rule.index, dead)
    yield from _stages(subject)


def _unreachable(subject: Subject, index: int, by: tuple[int, ...]) -> Remark:
    if not by:
        text = "never decides: no request can be as the rule wants it"
        return subject.remark(
            "DL010", f"rules[{index}]", text, "what was meant: the other remarks on this rule say what is wrong"
        )
    lines = listed([str(subject.line(other)) for other in by])
    which = f"the rule on line {lines} matches" if len(by) == 1 else f"the rules on lines {lines} together match"
    text = f"never decides: {which} everything that it matches"
    return subject.remark("DL010", f"rules[{index}]", text, f"it before line {subject.line(by[0])}, or take it out")


def _redundant(subject: Subject, index: int, dead: set[int]) -> Iterator[Remark]:
    found = redundant(subject.policy, index)
    # That a dead rule would come alive is no reason to take this one out: the dead one goes.
    if found is None or dead.intersection(found.by):
        return
    lines = listed([str(subject.line(other)) for other in found.by])
    if lines:
        which = f"the rule on line {lines} decides" if len(found.by) == 1 else f"the rules on lines {lines} decide"
        text = f"makes no difference: without it {which} the same requests in the same way"
    else:
        text = "makes no difference: what no rule matches is not recorded either"
    yield subject.remark("DL011", f"rules[{index}]", text, "nothing: take it out, or correct what was meant to differ")


def _stages(subject: Subject) -> Iterator[Remark]:
    """Find omitStages of rules that repeat the policy's own."""
    own = set(subject.policy.omit_stages)
    for index, rule in subject.rules:
        if rule.omit_stages and own.issuperset(rule.omit_stages):
            stages = listed([str(Stage(stage)) for stage in rule.omit_stages])
            text = f"{stages} is omitted by the whole policy already"
            yield subject.remark("DL011", f"rules[{index}].omitStages", text, "nothing: take the rule's omitStages out")
