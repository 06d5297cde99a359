"""Witnesses: a class of requests → one concrete request, as natural as it can be, for people and for proofs."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from decklog.audit.attributes import Attributes
from decklog.audit.event import User
from decklog.policy.kinds import built_in
from decklog.policy.targets import PathTarget, ResourceTarget, bits, fresh

if TYPE_CHECKING:
    from collections.abc import Iterable

    from decklog.policy.targets import Targets


class Witness(Struct, frozen=True):
    """A concrete request."""

    attributes: Attributes
    user: User | None


class Words:
    """One dimension of texts: those that the policies mention, and one bit for every other."""

    def __init__(self, words: Iterable[str]) -> None:
        self.known = list(dict.fromkeys(words))
        self._places = {word: place for place, word in enumerate(self.known)}
        self.other = 1 << len(self.known)
        self.all = (self.other << 1) - 1

    def mask(self, words: Iterable[str]) -> int:
        """Give the mask of a rule's list; an empty list is every text."""
        words = list(words)
        mask = 0 if words else self.all
        for word in words:
            if (place := self._places.get(word)) is not None:
                mask |= 1 << place
        return mask

    def holds(self, mask: int, word: str) -> bool:
        """Tell whether a word, known or not, is in a mask."""
        place = self._places.get(word)
        return bool(mask & (self.other if place is None else 1 << place))

    def of(self, mask: int) -> list[str]:
        """Give the known words in a mask, in the order of the policies."""
        return [self.known[place] for place in bits(mask & ~self.other)]


_VERBS: Final = ("get", "list", "create", "update", "patch", "delete", "watch", "deletecollection")
_COLLECTIONS: Final = frozenset({"list", "create", "watch", "deletecollection"})
_METHODS: Final = ("get", "post", "put", "head", "delete", "patch", "options")
_RESOURCES: Final = ("pods", "services", "configmaps", "deployments", "jobs")
"""Known to everybody."""


class Narrator:
    """Makes requests of masks, out of the words that the policies mention and fresh ones."""

    def __init__(self, users: Words, verbs: Words, namespaces: Words, targets: Targets) -> None:
        self._users = users
        self._verbs = verbs
        self._namespaces = namespaces
        self._targets = targets
        self._near = [target for target in targets.all if isinstance(target, ResourceTarget)]

    def tell(self, users: int, groups: tuple[str, ...], verbs: int, namespaces: int, targets: int) -> Witness:
        """Make one request out of a box that is not empty."""
        target = self._target(targets)
        user = _pick(self._users, users, "alice", "bob", "somebody")
        if isinstance(target, PathTarget):
            verb = self._verb(verbs, _METHODS)
            attributes = Attributes(verb, target.example, request_uri=target.example)
        else:
            attributes = self._resource(target, verbs, namespaces)
        return Witness(attributes, User(username=user, groups=groups))

    def _target(self, mask: int) -> ResourceTarget | PathTarget:
        """Prefer what a policy mentions, without a subresource or name that it doesn't."""
        return min(
            (self._targets.all[place] for place in islice(bits(mask), 64)),
            key=lambda target: sum(part is None for part in target),
        )

    def _verb(self, mask: int, natural: tuple[str, ...]) -> str:
        for verb in natural:
            if self._verbs.holds(mask, verb):
                return verb
        if known := self._verbs.of(mask):
            return known[0]
        return fresh(self._verbs.known, "", "other")  # a method that Kubernetes doesn't know gives an empty verb

    def _resource(self, target: ResourceTarget, verbs: int, namespaces: int) -> Attributes:
        natural = tuple(sorted(_VERBS, key=lambda verb: verb in _COLLECTIONS)) if target.name else _VERBS
        verb = self._verb(verbs, natural)
        near = self._near
        group, resource, subresource, name = target
        if group is None:
            group = fresh((one.group for one in near), "example.com", "other.example.com")
        if resource is None:
            known = [kind.resource for kind in built_in().of_group(group) if not kind.gone]
            usual = [name for name in _RESOURCES if name in known]
            resource = fresh((one.resource for one in near), *usual, *known, "widgets", "others")
        kind = built_in().find(group, resource)
        if subresource is None:
            known = list(kind.subresources) if kind else []
            subresource = fresh((one.subresource for one in near), *known, "status", "scale", "other")
        namespace = self._namespace(namespaces, everywhere=kind is not None and not kind.namespaced)
        if name is None:
            nameless = () if verb not in _COLLECTIONS or subresource else ("",)
            name = fresh((one.name for one in near), *nameless, "web", "other")
        return _attributes(verb, group, namespace, resource, subresource, name)

    def _namespace(self, mask: int, *, everywhere: bool) -> str:
        """Choose a namespace; none for a resource that has none."""
        if everywhere and self._namespaces.holds(mask, ""):
            return ""
        return _pick(self._namespaces, mask, "default", "shop", "other")


def _attributes(verb: str, group: str, namespace: str, resource: str, subresource: str, name: str) -> Attributes:
    parts = tuple(part for part in (resource, name, subresource) if part)
    prefix = ("apis", group, "v1") if group else ("api", "v1")
    path = "/".join(("", *prefix, *(("namespaces", namespace) if namespace else ()), *parts))
    return Attributes(
        verb,
        path,
        resource_request=True,
        api_prefix=prefix[0],
        api_group=group,
        api_version="v1",
        namespace=namespace,
        resource=resource,
        subresource=subresource,
        name=name,
        parts=parts,
        request_uri=path,
    )


def _pick(words: Words, mask: int, *natural: str) -> str:
    """Choose a word of a mask: where nothing is asked for, one that the policies don't mention."""
    if mask != words.all and (known := words.of(mask)):
        return known[0]
    return fresh(words.known, *natural) if mask & words.other else words.known[0]
