"""`decklog certificates`: a CA and both ends' certificates, for trying and for small installations."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from decklog import certificates
from decklog.errors import DecklogError

if TYPE_CHECKING:
    from collections.abc import Sequence

_SAFE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_CA_DAYS: Final = 3650


@click.command(
    "certificates",
    short_help="Make a CA and both ends' certificates, for a receiver and who sends to it.",
    epilog="Example: decklog certificates pki --server-name audit.example --server-name 10.0.0.7 "
    "--client kube-apiserver",
)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--server-name",
    "names",
    multiple=True,
    metavar="HOST",
    help="A name or an address under which senders reach the server; may be given several times.",
)
@click.option(
    "--client", "clients", multiple=True, metavar="NAME", help="A client, by its CN; may be given several times."
)
@click.option("--days", default=365, show_default=True, type=click.IntRange(1, _CA_DAYS), help="How long they last.")
def command(folder: Path, names: Sequence[str], clients: Sequence[str], days: int) -> None:
    """Make a CA and both ends' certificates, for a receiver and who sends to it.

    Writes ca.crt and ca.key, server.crt and server.key, and NAME.crt and NAME.key of each client into DIR, mode 0600.
    A CA that is there already signs again: clients can be added, and what runs out is renewed, without telling
    anybody. Keep ca.key away from where the server runs: who has it can name himself as he likes.
    """
    if not names and not clients:
        raise DecklogError("there is nothing to make: give --server-name HOST, --client NAME, or both")
    for name in clients:
        if not _SAFE.fullmatch(name) or name in {"ca", "server"}:
            raise DecklogError(f"--client {name!r} cannot name a file: use letters, digits, dots and dashes")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise DecklogError(f"{folder}: {error.strerror}: choose a directory that you may write") from error
    ca = _authority(folder)
    lifetime = timedelta(days=days)
    if names:
        pair = certificates.server_certificate(ca, names, clock=_now, lifetime=lifetime)
        # With the CA behind it: who is shown the chain can be told whom to trust (--kubeconfig-out).
        pair = certificates.KeyPair(pair.certificate_pem + ca.certificate_pem, pair.key_pem)
        _write(pair, folder, "server")
    for name in clients:
        _write(certificates.client_certificate(ca, name, clock=_now, lifetime=lifetime), folder, name)


def _authority(folder: Path) -> certificates.KeyPair:
    certificate, key = folder / "ca.crt", folder / "ca.key"
    if certificate.exists() or key.exists():
        return certificates.read(certificate, key)
    ca = certificates.authority("decklog authority", clock=_now, lifetime=timedelta(days=_CA_DAYS))
    _write(ca, folder, "ca")
    return ca


def _write(pair: certificates.KeyPair, folder: Path, name: str) -> None:
    certificates.write(pair, folder / f"{name}.crt", folder / f"{name}.key")
    click.echo(f"{folder / name}.crt and .key")


def _now() -> datetime:
    return datetime.now(UTC)
