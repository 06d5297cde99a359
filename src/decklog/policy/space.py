"""Space: every request that some policies can tell apart, exactly; which rule gets which, with proofs and witnesses.

Each dimension of a request (user, groups, verb, namespace, object or path) is parted into what the policies mention and
any other, so that a rule is one box of masks (`subtraction`), and "is there a request that this rule decides first?" is
whether anything is left of its box when the earlier ones are taken away.

A user has several groups, which a mask of single values cannot say. But a rule that asks for groups matches the more
requests the more groups the user has; so a request that rule X decides and no earlier one, can do without every group
but one that X asks for, and a request that X decides in one policy and Y in the other without all but two. Those
choices are enumerated, as the values of the dimension "groups", anew for each question; groups that no rule tells apart
count as one.

What is possible: `targets` says which objects and paths; any user, groups and verb.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from decklog.audit.decision import Decision
from decklog.audit.event import Level
from decklog.policy.matching import matches
from decklog.policy.subtraction import Box, Exhausted, meet, pieces, within
from decklog.policy.targets import Targets, TooManyTargetsError, bits
from decklog.policy.witness import Narrator, Witness, Words

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from decklog.policy.rules import Policy, Rule
    from decklog.policy.subtraction import Blocker

__all__ = ["Covered", "Redundant", "Space", "Undecided", "Witness", "decision", "first_match_witness", "redundant"]

MOST_SHORTENED: Final = 48
"""A proof by more rules than this nobody reads: it is not shortened further."""
MOST_CHOICES: Final = 4096
"""Choices of groups looked at in one question."""


class Covered(Struct, frozen=True):
    """No request comes to the rule."""

    by: tuple[int, ...]
    """The earlier rules needed for that, by index, few; empty: the rule matches no request at all (``a/b/c``)."""


class Undecided(Struct, frozen=True):
    """The search reached its bound: nothing is claimed."""


class Redundant(Struct, frozen=True):
    """Without the rule, every request is decided as it is with it."""

    by: tuple[int, ...]
    """The later rules that then decide the requests, by index."""
    falls_through: bool = False
    """Some requests are then decided by no rule, which is the same."""


def decision(policy: Policy, index: int | None) -> Decision:
    """Give what a rule decides; None: what is decided where no rule matches. As `matching.first_match`."""
    if index is None or index == len(policy.rules):
        return Decision(Level.NONE, frozenset(policy.omit_stages), policy.omit_managed_fields)
    rule = policy.rules[index]
    return Decision(
        Level(rule.level),
        frozenset(policy.omit_stages).union(rule.omit_stages),
        policy.omit_managed_fields if rule.omit_managed_fields is None else rule.omit_managed_fields,
        index,
    )


class Space:
    """What one or two policies tell apart. Raises `TooManyTargetsError`.

    A rule is named by its number: those of the first policy from 0, then one for "no rule matches", then those of the
    second policy and its own "no rule matches".
    """

    def __init__(self, *policies: Policy) -> None:
        self.policies = policies
        rules = [rule for policy in policies for rule in policy.rules]
        self.users = Words(user for rule in rules for user in rule.users)
        self.verbs = Words(verb for rule in rules for verb in rule.verbs)
        self.namespaces = Words(name for rule in rules for name in rule.namespaces if "/" not in name)
        self.targets = Targets(rules)
        self.group_classes = _group_classes(rules)
        self._narrator = Narrator(self.users, self.verbs, self.namespaces, self.targets)
        self.everything: Box = (self.users.all, 1, self.verbs.all, self.namespaces.all, self.targets.everything)
        self._asked: list[int] = []
        """The groups that each rule asks for, as classes; 0: none."""
        self._plain: list[Box] = []
        """Each rule's box, whatever the groups."""
        place = {group: number for number, groups in enumerate(self.group_classes) for group in groups}
        for policy in policies:
            for rule in policy.rules:
                self._plain.append(self._box(rule))
                self._asked.append(sum({1 << place[group] for group in rule.user_groups}))
            self._plain.append(self.everything)
            self._asked.append(0)
        self._boxes: dict[tuple[int, ...], list[Box]] = {}
        self._first_matches: dict[int, Witness | Covered | Undecided] = {}

    def _box(self, rule: Rule) -> Box:
        return (
            self.users.mask(rule.users),
            1,
            self.verbs.mask(rule.verbs),
            self.namespaces.mask(rule.namespaces),
            self.targets.mask(rule),
        )

    def rules_of(self, policy: int) -> range:
        """Give the numbers of a policy's rules; the next one is that of "no rule matches"."""
        start = sum(len(each.rules) + 1 for each in self.policies[:policy])
        return range(start, start + len(self.policies[policy].rules))

    def may_meet(self, one: int, other: int) -> bool:
        """Tell quickly whether two rules can match one request, groups aside."""
        return meet(self._plain[one], self._plain[other]) is not None

    def choices(self, *numbers: int) -> tuple[int, ...]:
        """Give the fewest groups, as masks of classes, with which these rules can match. Raises Exhausted."""
        found = {0}
        for asked in {self._asked[number] for number in numbers} - {0}:
            found = {choice | 1 << place for choice in found for place in bits(asked)}
            if len(found) > MOST_CHOICES:
                raise Exhausted
        return tuple(sorted(found, key=lambda choice: (choice.bit_count(), choice)))

    def boxes(self, choices: tuple[int, ...]) -> list[Box]:
        """Give each rule's box, by number, where the values of "groups" are `choices`."""
        boxes = self._boxes.get(choices)
        if boxes is None:
            masks = {asked: _matched(asked, choices) for asked in set(self._asked)}
            boxes = [
                (plain[0], masks[asked], *plain[2:]) for plain, asked in zip(self._plain, self._asked, strict=True)
            ]
            self._boxes[choices] = boxes
        return boxes

    def plain_box(self, number: int) -> Box:
        """Give a rule's box, whatever the groups: 1 stands for all of them."""
        return self._plain[number]

    def asks_for_groups(self, number: int) -> bool:
        """Tell whether a rule asks for groups."""
        return self._asked[number] != 0

    def groups_of(self, choice: int) -> tuple[tuple[str, ...], ...]:
        """Give the classes of groups of a choice."""
        return tuple(self.group_classes[place] for place in bits(choice))

    def witness(self, box: Box, choices: tuple[int, ...]) -> Witness:
        """Make one request out of a box that is not empty."""
        users, groups, verbs, namespaces, targets = box
        chosen = choices[next(bits(groups))]
        return self._narrator.tell(
            users, tuple(names[0] for names in self.groups_of(chosen)), verbs, namespaces, targets
        )

    # Questions about the first policy.

    def first_match(self, index: int) -> Witness | Covered | Undecided:
        """Find a request whose first match is this rule, or prove that there is none."""
        if index not in self._first_matches:
            self._first_matches[index] = self._first_match(index)
        return self._first_matches[index]

    def _first_match(self, index: int) -> Witness | Covered | Undecided:
        used: set[int] = set()
        try:
            choices = self.choices(index)
            boxes = self.boxes(choices)
            left = self._left(boxes, index, range(index), used)
            if left is not None:
                return self.witness(left, choices)
            return Covered(self._fewest(boxes, index, used))
        except Exhausted:
            return Undecided()

    def _left(self, boxes: list[Box], index: int, earlier: Iterable[int], used: set[int]) -> Box | None:
        box = boxes[index]
        if not all(box):
            return None
        blockers = [(boxes[number], number) for number in earlier if meet(box, boxes[number])]
        return next(pieces(box, blockers, used), None)

    def _fewest(self, boxes: list[Box], index: int, used: set[int]) -> tuple[int, ...]:
        """Leave out what the proof does not need, one rule after another."""
        alone = [number for number in range(index) if within(boxes[index], boxes[number])]
        if not all(boxes[index]) or alone:
            return tuple(alone[:1]) if all(boxes[index]) else ()
        needed = sorted(used)
        if len(needed) > MOST_SHORTENED:
            return tuple(needed)
        for number in sorted(used, reverse=True):
            fewer = [one for one in needed if one != number]
            if self._left(boxes, index, fewer, set()) is None:
                needed = fewer
        return tuple(needed)

    def redundant(self, index: int) -> Redundant | None:
        """Prove that the policy decides the same without this rule; None: it does not, or nothing is known.

        A rule that no request comes to is not redundant but unreachable: None.
        """
        policy = self.policies[0]
        last = len(policy.rules)
        own = said(decision(policy, index))
        found = self.first_match(index)
        if not isinstance(found, Witness) or self._next_said(index, found) != own:
            return None
        later = [number for number in range(index + 1, last + 1) if self.may_meet(index, number)]
        others = [number for number in later if said(decision(policy, number)) != own]
        same = [number for number in later if said(decision(policy, number)) == own]
        try:
            if any(self._takes_over(index, number, same) for number in reversed(others)):
                return None
            by = tuple(number for number in same if self._takes_over(index, number, later))
        except Exhausted:
            return None
        return Redundant(tuple(number for number in by if number != last), last in by) if by else None

    def _next_said(self, index: int, witness: Witness) -> tuple[Level, frozenset[str], bool]:
        """Say what is decided of a request when the rule that decides it is gone: mostly enough to know."""
        rules = self.policies[0].rules
        following = range(index + 1, len(rules))
        taker = next((one for one in following if matches(rules[one], witness.attributes, witness.user)), None)
        return said(decision(self.policies[0], taker))

    def _takes_over(self, index: int, number: int, between: Sequence[int]) -> bool:
        """Tell whether some request that `index` decides would come to `number`, past the rules `between`."""
        choices = self.choices(index, number)
        boxes = self.boxes(choices)
        box = meet(boxes[index], boxes[number])
        if box is None:
            return False
        earlier = (*range(index), *(one for one in between if one < number))
        blockers = [(boxes[one], one) for one in earlier if meet(box, boxes[one])]
        return next(pieces(box, blockers), None) is not None

    # Questions about two policies.

    def pair(self, old: int, new: int, blockers: Iterable[int]) -> tuple[Box, tuple[int, ...], list[Blocker]] | None:
        """Give what two rules share, the choices of groups in it, and what of `blockers` meets it; None: nothing."""
        choices = self.choices(old, new)
        boxes = self.boxes(choices)
        box = meet(boxes[old], boxes[new])
        if box is None:
            return None
        return box, choices, [(boxes[one], one) for one in blockers if meet(box, boxes[one])]


