from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decklog.sandbox import resources as known
from decklog.sandbox.columns import columns_of
from decklog.sandbox.table import table
from sandbox.client import BEGIN

CREATED = "2026-01-01T03:04:05Z"
TEMPLATE = {"spec": {"containers": [{"name": "c", "image": "i"}, {"name": "d", "image": "j"}]}}


def cells(resource: known.Resource, value: dict[str, Any], *, wide: bool = False) -> dict[str, Any]:
    value["metadata"] = {"name": "x", "creationTimestamp": CREATED, **value.get("metadata", {})}
    made = table(resource, value, now=BEGIN)
    return {
        column["name"]: cell
        for column, cell in zip(made["columnDefinitions"], made["rows"][0]["cells"], strict=True)
        if wide or not column["priority"]
    }


@pytest.mark.parametrize(
    ("resource", "value", "expected"),
    [
        (
            known.PODS,
            {
                "spec": {"containers": [{}, {}]},
                "status": {
                    "phase": "Running",
                    "containerStatuses": [{"ready": True, "restartCount": 2}, {"ready": False}],
                },
            },
            {"Name": "x", "Ready": "1/2", "Status": "Running", "Restarts": "2", "Age": "24h"},
        ),
        (
            known.PODS,
            {"metadata": {"deletionTimestamp": CREATED}, "spec": {}, "status": {"phase": "Running"}},
            {"Name": "x", "Ready": "0/0", "Status": "Terminating", "Restarts": "0", "Age": "24h"},
        ),
        (
            known.DEPLOYMENTS,
            {"spec": {"replicas": 3}, "status": {"readyReplicas": 2, "updatedReplicas": 3, "availableReplicas": 2}},
            {"Name": "x", "Ready": "2/3", "Up-to-date": 3, "Available": 2, "Age": "24h"},
        ),
        (
            known.SERVICES,
            {
                "spec": {
                    "type": "NodePort",
                    "clusterIP": "10.0.0.1",
                    "ports": [{"port": 80, "nodePort": 30080}, {"port": 53, "protocol": "UDP"}],
                }
            },
            {
                "Name": "x",
                "Type": "NodePort",
                "Cluster-IP": "10.0.0.1",
                "External-IP": "<none>",
                "Port(s)": "80:30080/TCP,53/UDP",
                "Age": "24h",
            },
        ),
        (
            known.NODES,
            {
                "metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}},
                "spec": {"unschedulable": True},
                "status": {"conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": {"kubeletVersion": "v1"}},
            },
            {
                "Name": "x",
                "Status": "Ready,SchedulingDisabled",
                "Roles": "control-plane",
                "Age": "24h",
                "Version": "v1",
            },
        ),
        (
            known.SECRETS,
            {"type": "Opaque", "data": {"a": "", "b": ""}},
            {"Name": "x", "Type": "Opaque", "Data": 2, "Age": "24h"},
        ),
        (
            known.JOBS,
            {
                "spec": {"completions": 1},
                "status": {
                    "succeeded": 1,
                    "startTime": CREATED,
                    "completionTime": "2026-01-01T03:04:15Z",
                    "conditions": [{"type": "Complete", "status": "True"}],
                },
            },
            {"Name": "x", "Status": "Complete", "Completions": "1/1", "Duration": "10s", "Age": "24h"},
        ),
        (known.ROLES, {"rules": []}, {"Name": "x", "Created At": CREATED}),
        (
            known.ROLE_BINDINGS,
            {"roleRef": {"kind": "Role", "name": "r"}},
            {"Name": "x", "Role": "Role/r", "Age": "24h"},
        ),
    ],
    ids=["pod", "going pod", "deployment", "service", "node", "secret", "job", "role", "binding"],
)
def test_cells(resource: known.Resource, value: dict[str, Any], expected: dict[str, Any]) -> None:
    """Each kind shows itself as `kubectl get` prints it."""
    assert cells(resource, value) == expected


def test_wide_columns() -> None:
    """-o wide adds the columns with priority 1."""
    value = {"spec": {"template": TEMPLATE, "selector": {"matchLabels": {"a": "b"}}}}
    found = cells(known.DEPLOYMENTS, value, wide=True)
    assert (found["Containers"], found["Images"], found["Selector"]) == ("c,d", "i,j", "a=b")


HOSTILE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["spec", "status", "conditions", "type", "containers", "name", "ports", "phase", "rules"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=10,
)


@given(
    resource=st.sampled_from(known.RESOURCES),
    value=st.fixed_dictionaries(
        {
            "spec": HOSTILE,
            "status": HOSTILE,
            "data": HOSTILE,
            "rules": HOSTILE,
            "subjects": HOSTILE,
            "roleRef": HOSTILE,
            "involvedObject": HOSTILE,
            "secrets": HOSTILE,
        }
    ),
)
def test_strange_objects_make_cells_all_the_same(resource: known.Resource, value: dict[str, Any]) -> None:
    """Whatever an object holds, every column has a cell that JSON can hold."""
    value["metadata"] = {"name": "x"}
    for column in columns_of(resource):
        assert isinstance(column.cell(value, BEGIN), str | int | float)
