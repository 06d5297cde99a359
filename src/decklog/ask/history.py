"""History: who changed one object, when, from where, and what changed, as far as the bodies in the log tell.

Versions of an object are what recorded bodies show of it, of reads as well as of writes. A change is told by comparing
with the version before; where a request has no body of its own, by what its patch sets; else it is only told that it
happened. Which it was stands with the change (`Entry.told_by`), so that nobody takes a gap for "nothing changed".
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from decklog.ask.bodies import REQUEST, RESPONSE, Whole, parsed, succeeded, wholes
from decklog.ask.fields import Change, changes, set_by_patch
from decklog.ask.names import resource_patterns, split_object
from decklog.ask.rows import Row, is_dry_run, row
from decklog.ask.words import past
from decklog.audit.event import ObjectReference
from decklog.audit.query import Pattern, Query, object_name
from decklog.errors import DecklogError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from decklog.ask.bodies import Document
    from decklog.ask.requests import Request
    from decklog.audit.query import ResourcePattern

WRITES: Final = frozenset(("create", "update", "patch", "delete", "deletecollection"))
_READS: Final = ("get",)
"""Lists are left out: they hold all the other objects as well, and there are many."""
_USES: Final = frozenset(("exec", "attach", "portforward", "proxy", "log", "token"))
"""Subresources through which one works with an object without changing it."""
_BODY: Final = {RESPONSE: "the answer", REQUEST: "the request body"}
_NOTHING: Final = ObjectReference()

_NAMED: Final = 6

VERSIONS: Final = "versions"
PATCH: Final = "patch"
BODY: Final = "body"
NOTHING: Final = "nothing"


@dataclass(frozen=True, slots=True)
class Target:
    """The one object that is asked about."""

    resources: tuple[ResourcePattern, ...]
    name: str
    namespace: str | None = None
    """None: any, or none."""

    @classmethod
    def parse(cls, words: tuple[str, ...], namespace: str | None) -> Target:
        """Read ``TYPE/NAME`` or ``TYPE NAME``; DecklogError unless it is one object."""
        kind, names = split_object(words)
        if len(names) != 1 or "*" in names[0]:
            raise DecklogError(f"{' '.join(words)!r} is not one object: write TYPE/NAME, such as deploy/web")
        found = resource_patterns(kind)
        if any(pattern.subresource is not None for pattern in found):
            raise DecklogError(f"{' '.join(words)!r} is a subresource: name the object itself")
        return cls(found, names[0], namespace)

    def queries(self, *, reads: bool, status: bool = True, until: str | None = None) -> tuple[Query, ...]:
        """Give the queries that find all that wrote the object or, with `reads`, also what shows it.

        Without `status`, writes to its status are left out: controllers make thousands of them.
        """
        verbs = (*sorted(WRITES), *(_READS if reads else ()))
        others = _USES if status else {*_USES, "status"}
        return (
            Query(
                verbs=tuple(map(Pattern, verbs)),
                resources=self.resources,
                subresources=tuple(Pattern(name, negated=True) for name in sorted(others)),
                names=(Pattern(self.name),),
                namespaces=(Pattern(self.namespace),) if self.namespace is not None else (),
                until=until,
                reach=True,
            ),
        )


class Entry(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """One request that changed the object, or may have."""

    row: Row
    deed: str
    """In the past tense: ``scaled``, ``deleted``."""
    reach: bool = False
    """A collective deletion whose answer does not tell whether the object was among its."""
    failed: bool = False
    """It changed nothing: it failed, was a dry run, or what came of it is not in the log."""
    told_by: str = NOTHING
    """``versions``, ``patch``, ``body`` (it created the object, or no older version is known), ``nothing``."""
    changes: tuple[Change, ...] = ()
    note: str = ""
    """What to know of the comparison."""
    body: str = ""
    """Which body shows the object after it: ``response``, ``request``."""
    patch: Any = None
    """The patch itself, if it is in the log."""

    @property
    def did(self) -> str:
        """What it did to the object, in words; of one that did not fail."""
        if self.reach:
            return f"{self.deed} {self.row.what.removesuffix('/*')}: it may have been among them"
        return f"{self.deed} it"


@dataclass(slots=True)
class Asked:
    """Where an object's history was read: which others bear its name."""

    namespaces: set[str] = field(default_factory=set)
    kinds: set[str] = field(default_factory=set)

    def counting(self, requests: Iterable[Request]) -> Iterator[Request]:
        """Pass requests on, and take those into account that name the object."""
        for request in requests:
            ref = request.latest.event.object_ref or _NOTHING
            if object_name(request.latest.event):
                self.namespaces.add(ref.namespace)
                self.kinds.add(f"{ref.resource}.{ref.api_group}" if ref.api_group else ref.resource)
            yield request

    def one(self, target: Target) -> Target:
        """Give the target with its namespace; DecklogError says how to choose where several bear the name."""
        if len(self.namespaces) > 1:
            found = _some(self.namespaces)
            raise DecklogError(f"{target.name} is in several namespaces ({found}): choose one with -n")
        if len(self.kinds) > 1:
            raise DecklogError(f"{target.name} is of several kinds ({_some(self.kinds)}): name one of them")
        return replace(target, namespace=next(iter(self.namespaces), target.namespace))


def _some(names: set[str]) -> str:
    shown = sorted(names)[:_NAMED]
    return ", ".join([*shown, "…"] if len(names) > _NAMED else shown)


