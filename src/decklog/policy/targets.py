"""Targets: what policies can tell apart of a request's object or path; each such class of requests is one bit.

A class is an API group, resource, subresource and name that some rule mentions together, or "any other" in each place;
or a path: one that is mentioned, any other one below a mentioned prefix, any other at all. What a rule says of
resources and URLs is then one mask, and whether two rules can meet is one ``&``.

Only requests that can reach a server count: `audit.attributes.resolve` splits the path at its slashes, so that no
resource, subresource, namespace or name has one. The spec ``a/b/c`` thus has an empty mask.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple

from decklog.errors import DecklogError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from decklog.policy.rules import GroupResources, Rule

MOST_TARGETS: Final = 1 << 15
"""Real policies of 200 rules have hundreds."""


class TooManyTargetsError(DecklogError):
    """The policies tell more objects apart than can be compared."""


class ResourceTarget(NamedTuple):
    """A class of resource requests; None in a place: any that the policies don't mention there."""

    group: str | None
    resource: str | None
    subresource: str | None
    name: str | None


class PathTarget(NamedTuple):
    """A class of requests for a path."""

    spec: str
    """As a policy would say it: ``/version``, ``/api*``; empty: any other path."""
    example: str


class Targets:
    """The classes that some rules tell apart. Raises TooManyTargetsError."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        rules = list(rules)
        self.entries = list(dict.fromkeys(entry for rule in rules for entry in rule.resources))
        urls = list(dict.fromkeys(spec for rule in rules for spec in rule.non_resource_urls))
        self.all: list[ResourceTarget | PathTarget] = []
        self._masks: dict[tuple[str | None, ...], int] = defaultdict(int)
        self._named: dict[str, int] = defaultdict(int)
        self._entry_masks: dict[GroupResources, int] = {}
        for target in self._resource_targets():
            self._add(target)
        self.resources = (1 << len(self.all)) - 1
        """The mask of every resource request."""
        self.all += _paths(urls)
        self.everything = (1 << len(self.all)) - 1
        self.paths = self.everything & ~self.resources
        self._url_masks = self._url_masks_of(urls)

    def mask(self, rule: Rule) -> int:
        """Give the mask of what a rule says of resources and URLs; 0: no request can match it."""
        if rule.resources:
            return _union(self._entry_mask(entry) for entry in rule.resources)
        if rule.namespaces:
            return self.resources
        if rule.non_resource_urls:
            return _union(self._url_masks[spec] for spec in rule.non_resource_urls)
        return self.everything

    def of(self, mask: int) -> Iterator[ResourceTarget | PathTarget]:
        """Yield the classes in a mask."""
        for place in bits(mask):
            yield self.all[place]

    def _add(self, target: ResourceTarget) -> None:
        if len(self.all) >= MOST_TARGETS:
            raise TooManyTargetsError(
                f"the rules tell more than {MOST_TARGETS:,} objects apart, more than can be searched: "
                "name fewer resources and resourceNames together"
            )
        bit = 1 << len(self.all)
        self.all.append(target)
        group, resource, subresource, name = target
        # None stands for any in the keys; that the class "any other" is None, too, adds it to where it is already.
        for a in {group, None}:
            for b in {resource, None}:
                for c in {subresource, None}:
                    self._masks[a, b, c] |= bit
        if name is not None:
            self._named[name] |= bit

    def _resource_targets(self) -> Iterator[ResourceTarget]:
        groups = dict.fromkeys(entry.group for entry in self.entries if entry.group != "*")
        for group in (*groups, None):
            entries = [entry for entry in self.entries if entry.group in {group, "*"} and entry.resources]
            for resource, subresource, names in _objects(entries):
                yield from (ResourceTarget(group, resource, subresource, name) for name in (*names, None))

    def _entry_mask(self, entry: GroupResources) -> int:
        mask = self._entry_masks.get(entry)
        if mask is None:
            mask = self._entry_masks[entry] = self._made_entry_mask(entry)
        return mask

    def _made_entry_mask(self, entry: GroupResources) -> int:
        group = None if entry.group == "*" else entry.group
        if not entry.resources:
            return self._masks.get((group, None, None), 0)
        said = {meaning for spec in entry.resources for meaning in _meanings(spec)}
        mask = _union(self._masks.get((group, *meaning), 0) for meaning in said)
        if entry.resource_names:
            mask &= _union(self._named.get(name, 0) for name in entry.resource_names)
        return mask

    def _url_masks_of(self, urls: list[str]) -> dict[str, int]:
        """Give the mask of each URL of the rules; paths that share a beginning stand together when they are sorted."""
        paths = sorted(
            (target.example, place) for place, target in enumerate(self.all) if isinstance(target, PathTarget)
        )
        masks: dict[str, int] = {}
        for spec in urls:
            stem = spec.rstrip("*") if spec.endswith("*") else spec
            masks[spec] = 0
            for number in range(bisect_left(paths, (stem, 0)), len(paths)):
                path, place = paths[number]
                if not path.startswith(stem) or (stem == spec and path != spec):
                    break
                masks[spec] |= 1 << place
        return masks


def bits(mask: int) -> Iterator[int]:
    """Yield the places of the bits that are set, lowest first."""
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest


def fresh(taken: Iterable[str | None], *candidates: str) -> str:
    """Give the first of the candidates that is not taken, or the last one with a number that makes it so."""
    used = set(taken)
    for candidate in candidates:
        if candidate not in used:
            return candidate
    number = 2
    while f"{candidates[-1]}-{number}" in used:
        number += 1
    return f"{candidates[-1]}-{number}"


def _union(masks: Iterable[int]) -> int:
    union = 0
    for mask in masks:
        union |= mask
    return union


def _meanings(spec: str) -> Iterator[tuple[str | None, str | None]]:
    """Yield what an item of ``resources`` matches (spec §3) as (resource, subresource); None: any."""
    resource, slash, subresource = spec.partition("/")
    if spec == "*":
        yield None, None
    elif not slash:
        yield resource, ""
    elif subresource and "/" not in subresource:
        if resource == "*":
            yield None, subresource
        if subresource == "*":
            yield resource, None
        if "*" not in {resource, subresource}:
            yield resource, subresource


def _objects(entries: list[GroupResources]) -> Iterator[tuple[str | None, str | None, list[str]]]:
    """Yield each resource and subresource that entries of one group tell apart, and the names asked for there."""
    subresources: dict[str | None, dict[str, None]] = {}
    everywhere: dict[str, None] = {}
    named: list[tuple[set[tuple[str | None, str | None]], tuple[str, ...]]] = []
    for entry in entries:
        said = {meaning for spec in entry.resources for meaning in _meanings(spec)}
        for resource, subresource in sorted(said, key=str):
            if resource is not None:
                subresources.setdefault(resource, {})
            if subresource:
                (everywhere if resource is None else subresources[resource])[subresource] = None
        if entry.resource_names:
            named.append((said, entry.resource_names))
    for resource in (*subresources, None):
        for subresource in ("", *{**subresources.get(resource, {}), **everywhere}, None):
            ways = {(a, b) for a in (resource, None) for b in (subresource, None)}
            names = dict.fromkeys(
                name for said, all_names in named if said & ways for name in all_names if "/" not in name
            )
            yield resource, subresource, list(names)


def _paths(urls: list[str]) -> Iterator[PathTarget]:
    """Yield a path for each set of URLs that some path matches.

    A path that is not mentioned matches the prefixes of the longest prefix that it begins with, and no others.
    """
    stems = dict.fromkeys(spec.rstrip("*") for spec in urls if spec.endswith("*"))
    known = set(stems)
    exact = [spec for spec in urls if not spec.endswith("*")]
    taken = set(exact)
    yield from (PathTarget(spec, spec) for spec in exact)
    for stem in stems:
        if stem:
            example = stem if stem not in taken and not stem.endswith("/") else _below(stem, taken, known)
            yield PathTarget(f"{stem}*", example)
    # A request line may name no path at all (GET http://host HTTP/1.1), which is where /* ends.
    free = ("/healthz", "/metrics", "/version", "/other", "", "*", *(f"/{chr(c)}" for c in range(0x21, 0x7F)))
    found = next((path for path in free if _is_free(path, taken, known)), None)
    yield PathTarget("", _below("", taken, known) if found is None else found)


def _is_free(path: str, taken: set[str], stems: set[str]) -> bool:
    return path not in taken and not any(path[:end] in stems for end in range(1, len(path) + 1))


def _below(stem: str, taken: set[str], stems: set[str]) -> str:
    """Find a path that begins with `stem`, is not mentioned, and begins with no longer prefix."""
    names = chain(("other",), map(chr, range(0x21, 0x7F)), map(chr, range(0xE000, 0x110000)))
    return next(
        stem + name
        for name in names
        if stem + name not in taken and not any(stem + name[:end] in stems for end in range(1, len(name) + 1))
    )
