from __future__ import annotations

import base64
import os
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from decklog import certificates
from decklog.access import UpstreamOptions, handing_out
from decklog.errors import DecklogError
from decklog.kubeconfig import Context

if TYPE_CHECKING:
    from pathlib import Path

DAY = timedelta(days=1)


def now() -> datetime:
    return datetime.now(UTC)


CA = certificates.authority("gateway", clock=now, lifetime=DAY)
SERVED = certificates.server_certificate(CA, ["audit.example"], clock=now, lifetime=DAY)
URL = "https://audit.example:8443"
GIVEN: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "prod",
    "contexts": [
        {"name": "prod", "context": {"cluster": "prod", "user": "alice", "namespace": "shop"}},
        {"name": "prod-bob", "context": {"cluster": "prod", "user": "bob"}},
        {"name": "test", "context": {"cluster": "test", "user": "alice"}},
    ],
    "clusters": [
        {"name": "prod", "cluster": {"server": "https://prod"}},
        {"name": "test", "cluster": {"server": "https://test"}},
    ],
    "users": [{"name": "alice", "user": {"token": "SECRET"}}, {"name": "bob", "user": {"password": "SECRET"}}],
}


def written(directory: Path, url: str = URL, chain: bytes = b"", **flags: str) -> str:
    given = directory / "given"
    given.write_text(yaml.safe_dump(GIVEN))
    out = directory / "out"
    options = UpstreamOptions(**{"kubeconfig": str(given), "kubeconfig_out": str(out), **flags})
    handing_out.write(options, url, chain)
    assert out.stat().st_mode & 0o777 == 0o600
    return out.read_text()


def test_users_get_contexts_and_no_credentials(tmp_path: Path) -> None:
    """Every context of the upstream's cluster, with its user's name and namespace; the gateway's is current."""
    text = written(tmp_path, chain=SERVED.certificate_pem + CA.certificate_pem)
    assert "SECRET" not in text
    document = yaml.safe_load(text)
    assert "users" not in document
    assert document["current-context"] == "prod-audited"
    assert document["contexts"] == [
        {"name": "prod-audited", "context": {"cluster": "prod-audited", "user": "alice", "namespace": "shop"}},
        {"name": "prod-bob-audited", "context": {"cluster": "prod-audited", "user": "bob"}},
    ]
    (cluster,) = document["clusters"]
    assert cluster["name"] == "prod-audited"
    assert cluster["cluster"]["server"] == URL
    assert base64.b64decode(cluster["cluster"]["certificate-authority-data"]) == CA.certificate_pem


def test_nothing_is_written_without_the_flag(tmp_path: Path) -> None:
    """The rest of the options does not matter then."""
    handing_out.write(UpstreamOptions(kubeconfig=str(tmp_path / "no")), "http://0.0.0.0:1")
    assert not list(tmp_path.iterdir())


def test_a_gateway_in_a_pod_hands_out_one_context(tmp_path: Path) -> None:
    """It has no kubeconfig whose names it could give."""
    document = yaml.safe_load(written(tmp_path, kubeconfig=""))
    assert document["contexts"] == [
        {"name": "gateway-audited", "context": {"cluster": "gateway-audited", "user": "me"}}
    ]


@pytest.mark.parametrize(
    ("name", "chain", "ca_file", "authority"),
    [
        ("a certificate alone is no CA", SERVED.certificate_pem, b"", None),
        ("a root in the chain", SERVED.certificate_pem + CA.certificate_pem, b"", CA.certificate_pem),
        ("a certificate that signs itself", CA.certificate_pem, b"", CA.certificate_pem),
        ("a file of its own", SERVED.certificate_pem, CA.certificate_pem, CA.certificate_pem),
    ],
)
def test_what_users_verify_the_gateway_by(
    tmp_path: Path, name: str, chain: bytes, ca_file: bytes, authority: bytes | None
) -> None:
    """What lasts; else the system's CAs, which the comments say."""
    flags = {}
    if ca_file:
        (tmp_path / "ca").write_bytes(ca_file)
        flags["kubeconfig_out_ca_file"] = str(tmp_path / "ca")
    text = written(tmp_path, chain=chain, **flags)
    data = yaml.safe_load(text)["clusters"][0]["cluster"].get("certificate-authority-data")
    assert (base64.b64decode(data) if data else None) == authority, name
    assert ("No CA is named here" in text) is (authority is None)


