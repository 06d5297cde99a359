"""Object: its life as a time line, each change with who made it and what changed; what it was at any time.

``/objects/GROUP/RESOURCE/NAMESPACE/NAME``, where the core group is ``core`` and no namespace is ``-``; or the same as
fields, for names that no path can hold.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from msgspec.structs import replace

from decklog.ask.history import BODY, NOTHING, PATCH, Target, history, telling
from decklog.ask.manifest import manifest, said
from decklog.ask.moments import microtime, moment, seconds_between
from decklog.audit.query import Pattern, ResourcePattern
from decklog.errors import DecklogError
from decklog.web import links
from decklog.web.asking import Asked, Page, RefusedError
from decklog.web.cells import outcome
from decklog.web.documents import manifest_lines
from decklog.web.scanned import held

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from decklog.ask.fields import Change
    from decklog.ask.history import Entry
    from decklog.ask.rows import Row

PATH: Final = "/objects"
SHOWN_ENTRIES: Final = 100
SHOWN_CHANGES: Final = 40
"""Of one deed."""
ROOM: Final = 22_000
"""Characters that all changes of a page may take, so that it stays below 150 KB; newer ones come first."""
_MARKUP: Final = 80
"""Characters round a change, about."""
LONGEST_VALUE: Final = 300


class Difference(Struct, frozen=True):
    """One field that changed."""

    sign: str
    """``+``, ``-`` or ``~``."""
    path: str
    old: str
    new: str


class Deed(Struct, frozen=True, rename="camel"):
    """One request that changed the object, or tried to."""

    request: Row
    words: str
    kind: str
    """Its class: created, changed, deleted, tried."""
    differences: tuple[Difference, ...]
    more: int
    notes: tuple[str, ...]
    href: str
    then: str
    """The address of this page with the manifest after it."""
    place: float
    """On the time line, 0 to 1000."""


class ObjectPage(Struct, frozen=True, rename="camel"):
    """The page."""

    group: str
    resource: str
    namespace: str
    name: str
    deeds: tuple[Deed, ...]
    """Newest first."""
    older: int
    """Deeds that are left out."""
    hidden: int
    """Attempts that changed nothing, which are left out."""
    first: str | None
    last: str | None
    at: str
    problem: str
    """What is wrong with `at`."""
    manifest: tuple[str, ...]
    says: tuple[str, ...]
    """Where the manifest comes from, and what it does not tell."""
    gone: bool
    complete: bool
    commands: tuple[str, ...]
    attempts: str
    """The address with what failed, or without it."""
    showing_attempts: bool
    here: str
    log: str
    """All requests about it, also reads."""


def make(asked: Asked) -> ObjectPage:
    """Tell the life of an object."""
    group, resource, namespace, name = _named(asked)
    term = ResourcePattern(Pattern(resource), group)
    target = Target((term,), name, namespace)
    until, problem = _at(asked)
    queries = target.queries(reads=True, status=False)
    found, complete = held(telling(asked.data.requests(queries, asked.deadline, asked.fields.one("cluster") or None)))
    asked.deadline.check()
    entries = list(history(found, target))
    attempts = bool(asked.fields.one("attempts"))
    shown = [entry for entry in entries if attempts or not entry.failed]
    known = manifest(found, target, until)
    here = links.to_object(group, resource, namespace, name)
    secret = resource == "secrets"
    lines = manifest_lines(known.document, secret=secret) if known.document is not None else ()
    times = [entry.row.time for entry in shown if entry.row.time]
    return ObjectPage(
        group=group,
        resource=resource,
        namespace=namespace,
        name=name,
        deeds=tuple(_deeds(shown, here, asked, times)),
        older=max(0, len(shown) - SHOWN_ENTRIES),
        hidden=len(entries) - len(shown),
        first=min(times, default=None),
        last=max(times, default=None),
        at=asked.fields.one("at"),
        problem=problem,
        manifest=lines,
        says=tuple(said(_briefly(known), name)),
        gone=known.gone,
        complete=complete,
        commands=tuple(_commands(asked, group, resource, namespace, name)),
        attempts=_with(here, asked, "attempts", "" if attempts else "1"),
        showing_attempts=attempts,
        here=here,
        log=links.to("/log", [("resource", _typed(group, resource)), ("name", name), *_namespace_field(namespace)]),
    )


def _named(asked: Asked) -> tuple[str, str, str, str]:
    """Read which object is meant."""
    if asked.segments:
        if len(asked.segments) != 4 or not all(asked.segments):
            raise RefusedError(404, "This names no object.", "Write /objects/GROUP/RESOURCE/NAMESPACE/NAME.")
        group, resource, namespace, name = asked.segments
        return "" if group == links.CORE else group, resource, "" if namespace == links.NOWHERE else namespace, name
    fields = asked.fields
    if not fields.one("resource") or not fields.one("name"):
        raise RefusedError(400, "Which object?", "Choose one in the log: its name leads to it.")
    return fields.one("group"), fields.one("resource"), fields.one("namespace"), fields.one("name")


def _at(asked: Asked) -> tuple[str | None, str]:
    text = asked.fields.one("at")
    try:
        return (moment(text, asked.now) if text else None), ""
    except DecklogError as error:
        return None, str(error)


def _briefly(known: Any) -> Any:
    """Leave all but the last few later writes out of what is said."""
    return replace(known, later=known.later[-3:]) if len(known.later) > 3 else known


def _deeds(shown: list[Entry], here: str, asked: Asked, times: list[str]) -> Iterator[Deed]:
    first, last = min(times, default=""), max(times, default="")
    room = ROOM
    for entry in reversed(shown[-SHOWN_ENTRIES:]):
        row = entry.row
        changes = entry.changes if not entry.failed else ()
        differences = tuple(_fitting(map(_difference, changes[:SHOWN_CHANGES]), room))
        room -= sum(map(_room_of, differences))
        yield Deed(
            request=row,
            words=_words(entry),
            kind=_kind(entry),
            differences=differences,
            more=len(changes) - len(differences),
            notes=tuple(_notes(entry)),
            href=links.to_request(row.audit_id, row.time),
            then=_with(here, asked, "at", _ended(row), fragment="manifest"),
            place=_place(row.time, first, last),
        )


def _ended(row: Row) -> str:
    """Give when the effect of a request was there, about: its receipt and what it took."""
    try:
        when = datetime.fromisoformat(row.time or "").astimezone(UTC)
    except ValueError:
        return ""
    return microtime(when + timedelta(seconds=row.duration_seconds or 0))


def _place(time: str | None, first: str, last: str) -> float:

    whole = seconds_between(first, last)
    part = seconds_between(first, time)
    return round(1000 * part / whole, 1) if whole and part is not None else 500.0


def _with(here: str, asked: Asked, name: str, value: str, fragment: str = "") -> str:
    """Give the address of this object with another field."""
    path, _, query = here.partition("?")
    named = asked.fields.parse(query)
    kept = asked.fields.only(("at", "attempts", "cluster")).without(name)
    return links.to(path, [*named, *kept, (name, value)], fragment)


def _words(entry: Entry) -> str:
    row = entry.row
    if entry.failed:
        return f"tried to {row.verb}{f' {row.subresource} of' if row.subresource else ''} it ({row.result})"
    return entry.did


def _kind(entry: Entry) -> str:
    if entry.failed:
        return f"tried {outcome(entry.row)}"
    if entry.row.verb in {"delete", "deletecollection"} or entry.row.subresource == "eviction":
        return "deleted"
    return "created" if entry.row.verb == "create" and not entry.row.subresource else "changed"


def _fitting(differences: Iterable[Difference], room: int) -> Iterator[Difference]:
    """Pass on what finds room on the page."""
    for one in differences:
        room -= _room_of(one)
        if room < 0:
            return
        yield one


def _room_of(one: Difference) -> int:
    return _MARKUP + len(one.path) + len(one.old) + len(one.new)


def _difference(change: Change) -> Difference:
    sign = "-" if change.removed else "+" if change.added else "~"
    old = "" if change.added else "?" if change.unknown else _value(change.old)
    return Difference(sign, change.path, old, "" if change.removed else _value(change.new))


def _value(value: Any) -> str:
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"


def _notes(entry: Entry) -> Iterator[str]:
    if entry.failed:
        return
    if entry.told_by == PATCH and entry.changes:
        yield "by what was sent"
    if entry.told_by == NOTHING and not entry.deed.startswith(("created", "deleted", "evicted", "scheduled")):
        yield "no body is in the log: what changed is not known"
    elif not entry.changes and entry.told_by not in {BODY, NOTHING}:
        yield "nothing that people set has changed"
    if entry.note:
        yield entry.note


def _typed(group: str, resource: str) -> str:
    return f"{resource}.{group}"


def _namespace_field(namespace: str) -> list[tuple[str, str]]:
    return [("namespace", namespace or "-*")]


def _commands(asked: Asked, group: str, resource: str, namespace: str, name: str) -> Iterator[str]:
    kind = f"{resource}.{group}" if group else resource
    where = ("-n", namespace) if namespace else ()
    at = ("--at", asked.fields.one("at")) if asked.fields.one("at") else ()
    yield links.command(("decklog", "history", f"{kind}/{name}", *where, *asked.data.arguments))
    yield links.command(("decklog", "get", f"{kind}/{name}", *where, *at, *asked.data.arguments))


PAGE: Final = Page(PATH, "object.html", make, "", deep=True)
