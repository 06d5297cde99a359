from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sandbox.client import (
    APPLY,
    CONFIG_MAPS,
    DEPLOYMENTS,
    JSON_PATCH,
    MERGE,
    PODS,
    SECRETS,
    STRATEGIC,
    config_map,
    deployment,
    pod,
)

if TYPE_CHECKING:
    from sandbox.client import Client

ONE = f"{CONFIG_MAPS}/one"


def test_create_gives_what_the_server_gives(client: Client) -> None:
    """A new object gets namespace, uid, version, time and an owner of its fields, in the server's order."""
    reply = client.post(f"{CONFIG_MAPS}?fieldManager=me", config_map("one", k="v"))
    assert reply.status == 201
    metadata = reply.json["metadata"]
    assert list(reply.json) == ["kind", "apiVersion", "metadata", "data"]
    assert list(metadata) == ["name", "namespace", "uid", "resourceVersion", "creationTimestamp", "managedFields"]
    assert metadata["creationTimestamp"] == "2026-01-02T03:04:05Z"
    assert metadata["managedFields"] == [
        {
            "manager": "me",
            "operation": "Update",
            "apiVersion": "v1",
            "time": "2026-01-02T03:04:05Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:data": {"f:k": {}}},
        }
    ]
    assert client.get(ONE).json == reply.json


def test_generated_names_differ(client: Client) -> None:
    """generateName is followed by five characters, other ones every time."""
    body = {"metadata": {"generateName": "gen-"}}
    names = {client.post(CONFIG_MAPS, body).json["metadata"]["name"] for _ in range(5)}
    assert len(names) == 5
    assert all(name.startswith("gen-") and len(name) == 9 for name in names)


