"""The listener of a door that terminates TLS itself: its flags, its certificates, and their renewal without a restart.

Lives in the cellar, knows nothing of audit. Files are read as a whole into a `Material`; what cannot be used is an
error that leaves the old material in force. `Expiry` says when certificates run out.

TLS is 1.2 or newer, ALPN offers http/1.1 alone, and no session tickets are given: Go's clients do not resume sessions,
and a ticket costs a handshake a quarter of its time.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography import x509

from decklog import certificates
from decklog.errors import DecklogError
from decklog.options import option

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from decklog.certificates import KeyPair

DAY_S: Final = 86_400
WARNED_DAYS: Final = (1, 7, 30)
"""So many days before its end a certificate is warned of, once each."""
ADDRESS: Final = "127.0.0.1:8443"
"""Where the gateway listens unless told otherwise."""


@dataclass(frozen=True, slots=True)
class ListenerOptions:
    """The gateway's listener, and how many workers serve it."""

    certificate_file: str = option(
        "--tls-cert-file",
        "",
        "The certificate that clients see, and its intermediates after it, in PEM. Read again when it changes. Unset: "
        "plain HTTP, on loopback only.",
        metavar="FILE",
    )
    key_file: str = option("--tls-private-key-file", "", "Its private key, in PEM, without a password.", metavar="FILE")
    client_ca_file: str = option(
        "--client-ca-file",
        "",
        "Take clients whose certificate one of these authorities has signed as the user that it names (CN) in its "
        "groups (O).",
        metavar="FILE",
    )
    require_client_certificate: bool = option(
        "--require-client-certificate",
        default=False,
        help="End the handshake with clients that show no certificate.",
    )
    workers: int = option(
        "--workers",
        0,
        "Processes that serve, each with its own log descriptor, spool folder and share of the webhook's throttle. 0: "
        "one a core; one alone where the log goes to standard output.",
        metavar="NUMBER",
    )

    def check(self, host: str, *, front_proxy_ca_file: str = "") -> None:
        """Raise DecklogError with everything that cannot be; `host` is where it shall listen."""
        authorities = self.client_ca_file or front_proxy_ca_file
        problems = []
        if bool(self.certificate_file) != bool(self.key_file):
            problems.append("--tls-cert-file and --tls-private-key-file go together: give both, or neither")
        elif not self.certificate_file:
            if not _is_loopback(host):
                problems.append(
                    f"plain HTTP on {host} would show everybody's tokens: give --tls-cert-file and "
                    "--tls-private-key-file, or listen on 127.0.0.1"
                )
            if authorities or self.require_client_certificate:
                problems.append("client certificates need TLS: give --tls-cert-file and --tls-private-key-file")
        elif self.require_client_certificate and not authorities:
            problems.append("--require-client-certificate needs --client-ca-file FILE to verify them")
        if self.workers < 0:
            problems.append(f"--workers {self.workers}: give a number, or 0 for one a core")
        if problems:
            raise DecklogError("; ".join(problems))


def cores() -> int:
    """Count the cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


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

    def __init__(self, options: ListenerOptions, authority_files: Mapping[str, str]) -> None:
        """Read nothing yet; `authority_files` by what they are for, unset ones are left out."""
        self._options = options
        self._authority_files = {name: path for name, path in authority_files.items() if path}
        self._seen: tuple[object, ...] = ()

    @property
    def enabled(self) -> bool:
        """Whether there is TLS at all."""
        return bool(self._options.certificate_file)

    def read(self) -> Material | None:
        """Read them; None without TLS. Raises DecklogError for what cannot be read or used together."""
        if not self.enabled:
            return None
        self._seen = self._signatures()  # before reading: what changes in between is seen at the next look
        material = Material(
            certificates.read(self._options.certificate_file, self._options.key_file),
            {name: certificates.read_pem(path) for name, path in self._authority_files.items()},
            self._options.require_client_certificate,
        )
        material.context()
        material.ends()
        return material

    def changed(self) -> bool:
        """Whether a file is another one, or has been written, since they were read."""
        return self.enabled and self._signatures() != self._seen

    def _signatures(self) -> tuple[object, ...]:
        paths = (self._options.certificate_file, self._options.key_file, *self._authority_files.values())
        return tuple(_signature(Path(path)) for path in paths)


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
            if due == 0:
                yield f"the certificate of {name} has run out: replace its file, it is read again without a restart"
            else:
                within = f"{due} day{'s' * (due != 1)}"
                yield f"the certificate of {name} runs out within {within}: replace its file"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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
