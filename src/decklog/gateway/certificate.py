"""Certificates: whom a client's certificate names, and which of two authorities stands behind it.

One listener takes both: clients of the cluster's authority, whose certificate is their name (CN) and their groups (O),
and front proxies, whose certificate only lets them speak for others. TLS has verified a certificate against the two
together; which of them it was is found out here, once a certificate. It is also asked where there is only one: a
connection may have been made before the file changed.

| what | kube-apiserver | here | why |
|---|---|---|---|
| a certificate of neither authority | 401 | ends the handshake | TLS verifies it here |
| intermediate authorities | any keys | RSA from 2048 bits, or ECDSA | our verifier |
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509 import verification
from msgspec import Struct

from decklog import certificates
from decklog.audit.event import User
from decklog.errors import DecklogError
from decklog.gateway.caller import Caller, Means, authenticated

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence

CREDENTIAL_ID: Final = "authentication.kubernetes.io/credential-id"
UID: Final = x509.ObjectIdentifier("1.3.6.1.4.1.57683.2")
"""The part of a subject that holds the user's UID, from Kubernetes 1.33 on."""
_REMEMBERED: Final = 10_000
_DER: Final = 2
"""What `_ssl` calls this encoding."""

logger = logging.getLogger(__name__)


class Shown(Struct, frozen=True):
    """What a certificate says."""

    caller: Caller | None = None
    """Whom it names; None: nobody."""
    front_proxy: bool = False
    """Whether it may speak for others."""
    refused: bool = False
    """Whether showing it is a failed authentication, unless other credentials are good."""
    until_s: float = 0.0
    """When it ends, in seconds since the epoch."""


_EXPIRED: Final = Shown(refused=True)


