"""Reading: get, list and watch.

Lives here: `Reads`, with pages, selectors and resource versions, and the stream of a watch. Lists show what is there
now: an older resourceVersion is answered as expired, and the pages of a list are not frozen between requests.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from decklog.sandbox import negotiation
from decklog.sandbox import status as errors
from decklog.sandbox.documents import text, to_json
from decklog.sandbox.http import Answer, Stream
from decklog.sandbox.objects import listed
from decklog.sandbox.selectors import Selector, selector
from decklog.sandbox.submitted import whole_number
from decklog.sandbox.table import partial, table

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from decklog.sandbox.http import Request
    from decklog.sandbox.negotiation import Accepted
    from decklog.sandbox.objects import Object
    from decklog.sandbox.resources import Resource
    from decklog.sandbox.routing import Route
    from decklog.sandbox.store import Change, Store
    from decklog.sandbox.times import Clock

WATCH_LIMIT_S: Final = 1800
"""How long a watch goes on that names no end."""
BOOKMARK_INTERVAL_S: Final = 60


class Reads:
    """The reading verbs over a store."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def existing(self, resource: Resource, namespace: str, name: str) -> Object:
        """Find an object. Raises ApiError (404)."""
        value = self._store.get(resource, namespace, name)
        if value is None:
            raise errors.not_found(resource, name)
        return value

    def get(self, request: Request, route: Route) -> Answer:
        """GET of an object."""
        self._check_version(request)
        return Answer(200, self.existing(route.resource, route.namespace, route.name), route.resource)

    def collection(self, request: Request, route: Route) -> Answer:
        """GET of a collection."""
        return Answer(200, self.listing(request, route), route.resource)

    def listing(self, request: Request, route: Route) -> Object:
        """List a collection as the request narrows it: selectors, limit and continue."""
        version = self._check_version(request)
        match = request.first("resourceVersionMatch")
        _check_match(match, given=bool(request.first("resourceVersion")), paging="continue" in request.query)
        if match == "Exact" and version != self._store.version:
            raise errors.expired(
                f"The provided resourceVersion is too old: {version}: the sandbox keeps the latest only"
            )
        wanted = _selector(request, route)
        after, at = _continued(request.first("continue"))
        found = [value for value in self._candidates(route) if _sort_key(value) > after and wanted.matches(value)]
        limit = whole_number(request, "limit")
        page = found[:limit] if limit > 0 else found
        metadata: dict[str, Any] = {"resourceVersion": str(at or self._store.version)}
        if len(page) < len(found):
            metadata["continue"] = _continue(page[-1], at or self._store.version)
            if wanted.empty:
                metadata["remainingItemCount"] = len(found) - len(page)
        return {
            "kind": route.resource.list_kind,
            "apiVersion": route.resource.group_version,
            "metadata": metadata,
            "items": [listed(value) for value in page],
        }

    def watch(self, request: Request, route: Route) -> Stream:
        """GET with ``?watch=1``: the changes as they come. Raises ApiError before the stream begins."""
        accepted = negotiation.negotiate(request.header(b"accept"), watch=True)
        version = self._check_version(request)
        begin = request.flag("sendInitialEvents")
        _check_match(
            request.first("resourceVersionMatch"), given=begin or bool(request.first("resourceVersion")), paging=False
        )
        limit = whole_number(request, "timeoutSeconds")
        watch = _Watch(
            route,
            _selector(request, route),
            accepted,
            request.first("includeObject", "Metadata"),
            bookmarks=request.flag("allowWatchBookmarks"),
            initial=begin or not version,
            marks_initial=begin,
            limit_s=limit if limit > 0 else WATCH_LIMIT_S,
        )
        return Stream(negotiation.JSON, self._stream(watch, version or 0))

    def _candidates(self, route: Route) -> list[Object]:
        if route.name:
            value = self._store.get(route.resource, route.namespace, route.name)
            return [] if value is None else [value]
        return self._store.objects(route.resource, route.namespace or None)

    def _check_version(self, request: Request) -> int:
        given = request.first("resourceVersion")
        if not given:
            return 0
        if not (given.isascii() and given.isdigit() and len(given) < 20):
            message = f'resourceVersion: Invalid value: "{given}": strconv.ParseUint: parsing "{given}": invalid syntax'
            raise errors.ApiError(500, "", message)
        if int(given) > self._store.version:
            raise errors.timed_out(int(given), self._store.version)
        return int(given)

    async def _stream(self, watch: _Watch, version: int) -> AsyncGenerator[bytes, None]:
        frames = _Frames(watch, self._clock)
        if watch.initial:
            version = self._store.version
            for value in self._candidates(watch.route):
                if watch.wanted.matches(value):
                    yield frames.event("ADDED", value)
            if watch.marks_initial and watch.bookmarks:
                yield frames.bookmark(version, initial=True)
        loop = asyncio.get_running_loop()
        end, bookmark = loop.time() + watch.limit_s, loop.time() + BOOKMARK_INTERVAL_S
        while loop.time() < end:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._store.beyond(version), max(min(end, bookmark) - loop.time(), 0))
            try:
                changes = self._store.changes_after(version)
            except errors.ApiError as error:
                yield frames.error(error)
                return
            for change in changes:
                version = change.version
                for kind, value in watch.seen(change):
                    yield frames.event(kind, value)
            if watch.bookmarks and loop.time() >= bookmark:
                bookmark = loop.time() + BOOKMARK_INTERVAL_S
                yield frames.bookmark(version)


