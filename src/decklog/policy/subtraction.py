"""Subtraction: what a box of requests has left when other boxes are taken away.

A box is a mask in each dimension and holds a request if every mask has the request's bit. Taking boxes away from one
leaves disjoint boxes. Whether anything is left at all is a hard question in general, so the search is bounded; policies
are far from the bound, because a box that differs from ours in one dimension only shrinks it, and never splits it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Box = tuple[int, int, int, int, int]
"""Users, groups, verbs, namespaces, targets."""
Blocker = tuple[Box, int]
"""A box to take away, and what to call it."""

MOST_STEPS: Final = 3000
"""Boxes looked at in one search: a second or so in a policy of 200 rules."""


class Exhausted(Exception):  # noqa: N818  # because: it is an answer, not a failure
    """The bound was reached: nothing is known."""


def meet(one: Box, other: Box) -> Box | None:
    """Give what two boxes share; None: nothing."""
    targets = one[4] & other[4]
    if not targets:
        return None
    users, groups, verbs, namespaces = one[0] & other[0], one[1] & other[1], one[2] & other[2], one[3] & other[3]
    return (users, groups, verbs, namespaces, targets) if users and groups and verbs and namespaces else None


def within(inner: Box, outer: Box) -> bool:
    """Tell whether a box lies in another."""
    return all(not one & ~other for one, other in zip(inner, outer, strict=True))


def pieces(box: Box, blockers: Sequence[Blocker], used: set[int] | None = None) -> Iterator[Box]:
    """Yield disjoint boxes that together are `box` without the blockers.

    `used`: takes the names of the blockers that mattered. Raises Exhausted after `MOST_STEPS`.
    """
    waiting: list[tuple[Box, Sequence[Blocker]]] = [(box, blockers)]
    steps = 0
    used = set() if used is None else used
    while waiting:
        steps += 1
        if steps > MOST_STEPS:
            raise Exhausted
        left, rest = shrunk(*waiting.pop(), used)
        if left is None:
            continue
        if not rest:
            yield left
            continue
        blocker = min(rest, key=lambda each: sum(1 for one, other in zip(left, each[0], strict=True) if one & ~other))
        used.add(blocker[1])
        others = [each for each in rest if each is not blocker]
        waiting += ((piece, others) for piece in _split(left, blocker[0]))


def shrunk(box: Box, blockers: Sequence[Blocker], used: set[int]) -> tuple[Box | None, Sequence[Blocker]]:
    """Take away what needs no splitting; give what is left (None: nothing) and the blockers that still meet it."""
    u, g, v, n, t = box
    while True:
        rest: list[Blocker] = []
        changed = False
        for blocker in blockers:
            bu, bg, bv, bn, bt = blocker[0]
            if not (t & bt and u & bu and v & bv and n & bn and g & bg):
                continue
            outside = (u & ~bu, g & ~bg, v & ~bv, n & ~bn, t & ~bt)
            match outside:
                case (0, 0, 0, 0, 0):
                    used.add(blocker[1])
                    return None, ()
                case (0, 0, 0, 0, t_left):
                    t = t_left
                case (0, 0, 0, n_left, 0):
                    n = n_left
                case (0, 0, v_left, 0, 0):
                    v = v_left
                case (0, g_left, 0, 0, 0):
                    g = g_left
                case (u_left, 0, 0, 0, 0):
                    u = u_left
                case _:
                    rest.append(blocker)
                    continue
            used.add(blocker[1])
            changed = True
        if not (changed and rest):
            return (u, g, v, n, t), rest
        blockers = rest


def _split(box: Box, blocker: Box) -> Iterator[Box]:
    """Yield disjoint boxes that are `box` without one blocker."""
    inner = list(box)
    for place, mask in enumerate(blocker):
        outside = inner[place] & ~mask
        if outside:
            piece = inner.copy()
            piece[place] = outside
            yield (piece[0], piece[1], piece[2], piece[3], piece[4])
        inner[place] &= mask


def merged(boxes: list[Box]) -> list[Box]:
    """Join boxes that differ in one dimension only, until none do."""
    left = list(dict.fromkeys(boxes))
    while True:
        for place in (4, 2, 3, 0, 1):
            joined: dict[tuple[int, ...], list[int]] = {}
            for box in left:
                key = box[:place] + box[place + 1 :]
                joined.setdefault(key, list(box))[place] |= box[place]
            if len(joined) < len(left):
                left = [(b[0], b[1], b[2], b[3], b[4]) for b in joined.values()]
                break
        else:
            return left
