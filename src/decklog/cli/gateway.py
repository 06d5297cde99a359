"""`decklog gateway`: audit what goes to an API server, in front of it, by our own policy."""

from __future__ import annotations

from typing import Any

import click

from decklog.access import UpstreamOptions
from decklog.backends.kept_options import KeptOptions
from decklog.backends.log_options import LogOptions
from decklog.backends.options import BackendOptions
from decklog.backends.webhook_options import WebhookOptions
from decklog.cli import doors
from decklog.cli.flags import configured, flags_from, stacked
from decklog.config import AuditOptions, GatewaySettings
from decklog.gateway.identity_options import IdentityOptions
from decklog.gateway.options import GatewayOptions
from decklog.health import HealthOptions
from decklog.listener import ADDRESS, ListenerOptions
from decklog.policy.options import PolicyOptions
from decklog.recorder.options import RecorderOptions

_OPTIONS = stacked(
    click.option("--listen", default=ADDRESS, show_default=True, metavar="HOST:PORT", help="Serve here."),
    flags_from(ListenerOptions, "listener"),
    flags_from(UpstreamOptions, "upstream"),
    flags_from(IdentityOptions, "identity"),
    flags_from(PolicyOptions, "policy"),
    flags_from(RecorderOptions, "recorder"),
    flags_from(LogOptions, "log"),
    flags_from(WebhookOptions, "webhook"),
    flags_from(KeptOptions, "kept"),
    flags_from(BackendOptions, "backends"),
    flags_from(GatewayOptions, "gateway"),
    flags_from(HealthOptions, "health"),
)


def _settings(
    listen: str,
    listener: ListenerOptions,
    upstream: UpstreamOptions,
    identity: IdentityOptions,
    policy: PolicyOptions,
    recorder: RecorderOptions,
    log: LogOptions,
    webhook: WebhookOptions,
    kept: KeptOptions,
    backends: BackendOptions,
    gateway: GatewayOptions,
    health: HealthOptions,
) -> GatewaySettings:
    """Make the gateway's settings of its flags."""
    audit = AuditOptions(policy, recorder, log, webhook, backends, kept)
    return GatewaySettings(listen, audit, gateway, identity, upstream, listener, health)


settings = click.command("gateway")(_OPTIONS(_settings))
"""Gives what the flags say, without serving: for `decklog serve`."""


@click.command(
    "gateway",
    short_help="Audit what goes to an API server, in front of it.",
    epilog="Example: decklog gateway --kubeconfig ~/.kube/config --audit-policy-file policy.yaml "
    "--audit-log-path audit.log --kubeconfig-out audited.kubeconfig",
)
@configured
@_OPTIONS
def command(**given: Any) -> None:
    """Audit what goes to an API server, in front of it.

    Users point kubectl at the gateway (--kubeconfig-out writes the file); it passes their requests on and records them
    by the policy as kube-apiserver would: all stages, reads and denials, exec with its start and end, the client's own
    address. For clusters whose own audit policy is not ours to set.

    SIGHUP reads the policy and the certificates again and reopens the log, while connections stay open; a policy that
    cannot be used is refused, and an event says so. SIGTERM and Ctrl-C stop within ten seconds.
    """
    from decklog.assembling.gateway import AuditedGateway  # noqa: PLC0415  # because: 200 ms of libraries that --help does not need

    doors.diagnose()
    door = AuditedGateway(_settings(**given), doors.say)
    doors.serve(door.run)
