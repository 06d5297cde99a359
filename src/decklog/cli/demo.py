"""`decklog demo`: a sandbox, three users, the audit log, and the answer to "who deleted the deployment?"."""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import signal
import tempfile
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from decklog.errors import DecklogError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Coroutine

    from decklog.assembly import AuditedSandbox


@dataclass(frozen=True, slots=True)
class Step:
    """One request of the story."""

    user: str
    words: str
    method: str
    path: str
    body: dict[str, Any] | None = None


def _object(api_version: str, kind: str, name: str, **fields: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **fields}


_CONTAINERS: Final = {"containers": [{"name": "web", "image": "nginx"}]}
_DEPLOYMENT: Final = {
    "replicas": 2,
    "selector": {"matchLabels": {"app": "web"}},
    "template": {"metadata": {"labels": {"app": "web"}}, "spec": _CONTAINERS},
}
_SETTINGS: Final = "/api/v1/namespaces/kube-system/configmaps"
_SHOP: Final = "/api/v1/namespaces/shop"
_DEPLOYMENTS: Final = "/apis/apps/v1/namespaces/shop/deployments"

STORY: Final = (
    Step("admin", "makes the namespace shop", "POST", "/api/v1/namespaces", _object("v1", "Namespace", "shop")),
    Step("alice", "deploys web", "POST", _DEPLOYMENTS, _object("apps/v1", "Deployment", "web", spec=_DEPLOYMENT)),
    Step("bob", "creates a pod", "POST", f"{_SHOP}/pods", _object("v1", "Pod", "debug", spec=_CONTAINERS)),
    Step("bob", "reads its logs", "GET", f"{_SHOP}/pods/debug/log"),
    Step(
        "admin",
        "makes a configmap in kube-system",
        "POST",
        _SETTINGS,
        _object("v1", "ConfigMap", "dns", data={"a": "1"}),
    ),
    Step("admin", "changes it", "PATCH", f"{_SETTINGS}/dns", {"data": {"a": "2"}}),
    Step(
        "alice",
        "puts a secret there",
        "POST",
        f"{_SHOP}/secrets",
        _object("v1", "Secret", "key", stringData={"k": "s3cret"}),
    ),
    Step("bob", "reads the secret", "GET", f"{_SHOP}/secrets/key"),
    Step("carol", "tries to delete the deployment, and may not", "DELETE", f"{_DEPLOYMENTS}/web"),
    Step("carol", "watches the pods for a second", "GET", f"{_SHOP}/pods?watch=true&timeoutSeconds=1"),
    Step("alice", "deletes the deployment", "DELETE", f"{_DEPLOYMENTS}/web"),
    Step("admin", "runs into a panic of the server", "GET", "/debug/panic"),
)
"""Who does what; the log tells it again."""

CONTENT_TYPES: Final = {"PATCH": "application/merge-patch+json"}


@click.command(
    "demo",
    short_help="See it work: a sandbox, three users, the log and the answers.",
    epilog="Example: decklog demo --keep",
)
@click.option("--keep", is_flag=True, help="Stay up afterwards, until Ctrl-C, to try things with kubectl.")
@click.option(
    "--directory", type=click.Path(path_type=Path), help="Put log, policy and kubeconfig here.  [default: a new one]"
)
@click.option(
    "--listen", default="127.0.0.1:0", metavar="HOST:PORT", help="Serve on this address.  [default: a free one]"
)
def command(*, keep: bool, directory: Path | None, listen: str) -> None:
    """See it work: a sandbox, three users, the log and the answers.

    Starts a small in-memory API server over HTTPS, audited under a policy that many tutorials use. An administrator and
    three users create, read, change and delete, one of them without the right to; the server even panics once.
    Then the audit log is shown, and asked who deleted the deployment.
    """
    from decklog.listen import run  # noqa: PLC0415  # because: 100 ms of libraries that --help does not need

    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # the panic belongs to the story
    place = directory or Path(tempfile.mkdtemp(prefix="decklog-demo-"))
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DecklogError(f"cannot use the directory {place}: {error.strerror}: give another --directory") from error
    run(_until_terminated(_demonstrate(place, listen, keep=keep)))


async def _until_terminated(story: Coroutine[Any, Any, None]) -> None:
    """Tell the story to its end or to SIGTERM, which ends it as the end does: requests finish, events are drained."""
    telling = asyncio.ensure_future(story)
    terminated = False

    def terminate() -> None:
        nonlocal terminated
        terminated = True
        telling.cancel()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminate)
    try:
        await telling
    except asyncio.CancelledError:
        if not terminated:  # Ctrl-C
            raise


