"""Owners: why a controller deleted something, followed up as far as the log shows it.

A controller deletes because somebody did something before: deleted the owner, its namespace or its node, scaled it, or
gave it another template. What the log shows of that is found step by step; each step says how sure it is. An owner is
taken from a recorded body (ownerReferences); where no body is in the log, its name is guessed from that of the owned
(``web-7d9f6c5b4-x2x8p`` → ``web-7d9f6c5b4`` → ``web``), and said to be a guess.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from decklog.ask.bodies import bodies, metadata, succeeded
from decklog.ask.controllers import (
    CONTROLLERS,
    ENDS,
    GARBAGE,
    KUBELET,
    NAMESPACE,
    SCHEDULER,
    actor,
    controller,
    deletes,
)
from decklog.ask.history import in_order
from decklog.ask.moments import seconds_between
from decklog.ask.names import plural
from decklog.ask.rows import Row, is_dry_run, row
from decklog.ask.words import past
from decklog.audit.event import ObjectReference
from decklog.audit.query import Pattern, Query, ResourcePattern, object_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from decklog.ask.requests import Request
    from decklog.audit.event import Event

    Find = Callable[[tuple[Query, ...]], Iterable[Request]]
    """Asks the log: gives the requests that match one of the queries."""

LONGEST: Final = 8
"""Steps of a chain; a longer one is cut."""

SOON_S: Final = 3600
"""A change of an owner explains what its controller deletes for so long: roll-outs take their time, but end."""

RECORDED: Final = "recorded"
GUESSED: Final = "guessed"

_OWNERS: Final = {
    "pods": ("replicasets", "statefulsets", "daemonsets", "jobs", "replicationcontrollers"),
    "replicasets": ("deployments",),
    "jobs": ("cronjobs",),
    "controllerrevisions": ("statefulsets", "daemonsets"),
    "endpointslices": ("services",),
}
_GROUPS: Final = {"jobs": "batch", "cronjobs": "batch", "services": "", "replicationcontrollers": ""}
_SUFFIX: Final = re.compile(r"-[a-z0-9]{1,10}$")
_NOTHING: Final = ObjectReference()
_DELETIONS: Final = (Pattern("delete"), Pattern("deletecollection"))
_CHANGES: Final = (Pattern("update"), Pattern("patch"), *_DELETIONS)


class Step(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """One request of a chain; the first is the deletion that is asked about."""

    row: Row
    actor: str
    """A controller by its everyday name, else the user."""
    deed: str
    sure: str = RECORDED
    """How it is known that this led to the step before: ``recorded`` or ``guessed``."""
    reason: str = ""
    """Of the last step: why, where no request is the cause."""


class Owner(Struct, frozen=True):
    """Whom an object belongs to."""

    resource: ResourcePattern
    name: str
    sure: str


def chain(deletion: Request, find: Find) -> list[Step]:
    """Follow a deletion up: the request itself, then what led to it, step by step, as far as the log shows.

    `find` is asked once or twice a step.
    """
    following = _Following(find)
    steps = [_step(deletion)]
    current = deletion
    while len(steps) < LONGEST and (cause := following.cause(current)) is not None:
        current, sure = cause
        steps.append(_step(current, sure))
    reason = _end(current)
    if reason:
        steps[-1] = _step(current, steps[-1].sure, reason)
    return steps


def _step(request: Request, sure: str = RECORDED, reason: str = "") -> Step:
    event = request.latest.event
    return Step(row(request), actor(event), past(event.verb, (event.object_ref or _NOTHING).subresource), sure, reason)


def _end(request: Request) -> str:
    event = request.latest.event
    key = controller(event)
    if key == SCHEDULER and deletes(event):
        return "a pod of higher priority needed the room (preemption)"
    if key in ENDS:
        return ENDS[key]
    return "what led to that is not in the log" if key else ""


class _Following:
    """Looks for causes; remembers which requests it has been at, so that no chain goes in a circle."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self._been: set[tuple[str, int]] = set()

    def cause(self, request: Request) -> tuple[Request, str] | None:
        """Find the request that led to this one, and how sure that is."""
        event = request.latest.event
        self._been.add((request.latest.file, request.latest.number))
        key = controller(event)
        ref = event.object_ref or _NOTHING
        if key == NAMESPACE and ref.namespace:
            return self._last(request, (_deletion(_core("namespaces"), ref.namespace, None),), RECORDED)
        if key == KUBELET:
            return self._last(request, _same(event, ref), RECORDED)
        if key == GARBAGE:
            return self._of_owners(request, _DELETIONS, RECORDED)
        if key in CONTROLLERS and key not in ENDS:
            return self._of_owners(request, _CHANGES, GUESSED)
        return None

    def _of_owners(self, request: Request, verbs: tuple[Pattern, ...], sure: str) -> tuple[Request, str] | None:
        event = request.latest.event
        namespace = (event.object_ref or _NOTHING).namespace
        owners = self._owners(request)
        if not owners:
            return None
        queries = tuple(_about(owner, namespace, verbs) for owner in owners)
        how = GUESSED if any(owner.sure == GUESSED for owner in owners) else sure
        return self._last(request, queries, how, deleted=verbs == _DELETIONS)

    def _owners(self, request: Request) -> list[Owner]:
        event = request.latest.event
        recorded = _references(request)
        if not recorded and object_name(event):
            recorded = [owner for other in self._find(_same(event, None)) for owner in _references(other)]
        return list(dict.fromkeys(recorded)) or _guesses(event)

    def _last(
        self, request: Request, queries: tuple[Query, ...], sure: str, *, deleted: bool = True
    ) -> tuple[Request, str] | None:
        """Give the latest success before `request` that `queries` find; a direct naming before a collective one.

        Of deletions (`deleted`) a person's comes first: controllers repeat what was asked for. Of changes what the same
        controller wrote is no cause: it keeps books in the objects that it works for.
        """
        found = [other for other in in_order(self._find(queries)) if self._may_be_cause(request, other, deleted)]
        named = [other for other in found if object_name(other.latest.event)]
        people = [other for other in named if deleted and not controller(other.latest.event)]
        best = next(reversed(people or named or found), None)
        return None if best is None else (best, sure if best in named else GUESSED)

    def _may_be_cause(self, request: Request, other: Request, deleted: bool) -> bool:
        event, before = request.latest.event, other.latest.event
        return (
            succeeded(other)
            and not is_dry_run(before)
            and (other.latest.file, other.latest.number) not in self._been
            and (before.request_received_timestamp or "") <= (event.request_received_timestamp or "")
            and (deleted or (controller(before) != controller(event) and _is_soon(before, event)))
        )


