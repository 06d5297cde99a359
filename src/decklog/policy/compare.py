"""Compare: two policies → every difference in what they record, as groups of requests with a proof each.

A group is a pair of rules, one of each policy, between which some request falls and which decide it differently. All
pairs are looked at over the whole `space` of what either policy can tell apart, so that no difference is missed, and
each pair that is reported has a request that shows it.

What is compared is what a Decision says: level, omitted stages, managed fields. Some of it makes no difference to what
is recorded (stages of the level None): such a group has the direction NONE.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from decklog.audit.event import Level, Stage
from decklog.policy.areas import Area, Areas
from decklog.policy.matching import matching_rule
from decklog.policy.space import Space, decision, said
from decklog.policy.subtraction import Exhausted, merged, pieces, shrunk
from decklog.policy.witness import Witness  # noqa: TC001  # because: a public name of this module's values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from decklog.audit.attributes import Attributes
    from decklog.audit.decision import Decision
    from decklog.audit.event import User
    from decklog.policy.rules import Policy
    from decklog.policy.subtraction import Blocker, Box

MOST_PIECES: Final = 48
"""What is left of two rules is worked out to so many boxes."""
MOST_AREAS: Final = 3
"""More areas than this in one group nobody reads: they become one, with exceptions."""


class Direction(StrEnum):
    """What becomes of a request's record."""

    GONE = "gone"
    """Recorded before, and not at all now."""
    LESS = "less"
    """A lower level, a stage or the managed fields dropped; something else may have come in return."""
    MORE = "more"
    NONE = "none"
    """The decisions differ, and what is recorded does not."""


