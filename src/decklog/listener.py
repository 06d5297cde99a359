"""The listener of a door that terminates TLS itself: its flags, and what can be wrong with them. In the cellar."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from typing import Final

from decklog.errors import DecklogError
from decklog.options import option

ADDRESS: Final = "127.0.0.1:8443"
"""Where the gateway listens unless told otherwise."""


@dataclass(frozen=True, slots=True)
class ListenerOptions:
    """The gateway's listener, and how many workers serve it."""

    certificate_file: str = option(
        "--tls-cert-file",
        "",
        "The certificate that clients see, and its intermediates after it, in PEM. Read again when it changes. Unset: "
        "a throwaway one, new at each start, which --kubeconfig-out makes known.",
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
    insecure: bool = option(
        "--insecure",
        default=False,
        help="Serve plain HTTP, on loopback only: for a proxy on this machine that terminates TLS. kubectl sends no "
        "credentials that way.",
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
        if self.insecure:
            if self.certificate_file or self.key_file:
                problems.append("--insecure means no TLS at all: leave it out, or --tls-cert-file")
            if not _is_loopback(host):
                problems.append(
                    f"plain HTTP on {host} would show everybody's tokens: leave --insecure out, or listen on 127.0.0.1"
                )
            if authorities or self.require_client_certificate:
                problems.append("client certificates need TLS: leave --insecure out")
        if self.require_client_certificate and not authorities:
            problems.append("--require-client-certificate needs --client-ca-file FILE to verify them")
        if self.workers < 0:
            problems.append(f"--workers {self.workers}: give a number, or 0 for one a core")
        if problems:
            raise DecklogError("; ".join(problems))


def cores() -> int:
    """Count the cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
