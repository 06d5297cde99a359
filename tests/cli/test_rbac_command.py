from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml

from ask.logs import event, log
from cli.running import run
from decklog.audit.event import ObjectReference

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def audit_log(tmp_path: Path) -> Path:
    """Alice deletes a deployment, is refused a secret, and calls an old API."""
    refused = {"authorization.k8s.io/decision": "forbid"}
    return log(
        tmp_path / "audit.log",
        event(audit_id="1"),
        event(audit_id="2", verb="get", object_ref=ObjectReference("secrets", "shop", "db"), annotations=refused),
        event(audit_id="3", verb="list", object_ref=ObjectReference("cronjobs", "shop", "", "", "batch", "v1beta1")),
    )


def test_roles_for_what_was_used(audit_log: Path) -> None:
    """The manifest allows what was done, and names what was refused in a comment."""
    out = run("rbac", "alice", audit_log).out
    role, binding = yaml.safe_load_all(out)
    assert [(rule["resources"], rule["verbs"]) for rule in role["rules"]] == [
        (["deployments"], ["delete"]),
        (["cronjobs"], ["list"]),
    ]
    assert binding["subjects"][0]["name"] == "alice"
    assert "# - get secrets db in namespace shop: 1 times" in out


def test_used_versus_granted(audit_log: Path, tmp_path: Path) -> None:
    """With manifests: what is idle and what is missing, and exit code 1."""
    granted = tmp_path / "roles.yaml"
    granted.write_text(
        "kind: Role\nmetadata: {name: r, namespace: shop}\n"
        "rules: [{apiGroups: [apps], resources: [deployments], verbs: [delete, update]}]\n"
    )
    ran = run("rbac", "alice", audit_log, "--manifests", granted)
    assert ran.code == 1
    assert ran.out.splitlines()[:3] == [
        "Granted and not used:",
        "- Role r of namespace shop, rule 1: update deployments",
        "Used and not granted by these manifests:",
    ]
    assert run("rbac", "alice", audit_log, "--manifests", tmp_path / "no.yaml").code == 2


def test_nobody_is_told(audit_log: Path) -> None:
    """A subject that the log does not know is exit code 1."""
    assert run("rbac", "nobody", audit_log).code == 1


def test_deprecated_clients(audit_log: Path) -> None:
    """The client of the old API is named, with what to use instead."""
    found = json.loads(run("deprecated", audit_log, "-o", "json").out)["deprecated"]
    assert [(use["api"], use["removed"], use["instead"], use["toldBy"]) for use in found] == [
        ("batch/v1beta1/cronjobs", "1.25", "batch/v1", "table")
    ]
    assert (
        "batch/v1beta1/cronjobs,1.25,batch/v1,alice,kubectl/v1.36.2,list,1,"
        in run("deprecated", audit_log, "-o", "csv").out
    )
    assert run("deprecated", audit_log, "--verb", "delete").code == 1
