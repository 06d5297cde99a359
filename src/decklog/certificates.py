"""Certificates: a throwaway authority and both ends' certificates, for trying and for small installations.

Lives in the cellar: knows nothing of audit. Everything is a value: an authority and what it signed are `KeyPair`s of
PEM bytes, which nobody has to write to a disk. Keys are EC P-256; TLS is 1.2 or newer. The clock is an argument, and so
is how long a certificate lives.

Files are written with mode 0600, certificates too: nobody then has to know which of two files is the secret one.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from decklog.errors import DecklogError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    Clock = Callable[[], datetime]

BACKDATED: Final = timedelta(minutes=5)
"""How long before now a certificate begins, so that a client whose clock is a little slow accepts it."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its private key, both PEM. The key is kept out of `repr`."""

    certificate_pem: bytes
    key_pem: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a certificate names: CN (of several the last, as in Go), every O in order, and its DER's SHA-256 in hex."""

    common_name: str
    organizations: tuple[str, ...]
    sha256: str


def authority(common_name: str, *, clock: Clock, lifetime: timedelta) -> KeyPair:
    """Make a certificate authority that may sign leaves only."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(common_name)
    builder = (
        _builder(subject, subject, key.public_key(), clock, lifetime)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return _signed(builder, key, key)


def server_certificate(ca: KeyPair, hosts: Sequence[str], *, clock: Clock, lifetime: timedelta) -> KeyPair:
    """Sign a certificate for a server reached under `hosts`: names and IP addresses, at least one."""
    if not hosts:
        raise DecklogError("a server certificate needs a host: give the names and addresses that clients will use")
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _leaf(ca, _name(hosts[0]), key, clock, lifetime, ExtendedKeyUsageOID.SERVER_AUTH)
    names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
    return _signed(builder.add_extension(names, critical=False), key, _private_key(ca))


def throwaway(hosts: Sequence[str], *, clock: Clock, lifetime: timedelta) -> KeyPair:
    """Make a server certificate together with the authority that signed it, which signs nothing else.

    The authority's certificate follows the server's, so that who is shown the chain can be told to trust it.
    """
    ca = authority("decklog throwaway authority", clock=clock, lifetime=lifetime)
    pair = server_certificate(ca, hosts, clock=clock, lifetime=lifetime)
    return KeyPair(pair.certificate_pem + ca.certificate_pem, pair.key_pem)


def client_certificate(
    ca: KeyPair,
    common_name: str,
    organizations: Sequence[str] = (),
    *,
    clock: Clock,
    lifetime: timedelta,
) -> KeyPair:
    """Sign a certificate for a client: Kubernetes reads CN as the user's name and every O as a group."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(common_name, organizations)
    builder = _leaf(ca, subject, key, clock, lifetime, ExtendedKeyUsageOID.CLIENT_AUTH)
    return _signed(builder, key, _private_key(ca))


def identity(certificate: bytes | str) -> Identity:
    """Read who a certificate names, from PEM (text or bytes) or DER. Raises DecklogError when it is neither."""
    data = certificate.encode() if isinstance(certificate, str) else certificate
    try:
        is_pem = data.lstrip().startswith(b"-----BEGIN")
        parsed = x509.load_pem_x509_certificate(data) if is_pem else x509.load_der_x509_certificate(data)
        names = _texts(parsed.subject, NameOID.COMMON_NAME)
        organizations = _texts(parsed.subject, NameOID.ORGANIZATION_NAME)
    except ValueError:
        raise DecklogError("not an X.509 certificate: give PEM or DER") from None
    return Identity(names[-1] if names else "", organizations, parsed.fingerprint(hashes.SHA256()).hex())


def write(pair: KeyPair, certificate_path: str | os.PathLike[str], key_path: str | os.PathLike[str]) -> None:
    """Write both files with mode 0600; an existing file is replaced. Raises DecklogError when that cannot be done."""
    write_private(pair.key_pem, key_path)
    write_private(pair.certificate_pem, certificate_path)