async def _demonstrate(place: Path, address: str, *, keep: bool) -> None:
    from decklog.assembly import AuditedSandbox  # noqa: PLC0415  # because: 100 ms of libraries that --help does not need
    from decklog.listen import parse_address  # noqa: PLC0415  # because: see command

    log = place / "audit.log"
    async with AuditedSandbox(*_options(place, log), address) as audited, audited.serving() as served:
        audited.write_kubeconfig(str(place / "kubeconfig"), served.url)
        click.echo(f"A sandbox API server listens on {served.url}; audit: {audited.audited.plumbing}.\n")
        await _tell(audited, parse_address(address)[0], served.port)
        _show(place, log)
        if keep:
            await _stay(place)


def _options(place: Path, log: Path) -> tuple[Any, Any]:
    """Write the demo's policy to its place and make the options of a sandbox from it."""
    from decklog.backends.log_options import LogOptions  # noqa: PLC0415  # because: see command
    from decklog.config import AuditOptions  # noqa: PLC0415  # because: see command
    from decklog.policy.options import PolicyOptions  # noqa: PLC0415  # because: see command
    from decklog.sandbox.options import SandboxOptions  # noqa: PLC0415  # because: see command

    policy = place / "audit-policy.yaml"
    policy.write_bytes(files("decklog.sandbox").joinpath("demo-policy.yaml").read_bytes())
    options = AuditOptions(policy=PolicyOptions(file=str(policy)), log=LogOptions(path=str(log)))
    return options, replace(SandboxOptions())


async def _tell(audited: AuditedSandbox, host: str, port: int) -> None:
    """Send the story's requests over real HTTPS, each with its user's certificate."""
    contexts = {name: _context(audited, name) for name in audited.credentials.clients}
    for step in STORY:
        code = await asyncio.to_thread(_send, step, host, port, contexts[step.user])
        click.echo(f"  {step.user:6} {step.words:45} {step.method:6} {step.path.partition('?')[0]}  →  {code}")
    click.echo()


def _context(audited: AuditedSandbox, name: str) -> ssl.SSLContext:
    from decklog import certificates  # noqa: PLC0415  # because: see command

    return certificates.client_context(audited.credentials.authority.certificate_pem, audited.credentials.clients[name])


def _send(step: Step, host: str, port: int, context: ssl.SSLContext) -> str:
    connection = http.client.HTTPSConnection(host, port, context=context, timeout=10)
    headers = {
        "Accept": "application/json",
        "User-Agent": "decklog-demo",
        "Content-Type": CONTENT_TYPES.get(step.method, "application/json"),
    }
    try:
        connection.request(step.method, step.path, json.dumps(step.body) if step.body else None, headers)
        answer = connection.getresponse()
        answer.read()
    except (http.client.HTTPException, OSError):
        return "no answer"
    finally:
        connection.close()
    return str(answer.status)


def _show(place: Path, log: Path) -> None:
    """Show where the log lies, what it holds, and what it answers."""
    from decklog.cli import decklog  # noqa: PLC0415  # because: the group is complete only when every command is imported

    lines = log.read_bytes().splitlines()
    click.echo(f"The audit log: {log} ({len(lines)} events). Its last line:\n")
    click.echo(b"".join(lines[-1:]).decode("utf-8", "replace") + "\n")
    found = ["-f", str(log)]
    for words in (["query", *found], ["who", "deleted", "deploy/web", "-n", "shop", *found]):
        _ask(decklog, words)
    audit_id = _deletion(lines)
    if audit_id:
        _ask(decklog, ["show", audit_id, *found])
    click.echo(f"Policy, log and kubeconfig stay in {place}.")


def _ask(group: Any, words: list[str]) -> None:
    click.echo(f"$ decklog {' '.join(words)}")
    group.main(words, prog_name="decklog", standalone_mode=False)
    click.echo()


def _deletion(lines: list[bytes]) -> str:
    """Find the audit ID of the deletion that succeeded."""
    for line in reversed(lines):
        event = json.loads(line)
        if event["verb"] == "delete" and event.get("responseStatus", {}).get("code") == 200:
            return str(event["auditID"])
    return ""


async def _stay(place: Path) -> None:
    click.echo(f"\nStaying up. Try:  KUBECONFIG={place / 'kubeconfig'} kubectl get pods -A   (Ctrl-C ends it)")
    await asyncio.Event().wait()
