from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from decklog import certificates
from decklog.errors import DecklogError
from decklog.receiving.refusals import RefusedError
from decklog.receiving.senders import Senders, Shown, Tokens, shown

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 1, 5, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
APISERVER = Shown(("kube-apiserver", "cp-1.example", "10.0.0.1"), NOW.timestamp() + 3600)
STRANGER = Shown(("stranger",), NOW.timestamp() + 3600)
NAMELESS = Shown((), NOW.timestamp() + 3600)
EXPIRED = Shown(("kube-apiserver",), NOW.timestamp())


def clock() -> float:
    return NOW.timestamp()


def der(pem: bytes) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pem.decode())


def test_a_certificate_has_its_names_and_its_end() -> None:
    """CN first, then names and addresses among its SANs, each once."""
    ca = certificates.authority("ca", clock=lambda: NOW, lifetime=HOUR)
    client = certificates.client_certificate(ca, "kube-apiserver", clock=lambda: NOW, lifetime=HOUR)
    assert shown(der(client.certificate_pem)) == Shown(("kube-apiserver",), NOW.timestamp() + 3600)
    server = certificates.server_certificate(ca, ["a.example", "10.0.0.1"], clock=lambda: NOW, lifetime=HOUR)
    assert shown(der(server.certificate_pem)).names == ("a.example", "10.0.0.1")
    with pytest.raises(DecklogError, match="cannot be read"):
        shown(b"no certificate")


@pytest.mark.parametrize(
    ("allowed", "certificate", "code"),
    [
        ({"kube-apiserver"}, APISERVER, 0),
        ({"other", "cp-1.example"}, APISERVER, 0),
        ({"10.0.0.1"}, APISERVER, 0),
        ({"*"}, STRANGER, 0),
        ({"*"}, NAMELESS, 0),
        ({"kube-apiserver"}, STRANGER, 403),
        ({"kube-apiserver"}, NAMELESS, 403),
        ({"Kube-Apiserver"}, APISERVER, 403),
        ({"kube-apiserver"}, EXPIRED, 401),
        ({"kube-apiserver"}, None, 401),
    ],
)
def test_certificates_are_allowed_by_name(allowed: set[str], certificate: Shown | None, code: int) -> None:
    """One of its names is enough, spelled as it is; it counts for as long as it lasts."""
    senders = Senders(frozenset(allowed), None, clock=clock)
    if code:
        with pytest.raises(RefusedError) as refused:
            senders.admit(certificate, None)
        assert refused.value.code == code
    else:
        assert certificate is not None
        assert senders.admit(certificate, None) == certificate.title


@pytest.mark.parametrize(
    ("authorization", "taken"),
    [
        (b"Bearer one", True),
        (b"bearer  two ", True),
        (b"Bearer three", False),
        (b"Bearer ", False),
        (b"Bearer", False),
        (b"one", False),
        (b"Basic one", False),
        (None, False),
    ],
)
def test_tokens_are_taken_as_they_stand(tmp_path: Path, authorization: bytes | None, taken: bool) -> None:
    """Any line of the file, whole; beside certificates either is enough."""
    (tmp_path / "tokens").write_text("one\n\n two \n")
    for allowed, certificate in ((None, None), (frozenset({"x"}), None), (frozenset({"x"}), STRANGER)):
        senders = Senders(allowed, Tokens(str(tmp_path / "tokens")), clock=clock)
        if taken:
            assert senders.admit(certificate, authorization) == "a bearer of a token"
        else:
            with pytest.raises(RefusedError):
                senders.admit(certificate, authorization)
    assert Senders(frozenset({"*"}), Tokens(str(tmp_path / "tokens")), clock=clock).admit(APISERVER, None)


def test_without_either_anybody_may_send() -> None:
    """That is plain HTTP on loopback; there is no name to tell."""
    assert Senders(None, None).admit(None, b"Bearer x") == ""


@pytest.mark.parametrize("content", [None, "", "\n\n", "x" * 70_000])
def test_tokens_that_cannot_be_used(tmp_path: Path, content: str | None, caplog: pytest.LogCaptureFixture) -> None:
    """An error at the start; later the old ones stay in force, and the log says so once."""
    file = tmp_path / "tokens"
    file.write_text("one")
    tokens = Tokens(str(file))
    file.unlink()
    if content is not None:
        file.write_text(content)
    with pytest.raises(DecklogError, match="--token-file"):
        Tokens(str(file))
    tokens.follow()
    tokens.follow()
    assert b"one" in tokens
    assert caplog.text.count("the old tokens stay in force") == 1


def test_a_certificate_is_read_once() -> None:
    """What cannot be read counts as none."""
    senders = Senders(frozenset({"*"}), None)
    assert senders.certificate(None) is None
    assert senders.certificate(b"x") is None
    assert senders.certificate(b"x") is None
