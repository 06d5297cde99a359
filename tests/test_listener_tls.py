from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from decklog import certificates
from decklog.errors import DecklogError
from decklog.listener import ListenerOptions
from decklog.listener_tls import DAY_S, Expiry, Files

if TYPE_CHECKING:
    from pathlib import Path

    from decklog.certificates import KeyPair

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def clock() -> datetime:
    return NOW


@pytest.fixture(scope="module")
def authority() -> KeyPair:
    return certificates.authority("ca", clock=clock, lifetime=timedelta(days=100))


def files(folder: Path, authority: KeyPair, **given: bool) -> Files:
    """Write a listener's files."""
    pair = certificates.server_certificate(authority, ["localhost"], clock=clock, lifetime=timedelta(days=10))
    certificates.write(pair, folder / "tls.crt", folder / "tls.key")
    (folder / "ca.crt").write_bytes(authority.certificate_pem)
    options = ListenerOptions(str(folder / "tls.crt"), str(folder / "tls.key"), str(folder / "ca.crt"), **given)
    return Files(options, {"client-ca": options.client_ca_file, "requestheader-client-ca": ""})


def test_a_context_is_as_strict_as_it_is_asked_to_be(tmp_path: Path, authority: KeyPair) -> None:
    """TLS 1.2 at least, no tickets; client certificates optional, or required."""
    for required, mode in ((False, ssl.CERT_OPTIONAL), (True, ssl.CERT_REQUIRED)):
        material = files(tmp_path, authority, require_client_certificate=required).read()
        assert material is not None
        context = material.context()
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2
        assert context.num_tickets == 0
        assert context.verify_mode == mode


def test_without_authorities_nobody_is_asked_for_a_certificate(tmp_path: Path, authority: KeyPair) -> None:
    """There would be nothing to verify it with."""
    files(tmp_path, authority)
    material = Files(ListenerOptions(str(tmp_path / "tls.crt"), str(tmp_path / "tls.key")), {}).read()
    assert material is not None
    assert material.context().verify_mode == ssl.CERT_NONE
    assert set(material.ends()) == {"listener"}


def test_ends_are_told_by_what_the_certificates_are_for(tmp_path: Path, authority: KeyPair) -> None:
    """In seconds since the epoch."""
    material = files(tmp_path, authority).read()
    assert material is not None
    expected = {"listener": NOW + timedelta(days=10), "client-ca": NOW + timedelta(days=100)}
    assert material.ends() == {name: end.timestamp() for name, end in expected.items()}


def test_a_change_is_seen_once_it_is_not_read(tmp_path: Path, authority: KeyPair) -> None:
    """Written, replaced or removed; reading them again makes them known, whether they are good or not."""
    watched = files(tmp_path, authority)
    watched.read()
    assert not watched.changed()
    (tmp_path / "tls.key").write_text("no key")
    assert watched.changed()
    with pytest.raises(DecklogError):
        watched.read()
    assert not watched.changed()
    (tmp_path / "tls.crt").unlink()
    assert watched.changed()
    files(tmp_path, authority)
    assert watched.changed()
    assert watched.read() is not None
    assert not watched.changed()


SPOILT = {"tls.crt": "cannot be used|no certificate", "tls.key": "cannot be used", "ca.crt": "no certificate authority"}


@pytest.mark.parametrize("name", SPOILT)
def test_what_cannot_be_used_is_an_error(tmp_path: Path, authority: KeyPair, name: str) -> None:
    """Found when it is read, not at the first handshake."""
    watched = files(tmp_path, authority)
    (tmp_path / name).write_text("spoilt")
    with pytest.raises(DecklogError, match=SPOILT[name]):
        watched.read()


def test_plain_http_has_no_material() -> None:
    """And nothing that could change."""
    plain = Files(ListenerOptions(insecure=True), {})
    assert plain.read() is None
    assert not plain.changed()


def test_without_a_file_there_is_a_throwaway_certificate() -> None:
    """Made once, for the hosts that are named; its own authority, which users may trust, follows it."""
    files = Files(ListenerOptions(), {}, ["gw.example", "127.0.0.1"])
    material = files.read()
    assert material is not None
    again = files.read()
    assert again is not None
    assert again.pair == material.pair
    assert not files.changed()
    leaf, authority = x509.load_pem_x509_certificates(material.pair.certificate_pem)
    leaf.verify_directly_issued_by(authority)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["gw.example"]


def test_a_certificate_near_its_end_is_warned_of_three_times_and_once_more() -> None:
    """30, 7 and 1 days before, and when it has run out; a renewed one begins anew."""
    expiry = Expiry()
    end_s = 1000.0 * DAY_S
    told = {
        days: list(expiry.warnings({"listener": end_s}, end_s - days * DAY_S))
        for days in (31, 30, 29, 8, 7, 6.5, 2, 1, 0.5, 0, -1)
    }
    assert [days for days, lines in told.items() if lines] == [30, 7, 1, 0]
    assert told[30] == ["the certificate of the listener runs out within 30 days: replace its file"]
    assert told[1] == ["the certificate of the listener runs out within 1 day: replace its file"]
    assert told[0][0].startswith("the certificate of the listener has run out")
    renewed_s = end_s + 20 * DAY_S
    assert len(list(expiry.warnings({"listener": renewed_s}, end_s))) == 1


def test_a_late_start_tells_only_what_holds_now() -> None:
    """Not 30 days, then 7, then 1."""
    assert list(Expiry().warnings({"client-ca": 3600.0}, 0.0)) == [
        "the certificate of the client ca runs out within 1 day: replace its file"
    ]
