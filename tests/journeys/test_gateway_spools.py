"""`decklog gateway` with a webhook and a spool: a folder a worker, and what a killed or surplus worker leaves in it."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from journeys.gateway_crew import gateway, until
from journeys.sandbox_process import sandbox
from journeys.test_webhook_journey import configuration, receiver

if TYPE_CHECKING:
    from pathlib import Path

    from journeys.gateway_crew import Gateway

pytestmark = pytest.mark.journey

SPOOLED = 'decklog_backend_spooled_events{backend="webhook"}'
COLUMNS = ("delivered_events_total", "queued_events", "in_flight_events", "spooled_events", "parked_events")


def flags(folder: Path, port: int, workers: int) -> tuple[str, ...]:
    """A webhook to that port with a spool."""
    more = {"audit-webhook-spool-dir": str(folder / "spool"), "audit-webhook-mode": "blocking"}
    return "--config", str(configuration(folder, port, **more)), "--workers", str(workers)


def balanced(running: Gateway) -> bool:
    """Whether every event of the webhook is in a column of the sums."""
    counted = running.counted()

    def of(name: str) -> float:
        return counted.get(f'decklog_backend_{name}{{backend="webhook"}}', 0)

    dropped = sum(value for key, value in counted.items() if key.startswith("decklog_backend_dropped_events_total"))
    return of("processed_events_total") == sum(map(of, COLUMNS)) + dropped


def busy(running: Gateway, spool: Path) -> set[str]:
    """Ask until both workers have something in their spool; the names of the folders."""
    found: set[str] = set()

    def both() -> bool:
        running.get("/version")
        for folder in spool.glob("worker-*"):
            if any(segment.stat().st_size for segment in folder.glob("[0-9]*.ndjson")):
                found.add(folder.name)
        return len(found) == 2

    until(both)
    return found


def test_what_a_killed_worker_had_on_disk_is_sent_by_its_successor(tmp_path: Path) -> None:
    """Nothing that was spooled is lost or counted twice; the books are balanced all the time."""
    with receiver() as gone:
        port = gone.server_port
    (tmp_path / "upstream").mkdir()
    with sandbox(tmp_path / "upstream") as upstream, gateway(tmp_path, upstream, *flags(tmp_path, port, 2)) as running:
        assert busy(running, tmp_path / "spool") == {"worker-1", "worker-2"}
        until(lambda: running.counted()[SPOOLED] == len(running.events()))
        victims = running.workers()
        os.kill(victims[0], signal.SIGKILL)
        until(lambda: victims[0] not in running.workers() and len(running.workers()) == 2)
        until(lambda: running.counted()[SPOOLED] == len(running.events()))
        assert balanced(running)
        with receiver(port) as taken:
            until(lambda: running.counted()[SPOOLED] == 0)
            assert balanced(running)
            running.process.send_signal(signal.SIGTERM)
            assert running.process.wait(10) == 0
        logged = {(event["auditID"], event["stage"]) for event in running.events()}
        assert sorted(set(taken.got)) == sorted(logged)


def test_a_spool_that_no_worker_sends_is_told(tmp_path: Path) -> None:
    """With fewer workers than at an earlier start, one is left over."""
    with receiver() as gone:
        port = gone.server_port
    (tmp_path / "upstream").mkdir()
    with sandbox(tmp_path / "upstream") as upstream:
        with gateway(tmp_path, upstream, *flags(tmp_path, port, 2)) as running:
            busy(running, tmp_path / "spool")
            running.process.send_signal(signal.SIGTERM)
            assert running.process.wait(10) == 0
        with gateway(tmp_path, upstream, *flags(tmp_path, port, 1)) as running:
            assert f"wait in {tmp_path}/spool/worker-2, which no worker sends now" in running.said
