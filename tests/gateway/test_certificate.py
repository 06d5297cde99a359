from __future__ import annotations

import asyncio
import contextlib
import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from decklog import certificates
from decklog.audit.event import User
from decklog.errors import DecklogError
from decklog.gateway.caller import Caller, Means
from decklog.gateway.certificate import UID, Certificates, shown_by

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DAY = timedelta(days=1)
Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


_SIGNS = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


def clock() -> datetime:
    return NOW


def now_s() -> float:
    return NOW.timestamp()


class Authority:
    """An authority whose leaves may have any subject."""

    def __init__(
        self,
        name: str,
        key: Key | None = None,
        above: Authority | None = None,
        *,
        ca: bool = True,
        at: datetime = NOW,
    ) -> None:
        self.key: Key = key or ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = _sign(
            subject, self.key, above or self, subject if above is None else above.subject, ca=ca, at=at
        )

    @property
    def subject(self) -> x509.Name:
        return self.certificate.subject

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    def leaf(self, *subject: tuple[x509.ObjectIdentifier, str]) -> bytes:
        name = x509.Name([x509.NameAttribute(kind, text) for kind, text in subject])
        key = ec.generate_private_key(ec.SECP256R1())
        return _sign(name, key, self, self.subject, ca=False).public_bytes(Encoding.DER)


def _sign(
    subject: x509.Name, key: Key, by: Authority, issuer: x509.Name, *, ca: bool, at: datetime = NOW
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - DAY)
        .not_valid_after(at + DAY)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if ca:
        builder = builder.add_extension(_SIGNS, critical=True)
    return builder.sign(by.key, None if isinstance(by.key, ed25519.Ed25519PrivateKey) else hashes.SHA256())


CLIENTS, PROXIES, OTHERS = Authority("clients"), Authority("proxies"), Authority("others")
CN, O = NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME  # noqa: E741  # because: what X.509 calls it


def named(caller: Caller | None) -> tuple[str, Sequence[str]] | None:
    return None if caller is None or caller.user is None else (caller.user.username, caller.user.groups)


def test_a_certificate_names_a_user() -> None:
    """CN is the name, every O a group, and the certificate's hash stands in extra."""
    ca = certificates.authority("ca", clock=clock, lifetime=DAY)
    pair = certificates.client_certificate(ca, "alice", ["dev", "readers"], clock=clock, lifetime=DAY)
    certificate = x509.load_pem_x509_certificate(pair.certificate_pem)
    shown = Certificates(ca.certificate_pem, clock=now_s)(certificate.public_bytes(Encoding.DER))
    credential = f"X509SHA256={certificate.fingerprint(hashes.SHA256()).hex()}"
    extra: dict[str, tuple[str, ...] | None] = {"authentication.kubernetes.io/credential-id": (credential,)}
    user = User("alice", groups=("dev", "readers", "system:authenticated"), extra=extra)
    assert (shown.caller, shown.front_proxy, shown.refused) == (Caller(user, Means.CERTIFICATE), False, False)


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        (((CN, "a"), (CN, "b"), (O, "x")), ("b", ("x", "system:authenticated"))),
        (((O, "system:masters"), (CN, "root")), ("root", ("system:masters", "system:authenticated"))),
        (((O, "dev"),), None),
        (((CN, "system:anonymous"), (O, "x")), ("system:anonymous", ("x",))),
    ],
)
def test_odd_subjects(
    subject: tuple[tuple[x509.ObjectIdentifier, str], ...], expected: tuple[str, Sequence[str]] | None
) -> None:
    """Of several CNs the last counts, as in Go; a certificate without one names nobody, and is no failure."""
    shown = Certificates(CLIENTS.pem, clock=now_s)(CLIENTS.leaf(*subject))
    assert (named(shown.caller), shown.refused) == (expected, False)


def test_a_uid_in_the_subject() -> None:
    """A UID is read from the subject; twice or empty it fails the authentication."""
    read = Certificates(CLIENTS.pem, clock=now_s)
    shown = read(CLIENTS.leaf((CN, "a"), (UID, "u-1")))
    assert shown.caller is not None
    assert shown.caller.user is not None
    assert shown.caller.user.uid == "u-1"
    twice = read(CLIENTS.leaf((CN, "a"), (UID, "u-1"), (UID, "u-1")))
    assert (twice.caller, twice.refused) == (None, True)


LEAVES = {"client": CLIENTS.leaf((CN, "alice")), "proxy": PROXIES.leaf((CN, "front"))}


@pytest.mark.parametrize(
    ("signed_by", "clients", "proxies", "names", "is_user", "is_proxy", "refused"),
    [
        ("client", True, True, [], True, False, False),
        ("proxy", True, True, [], False, True, True),
        ("proxy", True, True, ["front"], False, True, True),
        ("proxy", True, True, ["another"], False, False, True),
        ("client", True, True, ["alice"], True, False, False),
        ("client", True, False, [], True, False, False),
        ("proxy", False, True, [], False, True, False),
        ("proxy", False, True, ["another"], False, False, True),
    ],
)
def test_which_authority_stands_behind(
    *, signed_by: str, clients: bool, proxies: bool, names: list[str], is_user: bool, is_proxy: bool, refused: bool
) -> None:
    """A user is whom the clients' authority has signed, a front proxy whom the other has and whose name is allowed."""
    read = Certificates(CLIENTS.pem if clients else None, PROXIES.pem if proxies else None, names, clock=now_s)
    shown = read(LEAVES[signed_by])
    assert (shown.caller is not None, shown.front_proxy, shown.refused) == (is_user, is_proxy, refused)


