"""Traffic: a recorded log, counted by kind of request: what `suggest` looks at. Memory does not grow with the log.

People are one identity here, whatever their names: nobody suggests not to record what a person does, and so nobody
needs to tell them apart. Components are those whose names Kubernetes reserves (``system:…``); nodes are one group.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from decklog.audit.event import Stage
from decklog.policy.recorded import WireError, path_of, read

if TYPE_CHECKING:
    from collections.abc import Iterable

    from decklog.policy.recorded import Recorded

PEOPLE: Final = ""
NODES: Final = "system:nodes"
ANONYMOUS: Final = "system:anonymous"
KEPT_KINDS: Final = 50_000
_RECEIVED: Final = Stage.REQUEST_RECEIVED.value
_OPENSHIFT_ADMIN: Final = "system:admin"
"""OpenShift's name for whoever holds the installer's kubeconfig: a person."""
_REFUSED: Final = frozenset({401, 403})


class Kind(Struct, frozen=True, gc=False):
    """What a rule can tell apart, as far as noise goes."""

    who: str
    """A component, `NODES`, `ANONYMOUS`, or `PEOPLE`."""
    verb: str
    api_group: str
    resource: str
    subresource: str
    path: str
    """Of a request that is about no resource; else empty."""


class Count(Struct, gc=False):
    """How much there is of a kind."""

    events: int = 0
    bytes: int = 0
    refused: int = 0
    """Answers 401 and 403 among them."""


class Traffic:
    """Takes lines and counts them."""

    def __init__(self) -> None:
        self.kinds: dict[Kind, Count] = {}
        self.total = Count()
        self.received = Count()
        """Events at stage RequestReceived."""
        self.with_bodies = 0
        """Events that hold a body."""
        self.unreadable = 0
        self.uncounted = 0
        """Events of kinds past the first `KEPT_KINDS`: they are in the totals only."""
        self.first: str | None = None
        self.last: str | None = None

    def extend(self, lines: Iterable[bytes]) -> None:
        """Take lines, each an event without its line feed; one in which none is found is counted as that."""
        for line in lines:
            try:
                event = read(line)
            except WireError:
                self.unreadable += 1
                continue
            self._add(event, len(line) + 1)

    def _add(self, event: Recorded, size: int) -> None:
        _count(self.total, event, size)
        if event.stage == _RECEIVED:
            _count(self.received, event, size)
        if len(event.request_object) or len(event.response_object):
            self.with_bodies += 1
        time = event.stage_timestamp
        if time:
            self.first = time if self.first is None else min(self.first, time)
            self.last = time if self.last is None else max(self.last, time)
        count = self._count_of(_kind(event))
        if count is None:
            self.uncounted += 1
        else:
            _count(count, event, size)

    def _count_of(self, kind: Kind) -> Count | None:
        count = self.kinds.get(kind)
        if count is None and len(self.kinds) < KEPT_KINDS:
            count = self.kinds[kind] = Count()
        return count


def _count(count: Count, event: Recorded, size: int) -> None:
    count.events += 1
    count.bytes += size
    if event.response_status is not None and event.response_status.code in _REFUSED:
        count.refused += 1


def _kind(event: Recorded) -> Kind:
    ref, who = event.object_ref, _who(event)
    if ref is None:
        return Kind(who, event.verb, "", "", "", path_of(event.request_uri))
    return Kind(who, event.verb, ref.api_group, ref.resource, ref.subresource, "")


def _who(event: Recorded) -> str:
    name = event.user.username
    if not name.startswith("system:") or name == _OPENSHIFT_ADMIN:
        return PEOPLE
    return NODES if NODES in event.user.groups else name