@pytest.mark.parametrize(
    ("target", "body", "code", "message"),
    [
        (CONFIG_MAPS, config_map("one"), 409, 'configmaps "one" already exists'),
        (
            CONFIG_MAPS,
            {"metadata": {}},
            422,
            'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required',
        ),
        (
            CONFIG_MAPS,
            {"metadata": {"name": "x", "namespace": "other"}},
            400,
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        ("/api/v1/namespaces/nope/configmaps", config_map("x"), 404, 'namespaces "nope" not found'),
        (
            CONFIG_MAPS,
            {"kind": "Secret", "metadata": {"name": "x"}},
            400,
            (
                'Secret in version "v1" cannot be handled as a ConfigMap: converting (v1.Secret) to (v1.ConfigMap): '
                "unknown conversion"
            ),
        ),
        (
            CONFIG_MAPS,
            {"metadata": {"name": "x"}, "data": {"a": 1}},
            400,
            (
                'ConfigMap in version "v1" cannot be handled as a ConfigMap: '
                "json: cannot unmarshal number into Go struct field ConfigMap.data of type string"
            ),
        ),
        (
            CONFIG_MAPS,
            b"",
            400,
            (
                "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; "
                "json parse error: unexpected end of JSON input (<empty>)"
            ),
        ),
        (
            f"{CONFIG_MAPS}?fieldValidation=Strict",
            {"metadata": {"name": "x"}, "bogus": 1},
            400,
            'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "bogus"',
        ),
        (
            f"{CONFIG_MAPS}?dryRun=Maybe",
            config_map("x"),
            422,
            'CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["Maybe"]: supported values: "All"',
        ),
        (SECRETS, {"metadata": {"name": "x"}, "data": {"a": "!"}}, 400, "illegal base64 data at input byte 0"),
        (
            PODS,
            {"metadata": {"name": "x"}, "spec": {"containers": []}},
            422,
            'Pod "x" is invalid: spec.containers: Required value',
        ),
    ],
    ids=[
        "exists",
        "no name",
        "other namespace",
        "no namespace",
        "other kind",
        "wrong type",
        "empty",
        "unknown field",
        "dry run",
        "no base64",
        "no containers",
    ],
)
def test_refused_creations(client: Client, target: str, body: Any, code: int, message: str) -> None:
    """What cannot be made is refused in the server's words, and nothing is made."""
    client.post(CONFIG_MAPS, config_map("one"))
    before = client.get(CONFIG_MAPS).json
    reply = client.post(target, body)
    assert (reply.status, reply.message) == (code, message)
    assert client.get(CONFIG_MAPS).json == before


def test_every_problem_at_once(client: Client) -> None:
    """An invalid object is told all its problems, each with its field and reason."""
    body = {"metadata": {"name": "Bad"}, "spec": {"containers": [{"name": "c"}, {"name": "c", "image": "i"}]}}
    causes = client.post(PODS, body).json["details"]["causes"]
    assert [(cause["field"], cause["reason"]) for cause in causes] == [
        ("metadata.name", "FieldValueInvalid"),
        ("spec.containers[0].image", "FieldValueRequired"),
        ("spec.containers[1].name", "FieldValueDuplicate"),
    ]


def test_unknown_fields_are_dropped_with_a_warning(client: Client) -> None:
    """Without fieldValidation an unknown field is dropped, and a Warning header names it."""
    reply = client.post(PODS, {**pod("p"), "bogus": 1})
    assert reply.status == 201
    assert "bogus" not in reply.json
    assert reply.headers["warning"] == '299 - "unknown field \\"bogus\\""'


def test_dry_run_changes_nothing(client: Client) -> None:
    """A dry run answers as if, and leaves everything as it was."""
    assert client.post(f"{CONFIG_MAPS}?dryRun=All", config_map("one")).status == 201
    assert client.get(ONE).status == 404
    client.post(CONFIG_MAPS, config_map("one", k="v"))
    before = client.get(ONE).json
    assert client.patch(f"{ONE}?dryRun=All", {"data": {"k": "w"}}).json["data"] == {"k": "w"}
    assert client.put(f"{ONE}?dryRun=All", config_map("one")).status == 200
    assert client.delete(f"{ONE}?dryRun=All").json["status"] == "Success"
    assert client.delete(f"{CONFIG_MAPS}?dryRun=All").status == 200
    assert client.get(ONE).json == before


def test_update_replaces_and_counts(client: Client) -> None:
    """A PUT replaces the object under a new version; one that changes nothing keeps the version."""
    made = client.post(CONFIG_MAPS, config_map("one", k="v")).json
    changed = client.put(ONE, config_map("one", z="1")).json
    assert changed["data"] == {"z": "1"}
    assert changed["metadata"]["uid"] == made["metadata"]["uid"]
    assert int(changed["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])
    assert client.put(ONE, changed).json == changed


@pytest.mark.parametrize(
    ("metadata", "code", "message"),
    [
        (
            {"resourceVersion": "1"},
            409,
            (
                'Operation cannot be fulfilled on configmaps "one": the object has been modified; '
                "please apply your changes to the latest version and try again"
            ),
        ),
        ({"name": "two"}, 400, "the name of the object (two) does not match the name on the URL (one)"),
        (
            {"namespace": "other"},
            400,
            "the namespace of the object (other) does not match the namespace on the URL (default)",
        ),
    ],
    ids=["old version", "other name", "other namespace"],
)
def test_refused_updates(client: Client, metadata: dict[str, str], code: int, message: str) -> None:
    """An update of another version, name or namespace is refused."""
    client.post(CONFIG_MAPS, config_map("one"))
    reply = client.put(ONE, {"metadata": {"name": "one", **metadata}})
    assert (reply.status, reply.message) == (code, message)


def test_update_of_another_uid_is_a_conflict(client: Client) -> None:
    """A PUT with the uid of an object that was deleted meanwhile is a conflict."""
    client.post(CONFIG_MAPS, config_map("one"))
    reply = client.put(ONE, {"metadata": {"name": "one", "uid": "other"}})
    assert (reply.status, reply.json["reason"]) == (409, "Conflict")
    assert "UID in precondition: other" in reply.message


def test_spec_and_status_are_written_apart(client: Client) -> None:
    """A PUT of the object leaves its status, a PUT of its status leaves the rest; only spec counts a generation."""
    client.post("/api/v1/nodes", {"metadata": {"name": "n"}, "spec": {}, "status": {"phase": "x"}})
    body = {"metadata": {"name": "n", "labels": {"a": "b"}}, "spec": {"unschedulable": True}, "status": {"phase": "y"}}
    after = client.put("/api/v1/nodes/n/status", body).json
    assert (after["status"], after["spec"], "labels" in after["metadata"]) == ({"phase": "y"}, {}, False)
    after = client.put("/api/v1/nodes/n", {**body, "status": {"phase": "z"}}).json
    assert (after["status"], after["spec"]) == ({"phase": "y"}, {"unschedulable": True})
    client.post(DEPLOYMENTS, deployment("web"))
    status = client.patch(f"{DEPLOYMENTS}/web/status", {"status": {"x": 1}}).json
    assert status["metadata"]["generation"] == 1
    assert client.patch(f"{DEPLOYMENTS}/web", {"spec": {"replicas": 1}}).json["metadata"]["generation"] == 2


@pytest.mark.parametrize(
    ("kind", "patch", "data"),
    [
        (MERGE, {"data": {"k": None, "m": "1"}}, {"m": "1"}),
        (STRATEGIC, {"data": {"s": "1"}}, {"k": "v", "s": "1"}),
        (JSON_PATCH, [{"op": "add", "path": "/data/j", "value": "1"}], {"k": "v", "j": "1"}),
        (f"{APPLY}; charset=utf-8", b'{"apiVersion":"v1","kind":"ConfigMap","data":{"a":"1"}}', {"k": "v", "a": "1"}),
        (APPLY, b"apiVersion: v1\nkind: ConfigMap\ndata: {y: '1'}\n", {"k": "v", "true": "1"}),
    ],
    ids=["merge", "strategic", "json", "apply json", "apply yaml"],
)
def test_the_forms_of_a_patch(client: Client, kind: str, patch: Any, data: dict[str, str]) -> None:
    """Each form of a patch does what it says; YAML is read as Kubernetes reads it, `y` being true."""
    client.post(CONFIG_MAPS, config_map("one", k="v"))
    target = f"{ONE}?fieldManager=me" if kind.startswith(APPLY) else ONE
    reply = client.patch(target, patch, kind=kind)
    assert (reply.status, reply.json["data"]) == (200, data)


@pytest.mark.parametrize(
    ("kind", "query", "patch", "code", "message"),
    [
        (MERGE, "", b'{"data": ', 400, "error decoding patch: unexpected end of JSON input"),
        (
            MERGE,
            "",
            [1],
            400,
            "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}",
        ),
        (
            JSON_PATCH,
            "",
            {},
            400,
            "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp",
        ),
        (
            JSON_PATCH,
            "",
            [{"op": "test", "path": "/data/k", "value": "no"}],
            422,
            "the server rejected our request due to an error in our request",
        ),
        ("application/json", "", {}, 415, "415: Unsupported Media Type"),
        (
            APPLY,
            "",
            {},
            422,
            'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch',
        ),
        (
            MERGE,
            "?force=true",
            {},
            422,
            'PatchOptions.meta.k8s.io "" is invalid: force: Forbidden: may not be specified for non-apply patch',
        ),
        (
            MERGE,
            "",
            {"metadata": {"resourceVersion": "1"}, "data": {"k": "w"}},
            409,
            (
                'Operation cannot be fulfilled on configmaps "one": the object has been modified; '
                "please apply your changes to the latest version and try again"
            ),
        ),
        (
            APPLY,
            "?fieldManager=m",
            {"kind": "ConfigMap"},
            400,
            "invalid object type: apiVersion and kind are required for apply patch",
        ),
    ],
    ids=["cut", "array", "object", "test", "type", "no manager", "force", "version", "no kind"],
)
def test_refused_patches(client: Client, kind: str, query: str, patch: Any, code: int, message: str) -> None:
    """A patch that cannot be read, does not fit, or is of no known kind is refused in the server's words."""
    client.post(CONFIG_MAPS, config_map("one", k="v"))
    reply = client.patch(f"{ONE}{query}", patch, kind=kind)
    assert (reply.status, reply.message) == (code, message)
    assert client.get(ONE).json["data"] == {"k": "v"}


def applied(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": data}


def test_apply_makes_keeps_and_takes_away(client: Client) -> None:
    """An apply makes an object; what its manager no longer names goes, what others own stays; a repeat is no write."""
    made = client.patch(f"{ONE}?fieldManager=a", applied(x="1", y="1"), kind=APPLY)
    assert made.status == 201
    client.patch(f"{ONE}?fieldManager=b", applied(z="1"), kind=APPLY)
    after = client.patch(f"{ONE}?fieldManager=a", applied(x="2"), kind=APPLY).json
    assert after["data"] == {"x": "2", "z": "1"}
    assert client.patch(f"{ONE}?fieldManager=a", applied(x="2"), kind=APPLY).json == after


def test_apply_conflicts_are_told_and_forced(client: Client) -> None:
    """A field that another owns with another value is a conflict; force takes it over."""
    client.patch(f"{ONE}?fieldManager=a", applied(x="1"), kind=APPLY)
    reply = client.patch(f"{ONE}?fieldManager=b", applied(x="2"), kind=APPLY)
    assert (reply.status, reply.message) == (409, 'Apply failed with 1 conflict: conflict with "a": .data.x')
    assert client.patch(f"{ONE}?fieldManager=b&force=true", applied(x="2"), kind=APPLY).json["data"] == {"x": "2"}
    reply = client.patch(f"{ONE}?fieldManager=a", applied(x="3"), kind=APPLY)
    assert reply.message == 'Apply failed with 1 conflict: conflict with "b": .data.x'


@pytest.mark.parametrize(
    ("plural", "body", "kind"),
    [
        ("configmaps", config_map("x"), "Status"),
        ("pods", pod("x"), "Pod"),
        ("services", {"metadata": {"name": "x"}, "spec": {"ports": [{"port": 80}]}}, "Service"),
        ("serviceaccounts", {"metadata": {"name": "x"}}, "ServiceAccount"),
    ],
)
def test_deletion_answers_as_its_kind_does(client: Client, plural: str, body: Any, kind: str) -> None:
    """A deletion is answered with a Status, or with the object where a real server returns it; then it is gone."""
    client.post(f"/api/v1/namespaces/default/{plural}", body)
    target = f"/api/v1/namespaces/default/{plural}/x"
    reply = client.delete(target)
    assert (reply.status, reply.json["kind"]) == (200, kind)
    if kind == "Status":
        assert (reply.json["status"], reply.json["details"]["name"]) == ("Success", "x")
    assert client.get(target).status == 404
    assert client.delete(target).status == 404


@pytest.mark.parametrize(
    ("query", "body", "code", "message"),
    [
        ("", {"preconditions": {"uid": "nope"}}, 409, "the UID in the precondition (nope) does not match"),
        (
            "",
            {"preconditions": {"resourceVersion": "1"}},
            409,
            "the ResourceVersion in the precondition (1) does not match",
        ),
        (
            "",
            {"gracePeriodSeconds": "x"},
            400,
            "json: cannot unmarshal string into Go struct field DeleteOptions.gracePeriodSeconds of type int64",
        ),
        ("?propagationPolicy=Orphan&orphanDependents=true", None, 422, "cannot be both set"),
        ("?propagationPolicy=Sideways", None, 422, 'Unsupported value: "Sideways"'),
    ],
)
def test_refused_deletions(client: Client, query: str, body: Any, code: int, message: str) -> None:
    """A deletion whose preconditions or options do not hold is refused, and the object stays."""
    client.post(CONFIG_MAPS, config_map("one"))
    reply = client.delete(f"{ONE}{query}", body)
    assert reply.status == code
    assert message in reply.message
    assert client.get(ONE).status == 200


def test_finalizers_hold_an_object(client: Client) -> None:
    """A deletion only marks an object with finalizers; it goes when the last of them does."""
    client.post(CONFIG_MAPS, {"metadata": {"name": "one", "finalizers": ["example.com/hold"]}})
    marked = client.delete(ONE).json
    assert marked["metadata"]["deletionTimestamp"] == "2026-01-02T03:04:05Z"
    assert client.get(ONE).status == 200
    assert client.patch(ONE, {"metadata": {"finalizers": None}}).status == 200
    assert client.get(ONE).status == 404


def test_deletecollection_takes_what_matches(client: Client) -> None:
    """A deletecollection removes what its selector matches, and answers the list of it."""
    for name, label in (("a", "x"), ("b", "x"), ("c", "y")):
        client.post(CONFIG_MAPS, {"metadata": {"name": name, "labels": {"l": label}}})
    reply = client.delete(f"{CONFIG_MAPS}?labelSelector=l%3Dx")
    assert [item["metadata"]["name"] for item in reply.json["items"]] == ["a", "b"]
    assert [item["metadata"]["name"] for item in client.get(CONFIG_MAPS).json["items"]] == ["c"]


def test_immutable_things_stay(client: Client) -> None:
    """What Kubernetes holds immutable cannot be updated: selectors, pods' specs, data of immutable ConfigMaps."""
    client.post(DEPLOYMENTS, deployment("web"))
    labels = {"app": "other"}
    patch = {"spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}}}}
    reply = client.patch(f"{DEPLOYMENTS}/web", patch)
    assert reply.message == (
        'Deployment.apps "web" is invalid: spec.selector: Invalid value: {"matchLabels":{"app":"other"}}: '
        "field is immutable"
    )
    client.post(PODS, pod("p"))
    assert "pod updates may not change fields" in client.patch(f"{PODS}/p", {"spec": {"hostname": "x"}}).message
    images = {"spec": {"containers": [{"name": "c", "image": "nginx:1.28"}]}}
    assert client.patch(f"{PODS}/p", images, kind=STRATEGIC).status == 200
    client.post(CONFIG_MAPS, {**config_map("one", k="v"), "immutable": True})
    assert client.patch(ONE, {"data": {"k": "w"}}).status == 422
