"""How long auditing one request takes, whole: attributes → decision → two events → encode → write."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from decklog.audit.attributes import resolve
from decklog.audit.event import User
from decklog.audit.headers import origin
from decklog.audit.wire import encode_line
from decklog.backends.log import LogOptions, log_backend
from decklog.metrics import AuditCounters
from decklog.policy.evaluator import Evaluator
from decklog.policy.rules import Policy, Rule
from decklog.recorder.answers import Answer
from decklog.recorder.recording import Recorder

ROUNDS = 9
REQUESTS = 4000

_USER = User("alice", groups=("dev", "system:authenticated"))
_HEADERS = [
    (b"host", b"10.0.0.1:6443"),
    (b"user-agent", b"kubectl/v1.36.2 (linux/amd64) kubernetes/24a394e"),
    (b"accept", b"application/json;as=Table;v=v1;g=meta.k8s.io,application/json"),
    (b"authorization", b"Bearer x"),
    (b"audit-id", b"e0d662c4-44ab-4970-8ef6-b42e1c72da14"),
]


def run() -> list[dict[str, Any]]:
    """Audit GETs of named objects at level Metadata, each written as two lines to a rotating log."""
    targets = [
        f"/api/v1/namespaces/team-{number % 97}/configmaps/settings-{number}".encode() for number in range(REQUESTS)
    ]
    decide = Evaluator(Policy(rules=(Rule("None", users=("system:kube-proxy",)), Rule("Metadata")))).decide
    counters = AuditCounters()
    answer = Answer(200, "application/json", b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"settings"}}')
    with tempfile.TemporaryDirectory() as folder:
        options = LogOptions(path=str(Path(folder, "audit.log")), max_size_mib=100, max_backups=2)
        backend = log_backend(options, encode_line, counters)
        backend._writer.open()  # noqa: SLF001  # because: the start without its event loop; only writing is measured
        best = min(_round(targets, decide, Recorder(time.time_ns, counters), answer, backend) for _ in range(ROUNDS))
        backend._writer.close()  # noqa: SLF001  # because: the same
    return [
        {
            "name": "whole path, two events a request",
            "value": best * 1e6,
            "unit": "µs",
            "target": "≤ 12",
            "peer": "Go 16",
        }
    ]


def _round(targets: list[bytes], decide: Any, recorder: Recorder, answer: Answer, backend: Any) -> float:
    started = time.perf_counter()
    for target in targets:
        attributes = resolve("GET", target)
        identity, addresses, agent = origin(_HEADERS, "10.1.2.3", str)
        recording = recorder.open(attributes, decide(attributes, _USER), _USER, identity, addresses, agent)
        received = recording.received()
        if received is not None:
            backend.process((received,))
        recording.annotate("authorization.k8s.io/decision", "allow")
        recording.annotate(
            "authorization.k8s.io/reason", 'RBAC: allowed by RoleBinding "dev/team" of Role "dev" to Group "dev"'
        )
        backend.process(recording.completed(answer))
    return (time.perf_counter() - started) / len(targets)
