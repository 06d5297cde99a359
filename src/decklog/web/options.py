"""What can be told to the pages: where they are served, who may look, which policy they explain."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

from decklog.errors import DecklogError
from decklog.options import option

ADDRESS: Final = "127.0.0.1:8080"


@dataclass(frozen=True, slots=True)
class WebOptions:
    """The web pages."""

    allowed_hosts: str = option(
        "--allowed-host",
        "",
        "Names under which the pages are reached besides the listener's address and the names in its certificate, with "
        "commas between them; any other Host header is refused.",
        metavar="NAMES",
    )
    record_reading: bool = option(
        "--record-reading",
        default=True,
        help="Record in the store who has read what. Of files nothing is recorded.",
    )

    metrics_urls: str = option(
        "--metrics-url",
        "",
        "Where receiver and gateway tell what they have counted, with commas between: http://127.0.0.1:9090/metrics. "
        "The status page shows it.",
        metavar="URLS",
    )

    @property
    def metrics(self) -> tuple[str, ...]:
        """The addresses of other doors' counters."""
        return tuple(part.strip() for part in self.metrics_urls.split(",") if part.strip())

    @property
    def hosts(self) -> frozenset[str]:
        """The names, in lower case."""
        return frozenset(part.strip().lower().strip("[]") for part in self.allowed_hosts.split(",") if part.strip())


@dataclass(frozen=True, slots=True)
class WebListenerOptions:
    """The listener of the pages."""

    token_file: str = option(
        "--token-file",
        "",
        "Who may look: TOKEN,NAME on each line. Read again when it changes. Without it, and on loopback, an address "
        "with a token is printed that opens one session.",
        metavar="FILE",
    )
    certificate_file: str = option(
        "--tls-cert-file", "", "The certificate of the pages, and its intermediates, in PEM.", metavar="FILE"
    )
    key_file: str = option("--tls-private-key-file", "", "Its private key.", metavar="FILE")
    client_ca_file: str = option(
        "--client-ca-file",
        "",
        "Whoever shows a client certificate that one of these authorities has signed may look.",
        metavar="FILE",
    )

    def check(self, host: str) -> None:
        """Raise DecklogError with everything that cannot be; `host` is where it shall listen."""
        problems = []
        if bool(self.certificate_file) != bool(self.key_file):
            problems.append("--tls-cert-file and --tls-private-key-file go together: give both, or neither")
        if self.client_ca_file and not self.certificate_file:
            problems.append("client certificates need TLS: give --tls-cert-file and --tls-private-key-file as well")
        if not is_loopback(host):
            if not self.certificate_file:
                problems.append(
                    f"plain HTTP on {host} would show everybody what is read: give --tls-cert-file and "
                    "--tls-private-key-file, or listen on 127.0.0.1"
                )
            if not (self.token_file or self.client_ca_file):
                problems.append(f"nobody may look on {host} yet: give --token-file or --client-ca-file")
        if problems:
            raise DecklogError("; ".join(problems))


def is_loopback(host: str) -> bool:
    """Tell whether an address is of this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
