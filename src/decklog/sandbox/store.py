"""The store: every object, one counter of changes, and the changes themselves for as long as they are remembered.

Lives here: what etcd and the watch cache are to kube-apiserver. Objects go in and come out as JSON values that nobody
changes afterwards (`documents.copied` first). Every write takes the next resourceVersion; a watch follows the changes
by that number, so that no watcher needs a queue of its own and a slow one costs no memory: it is told 410 instead.
Everything is in memory and gone at exit.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from decklog.sandbox.objects import Object, ordered
from decklog.sandbox.status import expired

if TYPE_CHECKING:
    from collections.abc import Iterator

    from decklog.sandbox.resources import Resource

REMEMBERED_CHANGES: Final = 2000
"""How many changes a watch may lag behind."""


@dataclass(frozen=True, slots=True)
class Change:
    """One write: what `value` became (DELETED: was last), and what it was before."""

    version: int
    type: str
    """ADDED, MODIFIED or DELETED."""
    resource: Resource
    value: Object
    previous: Object | None


class Store:
    """Objects by resource, namespace and name."""

    def __init__(self, remembered: int = REMEMBERED_CHANGES) -> None:
        self.version = 1
        """The latest resourceVersion given."""
        self._objects: dict[tuple[str, str], dict[tuple[str, str], Object]] = {}
        self._changes: deque[Change] = deque(maxlen=remembered)
        self._waiting: set[asyncio.Future[None]] = set()

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """Find one object; `namespace` is empty for cluster-wide resources."""
        return self._table(resource).get((namespace, name))

    def objects(self, resource: Resource, namespace: str | None = None) -> list[Object]:
        """List a resource's objects by namespace and name; `None` is every namespace."""
        table = self._table(resource)
        return [table[key] for key in sorted(table) if namespace is None or key[0] == namespace]

    def everything(self) -> Iterator[Object]:
        """Walk every object of every resource, over a snapshot."""
        return iter([value for table in self._objects.values() for value in table.values()])

    def put(self, resource: Resource, value: Object) -> Object:
        """Keep `value`, new or instead of its predecessor; answers it with its resourceVersion."""
        key = _key(value)
        previous = self._table(resource).get(key)
        kept = self._numbered(value)
        self._table(resource)[key] = kept
        self._record(Change(self.version, "MODIFIED" if previous else "ADDED", resource, kept, previous))
        return kept

    def delete(self, resource: Resource, value: Object) -> Object:
        """Forget an object; answers its last state, with the resourceVersion of the deletion."""
        previous = self._table(resource).pop(_key(value))
        last = self._numbered(previous)
        self._record(Change(self.version, "DELETED", resource, last, previous))
        return last

    def changes_after(self, version: int) -> list[Change]:
        """List what happened after `version`. Raises ApiError (410) when that is no longer remembered."""
        oldest = self._changes[0].version if self._changes else self.version + 1
        if version + 1 < oldest:
            raise expired(f"too old resource version: {version} ({oldest - 1})")
        # Versions count up by one, so a change's place follows from its number.
        return [self._changes[place] for place in range(max(version + 1 - oldest, 0), len(self._changes))]

    async def beyond(self, version: int) -> None:
        """Wait until something happens after `version`."""
        while self.version <= version:
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.add(waiting)
            try:
                await waiting
            finally:
                self._waiting.discard(waiting)

    def _table(self, resource: Resource) -> dict[tuple[str, str], Object]:
        return self._objects.setdefault((resource.group, resource.plural), {})

    def _numbered(self, value: Object) -> Object:
        self.version += 1
        return ordered({**value, "metadata": {**value["metadata"], "resourceVersion": str(self.version)}})

    def _record(self, change: Change) -> None:
        self._changes.append(change)
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)


def _key(value: Object) -> tuple[str, str]:
    metadata = value["metadata"]
    return metadata.get("namespace", ""), metadata["name"]
