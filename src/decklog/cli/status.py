"""``decklog status``: what an API server's auditing is set to, in words."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from decklog.ask.terminal import visible
from decklog.cli.nodes import MANIFEST, root_option
from decklog.errors import DecklogError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from decklog.enable.manifest import StaticPod
    from decklog.enable.summary import Summary

_PLACES: Final = (MANIFEST, "/var/lib/rancher/rke2/agent/pod-manifests/kube-apiserver.yaml")
_OFF: Final = 1
_HELP: Final = """Say what is recorded, where it goes, how long it is kept, and what is missing.

SOURCE is kube-apiserver's manifest on its node, with policy and log behind it (default: kubeadm's, RKE2's, or else the
process that runs here); or a kubeconfig, which can say less: flags from the API servers' pods, and what they have
counted.

\b
decklog status
decklog status /etc/kubernetes/manifests/kube-apiserver.yaml -o json
decklog status ~/.kube/config
"""


@click.command("status", help=_HELP, epilog="Exit code 0: it records; 1: it does not, or something grave is missing.")
@click.argument("source", metavar="[SOURCE]", required=False, type=click.Path())
@click.option("--context", default="", metavar="NAME", help="Of a kubeconfig: another context than its current one.")
@root_option
@click.option("-o", "--output", type=click.Choice(("text", "json")), default="text", show_default=True)
def command(source: str | None, context: str, root: str, output: str) -> None:
    """Say what an API server's auditing is set to."""
    summaries = _summaries(source, context, Path(root))
    if output == "json":
        from decklog.cli.printing import print_json  # noqa: PLC0415  # because: the table has no need of it

        print_json(summaries[0] if len(summaries) == 1 else summaries)
    else:
        for number, each in enumerate(summaries):
            for line in ["", *_lines(each)][not number :]:
                click.echo(visible(line))
    sys.stdout.flush()
    bad = not all(each.enabled and each.works for each in summaries)
    click.get_current_context().exit(_OFF if bad else 0)


def _summaries(source: str | None, context: str, root: Path) -> list[Summary]:
    # Because: --help does not need the rooms, which read policies and speak TLS.
    from decklog.enable.manifest import StaticPod  # noqa: PLC0415  # because: --help does not need the rooms
    from decklog.enable.summary import summary  # noqa: PLC0415  # because: --help does not need the rooms

    if source is None:
        return [summary(each, root) for each in _here(root)]
    path = source
    data = _read(path)
    if not _is_kubeconfig(data):
        return [summary(StaticPod.read(data, path), root)]
    from decklog.enable.running import api_servers  # noqa: PLC0415  # because: --help does not need the rooms
    from decklog.enable.server_access import by_kubeconfig  # noqa: PLC0415  # because: --help does not need the rooms

    server = by_kubeconfig(path, context, os.environ)
    pods, counted = api_servers(server)
    if not pods:
        raise DecklogError(
            f"{server.says}: no pod of kube-apiserver is shown: a managed control plane ('decklog enable --for eks' "
            "says what can be done), or a single process (k3s, k0s: look at its node's configuration)"
        )
    return [summary(pod, None, counted if len(pods) == 1 else None) for pod in pods]


def _here(root: Path) -> list[StaticPod]:
    """Find what runs on this node."""
    from decklog.enable.manifest import StaticPod  # noqa: PLC0415  # because: --help does not need the rooms
    from decklog.enable.processes import command_lines  # noqa: PLC0415  # because: --help does not need the rooms
    from decklog.enable.running import of_process  # noqa: PLC0415  # because: --help does not need the rooms

    for place in _PLACES:
        path = root / place.lstrip("/")
        if path.exists():
            return [StaticPod.read(_read(str(path)), str(path))]
    found = [of_process(words) for words in command_lines(root / "proc")]
    if not found:
        raise DecklogError(
            f"{root / MANIFEST.lstrip('/')} is not there, and no kube-apiserver runs here: name the manifest, or a "
            "kubeconfig (k3s and Talos show no flags: see 'decklog enable --for')"
        )
    return found


def _read(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(8 << 20)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "no path"
        raise DecklogError(f"{path} cannot be read: {reason.lower()}: check the path") from None


def _is_kubeconfig(data: bytes) -> bool:
    lines = [line.split(b"#")[0].strip() for line in data.replace(b'"', b"").splitlines()]
    return b"kind: Config" in lines or any(line.startswith(b"clusters:") for line in lines) or b"kind:Config" in data


def _lines(told: Summary) -> Iterator[str]:
    version = f"Kubernetes {told.kubernetes}" if told.kubernetes else f"image {told.image or 'not said'}"
    yield f"{told.source} ({version}): {_state(told)}"
    yield from _policy(told)
    for number, each in enumerate(told.destinations):
        yield f"{'' if number else 'goes to':<11}{each.says}"
    if told.keeps is not None:
        yield f"{'keeps':<11}{told.keeps.says}"
    for name, count in sorted(told.counted.items()):
        yield f"{'counted':<11}{name}: {count:,.0f}"
    if told.checks:
        passed = sum(check.passed for check in told.checks)
        yield f"{'CIS':<11}{passed} of {len(told.checks)} checks pass"
        yield from (
            f"{'':<11}fail {check.id} {check.title}: {check.reason}" for check in told.checks if not check.passed
        )
    missing = [each for each in told.findings if each.severity != "note"]
    notes = [each for each in told.findings if each.severity == "note"]
    for label, listed in (("missing", missing), ("notes", notes)):
        yield from (f"{'' if number else label:<11}{finding}" for number, finding in enumerate(listed))


def _state(told: Summary) -> str:
    if not told.enabled:
        return "nothing is recorded"
    return "auditing is on" if told.works else "auditing is set, but something grave is missing"


def _policy(told: Summary) -> Iterator[str]:
    policy = told.policy
    if policy is None:
        return
    if policy.problem:
        yield f"{'policy':<11}{policy.path}: {policy.problem}"
        return
    rules = f"{policy.rules} rule{'s' * (policy.rules != 1)}"
    yield f"{'policy':<11}{policy.path}, {rules}; stages {', '.join(policy.stages) or 'none'}"
    width = max(len(each.topic) for each in policy.recorded)
    for number, each in enumerate(policy.recorded):
        yield f"{'' if number else 'records':<11}{each.topic:<{width}}  {each.says}"
