"""Subresources: scale, log, eviction, binding, token; and the honest refusal of what needs a running container.

Lives here: everything behind ``/NAME/SUBRESOURCE`` but status, which is an ordinary write. Logs are invented.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from decklog.sandbox import negotiation, times
from decklog.sandbox import resources as known
from decklog.sandbox import status as errors
from decklog.sandbox.authentication import CREDENTIAL_ID, service_account
from decklog.sandbox.documents import copied, count, dicts, dig, text
from decklog.sandbox.http import Answer, Stream
from decklog.sandbox.submitted import DeleteOptions, submitted, whole_number, write_options
from decklog.sandbox.validation import quoted

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from decklog.sandbox.authentication import Authenticator
    from decklog.sandbox.cluster import Cluster
    from decklog.sandbox.http import Request
    from decklog.sandbox.objects import Object
    from decklog.sandbox.reads import Reads
    from decklog.sandbox.routing import Route
    from decklog.sandbox.times import Clock
    from decklog.sandbox.writes import Writes

LOG_INTERVAL_S: Final = 1.0
"""How long a followed log waits for its next invented line."""
FOLLOWED_LINES: Final = 5
_LEAST_TOKEN_S: Final = 600
_UPGRADED: Final = frozenset({"attach", "exec", "portforward"})


class Subresources:
    """The subresources that have a meaning of their own."""

    def __init__(
        self,
        cluster: Cluster,
        reads: Reads,
        writes: Writes,
        authenticator: Authenticator,
        *,
        clock: Clock,
        new_id: Callable[[], str],
        new_token: Callable[[], str],
        log_interval_s: float = LOG_INTERVAL_S,
    ) -> None:
        self._cluster = cluster
        self._reads = reads
        self._writes = writes
        self._authenticator = authenticator
        self._clock = clock
        self._new_id = new_id
        self._new_token = new_token
        self._log_interval_s = log_interval_s

    async def answer(self, request: Request, route: Route) -> Answer | Stream:
        """Answer a request below an object. Raises ApiError."""
        match route.subresource:
            case "scale":
                return await self._scale(request, route)
            case "log":
                return self._log(request, route)
            case "eviction":
                return await self._evict(request, route)
            case "binding":
                return await self.bind(request, route)
            case "token":
                return await self._token(request, route)
            case name if name in _UPGRADED:
                raise self._refusal(request, route)
            case "proxy":
                self._reads.existing(route.resource, route.namespace, route.name)
                raise errors.ApiError(501, "", f"the sandbox runs nothing: there is no {route.resource.kind} to reach")
        return await self._object(request, route)

    async def _object(self, request: Request, route: Route) -> Answer:
        match request.method:
            case "GET":
                return self._reads.get(request, route)
            case "PUT":
                return await self._writes.update(request, route)
            case _:
                return await self._writes.patch(request, route)

    def _refusal(self, request: Request, route: Route) -> errors.ApiError:
        self._reads.existing(route.resource, route.namespace, route.name)
        if "upgrade" not in request.header(b"connection").lower():
            return errors.bad_request("Upgrade request required")
        return errors.ApiError(
            501,
            "",
            f"the sandbox runs no containers: {route.subresource} has nothing to connect to (logs are there, invented)",
        )

    # -- scale

    async def _scale(self, request: Request, route: Route) -> Answer:
        live = self._reads.existing(route.resource, route.namespace, route.name)
        scale = _scale_of(live)
        if request.method == "GET":
            return Answer(200, scale)
        kind, group_version = "Scale", "autoscaling/v1"
        if request.method == "PUT":
            options = write_options(request, "UpdateOptions")
            new = await submitted(request, route.resource, options, kind=kind, group_version=group_version)
        else:
            patch = negotiation.patch_type(request.header(b"content-type"))
            if patch == negotiation.APPLY_PATCH:
                raise errors.unsupported_patch_type()
            options = write_options(request, "PatchOptions")
            new = self._writes.patched(request, scale, await request.body(), patch, options)
        replicas = count(new, "spec", "replicas")
        if replicas < 0:
            detail = "must be greater than or equal to 0"
            problem = errors.invalid_value("spec.replicas", quoted(replicas), detail)
            raise errors.invalid("autoscaling", kind, route.name, [problem])
        wanted: Object = copied(live)
        wanted["spec"]["replicas"] = replicas
        version = text(new, "metadata", "resourceVersion")
        if version:
            wanted["metadata"]["resourceVersion"] = version
        self._writes.replace(request, route, live, wanted, options)
        after = self._reads.existing(route.resource, route.namespace, route.name)
        return Answer(200, _scale_of(wanted if options.dry_run else after))

    # -- logs

    def _log(self, request: Request, route: Route) -> Stream:
        pod = self._reads.existing(route.resource, route.namespace, route.name)
        container = _container(request, pod)
        tail = whole_number(request, "tailLines")
        if tail < 0:
            detail = "must be greater than or equal to 0"
            problem = errors.invalid_value("tailLines", quoted(tail), detail)
            raise errors.invalid("", "PodLogOptions", route.name, [problem])
        if request.flag("previous"):
            raise errors.bad_request(
                f'previous terminated container "{text(container, "name")}" in pod "{route.name}" not found'
            )
        lines = _log_lines(pod, container)
        lines = lines[-tail:] if tail else [] if request.first("tailLines") else lines
        return Stream("text/plain", self._lines(request, pod, lines))

    async def _lines(self, request: Request, pod: Object, lines: list[str]) -> AsyncGenerator[bytes, None]:
        stamped = request.flag("timestamps")
        begun = text(pod, "status", "startTime")
        left = whole_number(request, "limitBytes") or None
        for line in lines:
            chunk = f"{begun} {line}\n" if stamped else f"{line}\n"
            yield chunk.encode()[:left]
            left = None if left is None else left - len(chunk.encode())
            if left is not None and left <= 0:
                return
        if not request.flag("follow") or text(pod, "status", "phase") == "Succeeded":
            return
        for number in range(1, FOLLOWED_LINES + 1):
            await asyncio.sleep(self._log_interval_s)
            line = f"invented line {number} of {FOLLOWED_LINES} while followed\n"
            yield (f"{times.stamp(self._clock())} {line}" if stamped else line).encode()

    # -- pods

    async def _evict(self, request: Request, route: Route) -> Answer:
        options = write_options(request, "CreateOptions")
        value = await submitted(request, route.resource, options, kind="Eviction", group_version="policy/v1")
        pod = self._reads.existing(route.resource, route.namespace, route.name)
        if text(value, "metadata", "name") not in {"", route.name}:
            raise errors.bad_request("name in URL does not match name in Eviction object")
        grace = dig(value, "deleteOptions", "gracePeriodSeconds")
        dry = options.dry_run or bool(dig(value, "deleteOptions", "dryRun"))
        known_grace = grace if isinstance(grace, int) else None
        self._writes.remove(route.resource, pod, DeleteOptions(dry_run=dry, grace_s=known_grace))
        return Answer(201, errors.success(code=201))

    async def bind(self, request: Request, route: Route) -> Answer:
        """Bind a pod to a node: ``pods/NAME/binding``, or ``bindings`` with the pod's name in the body."""
        options = write_options(request, "CreateOptions")
        value = await submitted(request, route.resource, options, kind="Binding", group_version="v1")
        name = route.name or text(value, "metadata", "name")
        pod = self._reads.existing(known.PODS, route.namespace, name)
        node = text(pod, "spec", "nodeName")
        if node:
            about = replace(known.PODS, plural="pods/binding")
            raise errors.conflict(about, name, f'pod {name} is already assigned to node "{node}"')
        if not options.dry_run:
            self._cluster.write(known.PODS, {**pod, "spec": {**pod["spec"], "nodeName": text(value, "target", "name")}})
        return Answer(201, errors.success(code=201))

    # -- service accounts

    async def _token(self, request: Request, route: Route) -> Answer:
        options = write_options(request, "CreateOptions")
        group_version = "authentication.k8s.io/v1"
        value = await submitted(request, route.resource, options, kind="TokenRequest", group_version=group_version)
        account = self._reads.existing(route.resource, route.namespace, route.name)
        spec = value.get("spec") or {}
        spec.setdefault("expirationSeconds", 3600)
        if not _LEAST_TOKEN_S <= spec["expirationSeconds"] <= 1 << 32:
            shown = quoted(spec["expirationSeconds"])
            detail = "may not specify a duration less than 10 minutes"
            problem = errors.invalid_value("spec.expirationSeconds", shown, detail)
            raise errors.invalid("authentication.k8s.io", "TokenRequest", "", [problem])
        now = self._clock()
        until = now + timedelta(seconds=spec["expirationSeconds"])
        token = self._new_token()
        user = service_account(route.namespace, route.name, text(account, "metadata", "uid"))
        extra: dict[str, tuple[str, ...] | None] = {CREDENTIAL_ID: (f"JTI={self._new_id()}",)}
        if not options.dry_run:
            self._authenticator.issue(token, type(user)(user.username, user.uid, user.groups, extra), until)
        metadata = {"name": route.name, "namespace": route.namespace, "creationTimestamp": times.stamp(now)}
        status = {"token": token, "expirationTimestamp": times.stamp(until)}
        return Answer(201, {**value, "metadata": metadata, "spec": spec, "status": status})


