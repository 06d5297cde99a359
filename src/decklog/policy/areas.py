"""Areas: a box of requests → words that a person can read.

A set of requests is said by what is in it, or, where it has what no policy mentions, by what is not. Objects are said
as kubectl does: ``pods``, ``pods/log``, ``deployments.apps/scale``, with ``pods/*`` for pods and all their
subresources, ``*/scale``, ``pods.*`` for every API group, and ``all of apps`` for a whole group.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from decklog.policy.targets import PathTarget, ResourceTarget, bits

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from decklog.policy.space import Space
    from decklog.policy.subtraction import Box
    from decklog.policy.targets import Targets
    from decklog.policy.witness import Words

SHOWN_WORDS: Final = 12
"""A sentence names so many words of a list and counts the rest."""


class Some(Struct, frozen=True):
    """A set of texts: these, or all but these."""

    words: tuple[str, ...] = ()
    but: bool = False

    @property
    def everything(self) -> bool:
        """Whether it is every text."""
        return self.but and not self.words


class Area(Struct, frozen=True):
    """A set of requests, each dimension on its own."""

    users: Some
    groups: tuple[tuple[str, ...], ...]
    """The user is in all groups of one of these; empty: in any or none."""
    verbs: Some
    namespaces: Some
    """Of requests for resources."""
    resources: Some | None
    """None: no request for a resource is in it."""
    paths: Some | None

    def __str__(self) -> str:
        parts = [_listed(self.verbs, "verb", ""), f"on {' and '.join(self._targets())}"]
        if self.resources is not None and not self.namespaces.everything:
            parts.append(f"in {_listed(self.namespaces, 'namespace')}")
        who = [] if self.users.everything else [_listed(self.users, "user")]
        if self.groups:
            who.append(f"members of {' or '.join(_short([' + '.join(each) for each in self.groups], ' or '))}")
        return " ".join([*parts, *(["by", " who are ".join(who)] if who else [])])

    def _targets(self) -> Iterator[str]:
        if self.resources is not None:
            yield _listed(self.resources, "resource", "")
        if self.paths is not None:
            yield _listed(self.paths, "path")


def _listed(some: Some, noun: str, label: str | None = None) -> str:
    words = ", ".join(_short([word or "(none)" for word in some.words], ", "))
    if some.but:
        return f"every {noun} but {words}" if words else f"every {noun}"
    return " ".join(filter(None, (noun if label is None else label, words)))


def _short(words: Sequence[str], separator: str) -> list[str]:
    if len(words) <= SHOWN_WORDS:
        return list(words)
    return [separator.join(words[: SHOWN_WORDS - 1]), f"{len(words) - SHOWN_WORDS + 1} more"]


class Areas:
    """Says what boxes of one space hold. What has been said of objects is kept: boxes often share it."""

    def __init__(self, space: Space) -> None:
        self._space = space
        targets = space.targets
        groups: dict[str | None, list[int]] = {}
        for place in bits(targets.resources):
            if isinstance(target := targets.all[place], ResourceTarget):
                groups.setdefault(target.group, []).append(place)
        self._groups = {group: _Group(targets, places) for group, places in groups.items()}
        self._rest = 1 << targets.all.index(ResourceTarget(None, None, None, None))
        self._resources_said: dict[int, Some] = {}

    def of(self, box: Box, choices: tuple[int, ...]) -> Area:
        """Say what a box holds; `choices` are the values of its groups."""
        users, groups, verbs, namespaces, targets = box
        space = self._space
        resources = targets & space.targets.resources
        return Area(
            _words(space.users, users),
            tuple(dict.fromkeys(_alternatives(space, groups, choices))),
            _words(space.verbs, verbs),
            _words(space.namespaces, namespaces),
            self._resources(resources) if resources else None,
            _paths(space, targets & space.targets.paths),
        )

    def _resources(self, mask: int) -> Some:
        if mask not in self._resources_said:
            but = bool(mask & self._rest)
            meant = self._space.targets.resources & ~mask if but else mask
            self._resources_said[mask] = Some(tuple(self._terms(meant)), but=but)
        return self._resources_said[mask]

    def _terms(self, mask: int) -> Iterator[str]:
        terms = {group: list(each.terms(mask)) for group, each in self._groups.items()}
        common = [term for term in terms[None] if all(term in others for others in terms.values())]
        yield from (_in_group(term, "*") for term in common)
        for group, own in terms.items():
            name = "(other groups)" if group is None else group
            yield from (_in_group(term, name) for term in own if term not in common)


def _words(words: Words, mask: int) -> Some:
    if mask & words.other:
        return Some(tuple(words.of(words.all & ~mask)), but=True)
    return Some(tuple(words.of(mask)))


def _alternatives(space: Space, groups: int, choices: tuple[int, ...]) -> Iterator[tuple[str, ...]]:
    for place in bits(groups):
        if classes := space.groups_of(choices[place]):
            yield from product(*classes)


def _paths(space: Space, mask: int) -> Some | None:
    if not mask:
        return None
    inside = _path_targets(space, mask)
    outside = _path_targets(space, space.targets.paths & ~mask)
    if any(not target.spec for target in inside):
        return Some(tuple(_path_terms(outside, inside)), but=True)
    return Some(tuple(_path_terms(inside, outside)))


def _path_targets(space: Space, mask: int) -> list[PathTarget]:
    return [target for target in space.targets.of(mask) if isinstance(target, PathTarget)]


def _path_terms(inside: list[PathTarget], outside: list[PathTarget]) -> Iterator[str]:
    """Yield the URLs as a policy says them; a prefix with what below it is not meant."""
    stems = [target.spec[:-1] for target in inside if target.spec.endswith("*")]
    for target in inside:
        if any(target.spec.startswith(stem) and target.spec != f"{stem}*" for stem in stems):
            continue
        excluded = [
            other.spec
            for other in outside
            if target.spec.endswith("*") and other.spec and other.spec.startswith(target.spec[:-1])
        ]
        yield f"{target.spec} but {', '.join(excluded)}" if excluded else target.spec


def _in_group(term: tuple[str, str], group: str) -> str:
    resource, rest = term
    if not resource:
        return f"all of {group or 'core'}{rest}"
    return f"{resource}.{group}{rest}" if group else resource + rest


class _Group:
    """The classes of one API group, as masks, by resource, subresource and name."""

    def __init__(self, targets: Targets, places: list[int]) -> None:
        self._names: dict[str | None, dict[str | None, dict[str | None, int]]] = {}
        self._subresources: dict[str | None, dict[str | None, int]] = {}
        self._everywhere: dict[str, int] = {}
        self._mask = 0
        for place in places:
            _, resource, subresource, name = ResourceTarget(*targets.all[place])
            bit = 1 << place
            self._mask |= bit
            self._names.setdefault(resource, {}).setdefault(subresource, {})[name] = bit
            below = self._subresources.setdefault(resource, {})
            below[subresource] = below.get(subresource, 0) | bit
            if subresource:
                self._everywhere[subresource] = self._everywhere.get(subresource, 0) | bit
        self._everywhere = {sub: bit for sub, bit in self._everywhere.items() if sub in self._subresources[None]}
        self._rest = self._names[None][None][None]

    def terms(self, mask: int) -> Iterator[tuple[str, str]]:
        """Yield (resource, what follows the group's name) for what of the group is in a mask.

        An empty resource: the whole group.
        """
        inside = self._mask & mask
        if not inside:
            return
        if inside == self._mask:
            yield "", ""
        elif inside & self._rest:
            yield "", f" but {' and '.join(resource + rest for resource, rest in self.terms(~mask))}"
        else:
            everywhere = [sub for sub, meant in self._everywhere.items() if not meant & ~mask]
            yield from (("*", f"/{sub}") for sub in everywhere)
            for resource in self._subresources:
                yield from self._of_resource(resource, inside, set(everywhere))

    def _of_resource(self, resource: str | None, mask: int, said: set[str]) -> Iterator[tuple[str, str]]:
        below = self._subresources[resource]
        meant = {sub for sub, bits_below in below.items() if bits_below & mask}
        if not meant:
            return
        label = "(other resources)" if resource is None else resource
        whole = {sub for sub in meant if not below[sub] & ~mask}
        if len(whole) == len(below):
            yield label, "/*"
            return
        if None in whole:
            left = ", ".join(f"{label}/{sub}" if sub else label for sub in below if sub not in whole)
            yield label, f"/* but {left}"
        for subresource in (sub for sub in below if sub in meant):
            rest = "" if subresource == "" else f"/{subresource or '(other subresources)'}"
            if subresource not in whole:
                yield label, f"{rest} {_names(self._names[resource][subresource], mask)}"
            elif None not in whole and subresource not in said:
                yield label, rest


def _names(names: dict[str | None, int], mask: int) -> str:
    """Say which names are meant, of a resource of which some are and some are not."""
    meant = [str(name) for name, bit in names.items() if bit & mask and name is not None]
    if names[None] & mask:
        return f"not named {'|'.join(str(name) for name, bit in names.items() if not bit & mask)}"
    return f"named {'|'.join(meant)}"
