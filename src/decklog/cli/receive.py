"""`decklog receive`: take what audit webhooks send, and keep it."""

from __future__ import annotations

from typing import Any

import click

from decklog.cli import doors
from decklog.cli.flags import configured, flags_from, stacked
from decklog.config import ReceiverSettings
from decklog.health import HealthOptions
from decklog.receiving.options import ADDRESS, ReceiverListenerOptions, ReceiverOptions

_OPTIONS = stacked(
    click.option("--listen", default=ADDRESS, show_default=True, metavar="HOST:PORT", help="Serve here."),
    flags_from(ReceiverListenerOptions, "listener"),
    flags_from(ReceiverOptions, "receiver"),
    flags_from(HealthOptions, "health"),
)


def _settings(
    listen: str, listener: ReceiverListenerOptions, receiver: ReceiverOptions, health: HealthOptions
) -> ReceiverSettings:
    """Make the receiver's settings of its flags."""
    return ReceiverSettings(listen, receiver, listener, health)


settings = click.command("receive")(_OPTIONS(_settings))
"""Gives what the flags say, without serving: for `decklog serve`."""


@click.command(
    "receive",
    short_help="Take the events that kube-apiserver's audit webhook sends, and keep them.",
    epilog="Example: decklog certificates pki --server-name audit.example --client kube-apiserver && decklog receive "
    "--listen :8445 --store /var/lib/decklog --tls-cert-file pki/server.crt --tls-private-key-file pki/server.key "
    "--client-ca-file pki/ca.crt --allowed-clients kube-apiserver",
)
@configured
@_OPTIONS
def command(**given: Any) -> None:
    """Take the events that kube-apiserver's audit webhook sends, and keep them.

    Whoever posts an EventList is answered 200 when every event of it is on the disk, and not before. An event that
    nobody can read is kept verbatim in quarantine, the others of its batch are stored; what is sent twice is stored
    once. While the disk is almost full or fails, senders are told to come again later.

    Senders show a client certificate that --client-ca-file has signed and --allowed-clients names, or a bearer token of
    --token-file. SIGHUP reads the certificates again; SIGTERM and Ctrl-C stop within ten seconds.
    """
    from decklog.assembling.receiver import StoreReceiver  # noqa: PLC0415  # because: 200 ms of libraries that --help does not need

    doors.diagnose()
    door = StoreReceiver(_settings(**given), doors.say)
    doors.serve(door.run)
