"""Senders: who may send events. A client certificate with an allowed name, or a bearer token, is what it takes.

TLS has verified a certificate before it comes here. It is looked at for each request whether it still lasts: a
connection may live longer than its certificate.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography import x509
from msgspec import Struct

from decklog import certificates
from decklog.errors import DecklogError
from decklog.receiving.options import ANYBODY
from decklog.receiving.refusals import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

_TOKENS_LIMIT: Final = 64 * 1024
"""Bytes of a token file at most."""
_REMEMBERED: Final = 1024

logger = logging.getLogger(__name__)


class Shown(Struct, frozen=True):
    """What a client certificate says."""

    names: tuple[str, ...]
    """Its CN, then its SANs."""
    until_s: float
    """When it ends, in seconds since the epoch."""

    @property
    def title(self) -> str:
        """How it is called in our own words."""
        return self.names[0] if self.names else "a certificate without a name"


def shown(der: bytes) -> Shown:
    """Read a certificate. Raises DecklogError for what cannot be read."""
    try:
        parsed = x509.load_der_x509_certificate(der)
        common_name = certificates.identity(der).common_name
        names = [common_name] if common_name else []
        try:
            found = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            pass
        else:
            names += found.get_values_for_type(x509.DNSName)
            names += found.get_values_for_type(x509.UniformResourceIdentifier)
            names += map(str, found.get_values_for_type(x509.IPAddress))
    except ValueError:
        raise DecklogError("a client certificate cannot be read") from None
    return Shown(tuple(dict.fromkeys(names)), parsed.not_valid_after_utc.timestamp())


class Tokens:
    """The bearer tokens of a file, read again when it changes; what cannot be used leaves the old ones in force."""

    def __init__(self, path: str) -> None:
        """Read them. Raises DecklogError."""
        self._path = Path(path)
        self._seen: tuple[int, ...] = ()
        self._digests: tuple[bytes, ...] = ()
        self._read()

    def __contains__(self, token: bytes) -> bool:
        """Whether it is one of them; takes as long for every token."""
        digest = hashlib.sha256(token).digest()
        found = False
        for known in self._digests:
            found |= hmac.compare_digest(known, digest)
        return found

    def follow(self) -> None:
        """Read the file again if it has changed."""
        try:
            if self._signature() != self._seen:
                self._read()
        except (OSError, DecklogError) as error:
            logger.warning("the old tokens stay in force: %s", error)

    def _signature(self) -> tuple[int, ...]:
        try:
            found = self._path.stat()
        except OSError:
            return ()
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self) -> None:
        self._seen = self._signature()  # before reading: what changes in between is seen at the next look
        try:
            with self._path.open("rb") as file:
                data = file.read(_TOKENS_LIMIT + 1)
        except OSError as error:
            raise DecklogError(
                f"--token-file {self._path}: {error.strerror}: give a file with a token a line"
            ) from None
        tokens = [line.strip() for line in data.splitlines() if line.strip()]
        if not tokens or len(data) > _TOKENS_LIMIT:
            raise DecklogError(f"--token-file {self._path}: give a file with at least one token, and 64 KiB at most")
        self._digests = tuple(hashlib.sha256(token).digest() for token in tokens)


class Senders:
    """Tells who sends, or refuses. `allowed`: names of certificates; None: certificates count for nothing here."""

    def __init__(
        self,
        allowed: frozenset[str] | None,
        tokens: Tokens | None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._allowed = allowed
        self._tokens = tokens
        self._clock = clock
        self._known: dict[bytes, Shown | None] = {}

    def follow(self) -> None:
        """Read the tokens again if their file has changed."""
        if self._tokens is not None:
            self._tokens.follow()

    def certificate(self, der: bytes | None) -> Shown | None:
        """Read the certificate of a connection; None: none was shown that can be read."""
        if not der:
            return None
        key = hashlib.sha256(der).digest()
        if key not in self._known:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            try:
                self._known[key] = shown(der)
            except DecklogError as error:
                logger.warning("%s", error)
                self._known[key] = None
        return self._known[key]

    def admit(self, certificate: Shown | None, authorization: bytes | None) -> str:
        """Give the sender's name; empty: nobody needs one here. Raises RefusedError (401, 403)."""
        if self._tokens is not None and authorization is not None:
            scheme, _, token = authorization.partition(b" ")
            if scheme.lower() == b"bearer" and token.strip() in self._tokens:
                return "a bearer of a token"
        if self._allowed is not None and certificate is not None:
            if certificate.until_s <= self._clock():
                raise RefusedError(401, "certificate-expired", "the client certificate has run out: renew it")
            if ANYBODY not in self._allowed and self._allowed.isdisjoint(certificate.names):
                raise RefusedError(
                    403, "not-allowed", "the client certificate bears none of the names of --allowed-clients: add one"
                )
            return certificate.title
        if self._allowed is None and self._tokens is None:
            return ""
        wanted = "a bearer token" if self._allowed is None else "a client certificate"
        if self._allowed is not None and self._tokens is not None:
            wanted += " or a bearer token"
        raise RefusedError(401, "unauthenticated", f"show {wanted} that this receiver knows")
