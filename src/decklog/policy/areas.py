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
    from collections.abc import Iterable, Iterator, Sequence

    from decklog.policy.space import Space
    from decklog.policy.subtraction import Box
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


def area(space: Space, box: Box, choices: tuple[int, ...]) -> Area:
    """Say what a box holds; `choices` are the values of its groups."""
    users, groups, verbs, namespaces, targets = box
    return Area(
        _words(space.users, users),
        tuple(dict.fromkeys(_alternatives(space, groups, choices))),
        _words(space.verbs, verbs),
        _words(space.namespaces, namespaces),
        _resources(space, targets & space.targets.resources),
        _paths(space, targets & space.targets.paths),
    )


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


def _resources(space: Space, mask: int) -> Some | None:
    if not mask:
        return None
    every = _resource_targets(space, space.targets.resources)
    inside = set(_resource_targets(space, mask))
    if ResourceTarget(None, None, None, None) in inside:
        inside = {target for target in every if target not in inside}
        return Some(tuple(_resource_terms(every, inside)), but=True)
    return Some(tuple(_resource_terms(every, inside)))


def _resource_targets(space: Space, mask: int) -> list[ResourceTarget]:
    return [target for target in space.targets.of(mask) if isinstance(target, ResourceTarget)]


def _resource_terms(every: list[ResourceTarget], inside: set[ResourceTarget]) -> Iterator[str]:
    groups = {group: _Group(group, every, inside) for group in dict.fromkeys(target.group for target in every)}
    terms = {group: list(each.terms()) for group, each in groups.items()}
    common = [term for term in terms[None] if all(term in others for others in terms.values())]
    yield from (_in_group(term, "*") for term in common)
    for group, own in terms.items():
        yield from (_in_group(term, "(other groups)" if group is None else group) for term in own if term not in common)


def _in_group(term: tuple[str, str], group: str) -> str:
    resource, rest = term
    if not resource:
        return f"all of {group or 'core'}{rest}"
    return f"{resource}.{group}{rest}" if group else resource + rest


class _Group:
    """The classes of one API group, and which of them are meant."""

    def __init__(self, group: str | None, every: Iterable[ResourceTarget], inside: set[ResourceTarget]) -> None:
        self._group = group
        self._inside = inside
        self._classes: dict[str | None, dict[str | None, list[ResourceTarget]]] = {}
        for target in every:
            if target.group == group:
                by_subresource = self._classes.setdefault(target.resource, {})
                by_subresource.setdefault(target.subresource, []).append(target)

    def terms(self) -> Iterator[tuple[str, str]]:
        """Yield (resource, what follows the group's name); an empty resource: the whole group."""
        members = [target for each in self._classes.values() for targets in each.values() for target in targets]
        left = [target for target in members if target not in self._inside]
        if not left:
            yield "", ""
        elif ResourceTarget(self._group, None, None, None) in self._inside:
            others = list(_Group(self._group, members, set(left)).terms())
            yield "", f" but {' and '.join(resource + rest for resource, rest in others)}"
        else:
            everywhere = [sub for sub in self._classes[None] if sub and self._is_everywhere(sub)]
            yield from (("*", f"/{sub}") for sub in everywhere)
            for resource, by_subresource in self._classes.items():
                yield from self._of_resource(resource, by_subresource, set(everywhere))

    def _is_everywhere(self, subresource: str) -> bool:
        return all(self._inside.issuperset(each.get(subresource, ())) for each in self._classes.values())

    def _of_resource(
        self, resource: str | None, by_subresource: dict[str | None, list[ResourceTarget]], said: set[str]
    ) -> Iterator[tuple[str, str]]:
        label = "(other resources)" if resource is None else resource
        whole = {sub for sub, targets in by_subresource.items() if self._inside.issuperset(targets)}
        if len(whole) == len(by_subresource):
            yield label, "/*"
            return
        if None in whole:
            left = ", ".join(f"{label}/{sub}" if sub else label for sub in by_subresource if sub not in whole)
            yield label, f"/* but {left}"
            whole_said = whole
        else:
            whole_said = set()
        for subresource, targets in by_subresource.items():
            rest = "" if subresource == "" else f"/{subresource or '(other subresources)'}"
            if subresource in whole:
                if subresource not in whole_said and subresource not in said:
                    yield label, rest
            elif names := _names(targets, self._inside):
                yield label, f"{rest} {names}"


def _names(targets: list[ResourceTarget], inside: set[ResourceTarget]) -> str:
    """Say which names are meant, of a resource of which not all are; empty: none."""
    meant = [target.name for target in targets if target in inside]
    if None in meant:
        return f"not named {'|'.join(str(target.name) for target in targets if target not in inside)}"
    return f"named {'|'.join(map(str, meant))}" if meant else ""