def write_private(data: bytes, path: str | os.PathLike[str]) -> None:
    """Write `data` to `path` with mode 0600, whole or not at all. Raises DecklogError when that cannot be done."""
    target = Path(path)
    try:
        # mkstemp makes the file 0600 before a byte is in it; the rename replaces a file that others could read.
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            Path(temporary).replace(target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise DecklogError(f"cannot write {target}: {error.strerror}: choose a directory that you may write") from error


def read(certificate_path: str | os.PathLike[str], key_path: str | os.PathLike[str]) -> KeyPair:
    """Read a pair from its files. Raises DecklogError when one is missing or unreadable."""
    return KeyPair(read_pem(certificate_path), read_pem(key_path))


def read_pem(path: str | os.PathLike[str]) -> bytes:
    """Read one PEM file. Raises DecklogError when it is missing or unreadable."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise DecklogError(f"cannot read {path}: {error.strerror}: give the path of a PEM file") from error


def server_context(pair: KeyPair, client_ca_pem: bytes | None = None) -> ssl.SSLContext:
    """Build the server's side of TLS.

    With `client_ca_pem` a client is asked for a certificate: one that verifies is accepted, none as well, a wrong one
    ends the handshake. Raises DecklogError when the PEM does not hold a matching pair.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_pair(context, pair)
    if client_ca_pem is not None:
        _load_authority(context, client_ca_pem)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def client_context(ca_pem: bytes, pair: KeyPair | None = None) -> ssl.SSLContext:
    """Build a client's side of TLS that trusts `ca_pem` alone and shows `pair`, if given."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_authority(context, ca_pem)
    if pair is not None:
        _load_pair(context, pair)
    return context


def _load_pair(context: ssl.SSLContext, pair: KeyPair) -> None:
    with _as_files(pair) as (certificate, key):
        try:
            context.load_cert_chain(certificate, key, password=_no_password)
        except (ssl.SSLError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise DecklogError(
                f"certificate and key cannot be used ({reason}): give PEM files of a pair, the key without a password",
            ) from None


@contextmanager
def _as_files(pair: KeyPair) -> Iterator[tuple[str, str]]:
    """Make files of a pair for as long as the block runs, since the ssl module reads no key from anything else.

    They are in memory alone, where the system has such files: no disk ever has the key, and none has to be writable.
    """
    with ExitStack() as stack:
        if hasattr(os, "memfd_create"):
            paths = [_in_memory(stack, pem) for pem in (pair.certificate_pem, pair.key_pem)]
            if all(os.access(path, os.R_OK) for path in paths):  # no /proc: then as elsewhere
                yield paths[0], paths[1]
                return
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="decklog-tls-"))
        write(pair, Path(directory, "tls.crt"), Path(directory, "tls.key"))
        yield str(Path(directory, "tls.crt")), str(Path(directory, "tls.key"))


def _in_memory(stack: ExitStack, content: bytes) -> str:
    """Make a file that is in memory for as long as `stack` lives; gives its path."""
    descriptor = os.memfd_create("decklog-tls")
    stack.callback(os.close, descriptor)
    while content:
        content = content[os.write(descriptor, content) :]
    return f"/proc/self/fd/{descriptor}"


def _no_password() -> str:
    # Without this callback OpenSSL would ask on the terminal, in the middle of a start.
    raise ValueError("the key is encrypted")


def _load_authority(context: ssl.SSLContext, ca_pem: bytes) -> None:
    try:
        context.load_verify_locations(cadata=ca_pem.decode("ascii"))
    except (ssl.SSLError, ValueError):
        raise DecklogError("no certificate authority found: give a PEM file with CERTIFICATE blocks") from None


def _name(common_name: str, organizations: Sequence[str] = ()) -> x509.Name:
    words = [*((NameOID.ORGANIZATION_NAME, word) for word in organizations), (NameOID.COMMON_NAME, common_name)]
    try:
        return x509.Name([x509.NameAttribute(kind, word) for kind, word in words])
    except ValueError as error:
        raise DecklogError(
            f"{common_name!r} cannot be named in a certificate ({error}): use 1 to 64 characters"
        ) from None


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    clock: Clock,
    lifetime: timedelta,
) -> x509.CertificateBuilder:
    now = clock()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + lifetime)
    )


def _leaf(
    ca: KeyPair,
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    clock: Clock,
    lifetime: timedelta,
    purpose: x509.ObjectIdentifier,
) -> x509.CertificateBuilder:
    issuer = x509.load_pem_x509_certificate(ca.certificate_pem)
    issuer_key = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return (
        _builder(subject, issuer.subject, key.public_key(), clock, lifetime)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_key), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _signed(
    builder: x509.CertificateBuilder,
    key: ec.EllipticCurvePrivateKey,
    signing_key: ec.EllipticCurvePrivateKey,
) -> KeyPair:
    certificate = builder.sign(signing_key, hashes.SHA256())
    key_pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return KeyPair(certificate.public_bytes(serialization.Encoding.PEM), key_pem)


def _private_key(ca: KeyPair) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(ca.key_pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise DecklogError("the authority's key is not an EC key: make the authority with decklog")
    return key


def _texts(name: x509.Name, kind: x509.ObjectIdentifier) -> tuple[str, ...]:
    values = (attribute.value for attribute in name.get_attributes_for_oid(kind))
    return tuple(value if isinstance(value, str) else value.decode("utf-8", "replace") for value in values)