def _scale_of(value: Object) -> Object:
    metadata = value["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    labels = dig(value, "spec", "selector", "matchLabels") or {}
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: metadata[key] for key in kept if key in metadata},
        "spec": {"replicas": count(value, "spec", "replicas")},
        "status": {
            "replicas": count(value, "status", "replicas"),
            "selector": ",".join(f"{key}={label}" for key, label in labels.items()),
        },
    }


def _container(request: Request, pod: Object) -> dict[str, Any]:
    name = text(pod, "metadata", "name")
    found = [item for field in ("containers", "initContainers") for item in dicts(pod, "spec", field)]
    wanted = request.first("container")
    if not wanted and len(found) > 1:
        names = " ".join(text(item, "name") for item in found)
        raise errors.bad_request(f"a container name must be specified for pod {name}, choose one of: [{names}]")
    chosen = [item for item in found if not wanted or text(item, "name") == wanted]
    if not chosen:
        raise errors.bad_request(f"container {wanted} is not valid for pod {name}")
    return chosen[0]


def _log_lines(pod: Object, container: dict[str, Any]) -> list[str]:
    place = f"{text(pod, 'metadata', 'namespace')}/{text(pod, 'metadata', 'name')}"
    return [
        f"sandbox: container {text(container, 'name')} of pod {place}, image {text(container, 'image')}",
        "sandbox: nothing runs here: this log is invented",
        "sandbox: ready",
    ]
