from __future__ import annotations

import hashlib
import socket
import ssl
import stat
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from decklog import certificates
from decklog.errors import DecklogError

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)


def fixed() -> datetime:
    return NOW


def real() -> datetime:
    return datetime.now(UTC)


def test_identity_reads_what_client_certificate_was_told() -> None:
    """A client certificate names its user and groups, in order, and its SHA-256 is the DER's."""
    ca = certificates.authority("trial", clock=fixed, lifetime=HOUR)
    pair = certificates.client_certificate(ca, "alice", ["dev", "readers"], clock=fixed, lifetime=HOUR)
    der = ssl.PEM_cert_to_DER_cert(pair.certificate_pem.decode())
    expected = certificates.Identity("alice", ("dev", "readers"), hashlib.sha256(der).hexdigest())
    assert certificates.identity(der) == expected
    assert certificates.identity(pair.certificate_pem) == expected
    assert certificates.identity(pair.certificate_pem.decode()) == expected


@pytest.mark.parametrize(
    "data",
    [b"", b"\x00\xff", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "nonsense"],
)
def test_identity_refuses_what_is_no_certificate(data: bytes | str) -> None:
    """Bytes that are no certificate raise the error that the helm prints."""
    with pytest.raises(DecklogError, match=r"not an X\.509 certificate"):
        certificates.identity(data)


def test_lifetime_counts_from_the_clock() -> None:
    """Not-before lies a little before the clock's now, not-after a lifetime past it."""
    pair = certificates.authority("trial", clock=fixed, lifetime=HOUR)
    parsed = x509.load_pem_x509_certificate(pair.certificate_pem)
    assert parsed.not_valid_before_utc == NOW - certificates.BACKDATED
    assert parsed.not_valid_after_utc == NOW + HOUR


def test_server_certificate_names_hosts_and_addresses() -> None:
    """Host names and IP addresses become the two kinds of alternative name."""
    ca = certificates.authority("trial", clock=fixed, lifetime=HOUR)
    hosts = ["localhost", "127.0.0.1", "::1"]
    pair = certificates.server_certificate(ca, hosts, clock=fixed, lifetime=HOUR)
    parsed = x509.load_pem_x509_certificate(pair.certificate_pem)
    names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    parsed.verify_directly_issued_by(x509.load_pem_x509_certificate(ca.certificate_pem))


def test_server_certificate_needs_a_host() -> None:
    """Without a host the certificate would match nothing, so it is refused."""
    ca = certificates.authority("trial", clock=fixed, lifetime=HOUR)
    with pytest.raises(DecklogError, match="needs a host"):
        certificates.server_certificate(ca, [], clock=fixed, lifetime=HOUR)


@pytest.mark.parametrize("name", ["", "x" * 65])
def test_names_that_do_not_fit_are_refused(name: str) -> None:
    """X.509 bounds a name at 1 to 64 characters; the error says so."""
    ca = certificates.authority("trial", clock=fixed, lifetime=HOUR)
    with pytest.raises(DecklogError, match="1 to 64 characters"):
        certificates.client_certificate(ca, name, clock=fixed, lifetime=HOUR)


def test_repr_keeps_the_key_to_itself() -> None:
    """A pair that lands in a diagnostic does not show its private key."""
    pair = certificates.authority("trial", clock=fixed, lifetime=HOUR)
    assert "PRIVATE KEY" not in repr(pair)


def test_files_are_private_even_over_a_readable_one(tmp_path: Path) -> None:
    """Both files end with mode 0600, also where a world-readable file stood, and read back as the same pair."""
    pair = certificates.authority("trial", clock=fixed, lifetime=HOUR)
    certificate, key = tmp_path / "ca.crt", tmp_path / "ca.key"
    key.write_bytes(b"old")
    key.chmod(0o644)
    certificates.write(pair, certificate, key)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (certificate, key)] == [0o600, 0o600]
    assert certificates.read(certificate, key) == pair
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ca.crt", "ca.key"]


def test_unwritable_and_unreadable_paths_say_what_to_do(tmp_path: Path) -> None:
    """A path that cannot be used raises DecklogError with the path in it."""
    pair = certificates.authority("trial", clock=fixed, lifetime=HOUR)
    with pytest.raises(DecklogError, match="cannot write"):
        certificates.write(pair, tmp_path / "no" / "ca.crt", tmp_path / "no" / "ca.key")
    with pytest.raises(DecklogError, match="cannot read"):
        certificates.read(tmp_path / "ca.crt", tmp_path / "ca.key")


def test_a_pair_that_does_not_match_is_refused() -> None:
    """A key of another certificate is found before serving."""
    one = certificates.authority("one", clock=real, lifetime=HOUR)
    two = certificates.authority("two", clock=real, lifetime=HOUR)
    with pytest.raises(DecklogError, match="cannot be used"):
        certificates.server_context(certificates.KeyPair(one.certificate_pem, two.key_pem))
    with pytest.raises(DecklogError, match="no certificate authority"):
        certificates.client_context(b"nothing")


def handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[bytes | None, str | None]:
    """One TLS connection over a socket pair: the client certificate that the server saw, and the TLS version."""
    here, there = socket.socketpair()
    seen: list[bytes | None] = []

    def serve() -> None:
        with server.wrap_socket(there, server_side=True) as connection:
            seen.append(connection.getpeercert(binary_form=True))
            connection.sendall(b"x")

    thread = threading.Thread(target=serve)
    thread.start()
    with client.wrap_socket(here, server_hostname="127.0.0.1") as connection:
        connection.recv(1)
        version = connection.version()
    thread.join(10)
    return seen[0], version


def test_both_ends_meet_over_tls() -> None:
    """Server and client trust each other through the authority; a client may also come without a certificate."""
    ca = certificates.authority("trial", clock=real, lifetime=HOUR)
    server = certificates.server_context(
        certificates.server_certificate(ca, ["127.0.0.1"], clock=real, lifetime=HOUR),
        ca.certificate_pem,
    )
    alice = certificates.client_certificate(ca, "alice", clock=real, lifetime=HOUR)
    shown, version = handshake(server, certificates.client_context(ca.certificate_pem, alice))
    assert shown is not None
    assert certificates.identity(shown).common_name == "alice"
    assert version == "TLSv1.3"
    assert handshake(server, certificates.client_context(ca.certificate_pem))[0] is None


def test_a_key_needs_no_disk_that_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor a directory for temporary files; where the system has no files in memory, there must be one."""
    pair = certificates.throwaway(["localhost"], clock=lambda: datetime.now(UTC), lifetime=timedelta(hours=1))
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    assert certificates.server_context(pair).get_ca_certs() == []
    monkeypatch.delattr("os.memfd_create")
    with pytest.raises(FileNotFoundError):
        certificates.server_context(pair)
    monkeypatch.setattr("tempfile.tempdir", None)
    certificates.server_context(pair)