class Certificates:
    """Reads client certificates.

    `client_ca_pem`: whose certificates name users; `front_proxy_ca_pem`: whose speak for others, if their CN is one of
    `front_proxy_names` (none: any). Raises DecklogError when there is no certificate in one of them.
    """

    def __init__(
        self,
        client_ca_pem: bytes | None,
        front_proxy_ca_pem: bytes | None = None,
        front_proxy_names: Sequence[str] = (),
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = None if client_ca_pem is None else _Authorities(client_ca_pem)
        self._front_proxy = None if front_proxy_ca_pem is None else _Authorities(front_proxy_ca_pem)
        self._names = frozenset(front_proxy_names)
        self._clock = clock
        self._known: dict[bytes, Shown] = {}

    def __call__(self, certificate: bytes) -> Shown:
        """Tell what a certificate that TLS has verified says.

        `certificate` is its DER; the intermediates that came with it may follow, in DER as well.
        """
        shown = self._known.get(certificate)
        if shown is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            shown = self._known[certificate] = self._read(certificate)
        return shown if shown.until_s > self._clock() else _EXPIRED

    def _read(self, certificate: bytes) -> Shown:
        try:
            leaf, *others = (x509.load_der_x509_certificate(der) for der in _split(certificate))
            user = _user(certificates.identity(_split(certificate)[0]), leaf)
        except (ValueError, DecklogError) as error:
            logger.warning("a client certificate cannot be read: %s", error)
            return Shown(refused=True, until_s=float("inf"))
        is_client, is_proxy = self._behind(leaf, others)
        if not (is_client or is_proxy):
            logger.warning("none of the CA files stands behind a client certificate that names %r", user.username)
        if self._front_proxy is not None and self._names and user.username not in self._names:
            is_proxy = False
        wanted = (self._client is not None, is_client), (self._front_proxy is not None, is_proxy)
        named = is_client and bool(user.username)
        return Shown(
            Caller(authenticated(user), Means.CERTIFICATE) if named else None,
            is_proxy,
            not named and any(there and not holds for there, holds in wanted),
            leaf.not_valid_after_utc.timestamp(),
        )

    def _behind(self, leaf: x509.Certificate, others: list[x509.Certificate]) -> tuple[bool, bool]:
        now = datetime.fromtimestamp(self._clock(), UTC)
        client, proxy = (
            authorities is not None and authorities.behind(leaf, others, now)
            for authorities in (self._client, self._front_proxy)
        )
        return client, proxy


class _Authorities:
    """The certificates of a CA file."""

    def __init__(self, pem: bytes) -> None:
        try:
            self._anchors = x509.load_pem_x509_certificates(pem)
        except ValueError:
            raise DecklogError("no certificate authority found: give a PEM file with CERTIFICATE blocks") from None
        self._store = verification.Store(self._anchors)

    def behind(self, leaf: x509.Certificate, others: list[x509.Certificate], now: datetime) -> bool:
        """Whether one of them has signed `leaf`, or an intermediate that has."""
        if any(_signed(leaf, anchor) and anchor.not_valid_after_utc > now for anchor in self._anchors):
            return True
        # SAN and EKU are left to TLS, which has looked at them: client certificates of Kubernetes have no SAN.
        anything = verification.ExtensionPolicy.permit_all()
        an_authority = verification.ExtensionPolicy.permit_all().require_present(
            x509.BasicConstraints, verification.Criticality.AGNOSTIC, _is_authority
        )
        builder = verification.PolicyBuilder().store(self._store).time(now.replace(tzinfo=None))
        verifier = builder.extension_policies(ca_policy=an_authority, ee_policy=anything).build_client_verifier()
        try:
            verifier.verify(leaf, others)
        except (verification.VerificationError, ValueError):
            return False
        return True


def shown_by(tls: ssl.SSLObject) -> bytes | None:
    """Give the certificate of a connection's client and the chain that TLS found behind it, as `Certificates` takes it.

    None: none was shown. Python tells the chain from 3.13 on; before, only its C object does.
    """
    leaf = tls.getpeercert(binary_form=True)
    if not leaf:
        return None
    if hasattr(tls, "get_verified_chain"):
        chain = tls.get_verified_chain()
    else:
        inner = tls._sslobj  # type: ignore[attr-defined]  # noqa: SLF001  # because: see above
        chain = [found.public_bytes(_DER) for found in inner.get_verified_chain() or ()]  # none in a resumed session
    return b"".join((leaf, *chain[1:]))


def _signed(leaf: x509.Certificate, anchor: x509.Certificate) -> bool:
    try:
        leaf.verify_directly_issued_by(anchor)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _is_authority(_policy: object, _certificate: x509.Certificate, extension: x509.BasicConstraints) -> None:
    if not extension.ca:
        raise ValueError("no certificate authority")


def _user(identity: certificates.Identity, leaf: x509.Certificate) -> User:
    """Make the user that a certificate names. Raises ValueError for a UID that kube-apiserver refuses."""
    uids = [attribute.value for attribute in leaf.subject.get_attributes_for_oid(UID)]
    if len(uids) > 1 or not all(isinstance(uid, str) and uid for uid in uids):
        raise ValueError("its UID has to be one text that is not empty")
    extra: dict[str, tuple[str, ...] | None] = {CREDENTIAL_ID: (f"X509SHA256={identity.sha256}",)}
    return User(identity.common_name, "".join(map(str, uids)), identity.organizations, extra)


def _split(certificates_der: bytes) -> list[bytes]:
    """Take DER certificates that follow each other apart. Raises ValueError when they are none."""
    found = []
    rest = memoryview(certificates_der)
    while rest:
        if len(rest) < 4 or rest[0] != 0x30:
            raise ValueError("not DER")
        digits = rest[1] - 0x80 if rest[1] > 0x80 else 0
        size = 2 + digits + (int.from_bytes(rest[2 : 2 + digits], "big") if digits else rest[1])
        if digits > 4 or size > len(rest):
            raise ValueError("not DER, or cut short")
        found.append(bytes(rest[:size]))
        rest = rest[size:]
    if not found:
        raise ValueError("nothing is there")
    return found
