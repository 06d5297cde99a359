"""Manifest: an object as the log last shows it at a time, with where that was read, and what changed it afterwards.

What the log does not show is said, never made up: a patch without an answer is not applied to an older version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from decklog.ask.bodies import RESPONSE, Whole, succeeded, wholes, without_managed_fields
from decklog.ask.controllers import deletes
from decklog.ask.history import WRITES
from decklog.ask.moments import readable
from decklog.ask.rows import Row, is_dry_run, row
from decklog.ask.words import past
from decklog.audit.query import object_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from decklog.ask.bodies import Document
    from decklog.ask.history import Target
    from decklog.ask.requests import Request


class Provenance(Struct, frozen=True, rename="camel"):
    """Where a manifest was read."""

    request: Row
    stage: str
    body: str
    """``response`` or ``request``."""
    file: str
    line: int


class Later(Struct, frozen=True, omit_defaults=True):
    """A write after the body that is shown, of which no whole body is in the log."""

    request: Row
    deed: str
    sure: bool = True
    """False: a collective deletion that may have spared the object."""


class Manifest(Struct, frozen=True, rename="camel"):
    """What is known of an object at a time."""

    document: Document | None
    provenance: Provenance | None
    later: tuple[Later, ...]
    """In time order; if there is no document, all writes that are known."""
    gone: bool
    """It was deleted by then, or was being deleted; the document is what it was before."""


def manifest(
    requests: Iterable[Request], target: Target, at: str | None = None, *, managed_fields: bool = False
) -> Manifest:
    """Give the object `target` as last seen at or before `at` (MicroTime; None: at the end of the log)."""
    latest: tuple[str, Whole] | None = None
    marks: list[_Mark] = []
    for request in requests:
        event = request.latest.event
        time = event.stage_timestamp or ""
        if (at is not None and time > at) or not succeeded(request) or is_dry_run(event):
            continue
        whole = next(wholes(request, target.name, target.namespace), None)
        if whole is not None and (latest is None or time >= latest[0]):
            latest = time, whole
        if event.verb in WRITES or whole is not None:
            marks.append(_mark(time, request, whole))
    marks.sort(key=lambda mark: mark.time)
    since = latest[0] if latest else ""
    later = tuple(mark.later for mark in marks if mark.later is not None and mark.time >= since)
    gone = next((mark.gone for mark in reversed(marks) if mark.gone is not None), False)
    if latest is None:
        return Manifest(None, None, later, gone)
    document = latest[1].document if managed_fields else without_managed_fields(latest[1].document)
    return Manifest(document, _provenance(latest[1]), later, gone)


class _Mark(Struct, frozen=True):
    """What one request did: bodies are not kept, so that objects that are written all the time take little memory."""

    time: str
    later: Later | None
    """It left no body, or it deleted."""
    gone: bool | None
    """None: it does not tell whether the object is there."""


def _mark(time: str, request: Request, whole: Whole | None) -> _Mark:
    event = request.latest.event
    subresource = event.object_ref.subresource if event.object_ref else ""
    named = bool(object_name(event)) or whole is not None
    if deletes(event):
        return _Mark(time, _later(request, sure=named), named or None)
    is_there = whole is not None or (event.verb == "create" and not subresource)
    return _Mark(time, _later(request, sure=named) if whole is None else None, False if is_there else None)


def _later(request: Request, *, sure: bool) -> Later:
    found = row(request)
    return Later(found, past(found.verb, found.subresource), sure)


def _provenance(whole: Whole) -> Provenance:
    seen = whole.seen
    return Provenance(row(whole.request), seen.event.stage, whole.body, seen.file, seen.number)


def said(found: Manifest, name: str) -> list[str]:
    """Say in sentences where the manifest comes from, and what it does not tell. The text is foreign: escape it."""
    sentences = [_source(found.provenance)] if found.provenance else [_nothing(found, name)]
    if found.gone:
        sentences.append("The object was deleted by then; this is what it was before." if found.document else "")
    when = "Afterwards: " if found.document is not None else ""
    shown = found.provenance.request if found.provenance else None
    for later in found.later:
        if later.request == shown:  # a deletion whose answer shows the object has been told
            continue
        where = f"{later.request.file}:{later.request.line}"
        what = f"{later.deed} it" if later.request.name else f"{later.deed} its kind, and maybe it,"
        sentences.append(f"{when}{later.request.who} {what} at {readable(later.request.time)} UTC ({where}).")
    return [sentence for sentence in sentences if sentence]


def _source(provenance: Provenance) -> str:
    request = provenance.request
    body = "as the server answered" if provenance.body == RESPONSE else "as it was sent, without what the server adds"
    return (
        f"From {provenance.file}:{provenance.line} ({provenance.stage} of request {request.audit_id}): "
        f"{request.who} {past(request.verb, request.subresource)} it at {readable(request.time)} UTC; {body}."
    )


def _nothing(found: Manifest, name: str) -> str:
    if not found.later:
        return f"Nothing is known of {name} at that time: no request in the log shows or changes it."
    return f"No body of {name} is in the log at that time, only what was done to it:"
