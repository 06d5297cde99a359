"""How long the hall's pure functions take: encode and decode an event, resolve a target, find the source addresses.

`run()` gives measurements; `benchmarks/core.py` prints them. Each figure is the minimum of nine rounds. Every call gets
an event or a target of its own, as a server does, so that no string's cached form is used again.
"""

from __future__ import annotations

import gc
import json
import time
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw

from decklog.audit.addresses import source_ips
from decklog.audit.attributes import resolve
from decklog.audit.event import Event, ObjectReference, Status, User
from decklog.audit.legacy import legacy_line
from decklog.audit.times import microtime
from decklog.audit.wire import decode_event, encode_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ROUNDS = 9
CALLS = 4000

_START_US = 1_767_323_045_000_000
_HEADERS = [
    (b"host", b"10.0.0.1:6443"),
    (b"user-agent", b"kubectl/v1.36.2 (linux/amd64) kubernetes/24a394e"),
    (b"accept", b"application/json;as=Table;v=v1;g=meta.k8s.io,application/json"),
    (b"accept-encoding", b"gzip"),
    (b"authorization", b"Bearer x"),
]
_BODY = b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"settings"},"data":{"note":"two words"}}'


def run() -> list[dict[str, Any]]:
    """Measure."""
    events = [_event(number) for number in range(CALLS)]
    lines = [encode_line(event) for event in events]
    plain = [json.loads(line) for line in lines]
    full = [msgspec.structs.replace(event, request_object=Raw(_BODY)) for event in events]
    targets = [f"/api/v1/namespaces/team-{number % 97}/pods/web-{number}".encode() for number in range(CALLS)]
    lists = [f"/api/v1/namespaces/team-{number}/pods?limit=500&resourceVersion=0".encode() for number in range(CALLS)]
    dumps, loads = _best(_dumps, plain), _best(json.loads, lines)
    size = sum(map(len, lines)) // CALLS
    return [
        _row(f"encode an event of {size} B as a line", _best(encode_line, events), "≤ 1", f"json.dumps {dumps:.1f}"),
        _row("encode the same with a body of 100 B", _best(encode_line, full), "-", ""),
        _row(f"decode a line of {size} B", _best(decode_event, lines), "-", f"json.loads {loads:.1f}"),
        _row("write an event as a legacy line", _best(legacy_line, events), "-", ""),
        _row("resolve a plain target", _best(_get, targets), "≤ 1.5", ""),
        _row("resolve a list with options", _best(_get, lists), "-", ""),
        _row(
            "source addresses, nothing forwarded",
            _best(_source_ips, [f"10.0.0.{n % 250}" for n in range(CALLS)]),
            "-",
            "",
        ),
    ]


def _row(name: str, value: float, target: str, peer: str) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": "µs", "target": target, "peer": peer}


def _best(call: Callable[[Any], object], values: Iterable[Any]) -> float:
    """Give the microseconds of one call in the best of the rounds."""
    given = list(values)
    return min(_round(call, given) for _ in range(ROUNDS)) / len(given) * 1e6


def _round(call: Callable[[Any], object], values: list[Any]) -> float:
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter()
        for value in values:
            call(value)
        return time.perf_counter() - start
    finally:
        gc.enable()


def _event(number: int) -> Event:
    """Build a complete event of the usual size."""
    received = _START_US + number * 1_237
    name = f"web-7d4b9c6f5-{number:05d}"
    return Event(
        level="Metadata",
        audit_id=f"e0d662c4-44ab-4970-8ef6-b42e1c{number:06d}",
        stage="ResponseComplete",
        request_uri=f"/api/v1/namespaces/shop/pods/{name}",
        verb="get",
        user=User(
            "jane@example.com",
            groups=("oidc:developers", "system:authenticated"),
        ),
        source_ips=("192.0.2.7",),
        user_agent="kubectl/v1.36.2 (linux/amd64) kubernetes/24a394e",
        object_ref=ObjectReference("pods", "shop", name, api_version="v1"),
        response_status=Status(code=200),
        request_received_timestamp=microtime(received * 1000),
        stage_timestamp=microtime((received + 4_000) * 1000),
        annotations={
            "authorization.k8s.io/decision": "allow",
            "authorization.k8s.io/reason": 'RBAC: allowed by RoleBinding "developers/shop"',
        },
    )


def _dumps(event: dict[str, Any]) -> str:
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))


def _get(target: bytes) -> object:
    return resolve("GET", target)


def _source_ips(peer: str) -> object:
    return source_ips(_HEADERS, peer)


if __name__ == "__main__":
    for row in run():
        print(f"{row['name']:44} {row['value']:8.3f} {row['unit']}  target {row['target']}  {row['peer']}")
