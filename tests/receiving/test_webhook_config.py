from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import yaml

from decklog import certificates, kubeconfig
from decklog.errors import DecklogError
from decklog.receiving.handing_out import write
from decklog.receiving.options import ReceiverOptions

if TYPE_CHECKING:
    from pathlib import Path

HOUR = timedelta(hours=1)


def now() -> datetime:
    return datetime.now(UTC)


CA = certificates.authority("ca", clock=now, lifetime=HOUR)
SERVER = certificates.server_certificate(CA, ["127.0.0.1"], clock=now, lifetime=HOUR)
CLIENT = certificates.client_certificate(CA, "kube-apiserver", clock=now, lifetime=HOUR)


def test_the_file_leads_here_with_a_certificate(tmp_path: Path) -> None:
    """It names the CA behind the listener's certificate, and holds the sender's pair; nobody else may read it."""
    certificates.write(CLIENT, tmp_path / "c.crt", tmp_path / "c.key")
    path = tmp_path / "webhook.yaml"
    options = ReceiverOptions(
        kubeconfig_out=str(path), sender_certificate_file=f"{tmp_path}/c.crt", sender_key_file=f"{tmp_path}/c.key"
    )
    write(options, "https://127.0.0.1:8445", SERVER.certificate_pem + CA.certificate_pem)
    access = kubeconfig.load(path)
    assert access.server == "https://127.0.0.1:8445"
    access.ssl_context()
    document = yaml.safe_load(path.read_text())
    assert base64.b64decode(document["clusters"][0]["cluster"]["certificate-authority-data"]) == CA.certificate_pem
    assert base64.b64decode(document["users"][0]["user"]["client-key-data"]) == CLIENT.key_pem
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("url", "tokens", "certificate", "user"),
    [
        ("https://h:1", "first\nsecond\n", SERVER.certificate_pem, {"token": "first"}),
        ("https://h:1", "", SERVER.certificate_pem, {}),
        ("http://127.0.0.1:1", "first", b"", {}),
    ],
)
def test_other_credentials(tmp_path: Path, url: str, tokens: str, certificate: bytes, user: dict[str, str]) -> None:
    """A token where that is what is asked for; nothing over plain HTTP, where it would not be sent."""
    (tmp_path / "tokens").write_text(tokens)
    path = tmp_path / "webhook.yaml"
    write(ReceiverOptions(kubeconfig_out=str(path), token_file=str(tmp_path / "tokens")), url, certificate)
    document = yaml.safe_load(path.read_text())
    assert document["users"][0]["user"] == user
    assert document["clusters"][0]["cluster"] == {"server": url}
    assert ("no credentials" in path.read_text()) == (not user and url.startswith("https"))


@pytest.mark.parametrize("url", ["https://0.0.0.0:1", "https://[::]:1"])
def test_an_address_that_nobody_can_dial(tmp_path: Path, url: str) -> None:
    """Who listens everywhere says under which name he is reached."""
    path = tmp_path / "webhook.yaml"
    with pytest.raises(DecklogError, match="give --kubeconfig-out-server"):
        write(ReceiverOptions(kubeconfig_out=str(path)), url, SERVER.certificate_pem)
    write(
        ReceiverOptions(kubeconfig_out=str(path), kubeconfig_out_server="https://audit:1"), url, SERVER.certificate_pem
    )
    assert kubeconfig.load(path).server == "https://audit:1"


@pytest.mark.parametrize("server", ["audit:8445", "ftp://x", "https://u:p@x", "https://x:99999", "https://x?y"])
def test_a_server_that_is_no_address(tmp_path: Path, server: str) -> None:
    """Refused, and not quoted."""
    options = ReceiverOptions(kubeconfig_out=str(tmp_path / "x"), kubeconfig_out_server=server)
    with pytest.raises(DecklogError, match="is no address"):
        write(options, "https://x", b"")


def test_without_the_flag_nothing_is_written(tmp_path: Path) -> None:
    """Nothing."""
    write(ReceiverOptions(), "https://x:1", b"")
    assert list(tmp_path.iterdir()) == []