def said(made: Decision) -> tuple[Level, frozenset[str], bool]:
    """Give what a decision says, without the rule that made it."""
    return made.level, made.omit_stages, made.omit_managed_fields


def _matched(asked: int, choices: tuple[int, ...]) -> int:
    """Give the mask of the choices with which a rule that asks for these groups matches."""
    if not asked:
        return (1 << len(choices)) - 1
    return sum(1 << place for place, choice in enumerate(choices) if choice & asked)


def _group_classes(rules: list[Rule]) -> list[tuple[str, ...]]:
    """Put groups together that are asked for by the same rules."""
    asking: dict[str, list[int]] = {}
    for number, rule in enumerate(rules):
        for group in dict.fromkeys(rule.user_groups):
            asking.setdefault(group, []).append(number)
    classes: dict[tuple[int, ...], list[str]] = {}
    for group, numbers in asking.items():
        classes.setdefault(tuple(numbers), []).append(group)
    return [tuple(groups) for groups in classes.values()]


@lru_cache(maxsize=4)
def _space(policy: Policy) -> Space:
    return Space(policy)


def first_match_witness(policy: Policy, index: int) -> Witness | Covered | Undecided:
    """Find a request whose first match is rule `index`, or prove that earlier rules take all that it matches."""
    try:
        return _space(policy).first_match(index)
    except TooManyTargetsError:
        return Undecided()


def redundant(policy: Policy, index: int) -> Redundant | None:
    """Prove that removing rule `index` changes no level, stages or managed fields; None: it does, or unproven."""
    try:
        return _space(policy).redundant(index)
    except TooManyTargetsError:
        return None
