"""TLS of a listener: its certificates, and their renewal without a restart. Lives in the cellar.

Files are read as a whole into a `Material`; what cannot be used is an error that leaves the old material in force.
`Expiry` says when certificates run out.

TLS is 1.2 or newer, ALPN offers http/1.1 alone, and no session tickets are given: Go's clients do not resume sessions,
and a ticket costs a handshake a quarter of its time.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography import x509

from decklog import certificates
from decklog.errors import DecklogError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from decklog.certificates import KeyPair
    from decklog.listener import ListenerOptions

DAY_S: Final = 86_400
_THROWAWAY: Final = timedelta(days=365)
"""How long a certificate of our own making lasts, as kube-apiserver's."""
WARNED_DAYS: Final = (1, 7, 30)
"""So many days before its end a certificate is warned of, once each."""


@dataclass(frozen=True, slots=True)
class Material:
    """Everything that the listener's TLS is made of, in PEM."""

    pair: KeyPair
    authorities: Mapping[str, bytes] = field(default_factory=dict)
    """Who may sign client certificates, by what they are for: ``client-ca``, ``requestheader-client-ca``."""
    require_client_certificate: bool = False

    def context(self) -> ssl.SSLContext:
        """Make the server's context. Raises DecklogError when something in it cannot be used."""
        trusted = b"\n".join(self.authorities.values()) or None
        context = certificates.server_context(self.pair, trusted)
        context.set_alpn_protocols(["http/1.1"])
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
        # As Go verifies: an intermediate may be trusted by itself.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if self.require_client_certificate:
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def ends(self) -> dict[str, float]:
        """Tell when what is in use runs out, in seconds since the epoch; of a bundle the last of its authorities."""
        found = {"listener": _ends(self.pair.certificate_pem, "--tls-cert-file")[0]}
        for name, pem in self.authorities.items():
            found[name] = max(_ends(pem, f"--{name}-file"))
        return found


class Files:
    """The files of a listener's TLS: read at the start, and again when they have changed."""

    def __init__(self, options: ListenerOptions, authority_files: Mapping[str, str], hosts: Sequence[str] = ()) -> None:
        """Read nothing yet; `authority_files` by what they are for, unset ones are left out.

        `hosts`: the names and addresses that a throwaway certificate bears, where no file is given.
        """
        self._options = options
        self._hosts = hosts
        self._throwaway: KeyPair | None = None
        self._authority_files = {name: path for name, path in authority_files.items() if path}
        self._seen: tuple[object, ...] = ()

    @property
    def enabled(self) -> bool:
        """Whether there is TLS at all."""
        return not self._options.insecure

    def read(self) -> Material | None:
        """Read them; None without TLS. Raises DecklogError for what cannot be read or used together."""
        if not self.enabled:
            return None
        self._seen = self._signatures()  # before reading: what changes in between is seen at the next look
        material = Material(
            self._pair(),
            {name: certificates.read_pem(path) for name, path in self._authority_files.items()},
            self._options.require_client_certificate,
        )
        material.context()
        material.ends()
        return material

    def _pair(self) -> KeyPair:
        """Read the listener's certificate and key, or make them: once, so that a look at the files changes nothing."""
        if self._options.certificate_file:
            return certificates.read(self._options.certificate_file, self._options.key_file)
        if self._throwaway is None:
            self._throwaway = certificates.throwaway(self._hosts, clock=_utc, lifetime=_THROWAWAY)
        return self._throwaway

    def changed(self) -> bool:
        """Whether a file is another one, or has been written, since they were read."""
        return self.enabled and self._signatures() != self._seen

    def _signatures(self) -> tuple[object, ...]:
        paths = (self._options.certificate_file, self._options.key_file, *self._authority_files.values())
        return tuple(_signature(Path(path)) for path in paths if path)


def _utc() -> datetime:
    return datetime.now(UTC)


class Expiry:
    """Warns of certificates near their end: 30, 7 and 1 days before, and when it has come; each once."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, float], int] = {}

    def warnings(self, ends: Mapping[str, float], now_s: float) -> Iterator[str]:
        """Give what is to be told now, a line each."""
        for name, end_s in ends.items():
            left_s = end_s - now_s
            due = 0 if left_s <= 0 else next((days for days in WARNED_DAYS if left_s <= days * DAY_S), None)
            if due is None or due >= self._told.get((name, end_s), WARNED_DAYS[-1] + 1):
                continue
            self._told[name, end_s] = due
            whose = f"the certificate of the {name.replace('-', ' ')}"
            if due == 0:
                yield f"{whose} has run out: replace its file, it is read again without a restart"
            else:
                yield f"{whose} runs out within {due} day{'s' * (due != 1)}: replace its file"


def _ends(pem: bytes, flag: str) -> list[float]:
    try:
        found = x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise DecklogError(f"{flag}: no certificate can be read in it: give a PEM file") from None
    return [certificate.not_valid_after_utc.timestamp() for certificate in found]


def _signature(path: Path) -> tuple[int, ...]:
    """Tell one state of a file from another; a link that is moved to another file is seen, as kubelet moves them."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return (found.st_mtime_ns, found.st_size, found.st_ino)
