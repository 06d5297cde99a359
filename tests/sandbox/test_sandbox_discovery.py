from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from decklog.sandbox.resources import RESOURCES

if TYPE_CHECKING:
    from sandbox.client import Client

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


def listed(client: Client) -> dict[str, dict[str, Any]]:
    """Everything that the documents of the old form list, by group/version/name."""
    groups = client.get("/apis").json["groups"]
    paths = ["/api/v1", *(f"/apis/{group['preferredVersion']['groupVersion']}" for group in groups)]
    return {
        f"{path.rpartition('/apis/')[2] if '/apis/' in path else 'v1'}/{entry['name']}": entry
        for path in paths
        for entry in client.get(path).json["resources"]
    }


def test_every_resource_is_discovered(client: Client) -> None:
    """The documents of groups list every resource and subresource of the table."""
    found = listed(client)
    for row in RESOURCES:
        entry = found[f"{row.group_version}/{row.plural}"]
        assert (entry["kind"], entry["namespaced"], entry["verbs"]) == (row.kind, row.namespaced, list(row.verbs))
        assert entry.get("shortNames", []) == list(row.short_names)
        for sub in row.subresources:
            assert found[f"{row.group_version}/{row.plural}/{sub.name}"]["verbs"] == list(sub.verbs)


@pytest.mark.parametrize("path", ["/api", "/apis"])
def test_aggregated_discovery_says_the_same(client: Client, path: str) -> None:
    """The aggregated form has every resource of the old one, and is not sent again to who has it."""
    reply = client.get(path, headers={"accept": AGGREGATED})
    assert reply.headers["content-type"] == "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    found = {
        (group["metadata"].get("name", ""), resource["resource"])
        for group in reply.json["items"]
        for version in group["versions"]
        for resource in version["resources"]
    }
    assert found == {(row.group, row.plural) for row in RESOURCES if bool(row.group) == (path == "/apis")}
    again = client.get(path, headers={"accept": AGGREGATED, "if-none-match": reply.headers["etag"]})
    assert (again.status, again.body, "content-type" in again.headers) == (304, b"", False)


def test_old_clients_get_the_old_form(client: Client) -> None:
    """A client that does not ask for the aggregated form gets the versions and the groups."""
    assert client.get("/api").json["versions"] == ["v1"]
    assert client.get("/apis/apps").json["preferredVersion"] == {"groupVersion": "apps/v1", "version": "v1"}


def test_openapi_tells_kubectl_that_fields_are_validated(client: Client) -> None:
    """Each document of /openapi/v3 has, for every stored kind, the parameter that `kubectl` looks for."""
    paths = client.get("/openapi/v3").json["paths"]
    seen = set()
    for path, entry in paths.items():
        document = client.get(entry["serverRelativeURL"]).json
        assert entry["serverRelativeURL"].startswith(f"/openapi/v3/{path}?hash=")
        for operations in document["paths"].values():
            kind = operations["patch"]["x-kubernetes-group-version-kind"]
            names = [parameter["name"] for parameter in operations["patch"]["parameters"]]
            assert "fieldValidation" in names
            seen.add((kind["group"], kind["kind"]))
    assert seen == {(row.group, row.kind) for row in RESOURCES if row.stored}


def test_openapi_as_protobuf_is_refused(client: Client) -> None:
    """A client that wants protobuf alone is told 406, and falls back."""
    accept = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
    assert client.get("/openapi/v2", headers={"accept": accept}).status == 406
    assert client.get("/openapi/v2").json["swagger"] == "2.0"
