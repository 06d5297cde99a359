"""`decklog sandbox` with a webhook: told by a file, seen in metrics, drained at the end, continued from the spool."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import signal
import socket
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import pytest
import yaml

from journeys.sandbox_process import METADATA, SANDBOX, sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from journeys.sandbox_process import Running

pytestmark = pytest.mark.journey


class Receiver(http.server.ThreadingHTTPServer):
    """Takes EventLists and keeps the stages of their events by audit ID."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.got: list[tuple[str, str]] = []


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert isinstance(self.server, Receiver)
        self.server.got += [(item["auditID"], item["stage"]) for item in body["items"]]
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Be quiet."""


@contextlib.contextmanager
def receiver(port: int = 0) -> Iterator[Receiver]:
    """Receive until the block ends."""
    with Receiver(port) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def configuration(folder: Path, port: int, **more: str) -> Path:
    """Write a configuration file with a webhook to that port."""
    webhook = {"clusters": [{"name": "", "cluster": {"server": f"http://127.0.0.1:{port}/"}}]}
    (folder / "webhook.yaml").write_text(yaml.safe_dump(webhook))
    path = folder / "decklog.yaml"
    settings = {"audit-webhook-config-file": str(folder / "webhook.yaml"), "metrics-listen": "127.0.0.1:0", **more}
    path.write_text(yaml.safe_dump(settings))
    return path


def logged(lines: list[bytes]) -> list[tuple[str, str]]:
    """Give the audit ID and stage of each line of a log."""
    return [(event["auditID"], event["stage"]) for event in map(json.loads, lines)]


def read(said: list[str], path: str) -> tuple[int, str]:
    """Ask the listener of the metrics."""
    address = next(line for line in said if line.startswith("metrics on ")).split("/")[2]
    connection = http.client.HTTPConnection(address, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for `condition`, ten seconds at most."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "not within ten seconds"
        time.sleep(0.01)


def test_sigterm_delivers_what_is_gathered(tmp_path: Path) -> None:
    """The batch would wait for 30 s; the end does not. Log and receiver have the same events."""
    with (
        receiver() as taken,
        sandbox(tmp_path, METADATA, "--config", str(configuration(tmp_path, taken.server_port))) as running,
    ):
        assert "audit: union[blocking<log>, batch<webhook>]" in running.said
        for _ in range(3):
            running.get("/api/v1/namespaces")
        assert 'decklog_backend_queued_events{backend="webhook"} 6.0' in read(running.said, "/metrics")[1]
        assert read(running.said, "/healthz") == (200, "ok")
        assert read(running.said, "/readyz")[0] == 200
        assert taken.got == []
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(10) == 0
        assert taken.got == logged(running.lines())
    assert len(taken.got) == 6


def test_a_receiver_that_is_away_costs_nothing_with_a_spool(tmp_path: Path) -> None:
    """What it missed waits on disk through a kill, and is delivered in order by the next run."""
    with receiver() as gone:
        port = gone.server_port  # free again when the block ends
    more = {"audit-webhook-spool-dir": str(tmp_path / "spool"), "audit-webhook-mode": "blocking"}
    flags = ("--config", str(configuration(tmp_path, port, **more)))
    with sandbox(tmp_path, METADATA, *flags) as running:
        assert "audit: union[blocking<log>, blocking<spool<webhook>>]" in running.said
        running.get("/api/v1/namespaces")
        running.get("/api/v1/pods")
        wait_until(lambda: 'spooled_events{backend="webhook"} 4.0' in read(running.said, "/metrics")[1])
        running.process.kill()
        running.process.wait(10)
    missed = logged((tmp_path / "audit.log").read_bytes().splitlines())
    with receiver(port) as taken, sandbox(tmp_path, METADATA, *flags) as running:
        wait_until(lambda: len(taken.got) >= 4)
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(10) == 0
    assert taken.got == missed


@pytest.mark.parametrize("mode", ["blocking", "blocking-strict"])
def test_sigterm_ends_in_time_while_requests_wait_for_a_receiver_that_hangs(tmp_path: Path, mode: str) -> None:
    """Within ten seconds, with success: the door does not wait for the audit trail, and the spool keeps the event."""
    more = {"audit-webhook-mode": mode, "audit-webhook-spool-dir": str(tmp_path / "spool")}
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, never answers
        flags = ("--config", str(configuration(tmp_path, silent.getsockname()[1], **more)))
        with sandbox(tmp_path, METADATA, *flags) as running:
            asking = threading.Thread(target=ask_in_vain, args=(running,))
            asking.start()
            wait_until(lambda: 'in_flight_events{backend="webhook"} 1.0' in read(running.said, "/metrics")[1])
            running.process.send_signal(signal.SIGTERM)
            assert running.process.wait(10) == 0
            asking.join()
            assert len(running.lines()) == 1
    (segment,) = (tmp_path / "spool").glob("0*.ndjson")
    assert len(segment.read_bytes().splitlines()) == 1


def ask_in_vain(running: Running) -> None:
    """Send a request whose connection is cut."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        running.get("/api/v1/namespaces")


def test_a_wrong_file_is_told_before_serving(tmp_path: Path) -> None:
    """With its place; nothing is started."""
    path = configuration(tmp_path, 1, **{"audit-webhook-mod": "batch"})
    done = subprocess.run([*SANDBOX, "--config", path], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert f"{path}:2:1: audit-webhook-mod is no flag: did you mean audit-webhook-mode?" in done.stderr