def test_plain_http_is_told_to_be_of_little_use(tmp_path: Path) -> None:
    """kubectl sends no credentials there; no CA is written either."""
    text = written(tmp_path, "http://127.0.0.1:8443", CA.certificate_pem)
    assert "everybody is system:anonymous" in text
    assert yaml.safe_load(text)["clusters"][0]["cluster"] == {"server": "http://127.0.0.1:8443"}


@pytest.mark.parametrize(
    ("name", "url", "server", "text"),
    [
        ("every address", "https://0.0.0.0:8443", "", "users cannot dial 0.0.0.0: give --kubeconfig-out-server https"),
        ("every address of IPv6", "https://[::]:8443", "", "users cannot dial ::"),
        ("no scheme", URL, "audit.example:8443", "--kubeconfig-out-server is no address: give https://HOST:PORT"),
        ("a password", URL, "https://u:SECRET@h", "is no address"),
        ("no port", URL, "https://h:x", "is no address"),
    ],
)
def test_an_address_that_nobody_can_dial(tmp_path: Path, name: str, url: str, server: str, text: str) -> None:
    """No file is written that would be of no use."""
    with pytest.raises(DecklogError) as error:
        written(tmp_path, url, kubeconfig_out_server=server)
    assert text in str(error.value), name
    assert "SECRET" not in str(error.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"nothing", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_ca_file_that_holds_none(tmp_path: Path, content: bytes) -> None:
    """It is named."""
    (tmp_path / "ca").write_bytes(content)
    with pytest.raises(DecklogError, match="give a PEM file"):
        written(tmp_path, kubeconfig_out_ca_file=str(tmp_path / "ca"))


def test_names_cannot_leave_the_comments() -> None:
    """A user's name with a line break in it stays one word of one line."""
    text = handing_out.users_kubeconfig(URL, b"", [Context("c", "k", "a\nusers: [{name: x}]\x1b[31m 'b")], path="out")
    assert "\x1b" not in text
    document = yaml.safe_load(text)
    assert sorted(document) == ["apiVersion", "clusters", "contexts", "current-context", "kind"]
    assert document["contexts"][0]["context"]["user"] == "a\nusers: [{name: x}]\x1b[31m 'b"


def kubectl(*arguments: str, kubeconfig: str) -> str:
    command = shutil.which("kubectl")
    if command is None:
        pytest.skip("kubectl is not installed")
    environment = {**os.environ, "KUBECONFIG": kubeconfig}
    return subprocess.run([command, *arguments], env=environment, check=True, capture_output=True, text=True).stdout


def test_kubectl_finds_the_users_in_their_own_kubeconfig(tmp_path: Path) -> None:
    """With both files listed, the gateway is current and the credentials are the user's."""
    written(tmp_path, chain=CA.certificate_pem)
    view = kubectl("config", "view", "--minify", "--raw", kubeconfig=f"{tmp_path}/out:{tmp_path}/given")
    document = yaml.safe_load(view)
    assert document["clusters"][0]["cluster"]["server"] == URL
    assert document["users"] == [{"name": "alice", "user": {"token": "SECRET"}}]


def test_kubectl_adds_a_user_to_the_file(tmp_path: Path) -> None:
    """By the commands that the comments give."""
    text = written(tmp_path, chain=CA.certificate_pem)
    assert f"# {' ' * 2}kubectl --kubeconfig {tmp_path}/out config set-credentials alice --token=TOKEN\n" in text
    out = str(tmp_path / "out")
    kubectl("--kubeconfig", out, "config", "set-credentials", "alice", "--token=TOKEN", kubeconfig=out)
    document = yaml.safe_load(kubectl("config", "view", "--minify", "--raw", kubeconfig=out))
    assert document["users"] == [{"name": "alice", "user": {"token": "TOKEN"}}]