def telling(requests: Iterable[Request]) -> Iterator[Request]:
    """Leave out reads that tell nothing new: without an answer in the log, or with one that was there before."""
    known: set[int] = set()
    for request in requests:
        if request.latest.event.verb in _READS:
            body = hash(bytes(request.latest.event.response_object))
            if body in known or not succeeded(request) or not bytes(request.latest.event.response_object):
                continue
            known.add(body)
        yield request


def in_order(requests: Iterable[Request]) -> list[Request]:
    """Sort requests by when their latest stage was, which is when their effect was there."""
    return sorted(requests, key=lambda request: request.latest.event.stage_timestamp or "")


def history(requests: Iterable[Request], target: Target, *, status: bool = False) -> Iterator[Entry]:
    """Yield what changed the object, in time order; reads among `requests` serve as versions to compare with.

    `status` also tells what was written to its status, and compares it.
    """
    state = _State(target, status=status, secret=any(term.resource.text == "secrets" for term in target.resources))
    for request in in_order(requests):
        event = request.latest.event
        ref = event.object_ref or _NOTHING
        entry = state.take(request)
        if event.verb in WRITES and (status or ref.subresource != "status") and not _spared(request, target):
            yield entry


def _spared(request: Request, target: Target) -> bool:
    """Tell whether a collective deletion lists what it deleted, and the object is not there."""
    event = request.latest.event
    if event.verb != "deletecollection":
        return False
    document = parsed(event.response_object)
    listed = isinstance(document, dict) and isinstance(document.get("items"), list)
    return listed and next(wholes(request, target.name, target.namespace), None) is None


class _State:
    """The latest version known of the object, while its requests pass."""

    def __init__(self, target: Target, *, status: bool, secret: bool) -> None:
        self._target = target
        self._status = status
        self._secret = secret
        self._known: Document | None = None
        self._from = ""
        self._missed = 0
        """Writes since the known version that left no body."""

    def take(self, request: Request) -> Entry:
        event = request.latest.event
        failed = not succeeded(request) or is_dry_run(event)
        whole = None if failed else next(wholes(request, self._target.name, self._target.namespace), None)
        entry = self._entry(request, whole, failed=failed)
        if not failed:
            self._learn(event.verb, whole, request)
        return entry

    def _entry(self, request: Request, whole: Whole | None, *, failed: bool) -> Entry:
        event = request.latest.event
        ref = event.object_ref or _NOTHING
        patch = next(filter(None, (parsed(seen.event.request_object) for seen in reversed(request.stages))), None)
        told_by, found, note = (NOTHING, [], "") if failed else self._told(request, whole, patch)
        return Entry(
            row=row(request),
            deed=past(event.verb, ref.subresource),
            reach=event.verb == "deletecollection" and whole is None,
            failed=failed,
            told_by=told_by,
            changes=tuple(found),
            note=note,
            body=whole.body if whole else "",
            patch=patch if event.verb == "patch" and not self._secret else None,
        )

    def _told(self, request: Request, whole: Whole | None, patch: Any) -> tuple[str, list[Change], str]:
        event = request.latest.event
        ref = event.object_ref or _NOTHING
        if event.verb in {"delete", "deletecollection"}:
            return BODY if whole else NOTHING, [], ""
        if whole is not None:
            return self._compared(whole, event.verb)
        if ref.subresource == "scale" and (replicas := _replicas(request, patch)) is not None:
            return PATCH, set_by_patch({"spec": {"replicas": replicas}}, self._known), self._gap()
        if event.verb == "patch" and patch is not None and ref.subresource != "scale":
            return PATCH, set_by_patch(patch, self._known, secret=self._secret), self._gap()
        return NOTHING, [], ""

    def _compared(self, whole: Whole, verb: str) -> tuple[str, list[Change], str]:
        if verb == "create" or self._known is None:
            note = "" if verb == "create" else "no older version of the object is in the log"
            return BODY, [], note
        notes = [self._gap()] if self._missed else []
        if whole.body != self._from:
            notes.append(f"compared: {_BODY[self._from]} before with {_BODY[whole.body]} now; the server fills in more")
        found = changes(self._known, whole.document, status=self._status, secret=self._secret)
        return VERSIONS, found, "; ".join(notes)

    def _gap(self) -> str:
        if not self._missed or self._known is None:
            return ""
        writes = "1 write" if self._missed == 1 else f"{self._missed} writes"
        return f"{writes} before it left no body: what was before, or some of the changes, may be of then"

    def _learn(self, verb: str, whole: Whole | None, request: Request) -> None:
        event = request.latest.event
        ref = event.object_ref or _NOTHING
        if verb in {"delete", "deletecollection"} and object_name(event):
            self._known, self._missed = None, 0
        elif whole is not None:
            self._known, self._from, self._missed = whole.document, whole.body, 0
        elif ref.subresource == "scale" and self._known and (replicas := _replicas(request, None)) is not None:
            spec = self._known.get("spec")
            self._known = {**self._known, "spec": {**(spec if isinstance(spec, dict) else {}), "replicas": replicas}}
        elif verb in WRITES and ref.subresource not in {"eviction", "binding"}:
            self._missed += 1


def _replicas(request: Request, patch: Any) -> int | None:
    """Give the number that a request to the subresource scale set."""
    for document in (parsed(request.latest.event.response_object), parsed(request.latest.event.request_object), patch):
        spec = document.get("spec") if isinstance(document, dict) else None
        if isinstance(spec, dict) and isinstance(spec.get("replicas"), int):
            return int(spec["replicas"])
    return None
