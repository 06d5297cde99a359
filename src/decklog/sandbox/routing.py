"""Routing: which resource, object and subresource a path means.

Lives here: the strict reading that serves requests. What a request is *about*, for authorization and audit, is read by
`decklog.audit.attributes`, which is more lenient; kube-apiserver has these two readings, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from decklog.sandbox.resources import BY_PATH, GROUPS, NAMESPACES
from decklog.sandbox.status import no_such_path, no_such_resource

if TYPE_CHECKING:
    from decklog.sandbox.resources import Resource, Subresource


@dataclass(frozen=True, slots=True)
class Route:
    """Where a request goes."""

    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    watch: bool = False
    """The old form ``/api/v1/watch/…``."""

    @property
    def sub(self) -> Subresource | None:
        """The subresource, if there is one."""
        return self.resource.subresource(self.subresource) if self.subresource else None


def parts_of(path: str) -> list[str]:
    """Take a path apart; a slash at its end means nothing."""
    return path.removeprefix("/").removesuffix("/").split("/")


def route(parts: list[str]) -> Route:
    """Find where ``["api", "v1", "pods"]`` goes. Raises ApiError (404)."""
    if parts[0] == "api":
        group, version, rest = "", parts[1], parts[2:]
    else:
        group, version, rest = parts[1], parts[2], parts[3:]
    if group not in GROUPS or "" in parts:
        raise no_such_path() if group not in GROUPS else no_such_resource()
    watch = rest[:1] == ["watch"]
    found = _route(group, version, rest[1:] if watch else rest)
    return Route(found.resource, found.namespace, found.name, found.subresource, watch=True) if watch else found


def _route(group: str, version: str, rest: list[str]) -> Route:
    match rest:
        case ["namespaces", namespace, plural, *below] if _is_namespaced(group, version, plural):
            resource = BY_PATH[group, version, plural]
        case [plural, *below] if (group, version, plural) in BY_PATH:
            resource, namespace = BY_PATH[group, version, plural], ""
            if resource.namespaced and below:
                raise no_such_resource()
        case _:
            raise no_such_resource()
    name, subresource = (*below, "", "")[:2]
    if subresource and resource.subresource(subresource) is None:
        raise no_such_resource()
    # Only a proxied path goes on below its subresource.
    if len(below) > 2 and subresource != "proxy":
        raise no_such_resource()
    return Route(resource, namespace, name, subresource)


def _is_namespaced(group: str, version: str, plural: str) -> bool:
    resource = BY_PATH.get((group, version, plural))
    return resource is not None and resource.namespaced and resource is not NAMESPACES
