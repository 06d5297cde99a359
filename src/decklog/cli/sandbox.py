"""`decklog sandbox`: run the in-memory API server, audited as the flags say."""

from __future__ import annotations

import logging
import signal
import sys
from typing import TYPE_CHECKING

import click

from decklog.backends.log_options import LogOptions
from decklog.backends.options import BackendOptions
from decklog.backends.webhook_options import WebhookOptions
from decklog.cli.flags import configured, environment_name, flags_from
from decklog.config import AuditOptions
from decklog.health import HealthOptions
from decklog.policy.options import PolicyOptions
from decklog.recorder.options import RecorderOptions
from decklog.sandbox.options import SandboxOptions

if TYPE_CHECKING:
    from decklog.assembly import AuditedSandbox


@click.command(
    "sandbox",
    short_help="Run a small in-memory API server whose requests are audited.",
    epilog="Example: decklog sandbox --audit-policy-file policy.yaml --audit-log-path audit.log --kubeconfig-out kube",
)
@configured
@click.option(
    "--listen",
    default="127.0.0.1:6443",
    show_default=True,
    metavar="HOST:PORT",
    help="Serve here.",
    envvar=environment_name("--listen"),
    show_envvar=True,
)
@flags_from(SandboxOptions, "sandbox")
@flags_from(PolicyOptions, "policy")
@flags_from(RecorderOptions, "recorder")
@flags_from(LogOptions, "log")
@flags_from(WebhookOptions, "webhook")
@flags_from(BackendOptions, "backends")
@flags_from(HealthOptions, "health")
def command(
    listen: str,
    sandbox: SandboxOptions,
    policy: PolicyOptions,
    recorder: RecorderOptions,
    log: LogOptions,
    webhook: WebhookOptions,
    backends: BackendOptions,
    health: HealthOptions,
) -> None:
    """Run a small in-memory API server whose requests are audited.

    It speaks HTTPS with a throwaway certificate authority; --kubeconfig-out writes a kubeconfig for kubectl with a
    context for each account: admin, and alice, bob and carol with the roles admin, edit and view. Nothing runs in its
    pods, and everything is gone when it stops.

    SIGHUP reopens the audit log, SIGTERM and Ctrl-C stop within ten seconds.
    """
    from decklog.assembly import AuditedSandbox  # noqa: PLC0415  # because: 100 ms of libraries that --help does not need
    from decklog.listen import run  # noqa: PLC0415  # because: the same

    logging.basicConfig(format="decklog: %(message)s", stream=sys.stderr, level=logging.WARNING)
    options = AuditOptions(policy, recorder, log, webhook, backends)
    served = AuditedSandbox(options, sandbox, listen, health)
    stopped = run(_serve(served))
    if stopped is signal.SIGINT:
        raise click.Abort


async def _serve(served: AuditedSandbox) -> signal.Signals:
    return await served.until_stopped(announce=_say)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
