"""The running API servers of a cluster: their pods, and what they count, as the API server itself tells.

Managed control planes show neither; single processes (k3s, k0s) have no pod. Metrics need the right to read /metrics.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Final

from decklog.enable.asking_server import ask
from decklog.enable.conflict import Conflict
from decklog.enable.manifest import StaticPod
from decklog.errors import DecklogError

if TYPE_CHECKING:
    from decklog.enable.server_access import ServerAccess

_PODS: Final = "/api/v1/namespaces/kube-system/pods?labelSelector=component%3Dkube-apiserver"
_LIMIT: Final = 64 << 20
_DEADLINE_S: Final = 20.0
_METRIC: Final = re.compile(
    rb"^apiserver_audit_(level_total|error_total|event_total|requests_rejected_total)"
    rb'(?:\{(?:level|plugin)="([^"]*)"\})? '
    rb"([0-9]{1,20}(?:\.[0-9]{1,20})?(?:e[+-]?[0-9]{1,2})?)$",
    re.MULTILINE,
)
_NAMES: Final = {
    b"level_total": "level",
    b"error_total": "errors",
    b"event_total": "events",
    b"requests_rejected_total": "rejected",
}


def of_process(words: list[str]) -> StaticPod:
    """Make a manifest of a process that runs on the host itself (k0s, systemd): all paths are the host's."""
    command = [word.encode("utf-8", "replace").decode() for word in words]
    container = {
        "name": "kube-apiserver",
        "command": command,
        "volumeMounts": [{"name": "host", "mountPath": "/"}],
    }
    spec = {"containers": [container], "volumes": [{"name": "host", "hostPath": {"path": "/"}}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "kube-apiserver"}, "spec": spec}
    return StaticPod.read(json.dumps(pod).encode(), "the process kube-apiserver")


def api_servers(server: ServerAccess) -> tuple[list[StaticPod], dict[str, float]]:
    """Ask a cluster for its API servers' pods, and one of them for what it has counted.

    No pods: none are shown. No counts: they may not be read. Raises DecklogError.
    """
    return asyncio.run(_ask(server))


async def _ask(server: ServerAccess) -> tuple[list[StaticPod], dict[str, float]]:
    async with server.open() as access:
        try:
            pods = await ask(access, "GET", _PODS, {}, deadline_s=_DEADLINE_S, limit=_LIMIT)
            metrics = await ask(access, "GET", "/metrics", {}, deadline_s=_DEADLINE_S, limit=_LIMIT)
        except (OSError, TimeoutError) as error:
            raise DecklogError(f"cannot ask {server.says}: {str(error) or 'no answer in time'}") from None
    if pods.status in {401, 403}:
        raise DecklogError(
            f"{server.says} answers {pods.status}: the kubeconfig's user may not list the pods of kube-system"
        )
    return _pods(pods.body) if pods.status == 200 else [], _counts(metrics.body) if metrics.status == 200 else {}


def _pods(body: bytes) -> list[StaticPod]:
    try:
        items = json.loads(body)["items"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
    found = []
    for item in items if isinstance(items, list) else []:
        metadata = item.get("metadata") if isinstance(item, dict) else None
        if not isinstance(metadata, dict):
            continue
        data = json.dumps({"apiVersion": "v1", "kind": "Pod"} | item).encode()
        try:
            found.append(StaticPod.read(data, f"pod kube-system/{metadata.get('name')}"))
        except Conflict:
            continue
    return found


def _counts(body: bytes) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, label, value in _METRIC.findall(body):
        found[f"{_NAMES[name]} {label.decode(errors='replace')}".strip()] = float(value)
    return found
