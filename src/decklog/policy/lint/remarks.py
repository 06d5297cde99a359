"""Remarks: what a check says, and the subject that it looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec import Struct

from decklog.audit.event import Level
from decklog.policy.findings import Severity
from decklog.policy.lint.codes import CODES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from decklog.audit.documents.tree import Position
    from decklog.policy.evaluator import Evaluator
    from decklog.policy.kinds import Kinds
    from decklog.policy.releases import Release
    from decklog.policy.rules import Policy, Rule


class Remark(Struct, frozen=True):
    """One thing worth a word in a policy file."""

    code: str
    source: str
    line: int
    """From 1; 0: the file as a whole."""
    column: int
    path: str
    """The field, with indexes: ``rules[3].verbs[0]``; empty: the document."""
    text: str
    """What was found. Quoted values are escaped and cut short."""
    write: str
    """What to write instead."""
    severity: Severity = Severity.WARNING
    releases: tuple[str, ...] = ()
    """The releases asked about for which it holds; empty: all of them."""

    @property
    def why(self) -> str:
        """Why it matters, in one sentence."""
        return CODES[self.code].why


@dataclass(frozen=True, slots=True)
class Subject:
    """One policy under check."""

    policy: Policy
    positions: Mapping[str, Position]
    source: str
    release: Release
    kinds: Kinds
    discovered: frozenset[str]
    """Groups whose resources a cluster's discovery has listed."""
    evaluator: Evaluator
    tick: Callable[[], object] = lambda: None
    """Called at each rule; what it raises ends the checks."""

    @property
    def rules(self) -> Iterator[tuple[int, Rule]]:
        """Give each rule with its index."""
        for each in enumerate(self.policy.rules):
            self.tick()
            yield each

    def line(self, index: int) -> int:
        """Give the line on which a rule begins."""
        return self.at(f"rules[{index}]")[0]

    def at(self, path: str) -> tuple[int, int]:
        """Give the place of a field, or of what it is in; the file as a whole if there is none."""
        while path and path not in self.positions:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.positions.get(path, (1, 1))

    def level(self, index: int | None) -> Level:
        """Give the level of a rule; None: no rule matched."""
        return Level.NONE if index is None else Level(self.policy.rules[index].level)

    def remark(self, code: str, path: str, text: str, write: str) -> Remark:
        """Make a remark at a field."""
        line, column = self.at(path)
        return Remark(code, self.source, line, column, path, encodable(text), encodable(write))

    def where(self, index: int | None) -> str:
        """Say which rule decided."""
        return "no rule matches" if index is None else f"the rule on line {self.line(index)}"


def encodable(text: str) -> str:
    """Give a text of the user's without lone surrogates, which a policy of JSON can spell and no output can carry."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def listed(words: list[str] | tuple[str, ...], most: int = 8) -> str:
    """Join words for a sentence, at most so many."""
    shown = list(dict.fromkeys(words))
    rest = len(shown) - most
    if rest > 0:
        return f"{', '.join(shown[:most])} and {rest} more"
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1]))) if shown else ""
