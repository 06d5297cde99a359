from __future__ import annotations

import json
import re
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from decklog.cli import decklog
from decklog.policy import reader

if TYPE_CHECKING:
    import click

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples" / "gateway"
PAGE = (ROOT / "docs" / "gateway.md").read_text("utf-8")
FILES = sorted(EXAMPLES.glob("*.yaml"))


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((EXAMPLES / name).read_text("utf-8")))


def only(name: str, kind: str) -> dict[str, Any]:
    (found,) = [document for document in documents(name) if document["kind"] == kind]
    return found


def gateway() -> click.Command:
    return decklog.entries["gateway"].load()


def container() -> dict[str, Any]:
    (found,) = only("deployment.yaml", "Deployment")["spec"]["template"]["spec"]["containers"]
    return dict(found)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_example_is_made_of_objects(path: Path) -> None:
    """Each document says what it is, and what it is called where it is sent to a server."""
    found = documents(path.name)
    assert found
    for document in found:
        assert document["apiVersion"], document
        assert document["kind"] == "Config" or document["metadata"]["name"], document


def test_the_container_is_started_with_flags_that_exist() -> None:
    """decklog itself reads them, values and all."""
    with gateway().make_context("gateway", list(container()["args"])) as context:
        assert context.params


def test_the_commented_flag_exists() -> None:
    """Those that a reader may uncomment, too."""
    text = (EXAMPLES / "deployment.yaml").read_text("utf-8") + (EXAMPLES / "rbac.yaml").read_text("utf-8")
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", _comments(text))) - OTHERS
    assert named
    assert named <= known(gateway())


OTHERS = {"--cert", "--key", "--as"}
"""Flags of kubectl that the comments name."""


def _comments(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if line.lstrip().startswith("#"))


def known(command: click.Command) -> set[str]:
    return set(chain.from_iterable(parameter.opts for parameter in command.params))


def test_the_page_names_flags_that_exist() -> None:
    """Inline code that begins with two dashes is a flag of the gateway; so are those of its commands."""
    prose = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)
    named = set(re.findall(r"`(--[a-z][a-z-]+)", prose)) - {"--as", "--token"}
    commands = re.findall(r"^\$ decklog gateway(?:.*\\\n)*.*$", PAGE, flags=re.MULTILINE)
    assert commands
    named |= {flag for text in commands for flag in re.findall(r"--[a-z][a-z-]+", text)}
    assert named <= known(gateway())


def test_the_policy_of_the_example_can_be_loaded(tmp_path: Path) -> None:
    """Strictly: every key is one, and nothing is there twice."""
    path = tmp_path / "policy.yaml"
    path.write_text(only("deployment.yaml", "ConfigMap")["data"]["policy.yaml"])
    assert not reader.load(str(path)).warnings


def test_what_the_deployment_names_is_there() -> None:
    """Account, policy, probes' ports, volumes, and the labels by which the others find its pods."""
    spec = only("deployment.yaml", "Deployment")["spec"]
    pod = spec["template"]["spec"]
    labels = spec["template"]["metadata"]["labels"]
    assert pod["serviceAccountName"] == only("deployment.yaml", "ServiceAccount")["metadata"]["name"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes["tls"]["secret"]["secretName"] == only("certificate.yaml", "Certificate")["spec"]["secretName"]
    assert volumes["policy"]["configMap"]["name"] == only("deployment.yaml", "ConfigMap")["metadata"]["name"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container()["volumeMounts"]}
    assert mounts.keys() == volumes.keys()
    for flag, path in (argument.split("=", 1) for argument in container()["args"] if "=/" in argument):
        assert any(path.startswith(f"{mount}/") for mount in mounts.values()), flag
    ports = {port["name"]: port["containerPort"] for port in container()["ports"]}
    assert {container()[probe]["httpGet"]["port"] for probe in ("livenessProbe", "readinessProbe")} == {"metrics"}
    assert f"--metrics-listen=0.0.0.0:{ports['metrics']}" in container()["args"]
    assert f"--listen=0.0.0.0:{ports['https']}" in container()["args"]
    service = only("deployment.yaml", "Service")["spec"]
    assert service["selector"] == spec["selector"]["matchLabels"] == labels
    assert service["ports"][0]["targetPort"] in ports
    guards = documents("network-policy.yaml")[0]["spec"]
    assert guards["podSelector"]["matchLabels"] == labels
    assert {port["port"] for rule in guards["ingress"] for port in rule["ports"]} == set(ports.values())


def test_rights_are_given_to_the_gateway_alone() -> None:
    """Each binding names its account, and a role of the file or one that every cluster has."""
    account = only("deployment.yaml", "ServiceAccount")["metadata"]
    roles = {document["metadata"]["name"] for document in documents("rbac.yaml") if document["kind"] == "ClusterRole"}
    bindings = [document for document in documents("rbac.yaml") if document["kind"] == "ClusterRoleBinding"]
    assert len(bindings) == 3
    for binding in bindings:
        assert binding["subjects"] == [{"kind": "ServiceAccount", **account}]
        assert binding["roleRef"]["name"] in roles | {"system:auth-delegator"}


def test_clients_are_pointed_at_the_service() -> None:
    """Argo CD and CI use the name under which the cluster knows it."""
    service = only("deployment.yaml", "Service")["metadata"]
    url = f"https://{service['name']}.{service['namespace']}.svc"
    argo = only("argo-cd-cluster.yaml", "Secret")["stringData"]
    assert argo["server"] == url
    assert url.removeprefix("https://") in only("certificate.yaml", "Certificate")["spec"]["dnsNames"]
    assert json.loads(argo["config"])["tlsClientConfig"]["serverName"] == url.removeprefix("https://")
    (cluster,) = only("ci-kubeconfig.yaml", "Config")["clusters"]
    assert cluster["cluster"]["server"] == url


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((\.\./[^)#]+|[a-z-]+\.md)", PAGE))))
def test_the_page_links_to_what_is_there(link: str) -> None:
    """Files beside it and in the checkout."""
    assert (ROOT / "docs" / link).exists()


@pytest.mark.parametrize("anchor", sorted(set(re.findall(r"\]\(#([^)]+)\)", PAGE))))
def test_the_page_links_to_its_own_sections(anchor: str) -> None:
    """By their headings."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL), flags=re.MULTILINE)
    assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
