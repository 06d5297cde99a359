from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from decklog.access import UpstreamOptions, from_kubeconfig, from_options, in_cluster
from decklog.errors import DecklogError

if TYPE_CHECKING:
    from pathlib import Path

KUBECONFIG = """\
current-context: a
contexts: [{name: a, context: {cluster: a, user: u}}, {name: b, context: {cluster: b, user: u}}]
clusters: [{name: a, cluster: {server: "https://a"}}, {name: b, cluster: {server: "https://b"}}]
users: [{name: u, user: {exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: plugin}}}]
"""
POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}


@pytest.fixture
def path(tmp_path: Path) -> str:
    file = tmp_path / "kubeconfig"
    file.write_text(KUBECONFIG)
    return str(file)


def test_a_kubeconfig_wins_over_the_pod(path: str) -> None:
    """Whoever names one means it, and its exec plugin is allowed."""
    assert from_options(UpstreamOptions(kubeconfig=path), environ=POD).server == "https://a"
    assert from_options(UpstreamOptions(kubeconfig=path, context="b"), environ=POD).server == "https://b"
    assert from_kubeconfig(path, "b", environ={}).server == "https://b"


@pytest.mark.parametrize(
    ("name", "options", "environ", "text"),
    [
        ("nothing", UpstreamOptions(), {}, "no API server to stand before: give --kubeconfig FILE, or run in a pod"),
        ("half a pod", UpstreamOptions(), {"KUBERNETES_SERVICE_HOST": "h"}, "no API server to stand before"),
        ("a context alone", UpstreamOptions(context="a"), POD, "give --kubeconfig FILE as well"),
    ],
)
def test_nowhere_to_go(name: str, options: UpstreamOptions, environ: dict[str, str], text: str) -> None:
    """The error says which flag is missing."""
    with pytest.raises(DecklogError, match=text):
        from_options(options, environ=environ)


def test_a_pod_without_its_account(tmp_path: Path) -> None:
    """The error says what the pod needs; an empty CA is not the system's."""
    with pytest.raises(DecklogError, match=r"cannot read the cluster's CA .*automountServiceAccountToken: true"):
        in_cluster(POD, tmp_path)
    (tmp_path / "ca.crt").write_text("\n")
    with pytest.raises(DecklogError, match="is empty: it should hold the cluster's CA"):
        in_cluster(POD, tmp_path)
