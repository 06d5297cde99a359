"""The cluster behind the store: every write goes through here, and what depends on it follows.

Lives here: `Cluster`, with creation, writing and removal and what hangs on them (owners, namespaces, finalizers), and
the queue of what controllers have to look at after a write. The controllers themselves are in `controllers`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from decklog.sandbox import defaults, fields, times
from decklog.sandbox import resources as known
from decklog.sandbox.controllers import Controllers, letters
from decklog.sandbox.documents import copied, count, dicts, dig, text
from decklog.sandbox.objects import without_status
from decklog.sandbox.resources import Resource

if TYPE_CHECKING:
    from collections.abc import Callable

    from decklog.sandbox.objects import Object
    from decklog.sandbox.store import Store
    from decklog.sandbox.times import Clock

Place = tuple[Resource, str, str]
"""(resource, namespace, name) of an object that has to be looked at."""


class Cluster:
    """Writes objects, and lets everything that depends on them follow."""

    def __init__(self, store: Store, clock: Clock, new_id: Callable[[], str]) -> None:
        self.store = store
        self._clock = clock
        self._new_id = new_id
        self._pending: dict[Place, None] = {}
        self._settling = False
        self._controllers = Controllers(self)

    def now(self) -> str:
        """Tell the time as metadata has it."""
        return times.stamp(self._clock())

    def suffix(self) -> str:
        """Make the five characters that follow a generateName."""
        return letters(self._new_id(), 5)

    def prepare(self, resource: Resource, value: Object) -> None:
        """Add to a new object what the server gives it: uid, time, generation, and the defaults of its kind.

        Raises Malformed for a Secret whose data is not base64.
        """
        metadata = value["metadata"]
        metadata.setdefault("uid", self._new_id())
        metadata.setdefault("creationTimestamp", self.now())
        if resource.generation:
            metadata.setdefault("generation", 1)
        if resource.subresource("status") is not None:
            value.setdefault("status", {})
        defaults.complete(resource, value, None)

    def create(self, resource: Resource, value: Object) -> Object:
        """Make an object as a controller would."""
        self.prepare(resource, value)
        by = fields.Owner("kube-controller-manager", "Update", resource.group_version, "", self.now(), frozenset())
        owners = fields.updated(None, without_status(value), by)
        return self.write(resource, fields.with_owners(value, owners))

    def write(self, resource: Resource, value: Object) -> Object:
        """Write an object and let the cluster follow; answers it as it was written, before the cluster did."""
        kept = self.store.put(resource, value)
        self._touch(resource, kept)
        self._settle()
        return kept

    def delete(self, resource: Resource, value: Object, *, grace_s: int = 0, orphan: bool = False) -> Object:
        """Delete an object as a request does; answers its last state.

        Pods, namespaces and what a finalizer holds are first marked as being deleted, so that a watch sees it.
        """
        lingers = resource in {known.PODS, known.NAMESPACES} or dig(value, "metadata", "finalizers")
        if not lingers:
            return self.remove(resource, value, orphan=orphan)
        marked = self._marked(resource, value, grace_s)
        self.release(resource, marked, orphan=orphan)
        return marked

    def release(self, resource: Resource, value: Object, *, orphan: bool = False) -> None:
        """Remove a marked object that no finalizer holds; a namespace also waits for its content."""
        if dig(value, "metadata", "finalizers"):
            return
        if resource is known.NAMESPACES:
            self._touch(resource, value)
            self._settle()
        else:
            self.remove(resource, value, orphan=orphan)

    def remove(self, resource: Resource, value: Object, *, orphan: bool = False) -> Object:
        """Remove an object there and then, with what it owns; answers its last state."""
        last = self.store.delete(resource, value)
        self._collect(last["metadata"]["uid"], orphan=orphan)
        self._touch(resource, last)
        self._settle()
        return last

    def _marked(self, resource: Resource, value: Object, grace_s: int) -> Object:
        if dig(value, "metadata", "deletionTimestamp"):
            return value
        marked = copied(value)
        metadata = marked["metadata"]
        metadata["deletionTimestamp"] = self.now()
        if resource is known.NAMESPACES:
            marked["status"] = {"phase": "Terminating"}
        else:
            metadata["deletionGracePeriodSeconds"] = grace_s
        if resource.generation:
            metadata["generation"] = count(metadata, "generation") + 1
        return self.store.put(resource, marked)

    def _touch(self, resource: Resource, value: Object) -> None:
        namespace = text(value, "metadata", "namespace")
        self._pending[resource, namespace, text(value, "metadata", "name")] = None
        for reference in dicts(value, "metadata", "ownerReferences"):
            row = known.BY_KIND.get((text(reference, "apiVersion"), text(reference, "kind")))
            if row is not None and reference.get("controller") is True:
                self._pending[row, namespace, text(reference, "name")] = None
        home = self.store.get(known.NAMESPACES, "", namespace) if namespace else None
        if dig(home, "metadata", "deletionTimestamp"):
            self._pending[known.NAMESPACES, "", namespace] = None

    def _settle(self) -> None:
        if self._settling:
            return
        self._settling = True
        try:
            while self._pending:
                place = next(iter(self._pending))
                del self._pending[place]
                self._controllers.reconcile(*place)
        finally:
            self._settling = False

    def _collect(self, uid: str, *, orphan: bool) -> None:
        for value in self.store.everything():
            references = dicts(value, "metadata", "ownerReferences")
            kept = [reference for reference in references if reference.get("uid") != uid]
            if len(kept) == len(references):
                continue
            resource = known.BY_KIND[value["apiVersion"], value["kind"]]
            if orphan or kept:
                self.write(resource, {**value, "metadata": {**value["metadata"], "ownerReferences": kept}})
            elif not dig(value, "metadata", "deletionTimestamp"):
                self.delete(resource, value)