class Recorded(Struct, frozen=True):
    """What a decision records."""

    level: Level = Level.NONE
    stages: tuple[Stage, ...] = ()
    managed_fields: bool | None = None
    """Whether bodies keep them; None: no bodies are recorded."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Requests that fall between one rule of each policy, and are decided differently."""

    old_rule: int | None
    """By index; None: no rule matches."""
    new_rule: int | None
    old: Recorded
    new: Recorded
    direction: Direction
    areas: tuple[Area, ...]
    """The requests; see `old_exceptions`."""
    old_exceptions: tuple[int, ...]
    """Earlier rules of the old policy that take some of the requests in `areas`, which then are not in this group. Of
    rules that ask for a group: if the user is in one of theirs, too."""
    new_exceptions: tuple[int, ...]
    witness: Witness
    """One of the requests."""
    policies: tuple[Policy, Policy] = field(repr=False)

    @property
    def loses(self) -> bool:
        """Whether something of the record is lost."""
        return self.direction in {Direction.GONE, Direction.LESS}

    def covers(self, attributes: Attributes, user: User | None) -> bool:
        """Tell whether a request is in this group."""
        old, new = self.policies
        return (
            matching_rule(old, attributes, user) == self.old_rule
            and matching_rule(new, attributes, user) == self.new_rule
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """What changes from the old policy to the new one."""

    differences: tuple[Difference, ...]
    """What is lost first, then by the rules' places."""
    undecided: tuple[tuple[int | None, int | None], ...]
    """Pairs of rules that may or may not have a request: the search reached its bound. Empty but for contrived
    policies."""

    @property
    def loses(self) -> bool:
        """Whether something that was recorded no longer is; also when that could not be ruled out."""
        return bool(self.undecided) or any(difference.loses for difference in self.differences)


def compare(old: Policy, new: Policy) -> Comparison:
    """Find every group of requests that two policies decide differently.

    Raises `TooManyTargetsError` for policies built to be too large.
    """
    return _Comparing(old, new).result()


def recorded(made: Decision) -> Recorded:
    """Give what a decision records: nothing at the level None, and nothing without a stage."""
    stages = tuple(stage for stage in Stage if stage not in made.omit_stages)
    if made.level is Level.NONE or not stages:
        return Recorded()
    bodies = made.level.at_least(Level.REQUEST)
    return Recorded(made.level, stages, not made.omit_managed_fields if bodies else None)


def direction(old: Recorded, new: Recorded) -> Direction:
    """Say what becomes of a record; where it both loses and gains, it loses."""
    if old == new:
        return Direction.NONE
    if new.level is Level.NONE:
        return Direction.GONE
    loses = (
        not new.level.at_least(old.level)
        or not set(old.stages) <= set(new.stages)
        or (old.managed_fields is True and new.managed_fields is False)
    )
    return Direction.LESS if loses else Direction.MORE


class _Comparing:
    """One comparison; rules are named by their numbers in the space of both policies."""

    def __init__(self, old: Policy, new: Policy) -> None:
        self._policies = (old, new)
        self._space = Space(old, new)
        self._areas = Areas(self._space)
        self._undecided: list[tuple[int, int]] = []
        self._decisions = [decision(policy, index) for policy in (old, new) for index in range(len(policy.rules) + 1)]
        self._earlier: list[list[int]] = []
        """For each rule, the earlier ones of its policy that it may meet."""
        for policy in (0, 1):
            numbers = self._space.rules_of(policy)
            for number in range(numbers.start, numbers.stop + 1):
                self._earlier.append([one for one in range(numbers.start, number) if self._space.may_meet(one, number)])

    def result(self) -> Comparison:
        found = [difference for pair in self._pairs() if (difference := self._difference(*pair))]
        order = list(Direction)
        found.sort(key=lambda each: order.index(each.direction))
        undecided = tuple((self._index(old), self._index(new)) for old, new in self._undecided)
        return Comparison(tuple(found), undecided)

    def _pairs(self) -> Iterator[tuple[int, int]]:
        """Yield the pairs of rules that differ and can meet, each of which some request reaches in its own policy."""
        old, new = (self._reached(policy) for policy in (0, 1))
        for one in old:
            before = said(self._decisions[one])
            for other in new:
                if before != said(self._decisions[other]) and self._space.may_meet(one, other):
                    yield one, other

    def _reached(self, policy: int) -> list[int]:
        numbers = self._space.rules_of(policy)
        return [number for number in range(numbers.start, numbers.stop + 1) if self._is_reached(number)]

    def _is_reached(self, number: int) -> bool:
        try:
            pair = self._space.pair(number, number, self._earlier[number])
            return pair is not None and next(pieces(pair[0], pair[2]), None) is not None
        except Exhausted:
            return True

    def _difference(self, old: int, new: int) -> Difference | None:
        try:
            shared = self._space.pair(old, new, (*self._earlier[old], *self._earlier[new]))
            if shared is None:
                return None
            box, choices, blockers = shared
            left = pieces(box, blockers)
            first = next(left, None)
        except Exhausted:
            self._undecided.append((old, new))
            return None
        if first is None:
            return None
        boxes, exact = _boxes(box, blockers, first, left)
        exceptions = self._exceptions(boxes, blockers, (*self._earlier[old], *self._earlier[new]), exact=exact)
        before, after = recorded(self._decisions[old]), recorded(self._decisions[new])
        start = self._space.rules_of(1).start
        return Difference(
            old_rule=self._index(old),
            new_rule=self._index(new),
            old=before,
            new=after,
            direction=direction(before, after),
            areas=tuple(self._areas.of(each, choices) for each in boxes),
            old_exceptions=tuple(one for one in exceptions if one < start),
            new_exceptions=tuple(one - start for one in exceptions if one >= start),
            witness=self._space.witness(first, choices),
            policies=self._policies,
        )

    def _index(self, number: int) -> int | None:
        return self._decisions[number].rule

    def _exceptions(
        self, boxes: list[Box], blockers: list[Blocker], earlier: tuple[int, ...], *, exact: bool
    ) -> list[int]:
        """Name the earlier rules that take some of what the boxes say."""
        named = set() if exact else {number for box in boxes for other, number in blockers if _overlap(box, other)}
        # Boxes tell of the fewest groups. Of users in more groups, rules that ask for these may take some.
        named |= {number for number in earlier if self._space.asks_for_groups(number) and self._meets(number, boxes)}
        return sorted(named)

    def _meets(self, number: int, boxes: list[Box]) -> bool:
        plain = self._space.plain_box(number)
        return any(_overlap((box[0], 1, *box[2:]), plain) for box in boxes)


def _boxes(whole: Box, blockers: list[Blocker], first: Box, left: Iterator[Box]) -> tuple[list[Box], bool]:
    """Give the requests of a group as few boxes; and whether these are all and only them, groups aside."""
    rough = [shrunk(whole, blockers, set())[0] or whole]
    try:
        found = [first, *islice(left, MOST_PIECES)]
    except Exhausted:
        return rough, False
    if len(found) > MOST_PIECES:
        return rough, False
    joined = merged(found)
    return (joined, True) if len(joined) <= MOST_AREAS else ([_hull(joined)], False)


def _overlap(one: Box, other: Box) -> bool:
    return all(mask & its for mask, its in zip(one, other, strict=True))


def _hull(boxes: list[Box]) -> Box:
    """Give the smallest box that holds all of them."""
    hull = [0, 0, 0, 0, 0]
    for box in boxes:
        hull = [mask | its for mask, its in zip(hull, box, strict=True)]
    return (hull[0], hull[1], hull[2], hull[3], hull[4])
