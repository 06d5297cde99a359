"""How fast a policy goes over a recorded log: `replay` and `apply`, over events of 1.8 kB, files and all.

`run()` gives measurements; `benchmarks/core.py` prints them. The log is what a small cluster writes at RequestResponse:
the requests of `decision`, most of them with bodies, every line another one. Each figure is the best of many short
rounds, and covers reading the file, cutting lines, deciding, and (apply) writing to another file. The policies: the 30
rules of `decision`, which drop or lower most events; one that lowers every event; one that keeps all as it is.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Raw, structs

from benchmarks.decision import policy, requests
from decklog.audit.event import Event, ObjectReference, Stage, Status, User
from decklog.audit.times import microtime
from decklog.audit.wire import encode_line
from decklog.policy.apply import Applied, apply, blocks
from decklog.policy.deciding import decide_by
from decklog.policy.replay import replay
from decklog.policy.rules import Policy, Rule
from decklog.policy.suggest import suggest
from decklog.sources.places import find
from decklog.sources.record import Coverage
from decklog.sources.verbatim import read_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from decklog.audit.attributes import Attributes

ROUNDS = 45
EVENTS = 4_000
SIZE = 1800
_SERVED = "2026-03-01T10:00:00.000000Z"


def lines(count: int = EVENTS) -> Iterator[bytes]:
    """Give the log, line by line; on average `SIZE` bytes each."""
    chance = random.Random(41)
    for number, (attributes, user) in enumerate(requests(count)):
        received = microtime(1_772_359_200_000_000_000 + number * 4_000_000)
        event = Event(
            level="RequestResponse",
            audit_id=f"{chance.getrandbits(32):08x}-3d4f-4b2a-9c1e-{number:012x}",
            stage=Stage.RESPONSE_COMPLETE,
            request_uri=_uri(attributes),
            verb=attributes.verb,
            user=user or User("system:anonymous", groups=("system:unauthenticated",)),
            source_ips=("192.0.2.10",),
            user_agent="kubelet/v1.36.2 (linux/amd64) kubernetes/5f0e3fa",
            object_ref=_ref(attributes),
            response_status=Status(code=200),
            request_received_timestamp=received,
            stage_timestamp=received,
            annotations={"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": ""},
        )
        yield encode_line(_with_bodies(event, number, chance))


def _uri(attributes: Attributes) -> str:
    if not attributes.resource_request:
        return attributes.path
    group = f"apis/{attributes.api_group}/v1" if attributes.api_group else "api/v1"
    namespace = f"namespaces/{attributes.namespace}" if attributes.namespace else ""
    parts = (group, namespace, attributes.resource, attributes.name, attributes.subresource)
    return "/" + "/".join(filter(None, parts)) + "?timeout=10s"


def _ref(attributes: Attributes) -> ObjectReference | None:
    if not attributes.resource_request:
        return None
    return ObjectReference(
        attributes.resource,
        attributes.namespace,
        attributes.name,
        api_group=attributes.api_group,
        api_version="v1",
        subresource=attributes.subresource,
    )


def _with_bodies(event: Event, number: int, chance: random.Random) -> Event:
    """Fill most events with bodies, so that the mean is `SIZE`."""
    if number % 4 == 0 or event.object_ref is None:
        return event
    room = 1780
    changes = {}
    if event.verb not in {"get", "list", "watch"}:
        changes["request_object"] = _body(room * 2 // 5, chance)
        room = room * 3 // 5
    return structs.replace(event, response_object=_body(room, chance), **changes)


def _body(size: int, chance: random.Random) -> Raw:
    containers = [
        {
            "name": f"c{place}",
            "image": f"registry.example/app:{chance.getrandbits(64):x}",
            "ports": [{"containerPort": 80}],
        }
        for place in range(max(size // 110, 1))
    ]
    body = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "web"}, "spec": {"containers": containers}}
    return Raw(json.dumps(body, separators=(",", ":")).encode())


def _log(path: str) -> Iterator[bytes]:
    return read_lines(find((path,), BytesIO()), Coverage())


def run() -> list[dict[str, Any]]:
    """Measure."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "audit.log", Path(folder) / "out.log"
        source.write_bytes(b"".join(lines()))
        mean = source.stat().st_size / EVENTS
        rules = policy()
        policies = {
            "30 rules": rules,
            "all lowered": Policy((Rule("Metadata"),)),
            "all kept": Policy((Rule("RequestResponse"),)),
        }
        rows = []
        for name, chosen in policies.items():
            rows += [
                _row("replay", name, mean, partial(_replay, str(source), chosen)),
                _row("apply", name, mean, partial(_apply, str(source), target, chosen)),
            ]
        rows.append(_row("suggest", "", mean, lambda: suggest(_log(str(source))), target="-"))
        return rows


def _replay(source: str, chosen: Policy) -> None:
    replay(_log(source), decide_by(chosen), [rule.level for rule in chosen.rules])


def _apply(source: str, target: Path, chosen: Policy) -> None:
    with target.open("wb") as out:
        for block in blocks(apply(_log(source), decide_by(chosen), Applied())):
            out.write(block)


def _row(what: str, name: str, mean: float, work: Callable[[], Any], target: str = ">= 150,000") -> dict[str, Any]:
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    about = f"policy {what}, {mean / 1000:.2f} kB events"
    return {
        "name": f"{about}, {name}" if name else about,
        "value": EVENTS / best,
        "unit": "events/s",
        "target": target,
        "peer": "",
    }


if __name__ == "__main__":
    for measured in run():
        print(measured)
