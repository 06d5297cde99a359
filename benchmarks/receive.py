"""The receiver with durable acknowledgement: events a second of one core, in batches of 400, by real senders.

The receiver runs as it is served, one worker on one core, journal and sync included; the senders are a process of their
own on the other cores, which post bodies made beforehand, a few at a time, each event another one. What counts is the
processor's time that the receiver's process takes: the disk's and the senders' time is not ours; the wall clock's
figure stands beside it. ``--tls`` and the rest of a real installation cost what the second row says.

`run()` gives measurements; `python -m benchmarks.receive` prints them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop

from decklog import certificates, listen
from decklog.assembling.receiver import ReceiverWorker
from decklog.config import ReceiverSettings
from decklog.listener_tls import Files
from decklog.receiving.options import ReceiverListenerOptions, ReceiverOptions
from decklog.worker import Worker

if TYPE_CHECKING:
    import ssl
    from multiprocessing.connection import Connection

EVENTS = 200_000
BATCH = 400
CONNECTIONS = 8
ROUNDS = 3
HOURS = timedelta(hours=1)


def _item(number: int) -> bytes:
    """Make an event of Metadata as kube-apiserver writes it: some 900 bytes."""
    event = {
        "level": "Metadata",
        "auditID": f"{number:08x}-7c4e-4f7b-9d57-0c8f0b6a1b11",
        "stage": "ResponseComplete",
        "requestURI": f"/api/v1/namespaces/shop-{number % 37}/pods/web-{number % 997}?timeout=32s",
        "verb": ("get", "update", "list")[number % 3],
        "user": {
            "username": f"system:serviceaccount:shop-{number % 37}:deployer",
            "uid": "b3c1f0a2-7c4e-4f7b-9d57-0c8f0b6a1b11",
            "groups": ["system:serviceaccounts", f"system:serviceaccounts:shop-{number % 37}", "system:authenticated"],
            "extra": {"authentication.kubernetes.io/credential-id": [f"JTI={number:032x}"]},
        },
        "sourceIPs": ["203.0.113.7"],
        "userAgent": "kube-controller-manager/v1.36.0 (linux/amd64) kubernetes/0000000/deployment-controller",
        "objectRef": {"resource": "pods", "namespace": "shop", "name": f"web-{number % 997}", "apiVersion": "v1"},
        "responseStatus": {"metadata": {}, "code": 200},
        "requestReceivedTimestamp": f"2026-01-05T10:00:00.{number % 1_000_000:06d}Z",
        "stageTimestamp": f"2026-01-05T10:00:01.{number % 1_000_000:06d}Z",
        "annotations": {
            "authorization.k8s.io/decision": "allow",
            "authorization.k8s.io/reason": "RBAC: allowed by ClusterRoleBinding of ClusterRole to ServiceAccount",
        },
    }
    return json.dumps(event, separators=(",", ":")).encode()


def _requests(count: int) -> list[bytes]:
    head = b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":['
    bodies = (
        head + b",".join(map(_item, range(at, min(at + BATCH, count)))) + b"]}\n" for at in range(0, count, BATCH)
    )
    lines = b"POST /?timeout=30s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
    return [lines % (len(body), body) for body in bodies]


async def _send(port: int, requests: list[bytes], tls: ssl.SSLContext | None) -> None:
    waiting = iter(requests)

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
        for request in waiting:
            writer.write(request)
            answer = await reader.readuntil(b"\r\n\r\n")
            if not answer.startswith(b"HTTP/1.1 200 "):
                raise RuntimeError(f"not taken: {answer[:80]!r}")
        writer.close()

    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))


def _sender(ours: int, told: Connection) -> None:
    with contextlib.suppress(OSError):  # one core alone: then the senders' time counts as ours
        os.sched_setaffinity(0, set(range(os.cpu_count() or 1)) - {ours})
    requests = _requests(told.recv())
    told.send("ready")
    while (job := told.recv()) is not None:
        port, folder = job
        tls = None
        if folder:
            ca, pair = Path(folder, "ca.crt").read_bytes(), certificates.read(f"{folder}/s.crt", f"{folder}/s.key")
            tls = certificates.client_context(ca, pair)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_send(port, requests, tls))
        told.send("sent")


async def _round(folder: Path, told: Connection, pki: Path | None) -> tuple[float, float]:
    """Give the seconds of the processor and of the clock that one round takes."""
    listener = ReceiverListenerOptions(insecure=True, workers=1)
    options = ReceiverOptions(store=str(folder), free_bytes=0)
    if pki is not None:
        options = ReceiverOptions(store=str(folder), free_bytes=0, allowed_clients="s")
        listener = ReceiverListenerOptions(
            str(pki / "r.crt"), str(pki / "r.key"), client_ca_file=str(pki / "ca.crt"), workers=1
        )
    settings = ReceiverSettings("127.0.0.1:0", options, listener)
    files = Files(settings.tls, {"client-ca": listener.client_ca_file})
    sock = listen.bind("127.0.0.1", 0)
    port = sock.getsockname()[1]
    said: list[dict[str, Any]] = []
    worker = Worker(1, 1, sock, {}, said.append)
    serving = asyncio.create_task(ReceiverWorker(settings, files, files.read(), worker).serve())
    while not any(message["kind"] == "ready" for message in said):  # noqa: ASYNC110  # because: once, before the clock starts
        await asyncio.sleep(0.01)
    before, begun = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    told.send((port, str(pki) if pki is not None else ""))
    await asyncio.to_thread(told.recv)
    wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF)
    worker.stop()
    await serving
    stored = worker.stats()["receiver"]["events"]
    if stored != EVENTS:
        raise RuntimeError(f"{stored} events of {EVENTS} were stored")
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, wall


def _pki(folder: Path) -> Path:
    def now() -> datetime:
        return datetime.now(UTC)

    ca = certificates.authority("bench", clock=now, lifetime=HOURS)
    certificates.write(ca, folder / "ca.crt", folder / "ca.key")
    pair = certificates.server_certificate(ca, ["127.0.0.1"], clock=now, lifetime=HOURS)
    certificates.write(pair, folder / "r.crt", folder / "r.key")
    certificates.write(
        certificates.client_certificate(ca, "s", clock=now, lifetime=HOURS), folder / "s.crt", folder / "s.key"
    )
    return folder


def _best(told: Connection, pki: Path | None, rounds: int) -> tuple[float, float]:
    taken = []
    for _ in range(rounds):
        with (
            tempfile.TemporaryDirectory(dir=os.environ.get("DECKLOG_BENCH_DIR")) as store,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            taken.append(runner.run(_round(Path(store), told, pki)))
    return min(processor for processor, _ in taken), min(wall for _, wall in taken)


def run(rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """Measure; rows of name, value, unit, target and peer."""
    context = multiprocessing.get_context("spawn")
    told, theirs = context.Pipe()
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    sender = context.Process(target=_sender, args=(core, theirs))
    sender.start()
    told.send(EVENTS)
    told.recv()
    rows = []
    try:
        with tempfile.TemporaryDirectory() as folder:
            for name, pki in (("plain", None), ("TLS, client certificate", _pki(Path(folder)))):
                processor, wall = _best(told, pki, rounds)
                by = f"{EVENTS / wall:,.0f} by the clock, senders and disk included"
                row = {"name": f"receive, durable, batches of {BATCH}, {name}", "value": EVENTS / processor}
                rows.append({**row, "unit": "events/s", "target": "≥ 100000", "peer": by})
    finally:
        told.send(None)
        sender.join()
    return rows


if __name__ == "__main__":
    for row in run(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS):
        print(f"{row['name']:60} {row['value']:>12,.0f} {row['unit']:10} target {row['target']:10} {row['peer']}")