def _is_soon(before: Event, event: Event) -> bool:
    seconds = seconds_between(before.request_received_timestamp, event.request_received_timestamp)
    return seconds is not None and seconds <= SOON_S


def _core(resource: str) -> ResourcePattern:
    return ResourcePattern(Pattern(resource), "")


def _deletion(resource: ResourcePattern, name: str, namespace: str | None) -> Query:
    return Query(
        verbs=_DELETIONS,
        resources=(resource,),
        names=(Pattern(name),),
        namespaces=(Pattern(namespace),) if namespace is not None else (),
        subresources=(Pattern("", prefix=True, negated=True),),
    )


def _same(event: Event, deletion: ObjectReference | None) -> tuple[Query, ...]:
    """Find requests about the object of `event`: its deletions and evictions, or all that may show its owners."""
    ref = event.object_ref or _NOTHING
    resource = ResourcePattern(Pattern(ref.resource), ref.api_group)
    names, namespaces = (Pattern(object_name(event)),), (Pattern(ref.namespace),)
    if deletion is None:
        verbs = tuple(map(Pattern, ("create", "update", "patch", "get", "delete")))
        return (Query(verbs=verbs, resources=(resource,), names=names, namespaces=namespaces),)
    evicted = Query(
        verbs=(Pattern("create"),),
        resources=(resource,),
        subresources=(Pattern("eviction"),),
        names=names,
        namespaces=namespaces,
    )
    gone = Query(verbs=_DELETIONS, resources=(resource,), names=names, namespaces=namespaces, reach=True)
    return gone, evicted


def _about(owner: Owner, namespace: str, verbs: tuple[Pattern, ...]) -> Query:
    return Query(
        verbs=verbs,
        resources=(owner.resource,),
        names=(Pattern(owner.name),),
        namespaces=tuple({Pattern(namespace): 0, Pattern(""): 0}),  # an owner may be of the whole cluster
        subresources=(Pattern("status", negated=True),),
        reach=True,
    )


def _references(request: Request) -> list[Owner]:
    """Read the owners from the bodies of a request."""
    name = object_name(request.latest.event)
    found: list[Owner] = []
    for seen in request.stages:
        for document in bodies(seen.event):
            data = metadata(document)
            references = data.get("ownerReferences")
            if data.get("name", name) == name and isinstance(references, list):
                found += [owner for owner in map(_owner, references) if owner is not None]
    return found


def _owner(reference: object) -> Owner | None:
    if not isinstance(reference, dict):
        return None
    kind, name, version = (reference.get(key) for key in ("kind", "name", "apiVersion"))
    if not (isinstance(kind, str) and isinstance(name, str) and isinstance(version, str)):
        return None
    group = version.rpartition("/")[0]
    resource = plural(kind)
    # Of a kind that is not known the plural is: it begins as the kind does.
    pattern = Pattern(resource) if resource != kind.lower() else Pattern(resource.removesuffix("y"), prefix=True)
    return Owner(ResourcePattern(pattern, group), name, RECORDED)


def _guesses(event: Event) -> list[Owner]:
    """Guess owners from the name, by kind, nearest first."""
    resource, name = (event.object_ref or _NOTHING).resource, object_name(event)
    guessed: list[Owner] = []
    level = [(resource, name)]
    while level:
        above = [
            (owner, stem)
            for owned, called in level
            if (stem := _SUFFIX.sub("", called)) not in {called, ""}
            for owner in _OWNERS.get(owned, ())
        ]
        guessed += [
            Owner(ResourcePattern(Pattern(owner), _GROUPS.get(owner, "apps")), stem, GUESSED) for owner, stem in above
        ]
        level = above
    return guessed


def said(steps: list[Step]) -> str:
    """Say a chain in one sentence: ``pods/web-… was deleted by …, because …``. The text in it is foreign: escape it."""
    first, *causes = steps
    sentence = f"{_what(first.row)} was {first.deed} by {first.actor}"
    for cause in causes:
        because = "because" if cause.sure == RECORDED else "probably because"
        sentence += f", {because} {cause.actor} {cause.deed} {_what(cause.row)}"
    last = steps[-1]
    if last.reason:
        return f"{sentence}: {last.reason}"
    when = f" at {last.row.time}" if causes and last.row.time else ""
    return f"{sentence}{when}{f' from {last.row.source_ip}' if causes and last.row.source_ip else ''}"


def _what(found: Row) -> str:
    """Give the object; the deed already tells the subresource."""
    return found.what.removesuffix(f"/{found.subresource}") if found.subresource else found.what
