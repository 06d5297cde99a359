"""Narrowed: a Query over events of which only a few fields are decoded (`ask.usual`), asking nothing but what it asks.

It passes what Query passes; a test holds the two against each other. What it makes of a value it remembers, since most
values come again and again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Self

from msgspec.structs import asdict

from decklog.audit.event import ObjectReference
from decklog.audit.query import Query, admits, field_manager

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    Get = Callable[[Any], Hashable]
    """Takes an Event, or a Slim with the same names."""
    Passes = Callable[[Any], bool]

_REMEMBERED: Final = 10_000
_NOTHING: Final = ObjectReference()


def _code(event: Any) -> int:
    return event.response_status.code if event.response_status else 0


def _resource(event: Any) -> ObjectReference:
    ref = event.object_ref or _NOTHING
    return ObjectReference(ref.resource, api_group=ref.api_group, subresource=ref.subresource)


_LASTING: Final[dict[str, tuple[Get, str]]] = {
    "verbs": (lambda event: event.verb, ""),
    "resources": (_resource, "object_ref"),
    "subresources": (lambda event: (event.object_ref or _NOTHING).subresource, "object_ref"),
    "users": (lambda event: event.user.username, ""),
    "user_agents": (lambda event: event.user_agent, "user_agent"),
    "field_managers": (field_manager, ""),
    "paths": (lambda event: event.request_uri.partition("?")[0], ""),
}
"""What is the same at every stage of a request: field of a Query → what it asks about, and what of `usual.OPTIONAL`."""
_PASSING: Final[dict[str, tuple[Get, str]]] = {
    "namespaces": (lambda event: (event.object_ref or _NOTHING).namespace, "object_ref"),
    "codes": (_code, "response_status"),
    "stages": (lambda event: event.stage, ""),
    "levels": (lambda event: event.level, ""),
}
_TIMES: Final = frozenset(("since", "until", "after"))


class Narrowed:
    """The filter."""

    def __init__(self, query: Query, asked: frozenset[str]) -> None:
        self._since, self._after, self._until = query.since, query.after, query.until
        self._lasting = _all_of(query, _LASTING, asked)
        self._passing = _all_of(query, _PASSING, asked)
        self.fields = frozenset({**_LASTING, **_PASSING}[name][1] for name in asked - _TIMES) - {""}
        """Of `usual.OPTIONAL`."""

    @classmethod
    def of(cls, query: Query) -> Self | None:
        """Narrow a Query; None if it asks about what a Slim never has."""
        nothing = asdict(Query())
        asked = frozenset(name for name, value in asdict(query).items() if value != nothing[name])
        return cls(query, asked) if asked <= {*_LASTING, *_PASSING, *_TIMES} else None

    def lasting(self, event: Any) -> bool:
        """Do as Query does."""
        received = event.request_received_timestamp or ""
        if self._until is not None and not "" < received < self._until:
            return False
        if self._after is not None and not received >= self._after > "":
            return False
        return self._lasting is None or self._lasting(event)

    def matches(self, event: Any) -> bool:
        """Do as Query does."""
        if not self.lasting(event):
            return False
        if self._since is not None:
            last = event.stage_timestamp or event.request_received_timestamp or ""
            if not last >= self._since > "":
                return False
        return self._passing is None or self._passing(event)


def _all_of(query: Query, table: dict[str, tuple[Get, str]], asked: frozenset[str]) -> Passes | None:
    """Make one function of what is asked; None if nothing is."""
    tests = [_remembering(get, getattr(query, name)) for name, (get, _) in table.items() if name in asked]
    if len(tests) < 2:
        return tests[0] if tests else None
    return lambda event: all(passes(event) for passes in tests)


def _remembering(get: Get, patterns: Sequence[Any]) -> Passes:
    known: dict[Hashable, bool] = {}

    def passes(event: Any) -> bool:
        value = get(event)
        found = known.get(value)
        if found is None:
            if len(known) >= _REMEMBERED:
                known.clear()
            found = known[value] = admits(patterns, value)
        return found

    return passes
