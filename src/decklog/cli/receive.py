"""`decklog receive`: take what audit webhooks send, and keep it."""

from __future__ import annotations

import logging
import signal
import sys

import click

from decklog.cli.flags import configured, flags_from
from decklog.config import ReceiverSettings
from decklog.health import HealthOptions
from decklog.receiving.options import ADDRESS, ReceiverListenerOptions, ReceiverOptions


@click.command(
    "receive",
    short_help="Take the events that kube-apiserver's audit webhook sends, and keep them.",
    epilog="Example: decklog certificates pki --server-name audit.example --client kube-apiserver && decklog receive "
    "--listen :8445 --store /var/lib/decklog --tls-cert-file pki/server.crt --tls-private-key-file pki/server.key "
    "--client-ca-file pki/ca.crt --allowed-clients kube-apiserver",
)
@configured
@click.option("--listen", default=ADDRESS, show_default=True, metavar="HOST:PORT", help="Serve here.")
@flags_from(ReceiverListenerOptions, "listener")
@flags_from(ReceiverOptions, "receiver")
@flags_from(HealthOptions, "health")
def command(listen: str, listener: ReceiverListenerOptions, receiver: ReceiverOptions, health: HealthOptions) -> None:
    """Take the events that kube-apiserver's audit webhook sends, and keep them.

    Whoever posts an EventList is answered 200 when every event of it is on the disk, and not before. An event that
    nobody can read is kept verbatim in quarantine, the others of its batch are stored; what is sent twice is stored
    once. While the disk is almost full or fails, senders are told to come again later.

    Senders show a client certificate that --client-ca-file has signed and --allowed-clients names, or a bearer token of
    --token-file. SIGHUP reads the certificates again; SIGTERM and Ctrl-C stop within ten seconds.
    """
    from decklog.assembling.receiver import StoreReceiver  # noqa: PLC0415  # because: 200 ms of libraries that --help does not need

    logging.basicConfig(format="decklog: %(message)s", stream=sys.stderr, level=logging.WARNING)
    settings = ReceiverSettings(listen, receiver, listener, health)
    if StoreReceiver(settings, _say).run() is signal.SIGINT:
        raise click.Abort


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
