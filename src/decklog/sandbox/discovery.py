"""Discovery: what the sandbox serves, told to clients. Everything follows from the table of resources.

Lives here: the documents under ``/api`` and ``/apis``, in the old form (a document a group) and the aggregated one, the
list of paths, and the version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from decklog.sandbox import negotiation
from decklog.sandbox.documents import to_json
from decklog.sandbox.http import Answer, tagged
from decklog.sandbox.resources import GROUPS, RESOURCES
from decklog.sandbox.status import no_such_path, no_such_resource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from decklog.sandbox.http import Request
    from decklog.sandbox.resources import Resource, Subresource

MINOR: Final = "37"
"""The Kubernetes release that the sandbox takes after: what clients compare themselves with."""
VERSION: Final = {
    "major": "1",
    "minor": MINOR,
    "gitVersion": f"v1.{MINOR}.0+decklog-sandbox",
    "gitCommit": "",
    "gitTreeState": "",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "none: an in-memory sandbox in Python",
    "compiler": "none",
    "platform": "linux/amd64",
}
_AGGREGATED: Final = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList"


def answer(request: Request, parts: list[str]) -> Answer:
    """Answer a request for a discovery document; `parts` is the path, ``["apis", "apps", "v1"]``."""
    aggregated = _aggregated_version(request.header(b"accept")) if len(parts) == 1 else None
    if aggregated is not None:
        document = to_json(_group_discovery(core=parts[0] == "api", version=aggregated))
        return tagged(request, document, _AGGREGATED.format(aggregated), (("cache-control", "public"),))
    match parts:
        case ["api"]:
            return Answer(200, _versions(request))
        case ["api", "v1"]:
            return Answer(200, _resource_list("", "v1"))
        case ["apis"]:
            groups = [_group(group) for group in GROUPS if group]
            return Answer(200, {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
        case ["apis", group] if group in GROUPS and group:
            return Answer(200, {"kind": "APIGroup", "apiVersion": "v1", **_group(group)})
        case ["apis", group, version] if group in GROUPS and group:
            return Answer(200, _resource_list(group, version))
        case ["api", _]:
            raise no_such_resource()
        case _:
            raise no_such_path()


def paths() -> dict[str, Any]:
    """List the paths of the root document."""
    groups = [f"/apis/{group}" for group in GROUPS if group]
    versions = [f"/apis/{row.group_version}" for row in RESOURCES if row.group]
    plain = [
        "/api",
        "/api/v1",
        "/apis",
        "/apis/",
        "/healthz",
        "/livez",
        "/openapi/v2",
        "/openapi/v3",
        "/readyz",
        "/version",
    ]
    return {"paths": sorted({*groups, *versions, *plain})}


def _versions(request: Request) -> dict[str, Any]:
    address = request.header(b"host")
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    }


def _group(group: str) -> dict[str, Any]:
    versions = [{"groupVersion": f"{group}/{version}", "version": version} for version in _versions_of(group)]
    return {"name": group, "versions": versions, "preferredVersion": versions[0]}


def _versions_of(group: str) -> list[str]:
    return list(dict.fromkeys(row.version for row in RESOURCES if row.group == group))


def _resource_list(group: str, version: str) -> dict[str, Any]:
    rows = [row for row in RESOURCES if (row.group, row.version) == (group, version)]
    if not rows:
        raise no_such_resource()
    listed = sorted((entry for row in rows for entry in _listed(row)), key=lambda entry: str(entry["name"]))
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": rows[0].group_version,
        "resources": listed,
    }


def _listed(row: Resource) -> Iterator[dict[str, Any]]:
    entry = {
        "name": row.plural,
        "singularName": row.singular,
        "namespaced": row.namespaced,
        "kind": row.kind,
        "verbs": list(row.verbs),
        "shortNames": list(row.short_names),
        "categories": list(row.categories),
    }
    yield {key: value for key, value in entry.items() if value != []}
    for sub in row.subresources:
        entry = {
            "name": f"{row.plural}/{sub.name}",
            "singularName": "",
            "namespaced": row.namespaced,
            "group": sub.group,
            "version": sub.version,
            "kind": sub.kind,
            "verbs": list(sub.verbs),
        }
        yield {key: value for key, value in entry.items() if value != "" or key == "singularName"}


def _aggregated_version(accept: str) -> str | None:
    for clause in negotiation.media_ranges(accept):
        parameters = clause.parameters
        if clause.type == negotiation.JSON and parameters.get("as") == "APIGroupDiscoveryList":
            if parameters.get("v") in {"v2", "v2beta1"}:
                return parameters["v"]
        elif clause.type in {negotiation.JSON, "*/*"} and "as" not in parameters:
            return None
    return None


def _group_discovery(*, core: bool, version: str) -> dict[str, Any]:
    groups = [""] if core else [group for group in GROUPS if group]
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": [
            {
                "metadata": {"name": group} if group else {},
                "versions": [_version_discovery(group, version) for version in _versions_of(group)],
            }
            for group in groups
        ],
    }


def _version_discovery(group: str, version: str) -> dict[str, Any]:
    rows = (row for row in RESOURCES if (row.group, row.version) == (group, version))
    return {"version": version, "resources": [_discovered(row) for row in rows], "freshness": "Current"}


def _discovered(row: Resource) -> dict[str, Any]:
    entry = {
        "resource": row.plural,
        "responseKind": {"group": "", "version": "", "kind": row.kind},
        "scope": "Namespaced" if row.namespaced else "Cluster",
        "singularResource": row.singular,
        "verbs": list(row.verbs),
        "shortNames": list(row.short_names),
        "categories": list(row.categories),
        "subresources": [_discovered_below(sub) for sub in row.subresources],
    }
    return {key: value for key, value in entry.items() if value != []}


def _discovered_below(sub: Subresource) -> dict[str, Any]:
    kind = {"group": sub.group, "version": sub.version, "kind": sub.kind}
    return {"subresource": sub.name, "responseKind": kind, "verbs": list(sub.verbs)}