@dataclass(frozen=True, slots=True)
class _Watch:
    """What one watch asked for."""

    route: Route
    wanted: Selector
    accepted: Accepted
    include: str
    bookmarks: bool
    initial: bool
    """Begin with what is there."""
    marks_initial: bool
    """Tell with a bookmark where that ends."""
    limit_s: float

    def seen(self, change: Change) -> Iterator[tuple[str, Object]]:
        """Tell how a change looks through the selectors: what begins to match is added, what ceases to is deleted."""
        if (change.resource.group, change.resource.plural) != (self.route.resource.group, self.route.resource.plural):
            return
        now = change.type != "DELETED" and self._matches(change.value)
        before = change.previous is not None and self._matches(change.previous)
        if now:
            yield ("MODIFIED" if before else "ADDED"), change.value
        elif before:
            yield "DELETED", change.value

    def _matches(self, value: Object) -> bool:
        route, metadata = self.route, value["metadata"]
        return (
            (not route.namespace or metadata.get("namespace") == route.namespace)
            and (not route.name or metadata["name"] == route.name)
            and self.wanted.matches(value)
        )


class _Frames:
    """Renders the events of one watch, as lines of JSON."""

    def __init__(self, watch: _Watch, clock: Clock) -> None:
        self._watch = watch
        self._clock = clock
        self._headed = True

    def event(self, kind: str, value: Object) -> bytes:
        """Render a change."""
        accepted, resource = self._watch.accepted, self._watch.route.resource
        if accepted.convert == "Table":
            value = table(
                resource,
                value,
                now=self._clock(),
                include=self._watch.include,
                version=accepted.version,
                headed=self._headed,
            )
            self._headed = False
        elif accepted.convert:
            value = partial(value, accepted.version)
        return to_json({"type": kind, "object": value})

    def bookmark(self, version: int, *, initial: bool = False) -> bytes:
        """Render a bookmark: how far the watch has come."""
        metadata: dict[str, Any] = {"resourceVersion": str(version)}
        if initial:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        resource = self._watch.route.resource
        value: Object = {"kind": resource.kind, "apiVersion": resource.group_version, "metadata": metadata}
        if self._watch.accepted.convert == "Table":
            kind = {"kind": "Table", "apiVersion": f"meta.k8s.io/{self._watch.accepted.version}"}
            value = {**kind, "metadata": metadata, "columnDefinitions": None, "rows": []}
        elif self._watch.accepted.convert:
            value = partial(value, self._watch.accepted.version)
        return to_json({"type": "BOOKMARK", "object": value})

    def error(self, error: errors.ApiError) -> bytes:
        """Render the end of a watch that fell too far behind."""
        return to_json({"type": "ERROR", "object": error.status()})


def _selector(request: Request, route: Route) -> Selector:
    return selector(route.resource, request.first("labelSelector"), request.first("fieldSelector"))


def _sort_key(value: Object) -> tuple[str, str]:
    return text(value, "metadata", "namespace"), text(value, "metadata", "name")


def _continue(last: Object, version: int) -> str:
    token = {"v": "meta.k8s.io/v1", "rv": version, "start": "/".join(_sort_key(last))}
    return base64.urlsafe_b64encode(json.dumps(token).encode()).decode().rstrip("=")


def _continued(token: str) -> tuple[tuple[str, str], int]:
    if not token:
        return ("", ""), 0
    try:
        found = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        namespace, _, name = found["start"].partition("/")
        return (namespace, name), int(found["rv"])
    except (binascii.Error, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise errors.bad_request("continue key is not valid: it is not one that this server gave") from None


def _check_match(match: str, *, given: bool, paging: bool) -> None:
    problems = []
    if match and not given:
        detail = "resourceVersionMatch is forbidden unless resourceVersion is provided"
        problems.append(errors.forbidden_value("resourceVersionMatch", detail))
    if match and paging:
        problems.append(
            errors.forbidden_value(
                "resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided"
            )
        )
    if match not in {"", "Exact", "NotOlderThan"}:
        problems.append(errors.unsupported_value("resourceVersionMatch", f'"{match}"', ("Exact", "NotOlderThan", "")))
    if problems:
        raise errors.invalid("meta.k8s.io", "ListOptions", "", problems)
