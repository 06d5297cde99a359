from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from decklog import certificates
from decklog.enable.server_access import ANONYMOUS, by_kubeconfig, by_manifest
from decklog.errors import DecklogError
from enable.control_plane import node, pod
from enable.scripted_server import now

if TYPE_CHECKING:
    from pathlib import Path

CA = {"--client-ca-file": "/etc/kubernetes/pki/ca.crt"}
ADDRESSES = {
    "as it is advertised": ({"--advertise-address": "10.0.0.2"}, "https://10.0.0.2:6443", ""),
    "on its own port": ({"--advertise-address": "10.0.0.2", "--secure-port": "8443"}, "https://10.0.0.2:8443", ""),
    "by IPv6": ({"--advertise-address": "fd00::2"}, "https://[fd00::2]:6443", ""),
    "where it binds": ({"--bind-address": "127.0.0.2"}, "https://127.0.0.2:6443", "kubernetes"),
    "where it binds to all": ({"--bind-address": "0.0.0.0"}, "https://127.0.0.1:6443", "kubernetes"),
    "where nothing is said": ({}, "https://127.0.0.1:6443", "kubernetes"),
}


@pytest.mark.parametrize("case", ADDRESSES)
def test_the_manifest_says_where(case: str, tmp_path: Path) -> None:
    """Address, port and the name that the certificate has to bear come from the manifest's flags."""
    flags, server, name = ADDRESSES[case]
    node(tmp_path, b"a CA")
    found = by_manifest(pod(flags | CA), tmp_path, {})
    assert (found.cluster.server, found.cluster.tls_server_name) == (server, name)
    assert found.cluster.ca_pem == b"a CA"
    assert found.user == ANONYMOUS


def test_strangers_may_be_refused(tmp_path: Path) -> None:
    """With --anonymous-auth=false nobody is authenticated."""
    node(tmp_path, b"a CA")
    assert by_manifest(pod(CA | {"--anonymous-auth": "false"}), tmp_path, {}).user is None


def test_its_own_certificate_is_trusted_too(tmp_path: Path) -> None:
    """A serving certificate that another CA has signed is trusted by itself."""
    node(tmp_path, b"a CA")
    (tmp_path / "etc/kubernetes/pki/apiserver.crt").write_bytes(b"itself")
    flags = CA | {"--tls-cert-file": "/etc/kubernetes/pki/apiserver.crt"}
    assert by_manifest(pod(flags), tmp_path, {}).cluster.ca_pem == b"itself\na CA"


def test_an_address_that_is_none_is_refused(tmp_path: Path) -> None:
    """A name where an address has to be is named."""
    node(tmp_path, b"a CA")
    with pytest.raises(DecklogError, match="--advertise-address 'node1' is no address"):
        by_manifest(pod(CA | {"--advertise-address": "node1"}), tmp_path, {})


USERS = {
    "a certificate": ("client-certificate: c.crt, client-key: c.key", "jane", ("dev", "system:authenticated")),
    "a token": ("token: abc", "", ("system:authenticated",)),
    "nothing": ("", "system:anonymous", ("system:unauthenticated",)),
}


@pytest.mark.parametrize("case", USERS)
def test_a_kubeconfig_says_as_whom(case: str, tmp_path: Path) -> None:
    """A certificate names its user and groups; of a token it is known that somebody is authenticated."""
    user, name, groups = USERS[case]
    ca = certificates.authority("ca", clock=now, lifetime=timedelta(hours=1))
    pair = certificates.client_certificate(ca, "jane", ["dev"], clock=now, lifetime=timedelta(hours=1))
    (tmp_path / "c.crt").write_bytes(pair.certificate_pem)
    (tmp_path / "c.key").write_bytes(pair.key_pem)
    (tmp_path / "admin.conf").write_text(
        "current-context: a\ncontexts: [{name: a, context: {cluster: c, user: u}}]\n"
        f"clusters: [{{name: c, cluster: {{server: 'https://127.0.0.1:1'}}}}]\nusers: [{{name: u, user: {{{user}}}}}]\n"
    )
    found = by_kubeconfig(str(tmp_path / "admin.conf"), "", {}).user
    assert found is not None
    assert (found.username, found.groups) == (name, groups)