def test_one_authority_for_both() -> None:
    """Where one authority stands in both files, its certificates are a name, and a proxy's where that is allowed."""
    read = Certificates(CLIENTS.pem, CLIENTS.pem, ["front"], clock=now_s)
    front, alice = read(CLIENTS.leaf((CN, "front"))), read(CLIENTS.leaf((CN, "alice")))
    assert (named(front.caller), front.front_proxy) == (("front", ("system:authenticated",)), True)
    assert (named(alice.caller), alice.front_proxy) == (("alice", ("system:authenticated",)), False)


def test_neither_authority() -> None:
    """A certificate of neither, however it came through TLS, is refused; so is one with an authority's name only."""
    read = Certificates(CLIENTS.pem, PROXIES.pem, clock=now_s)
    for other in (OTHERS, Authority("clients"), Authority("proxies")):
        shown = read(other.leaf((CN, "admin")))
        assert (shown.caller, shown.front_proxy, shown.refused) == (None, False, True)


def test_intermediates() -> None:
    """An intermediate that follows its leaf leads to the authority; a leaf that is no authority leads nowhere."""
    read = Certificates(CLIENTS.pem, PROXIES.pem, clock=now_s)
    for top, is_user in ((CLIENTS, True), (PROXIES, False)):
        middle = Authority("middle", above=top)
        leaf = middle.leaf((CN, "alice"))
        shown = read(leaf + middle.der)
        assert (shown.caller is not None, shown.front_proxy) == (is_user, not is_user)
        alone = read(leaf)
        assert (alone.caller, alone.front_proxy, alone.refused) == (None, False, True)
    forger = Authority("forger", above=CLIENTS, ca=False)
    assert read(forger.leaf((CN, "admin")) + forger.der).refused


def test_an_authority_that_is_gone() -> None:
    """A connection that outlives a change of the authority is nobody's, where there is only one file as well."""
    assert Certificates(CLIENTS.pem, clock=now_s)(LEAVES["proxy"]).refused
    assert Certificates(None, PROXIES.pem, clock=now_s)(LEAVES["client"]).refused


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_what_a_connection_shows(loop_factory: Callable[[], asyncio.AbstractEventLoop], tmp_path: Path) -> None:
    """From a handshake come the client's certificate and the intermediates that it sent; none where it shows none."""
    at = datetime.now(UTC)
    top = Authority("top", at=at)
    middle = Authority("middle", above=top, at=at)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(CN, "alice")])
    leaf = _sign(name, key, middle, middle.subject, ca=False, at=at)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "alice.pem").write_bytes(private + leaf.public_bytes(Encoding.PEM) + middle.pem)
    ca = certificates.authority("server", clock=lambda: at, lifetime=DAY)
    pair = certificates.server_certificate(ca, ["127.0.0.1"], clock=lambda: at, lifetime=DAY)

    async def main() -> list[bytes | None]:
        found: asyncio.Queue[bytes | None] = asyncio.Queue()

        async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            found.put_nowait(shown_by(writer.get_extra_info("ssl_object")))
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=certificates.server_context(pair, top.pem))
        seen = []
        async with server:
            for shows in (True, False):
                context = certificates.client_context(ca.certificate_pem)
                if shows:
                    context.load_cert_chain(tmp_path / "alice.pem")
                port = server.sockets[0].getsockname()[1]
                reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
                async with asyncio.timeout(10):
                    seen.append(await found.get())
                    await reader.read()
                writer.close()
                with contextlib.suppress(ConnectionError, ssl.SSLError):
                    await writer.wait_closed()
        return seen

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        with_certificate, without = runner.run(main())
    assert without is None
    assert with_certificate is not None
    assert named(Certificates(top.pem)(with_certificate).caller) == ("alice", ("system:authenticated",))
    assert Certificates(top.pem)(leaf.public_bytes(Encoding.DER)).refused


def test_an_authority_with_another_kind_of_key() -> None:
    """Ed25519 authorities work where they have signed the leaf themselves."""
    authority = Authority("edward", ed25519.Ed25519PrivateKey.generate())
    assert Certificates(authority.pem, PROXIES.pem, clock=now_s)(authority.leaf((CN, "alice"))).caller is not None


def test_a_certificate_ends_while_its_connection_lives() -> None:
    """After its end a certificate is refused, as kube-apiserver looks at it with every request."""
    now = [NOW.timestamp()]
    read = Certificates(CLIENTS.pem, clock=lambda: now[0])
    assert read(LEAVES["client"]).caller is not None
    now[0] += 2 * DAY.total_seconds()
    assert (read(LEAVES["client"]).caller, read(LEAVES["client"]).refused) == (None, True)


@pytest.mark.parametrize("der", [b"", b"\x30", b"no certificate", b"\x30\x03\x02\x01\x01", LEAVES["client"][:-1]])
def test_what_is_no_certificate(der: bytes) -> None:
    """Bytes that are no certificate are refused."""
    assert Certificates(CLIENTS.pem, PROXIES.pem, clock=now_s)(der).refused


def test_a_file_without_an_authority() -> None:
    """A CA file without certificates is told at the start."""
    with pytest.raises(DecklogError, match="CERTIFICATE blocks"):
        Certificates(b"nothing", None)
