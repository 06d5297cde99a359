"""Writing: create, update, patch, apply, delete and deletecollection, in the order of steps of a real server.

Lives here: `Writes`. Every step that can refuse comes before anything is changed; a dry run stops right before the
change and answers what it would have been.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from decklog.sandbox import apply, defaults, fields, negotiation, validation
from decklog.sandbox import resources as known
from decklog.sandbox import status as errors
from decklog.sandbox.documents import Malformed, copied, count, dig, from_json, from_yaml, go_type, text
from decklog.sandbox.http import Answer
from decklog.sandbox.objects import comparable, desired, ordered, without_status
from decklog.sandbox.patch import Rejected, json_patch, merge_patch
from decklog.sandbox.shapes import conform
from decklog.sandbox.strategic import strategic_merge
from decklog.sandbox.submitted import DeleteOptions, WriteOptions, checked, delete_options, submitted, write_options

if TYPE_CHECKING:
    from decklog.sandbox.cluster import Cluster
    from decklog.sandbox.grants import Grants
    from decklog.sandbox.http import Request
    from decklog.sandbox.objects import Object
    from decklog.sandbox.reads import Reads
    from decklog.sandbox.resources import Resource
    from decklog.sandbox.routing import Route

_KEPT_METADATA: Final = (
    "name",
    "generateName",
    "namespace",
    "uid",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)
"""What an update cannot change."""
_PROTECTED_NAMESPACES: Final = frozenset({"default", "kube-system", "kube-public"})


class Writes:
    """The writing verbs over a cluster."""

    def __init__(self, cluster: Cluster, reads: Reads, grants: Grants) -> None:
        self._cluster = cluster
        self._store = cluster.store
        self._reads = reads
        self._grants = grants

    async def create(self, request: Request, route: Route) -> Answer:
        """POST to a collection."""
        options = write_options(request, "CreateOptions")
        value = await submitted(request, route.resource, options)
        return Answer(201, self._create(request, route, value, options, "Update"), route.resource)

    async def update(self, request: Request, route: Route) -> Answer:
        """PUT of an object, or of its status."""
        options = write_options(request, "UpdateOptions")
        new = await submitted(request, route.resource, options)
        live = self._reads.existing(route.resource, route.namespace, route.name)
        value = self.replace(request, route, live, new, options)
        return Answer(200, value, route.resource)

    async def patch(self, request: Request, route: Route) -> Answer:
        """PATCH of an object or its status, in any of the four forms."""
        kind = negotiation.patch_type(request.header(b"content-type"))
        options = write_options(request, "PatchOptions", apply=kind == negotiation.APPLY_PATCH)
        body = await request.body()
        if kind == negotiation.APPLY_PATCH:
            return self._apply(request, route, body, options)
        live = self._reads.existing(route.resource, route.namespace, route.name)
        new = self.patched(request, live, body, kind, options)
        return Answer(200, self.replace(request, route, live, new, options), route.resource)

    async def delete(self, request: Request, route: Route) -> Answer:
        """DELETE of an object: a Status, or the object where it lingers or where its kind answers it."""
        options = await delete_options(request)
        live = self._reads.existing(route.resource, route.namespace, route.name)
        self._check_deletion(route.resource, live, options)
        last = self.remove(route.resource, live, options)
        lingering = "deletionTimestamp" in last["metadata"]
        if lingering or route.resource.returns_deleted:
            return Answer(200, last, route.resource)
        details = errors.details(route.resource, route.name, text(live, "metadata", "uid"))
        return Answer(200, errors.success(details))

    async def delete_collection(self, request: Request, route: Route) -> Answer:
        """DELETE of a collection: the list of what was deleted."""
        options = await delete_options(request)
        found = self._reads.listing(request, route)
        for item in found["items"]:
            live = self._store.get(route.resource, text(item, "metadata", "namespace"), text(item, "metadata", "name"))
            # Taking one away may have taken others along, as their owner.
            if live is not None:
                self.remove(route.resource, live, options)
        return Answer(200, found, route.resource)

    def remove(self, resource: Resource, live: Object, options: DeleteOptions) -> Object:
        """Delete an object, or answer how it would look; marks it first where it will linger."""
        wait = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}.get(options.policy)
        grace = options.grace_s if options.grace_s is not None else count(live, "spec", "terminationGracePeriodSeconds")
        if options.dry_run:
            return self._as_deleted(resource, live, wait, grace)
        orphan = options.policy == "Orphan"
        if wait is None or resource in {known.PODS, known.NAMESPACES}:
            return self._cluster.delete(resource, live, grace_s=max(grace, 0), orphan=orphan)
        # A real server keeps the object under a finalizer until its garbage collector is done; ours is done at once.
        last = self._as_deleted(resource, live, wait, 0)
        self._cluster.delete(resource, live, orphan=orphan)
        return last

    def replace(
        self,
        request: Request,
        route: Route,
        live: Object,
        new: Object,
        options: WriteOptions,
        *,
        operation: str = "Update",
        owners: tuple[fields.Owner, ...] | None = None,
    ) -> Object:
        """Put `new` in the place of `live`, as far as the subresource and the rules of updates let it.

        `owners` are the fields' owners, where the caller knows them (apply); else they follow from the change.
        Raises ApiError: 400 for another object's name, 409 for another version or uid, 422 for what is invalid.
        """
        resource = route.resource
        self._check_identity(route, live, new)
        value = self._mixed(route, live, new)
        try:
            defaults.complete(resource, value, live)
        except Malformed as error:
            raise errors.bad_request(str(error)) from None
        if route.subresource != "status":
            self._check(resource, value, None if route.subresource == "ephemeralcontainers" else live)
            self._grants.check(request, resource, value)
        if resource.generation and desired(value) != desired(live):
            value["metadata"]["generation"] = count(live, "metadata", "generation") + 1
        if owners is None:
            by = self._owner(resource, options.manager, operation, route.subresource)
            owners = tuple(fields.updated(live, value, by))
        value = ordered(fields.with_owners(value, owners))
        if comparable(value) == comparable(live):
            return live
        if options.dry_run:
            return value | {"metadata": {**value["metadata"], "resourceVersion": live["metadata"]["resourceVersion"]}}
        kept = self._cluster.write(resource, value)
        if "deletionTimestamp" in kept["metadata"]:
            self._cluster.release(resource, kept)
        return kept

    def patched(
        self,
        request: Request,
        live: Object,
        body: bytes,
        kind: str,
        options: WriteOptions,
    ) -> Object:
        """Patch a copy of `live`. Raises ApiError: 400 for a malformed patch, 422 for one that does not fit."""
        try:
            new = _merged(kind, live, from_json(body))
        except Malformed as error:
            raise errors.bad_request(f"error decoding patch: {error}") from None
        except Rejected:
            raise errors.rejected() from None
        if not isinstance(new, dict):
            raise errors.rejected()
        try:
            conform(new, live["kind"])
        except Malformed as error:
            problem = errors.Cause("patch", "FieldValueInvalid", f"Invalid value: {error}")
            raise errors.invalid("", "", "", [problem]) from None
        return checked(request, new, live["kind"], live["apiVersion"], options.validation)

    # -- create

    def _create(self, request: Request, route: Route, value: Object, options: WriteOptions, operation: str) -> Object:
        resource = route.resource
        metadata = value["metadata"]
        self._check_namespace(route, metadata)
        for given in ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"):
            metadata.pop(given, None)
        metadata.pop("managedFields", None)
        metadata.pop("generation", None)
        if metadata.pop("resourceVersion", ""):
            raise errors.ApiError(500, "", "resourceVersion should not be set on objects to be created")
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = metadata["generateName"][:58] + self._cluster.suffix()
        if not metadata.get("name"):
            raise errors.invalid(
                resource.group,
                resource.kind,
                "",
                [errors.required("metadata.name", "name or generateName is required")],
            )
        if resource.subresource("status") is not None:
            value.pop("status", None)
        applied = fields.leaves(value)
        self._prepare(resource, value)
        self._check(resource, value, None)
        self._grants.check(request, resource, value)
        if self._store.get(resource, route.namespace, metadata["name"]) is not None:
            raise errors.already_exists(resource, metadata["name"])
        by = self._owner(resource, options.manager, operation, "")
        if operation == "Apply":
            owners = [replace(by, paths=frozenset(applied))]
        else:
            owners = fields.updated(None, without_status(value), by)
        value = ordered(fields.with_owners(value, owners))
        return value if options.dry_run else self._cluster.write(resource, value)

    def _prepare(self, resource: Resource, value: Object) -> None:
        try:
            self._cluster.prepare(resource, value)
        except Malformed as error:
            raise errors.bad_request(str(error)) from None

    def _check_namespace(self, route: Route, metadata: dict[str, Any]) -> None:
        if not route.resource.namespaced:
            metadata.pop("namespace", None)
            return
        if metadata.setdefault("namespace", route.namespace) != route.namespace:
            raise errors.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        home = self._store.get(known.NAMESPACES, "", route.namespace)
        if home is None:
            raise errors.not_found(known.NAMESPACES, route.namespace)
        if "deletionTimestamp" in home["metadata"]:
            cause = errors.Cause(
                "metadata.namespace", "NamespaceTerminating", f"namespace {route.namespace} is being terminated"
            )
            why = f"unable to create new content in namespace {route.namespace} because it is being terminated"
            raise errors.forbidden(route.resource, metadata.get("name", ""), why, [cause])

    def _check(self, resource: Resource, value: Object, live: Object | None) -> None:
        problems = validation.problems(resource, value, live)
        if problems:
            raise errors.invalid(resource.group, resource.kind, text(value, "metadata", "name"), problems)

    def _owner(self, resource: Resource, manager: str, operation: str, subresource: str) -> fields.Owner:
        return fields.Owner(manager, operation, resource.group_version, subresource, self._cluster.now(), frozenset())

    # -- update

    def _check_identity(self, route: Route, live: Object, new: Object) -> None:
        metadata = new["metadata"]
        name = metadata.get("name") or route.name
        if name != route.name:
            raise errors.bad_request(
                f"the name of the object ({name}) does not match the name on the URL ({route.name})"
            )
        if metadata.get("namespace", route.namespace) not in {route.namespace, ""} and route.resource.namespaced:
            raise errors.bad_request(
                f"the namespace of the object ({metadata['namespace']}) does not match the namespace on the URL "
                f"({route.namespace})"
            )
        uid = metadata.get("uid") or live["metadata"]["uid"]
        if uid != live["metadata"]["uid"]:
            why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {live['metadata']['uid']}"
            raise errors.conflict(route.resource, route.name, why)
        version = metadata.get("resourceVersion") or live["metadata"]["resourceVersion"]
        if version != live["metadata"]["resourceVersion"]:
            raise errors.conflict(route.resource, route.name)

    def _mixed(self, route: Route, live: Object, new: Object) -> Object:
        """Take from `new` what this request may change, and from `live` what it may not."""
        value: Object = copied(live)
        if route.subresource == "status":
            value["status"] = copied(new.get("status") or {})
            return _with_managed(value, new)
        if route.subresource == "finalize":
            value["spec"] = {**(value.get("spec") or {}), "finalizers": copied(dig(new, "spec", "finalizers") or [])}
            return _with_managed(value, new)
        if route.subresource == "ephemeralcontainers":
            value["spec"]["ephemeralContainers"] = copied(dig(new, "spec", "ephemeralContainers") or [])
            return _with_managed(value, new)
        value = copied(new)
        old = live["metadata"]
        metadata = {key: item for key, item in value["metadata"].items() if key not in _KEPT_METADATA}
        metadata |= {key: copied(old[key]) for key in _KEPT_METADATA if key in old}
        value["metadata"] = metadata
        if route.resource.subresource("status") is not None:
            value.pop("status", None)
            if "status" in live:
                value["status"] = copied(live["status"])
        return value

    # -- apply

    def _apply(self, request: Request, route: Route, body: bytes, options: WriteOptions) -> Answer:
        configuration = self._configuration(request, route, body, options)
        live = self._store.get(route.resource, route.namespace, route.name)
        if live is None:
            if route.subresource:
                raise errors.not_found(route.resource, route.name)
            if configuration["metadata"].get("uid"):
                raise errors.conflict(route.resource, route.name, "uid mismatch: the provided object specified a uid")
            configuration["metadata"]["name"] = route.name
            made = self._create(request, route, configuration, options, "Apply")
            return Answer(201, made, route.resource)
        by = self._owner(route.resource, options.manager, "Apply", route.subresource)
        result = apply.apply(live, configuration, by, force=options.force)
        value = self.replace(request, route, live, result.value, options, owners=result.owners)
        return Answer(200, value, route.resource)

    def _configuration(self, request: Request, route: Route, body: bytes, options: WriteOptions) -> Object:
        try:
            value = from_yaml(body)
        except Malformed as error:
            raise errors.bad_request(f"error decoding YAML: {error}") from None
        if not isinstance(value, dict) or not value.get("kind") or not value.get("apiVersion"):
            raise errors.bad_request("invalid object type: apiVersion and kind are required for apply patch")
        resource = route.resource
        found = checked(request, value, resource.kind, resource.group_version, options.validation)
        if found["metadata"].get("managedFields"):
            raise errors.bad_request("metadata.managedFields must be nil")
        return found

    # -- delete

    def _check_deletion(self, resource: Resource, live: Object, options: DeleteOptions) -> None:
        metadata = live["metadata"]
        name = metadata["name"]
        about = replace(resource, group="", plural=resource.kind)
        if options.uid and options.uid != metadata["uid"]:
            why = (
                f"the UID in the precondition ({options.uid}) does not match the UID in record ({metadata['uid']}). "
                "The object might have been deleted and then recreated"
            )
            raise errors.conflict(about, name, why)
        if options.resource_version and options.resource_version != metadata["resourceVersion"]:
            why = (
                f"the ResourceVersion in the precondition ({options.resource_version}) does not match the "
                f"ResourceVersion in record ({metadata['resourceVersion']}). The object might have been modified"
            )
            raise errors.conflict(about, name, why)
        if resource is known.NAMESPACES and name in _PROTECTED_NAMESPACES:
            raise errors.forbidden(resource, name, "this namespace may not be deleted")

    def _as_deleted(self, resource: Resource, live: Object, finalizer: str | None, grace: int) -> Object:
        """Show an object as it would look while it is being deleted."""
        lingers = finalizer or resource in {known.PODS, known.NAMESPACES}
        if not lingers:
            return live
        value = copied(live)
        value["metadata"]["deletionTimestamp"] = self._cluster.now()
        value["metadata"]["deletionGracePeriodSeconds"] = grace
        if finalizer is not None and resource not in {known.PODS, known.NAMESPACES}:
            value["metadata"]["finalizers"] = [*(value["metadata"].get("finalizers") or []), finalizer]
        return ordered(value)


def _merged(kind: str, live: Object, patch: Any) -> Any:
    match kind:
        case negotiation.JSON_PATCH:
            return json_patch(live, patch)
        case _ if not isinstance(patch, dict):
            raise Malformed(f"json: cannot unmarshal {go_type(patch)} into Go value of type map[string]interface {{}}")
        case negotiation.MERGE_PATCH:
            return merge_patch(live, patch)
        case _:
            return strategic_merge(live, patch)


def _with_managed(value: Object, new: Object) -> Object:
    managed = new["metadata"].get("managedFields")
    return {**value, "metadata": {**value["metadata"], "managedFields": managed}} if managed else value
